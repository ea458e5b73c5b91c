/* What the core's files share with each other and with nobody else. */
#ifndef PA_INTERNAL_H
#define PA_INTERNAL_H

/* Before any system header: so every file of the core includes this one first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <netinet/in.h>
#include <pthread.h>

#include "core.h"
#include "inbox.h"
#include "streams.h"
#include "words/status.h"

#define PA_PUBLIC_FLAGS 0x1FFu
#define PA_IOV_MAX 64
#define PA_TURN_BYTES (1u << 20)   /* what one send moves in one turn: others must not starve */
#define PA_TICK_NS 5000000         /* how often stalls and a deserted reactor are looked for */
#define PA_IDLE_TICKS 200          /* looks at an unchanged scene after which nobody looks */

/* PA_EDGE: told only when something comes; PA_ENDING: the peer has shut down, or it is broken. */
enum { PA_READ = 1, PA_WRITE = 2, PA_EDGE = 4, PA_ENDING = 8 };

typedef enum {
    PA_BLOCKED,    /* it would block: park it */
    PA_FINISHED,   /* complete, with its status set */
    PA_MOVED,      /* it waits in another queue now */
} pa_outcome;

/* op->stage: how far an operation of several steps is. */
enum { PA_FRESH = 0, PA_BEGUN, PA_SENDING, PA_FIRST_DATA, PA_DRAINING, PA_FILE, PA_TAILS };

typedef struct {
    pa_op *head, *tail;
} pa_queue;

/* Threads to wake once no lock is held: their gates are open already, the system calls are due. */
typedef struct {
    pa_engine *engine;             /* its reactor must be woken too; NULL: not */
    int count;
    atomic_int *gates[16];
} pa_wakes;

/* -- drivers: how the kernel is asked ---------------------------------------------------------- */

typedef struct {
    pa_socket *socket;
    uint32_t ready;
} pa_ready;

enum { PA_BATCH = 256 };

typedef struct {
    const char *name;
    int (*open)(pa_engine *engine);
    void (*close)(pa_engine *engine);
    /* Change what is watched on `fd` from `old` to `interest`; any thread, at once. 0 or -errno. */
    int (*arm)(pa_engine *engine, int fd, uint32_t old, uint32_t interest, pa_socket *socket);
    /* Wait for readiness; several threads may, but only one sleeps, and only a wait that may sleep
     * takes note of `wake`. `mine`: the caller has the right to run the reactor. How many, or
     * -errno. */
    int (*wait)(pa_engine *engine, bool mine, int64_t timeout_ns, pa_ready *out, int limit);
    void (*wake)(pa_engine *engine);
} pa_driver;

extern const pa_driver pa_driver_epoll, pa_driver_uring;

/* uring_owner.c, uring_receives.c, driver_uring.c; with a socket's lock held, but for the first and
 * the last */
struct pa_uring;
int pa_uring_new(pa_engine *engine, const pa_uring_profile *profile);
bool pa_uring_receives(const pa_stream *stream);   /* the ring, not readiness */
void pa_uring_ask(pa_stream *stream);              /* its wish to receive has changed */
void pa_uring_statistics_get(pa_engine *engine, pa_engine_statistics *out);

/* -- what the streams of an engine share ----------------------------------------------------------- */

typedef struct {
    pa_chunks chunks;
    uint8_t *scratch;              /* owned; what is received first. The serving lock guards it. */
    size_t batch_bytes;            /* received by streams in this batch; likewise */
    _Atomic int64_t now;           /* of the last batch */
    _Atomic(pa_shared *) owed;
    atomic_bool turns_due;         /* a stream found no memory for its turn */
    pthread_mutex_t lock;          /* a leaf; guards what follows */
    pa_stream **streams;           /* owned; by slot */
    uint32_t *spare;               /* slots below `used` that are free; lies behind `streams` */
    uint32_t used, capacity, spare_count;
    uint64_t serial;
} pa_stream_pool;

/* -- the engine -------------------------------------------------------------------------------- */

enum { PA_RUNNING = 0, PA_ASLEEP = 1, PA_WOKEN = 2 };

typedef struct {
    atomic_ullong turns, waits, wakes_sent, wakes_saved, submitted, completed_at_once,
        completed_later, bytes_received, bytes_sent, rearms, short_sends, in_flight, sockets,
        backup_turns;
} pa_counters;

struct pa_engine {
    const pa_driver *driver;
    int poll_fd, wake_fd;          /* the driver's */
    struct pa_uring *uring;        /* the driver's; NULL: it has no ring */
    atomic_bool has_io_thread;     /* `threaded`, for those who hold no lock */
    _Atomic(pa_port *) default_port;
    atomic_int state;              /* of the reactor: running, asleep, or woken */
    atomic_bool dead;              /* this is a forked child */
    atomic_bool watching;          /* the reactor looks every tick: see pa_watch */
    atomic_int active;             /* batches in progress: stale pointers may be in them */
    atomic_int armed;              /* sockets that are watched */
    atomic_int candidates_count;
    atomic_ullong waits_begun;
    atomic_bool backup_allowed, backup_known, backup_sleeps;
    int64_t next_look;             /* of the stall watch; the reactor's */
    int idle_looks;
    pthread_mutex_t serving;       /* held while a batch is served: one at a time */
    pthread_mutex_t lock;          /* a leaf; guards what follows */
    pthread_cond_t free_to_turn;   /* the I/O thread and the backup wait for their turn */
    pthread_cond_t backup_due;
    bool turning;                  /* somebody has the right to sleep in the driver */
    bool threaded;                 /* the I/O thread has it for good, or will have */
    bool backup_turning, backup_started;
    bool stopping;
    _Atomic(pa_socket *) retired;  /* unwatched; the reactor's references, see pa_retire */
    pa_thread *candidates;         /* waiting threads that could run the reactor, newest first */
    pa_thread *turner;             /* the waiting thread that runs it; NULL: another kind of thread */
    atomic_int batch;              /* how many sockets are served before their owners are */
    pa_stream_pool pool;
    pthread_t thread, backup;
    pa_counters counters;
};

#define PA_COUNT(engine, field, amount) \
    atomic_fetch_add_explicit(&(engine)->counters.field, (amount), memory_order_relaxed)

int64_t pa_now(void);
/* The time of the last batch, which costs nothing. */
static inline int64_t pa_recently(pa_engine *engine)
{
    return atomic_load_explicit(&engine->pool.now, memory_order_relaxed);
}
/* Become the one that runs the reactor. Of the threads that wait (`thread`; NULL: none of them) the
 * newest does: packets are its own then, and no other thread is woken. Where it is another's turn,
 * stand in line; an older thread that runs the reactor is made to leave it. */
bool pa_turn_begin(pa_engine *engine, pa_thread *thread);
void pa_turn_end(pa_engine *engine);
/* One wait and its batch; the caller has the right. `gate` is shut when the wait ends. */
int pa_turn(pa_engine *engine, int64_t timeout_ns, atomic_int *gate);
/* `thread` (NULL: none) leaves; let the newest in line run the reactor if nobody does.
 *
 * `busy_with`: not now, if all that could wait at this port, where nobody else may take packets until
 * the thread comes back. It will run the reactor again then, warm; if it does not come soon the backup
 * lets somebody else. NULL: now. */
void pa_turn_pass_on(pa_engine *engine, pa_thread *thread, pa_port *busy_with);
/* The caller has just run the reactor: let a newer thread, if there is one. */
void pa_turn_yield(pa_engine *engine, pa_thread *thread);
bool pa_is_threaded(pa_engine *engine);
/* A command has been left for whoever runs the reactor: wake it if it sleeps. */
void pa_engine_wake_for_command(pa_engine *engine);
/* The reactor must look every tick from now on: for stalls, and for turns that are due. */
void pa_watch(pa_engine *engine, pa_wakes *wakes);
bool pa_look(pa_engine *engine, int64_t now);   /* one such look; false: it found nothing */
bool pa_release_stalled(pa_engine *engine, int64_t now);
void pa_drop_retired(pa_engine *engine);

/* Say whether anybody would miss a reactor that nobody runs: sockets are watched, or a thread stands in
 * line for it, which may be there for what only the ring receives. The engine's lock is held. */
static inline bool pa_is_looked_for(pa_engine *engine)
{
    return atomic_load(&engine->armed) || engine->candidates;
}

/* The thread that stands in when nobody polls: backup.c. */
void pa_backup_note(pa_engine *engine);    /* there is something to look after */
void pa_backup_stop(pa_engine *engine);

/* -- sockets ----------------------------------------------------------------------------------- */

struct pa_socket {
    atomic_int references;
    atomic_int fd;
    atomic_uint flags;
    int connect_errno;
    pa_engine *engine;
    pthread_mutex_t lock;
    pa_queue reads, writes;
    uint32_t armed;
    atomic_bool bound, listening;  /* an acceptor's are read without its lock */
    bool unreachable;              /* an ICMP answer met a send; the next receive reports it */
    bool watched;                  /* the reactor has a reference */
    bool is_retired;
    atomic_int detours;            /* operations on their way by the default port */
    pa_socket *next_retired;
    _Atomic(pa_port *) port;       /* set once */
    void *key;
    void *owner;
    /* Guarded by the engine's lock, since two sockets meet here. */
    pa_op *awaiting;               /* accepts that wait for first data on their connections */
    pa_op *reserved_by;            /* the accept that will make this socket its connection */
    pa_stream *stream;             /* that has taken the socket over; no operations then */
};

static inline bool pa_has(const pa_socket *socket, uint32_t bits)
{
    return atomic_load_explicit(&socket->flags, memory_order_acquire) & bits;
}

static inline void pa_mark(pa_socket *socket, uint32_t set, uint32_t clear)
{
    if (set)
        atomic_fetch_or_explicit(&socket->flags, set, memory_order_acq_rel);
    if (clear)
        atomic_fetch_and_explicit(&socket->flags, ~clear, memory_order_acq_rel);
}

/* Everything below is called with the socket's lock held. */

/* queues.c */
void pa_append(pa_queue *queue, pa_op *op);
void pa_remove(pa_queue *queue, pa_op *op);
bool pa_reads(const pa_op *op);
int pa_park(pa_socket *socket, pa_op *op, bool for_reading);
pa_outcome pa_attempt(pa_socket *socket, pa_op *op);
void pa_complete(pa_socket *socket, pa_op *op, bool at_once, pa_wakes *wakes);
void pa_give_back(pa_op *op);
void pa_fail_outstanding(pa_socket *socket, pa_wakes *wakes);
int pa_set_interest(pa_socket *socket, uint32_t interest);
void pa_rearm(pa_socket *socket, uint32_t keep);
void pa_close_descriptor(pa_socket *socket);
void pa_serve(pa_socket *socket, uint32_t ready, pa_wakes *wakes);   /* takes the lock itself */

/* streams.c */
void pa_stream_serve(pa_stream *stream, uint32_t ready, pa_wakes *wakes);

/* attempts.c: one attempt at each kind that touches one descriptor only */
pa_outcome pa_finish(pa_op *op, uint32_t status, uint64_t transferred);
pa_outcome pa_fail(pa_op *op, int number);
pa_outcome pa_attempt_recv(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_recv_from(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_send(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_send_to(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_transmit_file(pa_socket *socket, pa_op *op);
int pa_prepare_transmission(pa_op *op);
uint64_t pa_total(const pa_op *op);

/* connections.c: those that change the socket */
pa_outcome pa_attempt_accept(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_connect(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_disconnect(pa_socket *socket, pa_op *op);
pa_outcome pa_attempt_drain(pa_socket *socket, pa_op *op);
void pa_begin_connection(pa_socket *socket, bool connected);
bool pa_refresh_connecting(pa_socket *socket);   /* false: still in progress */
bool pa_is_bound(pa_socket *socket);
bool pa_is_listening(pa_socket *socket);
void pa_await(pa_op *op, pa_socket *connection);
void pa_await_no_longer(pa_op *op);
void pa_end_connection_of(pa_op *op);

/* refusals.c: STATUS_SUCCESS if `op` may start */
uint32_t pa_refuse(pa_socket *socket, pa_op *op);

/* stream_sends.c, without a lock: flush what is in `dirty`, the last one first. */
void pa_flush_streams(pa_stream *dirty);
/* stream_pool.c and stream_turns.c, without a lock */
void pa_pool_open(pa_stream_pool *pool);
void pa_pool_close(pa_stream_pool *pool);
void pa_streams_lose_port(pa_engine *engine, pa_port *port);
bool pa_streams_schedule_due(pa_engine *engine);   /* turns that found no memory; false: none */

/* -- ports and threads --------------------------------------------------------------------------- */

enum { PA_HAND = 64 };   /* what a thread takes at once to serve */

/* A thread's gate: what it does, and whether it must look again. */
enum { PA_AWAKE = 0, PA_OPEN = 1, PA_PARKED = 2, PA_POLLING = 3 };

struct pa_thread {
    atomic_int gate;
    atomic_bool interrupted;
    _Atomic(pa_engine *) polls;        /* whose reactor it runs while its gate says POLLING */
    _Atomic(pa_port *) slot;           /* where it counts as running; changes under that lock */
    int64_t since;
    pa_op *handed;                     /* by the port it waits at */
    pa_thread *newer, *older;          /* among the waiters of a port */
    pa_thread *next_runner, *previous_runner;
    pa_thread *next_candidate, *previous_candidate;
    bool is_candidate;
    uint64_t wait_serial;              /* greater: it came later */
    pa_port *waits_at;
    pa_port *batch;                    /* it serves turns of: what it queues waits for the end */
    /* What it has taken and not begun; see pa_hand_next. Written under the port's lock. */
    pa_op *hand[PA_HAND];
    int hand_count;
    atomic_int hand_next;
    /* What is to be flushed: queued for in this turn, and in earlier ones of the batch. A reference
     * each, the last one first. The owner alone fills them; of a stalled one others flush `sealed`,
     * and `dirty` too if it is in no turn. */
    _Atomic(pa_stream *) dirty, sealed;
    atomic_bool in_turn;
    pa_stream *rest_dirty;             /* the owner's alone: of a slice that was not all, in order */
    int64_t dirty_since;
};

struct pa_port {
    atomic_int references;
    pa_engine *engine;
    int concurrency;
    int64_t stall_ns;
    pa_port *next_port, *previous_port;   /* of all; guarded by the registry's lock */
    pthread_mutex_t lock;
    atomic_bool closed;
    pa_op *head, *tail;
    pa_thread *newest;                    /* waiter */
    pa_thread *runners;
    pa_port_statistics counts;            /* queued, waiting and running are kept here as well */
};

/* Queue a finished operation; false if the port is closed. */
bool pa_port_push(pa_port *port, pa_op *op, bool posted, pa_wakes *wakes);
/* slots.c; the port's lock is held */
bool pa_is_full(const pa_port *port);
bool pa_may_take(const pa_port *port);
void pa_take_slot(pa_port *port, pa_thread *thread);
void pa_leave_slot(pa_port *port, pa_thread *thread);   /* the caller has a reference of its own */
void pa_push_waiter(pa_port *port, pa_thread *thread);
void pa_remove_waiter(pa_port *port, pa_thread *thread);
pa_op *pa_pop_packet(pa_port *port);
void pa_hold_hand(pa_port *port, pa_thread *thread, int count, pa_wakes *wakes);
void pa_take_hand_back(pa_port *port, pa_thread *thread);
void pa_hand(pa_port *port, pa_op *op, pa_wakes *wakes);
void pa_release_waiters(pa_port *port, pa_wakes *wakes);
/* These take the lock themselves. */
bool pa_give_slot_up(pa_thread *thread, pa_port *port);
pa_port *pa_slot_of(pa_thread *thread);                 /* with a reference, or NULL */

/* Make `thread` look again: its gate opens now, the system call follows with pa_wake_all. */
void pa_open_gate(pa_thread *thread, pa_wakes *wakes);
void pa_wake_all(pa_wakes *wakes);
/* Sleep until the gate opens, up to `timeout_ns` (-1: for ever); false: a signal came. */
bool pa_sleep(pa_thread *thread, int64_t timeout_ns);
void pa_registry_after_fork(void);

#endif
