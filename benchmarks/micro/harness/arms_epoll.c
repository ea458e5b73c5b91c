#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arms.h"
#include "micro.h"

enum { BATCH = 256, ROOM = 65536 };

struct epoll_arm {
    int set;
    bool is_echo;
    uint8_t room[ROOM];
};

static void *open_epoll(const struct arm *arm, const struct work *work, const int *near) {
    struct epoll_arm *self = calloc(1, sizeof *self);
    MUST(self && (self->set = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    self->is_echo = work->is_echo;
    (void)arm;
    for (unsigned index = 0; index < work->connections; index++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = near[index]};
        MUST(epoll_ctl(self->set, EPOLL_CTL_ADD, near[index], &event) == 0);
    }
    return self;
}

static uint64_t serve(struct epoll_arm *self, const struct epoll_event *events, int count) {
    uint64_t received = 0;
    for (int index = 0; index < count; index++) {
        int fd = events[index].data.fd;
        ssize_t got = recv(fd, self->room, ROOM, MSG_DONTWAIT);
        MUST(got > 0);
        received += (uint64_t)got;
        if (self->is_echo)
            MUST(send(fd, self->room, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL) == got);
    }
    return received;
}

static void turn_epoll(void *argument, uint64_t bytes) {
    struct epoll_arm *self = argument;
    struct epoll_event events[BATCH];
    for (uint64_t received = 0; received < bytes;)
        received += serve(self, events, epoll_wait(self->set, events, BATCH, -1));
}

static void close_epoll(void *argument) {
    struct epoll_arm *self = argument;
    close(self->set);
    free(self);
}

const struct arm arm_epoll = {"epoll", open_epoll, turn_epoll, close_epoll, 0, 0, 0, 0, 0, 0};
