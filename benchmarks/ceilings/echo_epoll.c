/* The epoll ceiling: what an echo costs with readiness and no interpreter.
 *
 *   echo_epoll      prints its port; ends when its standard input does.
 *
 * One thread, level-triggered epoll, one recv and one send a readiness, both inline. Connections
 * share one receive buffer, since what was received is sent before anything else is received. Only
 * what the socket did not take is copied into a buffer of the connection, which then is not read
 * from until that has gone: no more than one receive is ever held for a client.
 *
 * Ownership: `connections` owns every `struct connection` by its descriptor; a connection owns its
 * `rest`. Events carry the descriptor, not a pointer, and `serve` looks it up, so that an event of
 * a connection that was closed in the same batch meets NULL and not freed memory.
 */
#define _GNU_SOURCE
#include "listening.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>

enum { BUFFER_SIZE = 256 * 1024, BATCH = 512 };

struct connection {
    char *rest;   /* What is still to be sent, or NULL; freed when it has gone. */
    size_t sent;  /* How much of `rest` has gone. */
    size_t count; /* How much `rest` holds. */
};

static struct connection **connections; /* By descriptor; NULL where there is none. */
static size_t connections_size;
static char buffer[BUFFER_SIZE];
static int poller;

static void watch(int fd, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, operation, fd, &event) < 0)
        fail("epoll_ctl");
}

static void drop(int fd)
{
    struct connection *self = connections[fd];
    connections[fd] = NULL;
    free(self->rest);
    free(self);
    close(fd); /* Also takes it out of the epoll set. */
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return; /* Nobody waits, or none can be accepted now: level-triggered, asked again. */
        if ((size_t)fd >= connections_size) {
            size_t size = (size_t)fd * 2 + 64;
            struct connection **grown = realloc(connections, size * sizeof *grown);
            if (grown == NULL)
                fail("realloc");
            memset(grown + connections_size, 0, (size - connections_size) * sizeof *grown);
            connections = grown;
            connections_size = size;
        }
        connections[fd] = calloc(1, sizeof **connections);
        if (connections[fd] == NULL)
            fail("calloc");
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

/* Send `count` bytes of `data`, which stays the caller's. Keeps a copy of what is not taken. */
static void answer(int fd, const char *data, size_t count)
{
    struct connection *self = connections[fd];
    ssize_t taken = send(fd, data, count, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN && errno != EINTR) {
        drop(fd);
        return;
    }
    if (taken == (ssize_t)count)
        return;
    size_t left = count - (taken > 0 ? (size_t)taken : 0);
    self->rest = malloc(left);
    if (self->rest == NULL)
        fail("malloc");
    memcpy(self->rest, data + count - left, left);
    self->sent = 0;
    self->count = left;
    watch(fd, EPOLLOUT, EPOLL_CTL_MOD);
}

static void send_rest(int fd)
{
    struct connection *self = connections[fd];
    ssize_t taken = send(fd, self->rest + self->sent, self->count - self->sent, MSG_NOSIGNAL);
    if (taken < 0) {
        if (errno != EAGAIN && errno != EINTR)
            drop(fd);
        return;
    }
    self->sent += (size_t)taken;
    if (self->sent < self->count)
        return;
    free(self->rest);
    self->rest = NULL;
    watch(fd, EPOLLIN, EPOLL_CTL_MOD); /* A FIN that came meanwhile is still there to be read. */
}

static void serve(int fd)
{
    if (connections[fd] == NULL)
        return;
    if (connections[fd]->rest != NULL) {
        send_rest(fd);
        return;
    }
    ssize_t count = recv(fd, buffer, sizeof buffer, 0);
    if (count > 0)
        answer(fd, buffer, (size_t)count);
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        drop(fd); /* All of the echo is with the kernel, so close ends it with a FIN. */
}

int main(void)
{
    raise_descriptor_limit();
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        fail("epoll_create1");
    int listener = listen_on_loopback();
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[BATCH];
        int count = epoll_wait(poller, events, BATCH, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                return 0; /* Nothing is ever written to it: it has ended. */
            if (fd == listener)
                accept_all(listener);
            else
                serve(fd);
        }
    }
}
