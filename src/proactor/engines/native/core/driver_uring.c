/* The io_uring driver: the ring receives for the streams, the epoll set below it says the rest.
 *
 * What a ring is used for, and why not for more, is decision 0011. In short: a request belongs to the
 * thread that owns the ring, and holds its file open. So the operations of sockets, which any thread
 * starts, cancels and closes, wait for readiness in an epoll set, which the ring watches by a
 * poll; and the receives of streams are multishot requests into buffers of the ring's.
 */
#include "uring.h"

static int turn_ring(pa_engine *engine, int64_t timeout_ns, pa_ready *out, int limit)
{
    struct pa_uring *uring = engine->uring;
    int result, found = 0;
    bool has_asked = pa_uring_serve_asked(engine);
    pa_uring_watch_epoll(engine);
    if (ring_ready(&uring->ring))
        timeout_ns = 0;
    timeout_ns = pa_uring_until_next_look(engine, timeout_ns);
    pa_uring_enter(engine, timeout_ns != 0, timeout_ns, &result);
    pa_uring_reap(engine);
    if (has_asked && ring_must_enter(&uring->ring)) {
        /* What had come for the streams that have just begun: all of it, not some first; but not
         * more for those that have had enough. */
        pa_uring_serve_asked(engine);
        pa_uring_enter(engine, 0, 0, &result);
        pa_uring_reap(engine);
    }
    while (ring_overflowed(&uring->ring)) {
        /* What did not fit: nothing may be left in a ring that another thread may close. */
        int ignored;
        pa_uring_enter(engine, 0, 0, &ignored);
        pa_uring_reap(engine);
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
        pa_uring_give_up(engine);   /* It has asked while that was found out. */
    if (mine && !is_broken && atomic_load_explicit(&uring->is_wanted, memory_order_relaxed)) {
        if (!engine->backup_turning && pa_uring_own(engine))
            return turn_ring(engine, timeout_ns, out, limit);
        if (atomic_load(&uring->owner) && !engine->backup_turning && timeout_ns) {
            /* A second thread waits: the I/O thread takes over. */
            pa_engine_start_thread(engine);
            timeout_ns = 0;
        }
    }
    return pa_driver_epoll.wait(engine, mine, timeout_ns, out, limit);
}

static int open_driver(pa_engine *engine)
{
    return pa_driver_epoll.open(engine);   /* The ring is opened by the first thread that turns it. */
}

static void close_driver(pa_engine *engine)
{
    pa_driver_epoll.close(engine);
    if (engine->uring)
        pa_uring_close(engine);
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
