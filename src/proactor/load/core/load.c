/* A load from its making to its end: the memory, the descriptors, and what may be read of it. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

static bool allocate(struct load *self)
{
    const struct load_plan *plan = &self->plan;
    bool fans = plan->kind == LOAD_FANOUT;
    uint32_t state = 2463534242;
    self->clients = calloc(plan->connections, sizeof *self->clients);
    self->noise = malloc((size_t)plan->size + STRIDES);
    self->arrived = malloc(ARRIVED_SIZE);
    self->staged = malloc(STAGED_SIZE);
    self->ready = calloc(plan->connections, sizeof *self->ready);
    if (!self->clients || !self->noise || !self->arrived || !self->staged || !self->ready)
        return false;
    for (size_t i = 0; i < (size_t)plan->size + STRIDES; i++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        self->noise[i] = (unsigned char)state;
    }
    for (uint32_t i = 0; i < plan->connections; i++)
        self->clients[i].fd = -1;
    for (uint32_t i = 0; i < plan->connections; i++) {
        struct client *client = &self->clients[i];
        client->begun_at = calloc(plan->depth, sizeof *client->begun_at);
        client->awaited = fans ? calloc(plan->depth, sizeof *client->awaited) : NULL;
        client->next = fans ? calloc(plan->connections, sizeof *client->next) : NULL;
        if (!client->begun_at || (fans && (!client->awaited || !client->next)))
            return false;
    }
    return true;
}

static bool open_poller(struct load *self)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = TIMER};
    self->poller = epoll_create1(EPOLL_CLOEXEC);
    self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return self->poller >= 0 && self->timer >= 0 &&
           epoll_ctl(self->poller, EPOLL_CTL_ADD, self->timer, &event) == 0;
}

/* The soft limit of descriptors is 1,024 nearly everywhere, the hard one is not. */
static void allow_descriptors(uint32_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct load *load_open(const struct load_plan *plan)
{
    struct load *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->plan = *plan;
    self->poller = self->timer = -1;
    self->framing = plan->kind == LOAD_ECHO ? 0 : FRAME;
    self->head = plan->size < self->framing + STAMP ? plan->size : self->framing + STAMP;
    self->holds = plan->holds;
    self->budget = plan->messages;
    self->interval = plan->rate > 0 ? 1e9 / plan->rate : 0;
    if (!open_poller(self) || !allocate(self)) {
        int error = errno;
        load_close(self);
        errno = error;
        return NULL;
    }
    allow_descriptors(plan->connections + 256);
    self->opened_at = now();
    self->next_sweep = self->opened_at + SWEEP;
    return self;
}

void load_close(struct load *self)
{
    for (uint32_t i = 0; self->clients && i < self->plan.connections; i++) {
        struct client *client = &self->clients[i];
        if (client->fd >= 0)
            close(client->fd);
        free(client->begun_at);
        free(client->awaited);
        free(client->next);
    }
    if (self->poller >= 0)
        close(self->poller);
    if (self->timer >= 0)
        close(self->timer);
    free(self->clients);
    free(self->noise);
    free(self->arrived);
    free(self->staged);
    free(self->ready);
    free(self);
}

int load_phase(const struct load *self)
{
    return self->phase;
}

const struct load_counts *load_counts(const struct load *self)
{
    return &self->counts;
}

const struct load_histogram *load_latencies(const struct load *self)
{
    return &self->latencies;
}
