/* The io_uring driver: the ring receives for the streams, the epoll set below it says the rest.
 *
 * What a ring is used for, and why not for more, is decision 0011. In short: a request belongs to the
 * thread that owns the ring, and holds its file open. So the operations of sockets, which any thread
 * starts, cancels and closes, wait for readiness in an epoll set, which the ring watches by a
 * poll; and the receives of streams are multishot requests into buffers of the ring's.
 *
 * Who owns the ring: the thread that runs the reactor. Where another one has to, it closes the ring of
 * the last and opens its own, as long as that does not happen too often (has_credit); then the I/O
 * thread is started, which owns it for good. Nobody is in a turn at such a moment, so every completion
 * has been read, and nothing that a request does can move bytes any more (with DEFER_TASKRUN that
 * happens inside an enter of the owner's). What has come since stays in the sockets.
 *
 * Who owns the memory: each armed receive has a reference to its stream, given up with its last
 * completion, or at the take-over.
 */
#include "stream_state.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "prep.h"
#include "ring.h"

enum { ON_EPOLL = 1, ON_CANCEL = 2 };   /* user_data; other values are streams */
enum { GROUP = 7 };

/* Buffers are copied out of at once, so what counts is not how many there are but that they are warm:
 * the kernel gets a quarter of them, and more where a receive has found none (decision 0011). */
enum { INC_COUNT = 16, INC_BYTES = 65536, PLAIN_COUNT = 256, PLAIN_BYTES = 4096, GIVEN_PART = 4 };

struct pa_uring {
    pa_uring_profile profile;
    struct ring ring;
    struct buffers buffers, retired;
    uint32_t given;                    /* buffers that the kernel has, or that are being read */
    bool watches_epoll;                /* a poll of the epoll set is in the ring */
    bool epoll_is_ready;               /* and has said so */
    int64_t credit, credited;          /* see has_credit; nanoseconds */
    int64_t next_look;                 /* for missed ends; 0: nothing was received since the last */
    atomic_ullong owner;               /* `thread_serial` of a thread; 0: the ring is not open */
    pa_engine *engine;
    struct pa_uring *next;             /* of all */
    _Atomic(pa_stream *) asked;        /* streams whose wish to receive has changed; a reference each */
    atomic_bool is_broken;             /* no ring can be had any more: readiness serves the streams */
    atomic_bool is_wanted;             /* a stream has asked */
    atomic_ullong enters, submitted, completions, no_buffers, overflows;
};

/* Guards who owns which ring, and the list of all; before every other lock. */
static pthread_mutex_t owners = PTHREAD_MUTEX_INITIALIZER;
static struct pa_uring *all_urings;

static void leave_rings(void *serial);
static pthread_key_t leaving;          /* its destructor runs in a thread that ends */
static pthread_once_t leaving_is_made = PTHREAD_ONCE_INIT;

static void make_leaving(void) { pthread_key_create(&leaving, leave_rings); }

/* A number for the calling thread that no other one has had or will have. */
static uint64_t thread_serial(void)
{
    static atomic_ullong serials;
    static _Thread_local uint64_t mine;
    if (!mine)
        mine = atomic_fetch_add(&serials, 1) + 1;
    return mine;
}

#define COUNT(uring, field, amount) \
    atomic_fetch_add_explicit(&(uring)->field, (amount), memory_order_relaxed)

/* -- opening and closing -- */

static int open_driver(pa_engine *engine)
{
    return pa_driver_epoll.open(engine);
}

int pa_uring_new(pa_engine *engine, const pa_uring_profile *profile)
{
    struct pa_uring *uring = calloc(1, sizeof *uring);
    if (!uring)
        return -ENOMEM;
    uring->profile = *profile;
    uring->ring.fd = -1;
    uring->engine = engine;
    engine->uring = uring;
    pthread_once(&leaving_is_made, make_leaving);
    pthread_mutex_lock(&owners);
    uring->next = all_urings;
    all_urings = uring;
    pthread_mutex_unlock(&owners);
    return 0;
}

static int open_buffers(struct pa_uring *uring)
{
    bool incremental = uring->profile.incremental;
    uint32_t count = incremental ? INC_COUNT : PLAIN_COUNT;
    uint32_t bytes = incremental ? INC_BYTES : PLAIN_BYTES;
    int error = -ENOMEM;
    if (uring->profile.buffer_count) {
        count = uring->profile.buffer_count;
        bytes = uring->profile.buffer_bytes;
    }
    /* The group's own table counts against RLIMIT_MEMLOCK as the queues do. */
    for (; count >= 2 && error == -ENOMEM; count /= 2) {
        uring->given = count >= 2 * GIVEN_PART ? count / GIVEN_PART : count;
        error = buffers_open_some(&uring->buffers, &uring->ring, GROUP, count, bytes, incremental,
                                  uring->given);
    }
    return error;
}

static int open_ring(struct pa_uring *uring, bool for_life)
{
    struct ring_size asked = {uring->profile.sq_entries, uring->profile.cq_entries};
    int error = asked.cq_entries
                    ? ring_open(&uring->ring, &asked, 1, RING_WANTED, RING_REQUIRED)
                    : ring_open(&uring->ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED);
    if (error)
        return error;
    error = for_life ? ring_enable(&uring->ring) : ring_enable_unregistered(&uring->ring);
    if (!error)
        error = open_buffers(uring);
    if (error)
        ring_close(&uring->ring);
    return error;
}

/* A receive has ended for good; the socket's lock is held. */
static void disarm(pa_stream *stream)
{
    stream->ring_armed = stream->ring_cancelled = false;
    if (stream->parting_fd >= 0)
        close(stream->parting_fd);
    stream->parting_fd = -1;
}

/* The requests are gone with their ring: let go of what they kept, and say who wants to go on. */
static void forget_requests(pa_engine *engine, bool ask_again)
{
    pa_stream_pool *pool = &engine->pool;
    for (uint32_t slot = 0;; slot++) {
        pthread_mutex_lock(&pool->lock);
        bool more = slot < pool->used;
        pa_stream *stream = more ? pool->streams[slot] : NULL;
        /* An armed receive has a reference, so the stream is alive while its flag says so. */
        bool armed = stream && stream->ring_armed;
        pthread_mutex_unlock(&pool->lock);
        if (!more)
            return;
        if (!armed)
            continue;
        pthread_mutex_lock(&stream->socket->lock);
        disarm(stream);
        if (ask_again)
            pa_stream_watch(stream);
        pthread_mutex_unlock(&stream->socket->lock);
        pa_stream_release(stream);
    }
}

/* `owners` is held. */
static void close_ring(pa_engine *engine, bool ask_again)
{
    struct pa_uring *uring = engine->uring;
    if (!atomic_load(&uring->owner))
        return;
    ring_close(&uring->ring);
    atomic_store(&uring->owner, 0);
    /* The kernel ends the requests a little later: their buffers stay until the engine goes. */
    buffers_close(&uring->retired, NULL);
    uring->retired = uring->buffers;
    uring->buffers = (struct buffers){0};
    forget_requests(engine, ask_again);
}

/* In a forked child: its copy of the descriptor, nothing else. */
static void close_copy(struct pa_uring *uring)
{
    owners = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    all_urings = NULL;
    atomic_store(&uring->owner, 0);
    ring_close(&uring->ring);
}

static void close_driver(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    pa_driver_epoll.close(engine);
    if (!uring)
        return;
    if (atomic_load(&engine->dead)) {
        close_copy(uring);
        return;
    }
    pthread_mutex_lock(&owners);
    close_ring(engine, false);
    struct pa_uring **link = &all_urings;
    while (*link != uring)
        link = &(*link)->next;
    *link = uring->next;
    pthread_mutex_unlock(&owners);
    pa_stream *asked = atomic_exchange(&uring->asked, NULL);
    while (asked) {
        pa_stream *next = asked->next_asked;
        pa_stream_release(asked);
        asked = next;
    }
    buffers_close(&uring->retired, NULL);
    free(uring);
    engine->uring = NULL;
}

/* -- asking -- */

bool pa_uring_receives(const pa_stream *stream)
{
    struct pa_uring *uring = pa_engine_of(stream)->uring;
    return uring && !stream->bulky && !atomic_load_explicit(&uring->is_broken, memory_order_relaxed);
}

void pa_uring_ask(pa_stream *stream)
{
    pa_engine *engine = pa_engine_of(stream);
    struct pa_uring *uring = engine->uring;
    if (stream->ring_asked)
        return;
    stream->ring_asked = true;
    pa_stream_hold(stream);
    pa_stream *first = atomic_load_explicit(&uring->asked, memory_order_relaxed);
    do
        stream->next_asked = first;
    while (!atomic_compare_exchange_weak(&uring->asked, &first, stream));
    atomic_store_explicit(&uring->is_wanted, true, memory_order_relaxed);
    pa_engine_wake_for_command(engine);
}

/* -- requests; the owner's -- */

static void enter(pa_engine *engine, uint32_t wait, int64_t timeout_ns, int *result)
{
    struct pa_uring *uring = engine->uring;
    if (ring_overflowed(&uring->ring))
        COUNT(uring, overflows, 1);
    uint64_t enters = uring->ring.enters, submitted = uring->ring.submitted;
    *result = ring_enter(&uring->ring, wait, timeout_ns);
    COUNT(uring, enters, uring->ring.enters - enters);
    COUNT(uring, submitted, uring->ring.submitted - submitted);
}

/* A request to be filled in; where the queue is full, after it has been emptied. NULL: the kernel
 * takes no more before completions are read. */
static struct uring_sqe *request(pa_engine *engine)
{
    struct uring_sqe *sqe = ring_request(&engine->uring->ring);
    int result;
    if (sqe)
        return sqe;
    enter(engine, 0, 0, &result);
    return ring_request(&engine->uring->ring);
}

/* By a poll that is made anew each time: it looks at what is ready now, as epoll_wait does, where a
 * multishot one would tell news once. */
static void watch_epoll(pa_engine *engine)
{
    struct uring_sqe *sqe = engine->uring->watches_epoll ? NULL : request(engine);
    if (!sqe)
        return;
    prep_poll_add(sqe, engine->poll_fd, POLLIN, ON_EPOLL);
    engine->uring->watches_epoll = true;
}

/* A receive has found no buffer: let the kernel have twice as many, for good. */
static void give_more(struct pa_uring *uring, const pa_stream *stream)
{
    if (stream->full || stream->bulky)
        return;   /* It has emptied the pool alone, and is received for in another way from now on. */
    uint32_t most = uring->given * 2 < uring->buffers.count ? uring->given * 2 : uring->buffers.count;
    while (uring->given < most)
        buffers_give(&uring->buffers, (uint16_t)uring->given++);
}

/* Make the ring do what the stream wants; false: no room now. The socket's lock is held. */
static bool reconcile(pa_engine *engine, pa_stream *stream)
{
    struct pa_uring *uring = engine->uring;
    bool wanted = pa_stream_wants_to_read(stream) && !stream->bulky && stream->socket->fd >= 0;
    struct uring_sqe *sqe;
    if (wanted == stream->ring_armed || stream->ring_cancelled)
        return true;
    if (!(sqe = request(engine)))
        return false;
    if (!wanted) {
        prep_cancel(sqe, (uint64_t)(uintptr_t)stream, ON_CANCEL);
        stream->ring_cancelled = true;
        return true;
    }
    if (uring->profile.multishot)
        prep_recv_multishot(sqe, stream->socket->fd, GROUP, (uint64_t)(uintptr_t)stream);
    else
        prep_recv_select(sqe, stream->socket->fd, GROUP, (uint64_t)(uintptr_t)stream);
    /* On an empty group a receive would fail at once although nothing has come. */
    prep_poll_first(sqe);
    PA_COUNT(engine, rearms, 1);
    stream->ring_armed = true;
    pa_stream_hold(stream);
    return true;
}

/* The last that asked is the first of the list: turn it round. */
static pa_stream *in_order(pa_stream *stream)
{
    pa_stream *ordered = NULL;
    while (stream) {
        pa_stream *next = stream->next_asked;
        stream->next_asked = ordered;
        ordered = stream;
        stream = next;
    }
    return ordered;
}

/* Say whether there was something to do. */
static bool serve_asked(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    /* After the reactor has said that it is about to sleep: in that order. */
    if (!atomic_load(&uring->asked))
        return false;
    pa_stream *stream = in_order(atomic_exchange(&uring->asked, NULL));
    while (stream) {
        pa_stream *next = stream->next_asked;
        pthread_mutex_lock(&stream->socket->lock);
        stream->ring_asked = false;
        if (!reconcile(engine, stream))
            pa_uring_ask(stream);
        pthread_mutex_unlock(&stream->socket->lock);
        pa_stream_release(stream);
        stream = next;
    }
    return true;
}

/* -- completions; the owner's -- */

static void received(pa_engine *engine, const struct uring_cqe *cqe, pa_wakes *wakes)
{
    struct pa_uring *uring = engine->uring;
    pa_stream *stream = (pa_stream *)(uintptr_t)cqe->user_data;
    bool has_ended = !(cqe->flags & URING_CQE_F_MORE);
    pthread_mutex_lock(&stream->socket->lock);
    if (cqe->flags & URING_CQE_F_BUFFER) {
        uint8_t *bytes;
        uint16_t id;
        bool used_up = buffers_take(&uring->buffers, cqe, &bytes, &id);
        if (cqe->res > 0)
            pa_stream_feed(stream, bytes, (size_t)cqe->res, wakes);
        stream->ring_heard = true;
        if (used_up)
            buffers_give(&uring->buffers, id);
    } else if (cqe->res == 0) {
        pa_stream_peer_is_done(stream, wakes);
    } else if (cqe->res == -ENOBUFS) {
        COUNT(uring, no_buffers, 1);
        give_more(uring, stream);
    } else if (cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -EINTR
               && cqe->res != -EAGAIN) {
        pa_stream_fail(stream, -cqe->res, wakes);
    }
    if (has_ended) {
        disarm(stream);
        if (pa_uring_receives(stream))
            reconcile(engine, stream);
    }
    pa_stream_watch(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    if (has_ended)
        pa_stream_release(stream);
}

/* -- missed ends -- */

/* A multishot receive may miss an end: where data and a FIN (or a reset) wake it at almost one moment, the
 * kernel (6.18 at least) forgets the second wake once it has received for the first, and of an end it is
 * told once only. So who has received is asked a little later whether there is an end, and if so the
 * receive is made anew: it looks first. */
enum { LOOK_AFTER_NS = 500000000 };

static void look_for_missed_end(pa_engine *engine, pa_stream *stream)
{
    struct pollfd end = {.events = POLLRDHUP};
    pthread_mutex_lock(&stream->socket->lock);
    end.fd = stream->socket->fd;
    stream->ring_heard = false;
    if (stream->ring_armed && !stream->ring_cancelled && end.fd >= 0 && poll(&end, 1, 0) > 0) {
        struct uring_sqe *sqe = request(engine);
        if (sqe)
            prep_cancel(sqe, (uint64_t)(uintptr_t)stream, ON_CANCEL);
        stream->ring_cancelled = sqe != NULL;
        stream->ring_heard = !sqe;
    }
    pthread_mutex_unlock(&stream->socket->lock);
}

static void look_for_missed_ends(pa_engine *engine)
{
    pa_stream_pool *pool = &engine->pool;
    engine->uring->next_look = 0;
    for (uint32_t slot = 0;; slot++) {
        pthread_mutex_lock(&pool->lock);
        bool more = slot < pool->used;
        pa_stream *stream = more ? pool->streams[slot] : NULL;
        bool heard = stream && stream->ring_heard && pa_stream_hold_if_alive(stream);
        pthread_mutex_unlock(&pool->lock);
        if (!more)
            return;
        if (!heard)
            continue;
        look_for_missed_end(engine, stream);
        pa_stream_release(stream);
    }
}

/* Look if it is time; return how long to sleep at most. */
static int64_t until_next_look(pa_engine *engine, int64_t timeout_ns)
{
    struct pa_uring *uring = engine->uring;
    if (!uring->next_look)
        return timeout_ns;
    int64_t left = uring->next_look - pa_now();
    if (left <= 0) {
        look_for_missed_ends(engine);
        return timeout_ns;
    }
    return timeout_ns < 0 || timeout_ns > left ? left : timeout_ns;
}

static void reap(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    uint32_t ready = ring_ready(&uring->ring);
    pa_wakes wakes = {0};
    if (!ready)
        return;
    COUNT(uring, completions, ready);
    pthread_mutex_lock(&engine->serving);
    atomic_store_explicit(&engine->pool.now, pa_now(), memory_order_relaxed);
    for (uint32_t i = 0; i < ready; i++) {
        const struct uring_cqe *cqe = ring_completion(&uring->ring, i);
        if (cqe->user_data == ON_EPOLL) {
            uring->epoll_is_ready = true;
            uring->watches_epoll = false;
        } else if (cqe->user_data != ON_CANCEL) {
            received(engine, cqe, &wakes);
        }
        if (i % 32 == 31)
            pa_wake_all(&wakes);
    }
    if (!uring->next_look)
        uring->next_look = pa_recently(engine) + LOOK_AFTER_NS;
    ring_advance(&uring->ring, ready);
    buffers_publish(&uring->buffers);
    pthread_mutex_unlock(&engine->serving);
    pa_wake_all(&wakes);
}

/* -- a turn -- */

/* No ring can be had: who has asked is served by readiness. */
static void give_up(pa_engine *engine)
{
    pa_stream *stream = atomic_exchange(&engine->uring->asked, NULL);
    while (stream) {
        pa_stream *next = stream->next_asked;
        pthread_mutex_lock(&stream->socket->lock);
        stream->ring_asked = false;
        pa_stream_watch(stream);
        pthread_mutex_unlock(&stream->socket->lock);
        pa_stream_release(stream);
        stream = next;
    }
}

/* Open a ring, or let streams be served by readiness; `owners` is held. */
static bool open_own(pa_engine *engine, bool for_life)
{
    struct pa_uring *uring = engine->uring;
    if (open_ring(uring, for_life) < 0) {
        atomic_store(&uring->is_broken, true);
        give_up(engine);
        return false;
    }
    uring->watches_epoll = uring->epoll_is_ready = false;
    atomic_store(&uring->owner, thread_serial());
    pthread_setspecific(leaving, (void *)(uintptr_t)thread_serial());
    return true;
}

/* Say whether the ring may change hands again, at a cost that is a small part of all time. Where threads
 * stall now and then (at the start of a server, say) it is cheaper for the newest waiter to be the owner
 * than for each batch to cross two threads; where they stall all the time the I/O thread is. */
static bool has_credit(struct pa_uring *uring)
{
    int64_t now = pa_now(), most = 100000000;
    uring->credit += uring->credited ? (now - uring->credited) / 64 : most;
    if (uring->credit > most)
        uring->credit = most;
    uring->credited = now;
    return uring->credit > 0;
}

/* Be the ring's owner from now on; false: there is no ring, or it is another thread's to keep. */
static bool own(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    if (atomic_load_explicit(&uring->owner, memory_order_relaxed) == thread_serial())
        return true;
    bool for_life = atomic_load(&engine->has_io_thread)
                    && pthread_equal(engine->thread, pthread_self());
    bool is_mine = false;
    pthread_mutex_lock(&owners);
    if (!atomic_load(&uring->owner) || for_life || has_credit(uring)) {
        int64_t began = pa_now();
        close_ring(engine, true);
        is_mine = open_own(engine, for_life);
        uring->credit -= pa_now() - began;
    }
    pthread_mutex_unlock(&owners);
    return is_mine;
}

/* The calling thread ends. What its rings have received is read; the rest is for the next owner. */
static void leave_rings(void *serial)
{
    pthread_mutex_lock(&owners);
    for (struct pa_uring *uring = all_urings; uring; uring = uring->next) {
        if (atomic_load(&uring->owner) != (uintptr_t)serial)
            continue;
        reap(uring->engine);
        close_ring(uring->engine, true);
    }
    pthread_mutex_unlock(&owners);
}

static int turn_ring(pa_engine *engine, int64_t timeout_ns, pa_ready *out, int limit)
{
    struct pa_uring *uring = engine->uring;
    int result, found = 0;
    bool has_asked = serve_asked(engine);
    watch_epoll(engine);
    if (ring_ready(&uring->ring))
        timeout_ns = 0;
    timeout_ns = until_next_look(engine, timeout_ns);
    enter(engine, timeout_ns != 0, timeout_ns, &result);
    reap(engine);
    if (has_asked && ring_must_enter(&uring->ring)) {
        /* What had come for the streams that have just begun: all of it, not some first; but not
         * more for those that have had enough. */
        serve_asked(engine);
        enter(engine, 0, 0, &result);
        reap(engine);
    }
    while (ring_overflowed(&uring->ring)) {
        /* What did not fit: nothing may be left in a ring that another thread may close. */
        int ignored;
        enter(engine, 0, 0, &ignored);
        reap(engine);
    }
    if (result == -EINTR)
        return -EINTR;   /* Or the interrupt would be lost. The next turn asks the set anew. */
    if (uring->epoll_is_ready) {
        uring->epoll_is_ready = false;
        found = pa_driver_epoll.wait(engine, true, 0, out, limit);
    }
    return found;
}

static int wait_driver(pa_engine *engine, bool mine, int64_t timeout_ns, pa_ready *out, int limit)
{
    struct pa_uring *uring = engine->uring;
    bool is_broken = atomic_load_explicit(&uring->is_broken, memory_order_relaxed);
    if (mine && is_broken && atomic_load(&uring->asked))
        give_up(engine);   /* It has asked while that was found out. */
    if (mine && !is_broken && atomic_load_explicit(&uring->is_wanted, memory_order_relaxed)) {
        if (!engine->backup_turning && own(engine))
            return turn_ring(engine, timeout_ns, out, limit);
        if (atomic_load(&uring->owner) && !engine->backup_turning && timeout_ns) {
            /* A second thread waits: the I/O thread takes over. */
            pa_engine_start_thread(engine);
            timeout_ns = 0;
        }
    }
    return pa_driver_epoll.wait(engine, mine, timeout_ns, out, limit);
}

static int arm(pa_engine *engine, int fd, uint32_t old, uint32_t interest, pa_socket *socket)
{
    return pa_driver_epoll.arm(engine, fd, old, interest, socket);
}

static void wake(pa_engine *engine) { pa_driver_epoll.wake(engine); }

void pa_uring_statistics_get(pa_engine *engine, pa_engine_statistics *out)
{
    const struct pa_uring *from = engine->uring;
    if (!from)
        return;
#define COPY(field) out->field = atomic_load_explicit(&from->field, memory_order_relaxed)
    COPY(enters), COPY(completions), COPY(no_buffers), COPY(overflows);
    out->ring_requests = atomic_load_explicit(&from->submitted, memory_order_relaxed);
#undef COPY
}

const pa_driver pa_driver_uring = {
    .name = "io_uring",
    .open = open_driver,
    .close = close_driver,
    .arm = arm,
    .wait = wait_driver,
    .wake = wake,
};
