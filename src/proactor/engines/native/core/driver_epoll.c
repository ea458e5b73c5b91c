/* The epoll driver: level-triggered readiness, and an eventfd to interrupt it. */
#include "internal.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void close_driver(pa_engine *engine)
{
    close(engine->poll_fd);
    close(engine->wake_fd);
}

static int open_driver(pa_engine *engine)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    engine->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (engine->poll_fd < 0)
        return -errno;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->wake_fd < 0) {
        int error = errno;
        close(engine->poll_fd);
        return -error;
    }
    if (epoll_ctl(engine->poll_fd, EPOLL_CTL_ADD, engine->wake_fd, &event) < 0) {
        int error = errno;
        close_driver(engine);
        return -error;
    }
    return 0;
}

static int arm(pa_engine *engine, int fd, uint32_t old, uint32_t interest, pa_socket *socket)
{
    struct epoll_event event = {.data.ptr = socket};
    int change = !old ? EPOLL_CTL_ADD : interest ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    event.events = (interest & PA_READ ? EPOLLIN : 0) | (interest & PA_WRITE ? EPOLLOUT : 0)
                   | (interest & PA_EDGE ? EPOLLET | EPOLLRDHUP : 0);
    return epoll_ctl(engine->poll_fd, change, fd, &event) < 0 ? -errno : 0;
}

/* Rounded up: a wait must not end before its time. */
static int milliseconds(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    int64_t whole = (timeout_ns + 999999) / 1000000;
    return whole > 0x7FFFFFFF ? 0x7FFFFFFF : (int)whole;
}

static int wait_driver(pa_engine *engine, bool mine, int64_t timeout_ns, pa_ready *out, int limit)
{
    struct epoll_event events[PA_BATCH];
    uint64_t wakes;
    int count = 0;
    int found = epoll_wait(engine->poll_fd, events, limit, milliseconds(timeout_ns));
    if (found < 0)
        return -errno;
    for (int i = 0; i < found; i++) {
        uint32_t bits = events[i].events;
        if (!events[i].data.ptr) {
            if (mine && read(engine->wake_fd, &wakes, sizeof wakes) < 0)
                continue;   /* A stand-in has read it: it is news to nobody. */
            continue;
        }
        uint32_t both = bits & (EPOLLHUP | EPOLLERR) ? PA_READ | PA_WRITE | PA_ENDING : 0;
        if (bits & EPOLLRDHUP)
            both |= PA_READ | PA_ENDING;
        out[count].socket = events[i].data.ptr;
        out[count++].ready = both | (bits & EPOLLIN ? PA_READ : 0) | (bits & EPOLLOUT ? PA_WRITE : 0);
    }
    return count;
}

static void wake_driver(pa_engine *engine)
{
    uint64_t one = 1;
    while (write(engine->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

const pa_driver pa_driver_epoll = {
    .name = "epoll",
    .open = open_driver,
    .close = close_driver,
    .arm = arm,
    .wait = wait_driver,
    .wake = wake_driver,
};
