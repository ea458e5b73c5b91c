/* What the ring receives: streams ask, the owner makes requests of it and reads what completes.
 *
 * Who owns the memory: each armed receive has a reference to its stream, given up with its last
 * completion, or at the take-over.
 */
#include "uring.h"

#include <poll.h>
#include <unistd.h>

#include "prep.h"

enum { ON_EPOLL = 1, ON_CANCEL = 2 };   /* user_data; other values are streams */

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

void pa_uring_enter(pa_engine *engine, uint32_t wait, int64_t timeout_ns, int *result)
{
    struct pa_uring *uring = engine->uring;
    if (ring_overflowed(&uring->ring))
        URING_COUNT(uring, overflows, 1);
    uint64_t enters = uring->ring.enters, submitted = uring->ring.submitted;
    *result = ring_enter(&uring->ring, wait, timeout_ns);
    URING_COUNT(uring, enters, uring->ring.enters - enters);
    URING_COUNT(uring, submitted, uring->ring.submitted - submitted);
}

/* A request to be filled in; where the queue is full, after it has been emptied. NULL: the kernel
 * takes no more before completions are read. */
static struct uring_sqe *request(pa_engine *engine)
{
    struct uring_sqe *sqe = ring_request(&engine->uring->ring);
    int result;
    if (sqe)
        return sqe;
    pa_uring_enter(engine, 0, 0, &result);
    return ring_request(&engine->uring->ring);
}

/* By a poll that is made anew each time: it looks at what is ready now, as epoll_wait does, where a
 * multishot one would tell news once. */
void pa_uring_watch_epoll(pa_engine *engine)
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
        prep_recv_multishot(sqe, stream->socket->fd, PA_URING_GROUP, (uint64_t)(uintptr_t)stream);
    else
        prep_recv_select(sqe, stream->socket->fd, PA_URING_GROUP, (uint64_t)(uintptr_t)stream);
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
bool pa_uring_serve_asked(pa_engine *engine)
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

/* A receive has ended for good; the socket's lock is held. */
static void disarm(pa_stream *stream)
{
    stream->ring_armed = stream->ring_cancelled = false;
    if (stream->parting_fd >= 0)
        close(stream->parting_fd);
    stream->parting_fd = -1;
}

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
        if (!uring->profile.multishot)
            pa_stream_note_buffer(stream, uring->buffers.size, (uint32_t)cqe->res == uring->buffers.size);
        stream->ring_heard = true;
        if (used_up)
            buffers_give(&uring->buffers, id);
    } else if (cqe->res == 0) {
        pa_stream_peer_is_done(stream, wakes);
    } else if (cqe->res == -ENOBUFS) {
        URING_COUNT(uring, no_buffers, 1);
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
int64_t pa_uring_until_next_look(pa_engine *engine, int64_t timeout_ns)
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

void pa_uring_reap(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    uint32_t ready = ring_ready(&uring->ring);
    pa_wakes wakes = {0};
    if (!ready)
        return;
    URING_COUNT(uring, completions, ready);
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

/* -- a ring that goes -- */

/* The requests are gone with their ring: let go of what they kept, and say who wants to go on. */
void pa_uring_forget_requests(pa_engine *engine, bool ask_again)
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

void pa_uring_drop_asked(struct pa_uring *uring)
{
    pa_stream *asked = atomic_exchange(&uring->asked, NULL);
    while (asked) {
        pa_stream *next = asked->next_asked;
        pa_stream_release(asked);
        asked = next;
    }
}

/* No ring can be had: who has asked is served by readiness. */
void pa_uring_give_up(pa_engine *engine)
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
