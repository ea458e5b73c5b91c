/* The native core: sockets with queues of operations, a reactor that moves their bytes, and ports.
 *
 * Nothing here knows Python. No function takes the GIL, calls back into Python, or frees what Python
 * owns: a finished operation is handed out by `pa_port_take`, and whoever takes it owns it again.
 *
 * Who owns what
 *   pa_op       its maker's (the face). From pa_submit until it is handed out (taken from a port, or
 *               returned as done or refused) it and all memory that it points to belong to the core.
 *   pa_socket   counted; the face holds one reference, each operation in flight one, the reactor one
 *               while the descriptor is registered. The descriptor is closed by pa_socket_close once
 *               nothing of the engine's own (the rest of a short send) is left.
 *   pa_port     counted; the face holds one reference, each attached socket one.
 *
 * Locks, in this order: socket, port. Neither is held while the other's owner runs user code (there is
 * none here). The engine's command lock is a leaf.
 *
 * Threads: every function may be called by any thread unless it says otherwise.
 */
#ifndef PA_CORE_H
#define PA_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* -- words ------------------------------------------------------------------------------------ */

typedef struct pa_engine pa_engine;
typedef struct pa_socket pa_socket;
typedef struct pa_port pa_port;
typedef struct pa_op pa_op;

typedef enum {
    PA_RECV = 1, PA_SEND, PA_RECV_FROM, PA_SEND_TO,
    PA_ACCEPT, PA_CONNECT, PA_DISCONNECT, PA_TRANSMIT_FILE,
    PA_POSTED,            /* not an operation: a packet of the user's, see pa_port_post */
    PA_TURN,              /* not an operation: a stream wants to be served, see streams.h */
} pa_kind;

/* What pa_submit answers. */
typedef enum {
    PA_PENDING = 0,       /* it will be handed out by a port, exactly once */
    PA_DONE = 1,          /* complete now. Handed out by the port as well, unless PA_NO_PACKET was
                           * answered in op->result_flags (skip on success, suppressed, no port) */
    PA_REFUSED = 2,       /* refused: op->status says why (an NTSTATUS), it indicates nothing */
} pa_answer;

/* Bits of op->result_flags. PA_ATTEMPTED: refused by a system call, not by a check of a flag. PA_LOST:
 * its port was closed when it completed; it comes out of the default port and indicates nothing.
 * PA_DETOUR: it comes out of the default port first, though its socket has a port: the face must end
 * the detour once it has dealt with it (pa_socket_end_detour). */
enum { PA_NO_PACKET = 1, PA_TRUNCATED = 2, PA_ATTEMPTED = 4, PA_LOST = 8, PA_DETOUR = 16 };

/* Flags of a socket that the face may read at any time (they are atomics inside; a snapshot). */
enum {
    PA_CONNECTED = 1 << 0, PA_CONNECTING = 1 << 1, PA_RESET = 1 << 2, PA_RECEIVE_SHUT = 1 << 3,
    PA_SEND_SHUT = 1 << 4, PA_DATAGRAM = 1 << 5, PA_CLOSED = 1 << 6, PA_SKIP_ON_SUCCESS = 1 << 7,
    PA_RENEWED = 1 << 8,
    PA_READS_QUEUED = 1 << 9, PA_WRITES_QUEUED = 1 << 10, PA_RESERVED = 1 << 11,
};

/* A refusal that has no NTSTATUS of its own: PA_WSA_STATUS + the Winsock number. */
#define PA_WSA_STATUS 0xC0010000u

#define PA_INLINE_IOV 4

struct pa_op {
    /* Set by the face before pa_submit. */
    pa_kind kind;
    int flags;                    /* MSG_* of a receive or send; PA_REUSE of a disconnect */
    struct iovec *iov;            /* the buffers; inline_iov or the face's own array */
    int iov_count;
    struct iovec inline_iov[PA_INLINE_IOV];
    struct sockaddr_storage address;
    socklen_t address_length;
    pa_socket *acceptor;          /* of an accept: what becomes the connection; NULL makes a new fd */
    int file;                     /* of a transmit_file: a descriptor, -1 for none */
    uint64_t offset, count;
    int head_count;               /* how many of iov go before the file */
    bool suppress_packet;
    bool internal;                /* the core's own: freed with free() when it ends */
    bool poll_first;              /* of a receive: do not attempt at once, wait for readiness */
    bool synchronous;             /* no overlapped: the refusals of a synchronous call hold */
    void *issuer;                 /* who started it, for pa_cancel_issued_by */
    void *owner;                  /* the face's; never touched here */

    /* The result. */
    uint32_t status;              /* NTSTATUS; STATUS_PENDING (0x103) while in flight */
    uint32_t result_flags;
    uint64_t transferred;
    int accepted;                 /* of an accept without acceptor: the new descriptor, else -1 */

    /* The core's. */
    pa_socket *home;              /* whose port gets it; another socket's queue may hold it */
    pa_op *next, *previous;
    struct iovec *rest;           /* what a short send has left */
    int rest_count;
    size_t rest_offset;           /* bytes of the first of `rest` that are sent already */
    int stage;
    void *key;                    /* see pa_op_key */
    pa_socket *connection;        /* of an accept: where its first data is awaited */
    pa_op *next_awaiting, *previous_awaiting;
    bool is_awaiting;
    uint64_t user_data;           /* the driver's */
};

/* op->flags of a disconnect: make the socket fit for another connection. */
enum { PA_REUSE = 2 };

/* -- the engine: one reactor ------------------------------------------------------------------ */

/* What the ring of an engine is made of. Zero: as the core thinks best. */
typedef struct {
    bool multishot, incremental;      /* see probe.h; without, one request a receive */
    uint32_t sq_entries, cq_entries;  /* for tests: queues that overflow */
    uint32_t buffer_count, buffer_bytes;
} pa_uring_profile;

/* Make an engine on readiness (`profile` NULL), or one whose streams receive by an io_uring. Returns
 * 0 or -errno. The ring is opened when it is first needed; where none can be had then, readiness
 * serves the streams. */
int pa_engine_new(const pa_uring_profile *profile, pa_engine **out);
/* Stop the I/O thread if there is one, and free. Every socket must be closed and drained before. */
void pa_engine_free(pa_engine *engine);
/* Start the native I/O thread, which owns the reactor from then on; 0 if it runs, or -errno.
 * Until then whoever waits in pa_port_wait runs the reactor itself (only one thread at a time). */
int pa_engine_start_thread(pa_engine *engine);
/* Serve what is ready, waiting up to timeout_ns (-1: for ever) for something. Only without an I/O
 * thread; returns -EBUSY if another thread is at it. pa_engine_wake makes it return. */
int pa_engine_turn(pa_engine *engine, int64_t timeout_ns);
void pa_engine_wake(pa_engine *engine);
/* Serve what is ready now; any thread, also with an I/O thread. When it returns, the operations that
 * the kernel could complete at the call are at their ports. pa_port_wait with time-out 0 does it. */
void pa_engine_poll_now(pa_engine *engine);
/* From now on a thread of the core's own polls when operations wait and nobody has polled for 5 ms
 * (every thread is in user code). It is started when it is first needed and ends with the engine. */
void pa_engine_allow_backup(pa_engine *engine);
/* This is a forked child: forget threads, close the descriptors, touch nothing of the parent's. */
void pa_engine_after_fork(pa_engine *engine);

typedef struct {
    uint64_t turns, waits, wakes_sent, wakes_saved, submitted, completed_at_once, completed_later,
        bytes_received, bytes_sent, rearms, short_sends, in_flight, sockets, backup_turns,
        enters, ring_requests, completions, no_buffers, overflows;   /* of the ring */
} pa_engine_statistics;
void pa_engine_statistics_get(pa_engine *engine, pa_engine_statistics *out);

/* -- sockets ---------------------------------------------------------------------------------- */

/* Take over `fd` (made non-blocking, CLOEXEC). `flags`: PA_DATAGRAM, PA_CONNECTED. NULL: no memory. */
pa_socket *pa_socket_new(pa_engine *engine, int fd, uint32_t flags, void *owner);
void pa_socket_hold(pa_socket *socket);
void pa_socket_release(pa_socket *socket);
int pa_socket_fd(const pa_socket *socket);
/* Give the descriptor to the caller and be closed: -EBADF is closed, -EBUSY has operations or a port,
 * -ENOTCONN is no connected stream. */
int pa_socket_detach(pa_socket *socket);
uint32_t pa_socket_flags(const pa_socket *socket);
/* errno of the last failed connect, 0 if it did not fail; looks at a connect in progress. */
int pa_socket_connect_error(pa_socket *socket);
void pa_socket_set_skip_on_success(pa_socket *socket);
/* Associate for life. -EEXIST: has a port; -EBADF: closed. `key` is returned by pa_op_key. */
int pa_socket_attach(pa_socket *socket, pa_port *port, void *key);
/* Where operations go that no port of the user's serves (events, routines, synchronous calls): the
 * face's own port. Must be set before the first submit. */
void pa_engine_set_default_port(pa_engine *engine, pa_port *port);

/* While operations of a socket are on a detour by the default port, its later ones follow them, so that
 * the packets of a socket keep their order. `follow` sends one that is done by the same way, and
 * says false if none is under way: it may go to its port. The caller keeps the socket alive. */
void pa_socket_end_detour(pa_socket *socket);
bool pa_op_follow(pa_op *op);

/* Start. With an empty queue the operation is attempted at once, in the calling thread, without
 * blocking; else it waits its turn: receives and accepts fill in order, sends never interleave, a
 * short send is resumed. Connect and disconnect always answer PA_PENDING or PA_REFUSED. */
pa_answer pa_submit(pa_socket *socket, pa_op *op);
/* Only try: PA_DONE, PA_REFUSED, or PA_PENDING meaning "would block; nothing was started, nothing is
 * kept" - except that a partial non-blocking send is finished by the core from a copy (PA_DONE). */
pa_answer pa_try(pa_socket *socket, pa_op *op);
/* Request the end of one operation, or of all of the user's (op NULL); they are handed out with
 * STATUS_CANCELLED. Returns how many. */
int pa_cancel(pa_socket *socket, pa_op *op);
/* The same for those that `issuer` started. */
int pa_cancel_issued_by(pa_socket *socket, void *issuer);
/* The caller has met the peer's reset by a look of its own: flag it, fail what is queued. */
void pa_socket_note_reset(pa_socket *socket);
/* Close: every operation of the user's is handed out with STATUS_CANCELLED; twice is fine. */
void pa_socket_close(pa_socket *socket, bool reset);
/* 0 or -errno; FIN follows what is queued. */
int pa_socket_shutdown(pa_socket *socket, int how);
/* The user's key of the port that hands `op` out. */
void *pa_op_key(const pa_op *op);

/* -- ports: FIFO packets, LIFO threads, the concurrency value ------------------------------------ */

pa_port *pa_port_new(pa_engine *engine, int concurrency, int64_t stall_ns /* -1: never */);
void pa_port_hold(pa_port *port);
void pa_port_release(pa_port *port);
/* A thread as the ports see it: its slot, its futex. One per thread, made by the face. */
typedef struct pa_thread pa_thread;
pa_thread *pa_thread_new(void);
void pa_thread_free(pa_thread *thread);          /* gives its slot back */

/* Queue a packet of the user's: `op` is malloc'd or the face's, kind PA_POSTED. -EBADF if closed. */
int pa_port_post(pa_port *port, pa_op *op);
/* Queue a finished operation that came by the default port; counts as completed, not as posted. */
int pa_port_forward(pa_port *port, pa_op *op);
/* Take up to `limit` finished operations, waiting for the first up to timeout_ns (-1: for ever).
 * Returns how many (0: time-out, or pa_thread_interrupt was called: *interrupted), -EBADF: closed
 * before, -ECANCELED: closed during the wait. Called WITHOUT the GIL if it may wait.
 * `no_wait` form: pa_port_take never waits and never polls. */
int pa_port_take(pa_port *port, pa_thread *self, pa_op **out, int limit);
int pa_port_wait(pa_port *port, pa_thread *self, pa_op **out, int limit, int64_t timeout_ns,
                 bool *interrupted);
/* A thread that serves what it takes one after the other gives `pa_thread_hand` as `out`: what it has
 * not begun yet others may take back, should it stall. It then asks for each by pa_hand_next: NULL,
 * there are no more. */
pa_op **pa_thread_hand(pa_thread *thread);
pa_op *pa_hand_next(pa_thread *thread);
/* Make a pa_port_wait of `thread`, now or its next, return early (an APC, a signal). */
void pa_thread_interrupt(pa_thread *thread);
/* The thread gives its slot up, wherever it has one (a blocking region, a wait in the package), and
 * takes it back, even above the concurrency value. Return the port, to be given to `resume`. */
pa_port *pa_thread_block(pa_thread *thread);
void pa_thread_resume(pa_thread *thread, pa_port *port);
/* Waiters return -ECANCELED; what is queued is given to `lost`, oldest first. */
void pa_port_close(pa_port *port, void (*lost)(pa_op *op, void *context), void *context);
typedef struct { uint64_t queued, waiting, running, delivered, posted, completed, stalls; } pa_port_statistics;
void pa_port_statistics_get(pa_port *port, pa_port_statistics *out);

#endif
