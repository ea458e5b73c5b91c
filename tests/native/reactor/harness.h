/* What the tests of the engine share: which driver they run on, a world to run in, operations. */
#ifndef PA_HARNESS_H
#define PA_HARNESS_H

#include "../checking.h"
#include "internal.h"
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- which driver: PA_DRIVER -- */

/* "multishot" is an io_uring as good as the kernel's, "classic" without incremental buffers, "basic"
 * with one request a receive; else, readiness. False: readiness. */
static inline bool chosen_profile(pa_uring_profile *profile)
{
    const char *driver = getenv("PA_DRIVER");
    struct probe_report report;
    *profile = (pa_uring_profile){0};
    if (!driver || strcmp(driver, "basic") == 0)
        return driver != NULL;
    profile->multishot = strcmp(driver, "multishot") == 0 || strcmp(driver, "classic") == 0;
    if (strcmp(driver, "multishot") == 0) {
        probe_kernel(&report, NULL);
        for (unsigned i = 0; i < report.count; i++)
            if (strcmp(report.findings[i].name, "incremental buffers") == 0)
                profile->incremental = report.findings[i].is_used;
    }
    return profile->multishot;
}

/* This machine has what PA_DRIVER asks for. */
static inline bool has_driver(void)
{
    pa_uring_profile profile;
    struct probe_report report;
    if (!chosen_profile(&profile))
        return true;
    probe_kernel(&report, NULL);
    if (report.profile >= (profile.multishot ? PROBE_MULTISHOT : PROBE_BASIC))
        return true;
    printf("LEFT OUT: the kernel has no io_uring that is %s\n", getenv("PA_DRIVER"));
    return false;
}

#define MAIN(table) MAIN_WHERE(table, has_driver())

/* -- what most tests need -- */

#define MS 1000000LL
#define SECOND 1000000000LL

typedef struct {
    pa_engine *engine;
    pa_port *port, *fallback;
    pa_thread *self;
} world;

static inline world open_world_of(const pa_uring_profile *profile, int concurrency,
                                  int64_t stall_ns, bool threaded)
{
    world w = {0};
    MUST(pa_engine_new(profile, &w.engine) == 0);
    w.port = pa_port_new(w.engine, concurrency, stall_ns);
    w.fallback = pa_port_new(w.engine, 1 << 20, -1);
    pa_engine_set_default_port(w.engine, w.fallback);
    w.self = pa_thread_new();
    if (threaded)
        MUST(pa_engine_start_thread(w.engine) == 0);
    return w;
}

static inline world open_world(int concurrency, int64_t stall_ns, bool threaded)
{
    pa_uring_profile profile;
    bool by_ring = chosen_profile(&profile);
    return open_world_of(by_ring ? &profile : NULL, concurrency, stall_ns, threaded);
}

static inline void close_world(world *w)
{
    pa_engine_statistics stats;
    pa_thread_free(w->self);
    pa_port_close(w->port, NULL, NULL);
    pa_port_close(w->fallback, NULL, NULL);
    pa_engine_poll_now(w->engine);
    if (!pa_is_threaded(w->engine))
        pa_engine_turn(w->engine, 0);
    for (int i = 0; i < 200; i++) {   /* The reactor's last references go with its turn. */
        pa_engine_statistics_get(w->engine, &stats);
        if (!stats.sockets)
            break;
        pa_engine_wake(w->engine);
        usleep(1000);
    }
    CHECK(stats.in_flight == 0);
    CHECK(stats.sockets == 0);
    pa_engine_free(w->engine);
    pa_port_release(w->port);
    pa_port_release(w->fallback);
}

static inline pa_op make_op(pa_kind kind, void *buffer, size_t length)
{
    pa_op op = {.kind = kind, .file = -1, .iov_count = buffer ? 1 : 0};
    op.inline_iov[0] = (struct iovec){buffer, length};
    return op;
}

/* The buffers point into the op itself, which moves when it is returned. */
static inline pa_answer submit(pa_socket *socket, pa_op *op)
{
    op->iov = op->inline_iov;
    return pa_submit(socket, op);
}

static inline pa_answer attempt_only(pa_socket *socket, pa_op *op)
{
    op->iov = op->inline_iov;
    return pa_try(socket, op);
}

static inline pa_op *take_within(pa_port *port, pa_thread *self, int64_t timeout)
{
    pa_op *op = NULL;
    bool interrupted;
    int64_t deadline = pa_now() + timeout;
    do {
        int64_t left = deadline - pa_now();
        if (pa_port_wait(port, self, &op, 1, left > 0 ? left : 0, &interrupted) == 1)
            return op;
    } while (pa_now() < deadline);
    return NULL;
}

static inline pa_op *take(world *w)
{
    return take_within(w->port, w->self, 5 * SECOND);
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int bound_socket(int type)
{
    struct sockaddr_in any = loopback(0);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    MUST(fd >= 0);
    MUST(bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
    return fd;
}

static inline struct sockaddr_in address_of(int fd)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    MUST(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    return name;
}

static inline void set_address(pa_op *op, const struct sockaddr_in *address)
{
    memcpy(&op->address, address, sizeof *address);
    op->address_length = sizeof *address;
}

/* A connected TCP pair: a plain blocking client, and the server's end. */
static inline void tcp_pair(int *client, int *server)
{
    int listener = bound_socket(SOCK_STREAM);
    struct sockaddr_in name = address_of(listener);
    MUST(listen(listener, 8) == 0);
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(connect(*client, (struct sockaddr *)&name, sizeof name) == 0);
    *server = accept(listener, NULL, NULL);
    MUST(*server >= 0);
    close(listener);
}

static inline void read_exactly(int fd, void *into, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t count = recv(fd, (char *)into + at, length - at, 0);
        MUST(count > 0);
        at += (size_t)count;
    }
}

static inline void reset_and_close(int fd)
{
    struct linger none = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

static inline pthread_t start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

#endif
