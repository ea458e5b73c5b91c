/* The loop: what is due by the clock, what the kernel reports, and the phases of a run. */
#include "internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

enum { BATCH = 512 };

/* -- what the clock says -- */

static uint64_t opens_at(const struct load *self, uint32_t index)
{
    return self->opened_at +
           (uint64_t)((double)self->plan.ramp * index / self->plan.connections);
}

static void open_due(struct load *self, uint64_t at)
{
    while (self->to_open < self->plan.connections && self->in_progress < MOST_IN_PROGRESS &&
           opens_at(self, self->to_open) <= at)
        open_client(self, &self->clients[self->to_open++]);
}

/* All that was to be sent has come due. */
static bool is_scheduled_out(const struct load *self)
{
    return self->plan.messages && self->scheduled >= self->plan.messages;
}

/* Open loop: who has a message to send by now. What is late leaves in one go. */
static void send_scheduled(struct load *self, uint64_t at)
{
    uint32_t connections = self->plan.connections;
    uint64_t first = self->scheduled;
    if (self->phase == LOAD_MEASURE && at >= self->counts.began + self->plan.duration)
        return; /* It ends now, and nothing is intended after the end. */
    for (; intended_at(self, self->scheduled) <= at && !is_scheduled_out(self); self->scheduled++) {
        struct client *client = &self->clients[self->scheduled % connections];
        client->due++;
        /* What one that was given up should have sent is not sent by another. */
        self->budget -= self->plan.messages > 0 && client->state == CLIENT_GONE;
    }
    uint64_t count = self->scheduled - first < connections ? self->scheduled - first : connections;
    for (uint64_t n = first; n < first + count; n++) {
        struct client *client = &self->clients[n % connections];
        if (client->state == CLIENT_RUNS && !client->polls_out)
            send_messages(self, client);
    }
}

static bool is_waiting(const struct load *self, const struct client *client)
{
    if (client->state == CLIENT_RUNS && self->holds)
        return false; /* It has been seen, and waits for the others. */
    if (client->state == CLIENT_GREETS && listens(self, client))
        return true;
    return client->begun > client->done &&
           (client->state == CLIENT_GREETS || client->state == CLIENT_RUNS);
}

static void find_silent(struct load *self, uint64_t since)
{
    for (uint32_t i = 0; i < self->to_open; i++) {
        struct client *client = &self->clients[i];
        if (client->news > since)
            continue;
        if (client->state == CLIENT_CONNECTS)
            give_up(self, client, (struct load_failure){.kind = LOAD_REFUSED, .number = ETIMEDOUT});
        else if (!is_waiting(self, client))
            continue;
        else if (self->plan.kind == LOAD_FANOUT && !self->holds)
            blame_receivers(self, client);
        else
            give_up(self, client, (struct load_failure){
                .kind = LOAD_SILENT,
                .sender = i,
                .number = self->plan.kind == LOAD_FANOUT ? HELLO : client->begun - client->done});
    }
}

/* Ever more seldom: each greeting goes to everybody, and a server that is slow with those of many
 * members would be given more than it can do, and never be done. */
static bool is_time_to_repeat(uint64_t sweeps)
{
    return sweeps < HELLO_SWEEPS ? (sweeps & (sweeps - 1)) == 0 : sweeps % HELLO_SWEEPS == 0;
}

static void sweep(struct load *self, uint64_t at)
{
    self->next_sweep = at + SWEEP;
    self->sweeps++;
    find_silent(self, at > self->plan.timeout ? at - self->plan.timeout : 0);
    if (self->plan.kind == LOAD_FANOUT && self->holds && is_time_to_repeat(self->sweeps))
        repeat_hellos(self);
}

/* -- the phases -- */

/* The measured time begins when the warming up is over. */
static void measure_or_not(struct load *self, uint64_t at)
{
    if (at < self->warm_at)
        return;
    self->phase = LOAD_MEASURE;
    self->counts.began = at;
}

static void begin(struct load *self, uint64_t at)
{
    if (self->holds && self->plan.kind == LOAD_FANOUT)
        begin_fan_out(self);
    self->scheduled_from = at;
    self->warm_at = at + self->plan.warmup;
    self->phase = LOAD_WARMUP;
    measure_or_not(self, at); /* Before the first message, if there is no warming up. */
    if (!self->holds)
        return;
    self->holds = false;
    for (uint32_t i = 0; i < self->plan.connections && self->plan.rate == 0; i++)
        if (self->clients[i].state == CLIENT_RUNS)
            send_messages(self, &self->clients[i]);
}

/* What an open loop should have sent and has not, counts with the time that it has waited. */
static void count_unsent(struct load *self, uint64_t at)
{
    for (uint32_t i = 0; i < self->plan.connections; i++) {
        const struct client *client = &self->clients[i];
        if (client->state != CLIENT_RUNS)
            continue;
        for (uint64_t n = client->begun - client->hellos; n < client->due; n++) {
            uint64_t intended = intended_at(self, n * self->plan.connections + i);
            if (intended < self->counts.began || intended >= at)
                continue;
            self->counts.unsent++;
            load_record(&self->latencies, at - intended);
        }
    }
}

static void drain(struct load *self, uint64_t at)
{
    if (self->phase == LOAD_MEASURE) {
        self->counts.ended = at;
        if (self->plan.rate > 0)
            count_unsent(self, at);
    }
    if (!self->patience_ends)
        self->patience_ends = at + self->plan.timeout;
    self->is_stopped = true;
    self->phase = LOAD_DRAIN;
}

/* A reply that comes twice at the very end would be noticed by nobody else. */
static void look_once_more(struct load *self)
{
    for (uint32_t i = 0; i < self->plan.connections; i++) {
        struct client *client = &self->clients[i];
        char byte;
        if (client->state == CLIENT_RUNS &&
            recv(client->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0)
            receive_replies(self, client);
    }
}

static void end(struct load *self)
{
    look_once_more(self);
    self->phase = LOAD_DONE;
}

static bool all_greeted(const struct load *self)
{
    return self->to_open == self->plan.connections && self->counts.greeted == self->counts.alive;
}

static void advance(struct load *self, uint64_t at)
{
    const struct load_counts *counts = &self->counts;
    bool nobody = too_few(self) && self->to_open == self->plan.connections;
    switch (self->phase) {
    case LOAD_OPENING:
        if (nobody)
            end(self);
        else if (all_greeted(self))
            begin(self, at);
        break;
    case LOAD_WARMUP:
        if (nobody)
            drain(self, at);
        else
            measure_or_not(self, at);
        break;
    case LOAD_MEASURE:
        if (nobody || at >= counts->began + self->plan.duration ||
            (self->plan.messages && self->budget == 0 && counts->outstanding == 0))
            drain(self, at);
        break;
    case LOAD_DRAIN:
        if (at >= self->patience_ends)
            find_silent(self, UINT64_MAX);
        if (counts->outstanding == 0 || at >= self->patience_ends)
            end(self);
        break;
    }
}

/* -- waiting -- */

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t next_deadline(const struct load *self, uint64_t until)
{
    uint64_t next = earlier(until, self->next_sweep);
    if (self->phase == LOAD_OPENING && self->to_open < self->plan.connections &&
        self->in_progress < MOST_IN_PROGRESS)
        next = earlier(next, opens_at(self, self->to_open));
    if (self->phase == LOAD_WARMUP)
        next = earlier(next, self->warm_at);
    if (self->phase == LOAD_MEASURE)
        next = earlier(next, self->counts.began + self->plan.duration);
    if (self->phase == LOAD_DRAIN)
        next = earlier(next, self->patience_ends);
    return next;
}

static bool is_scheduled(const struct load *self)
{
    return self->plan.rate > 0 && !is_scheduled_out(self) &&
           (self->phase == LOAD_WARMUP || self->phase == LOAD_MEASURE);
}

/* Milliseconds are too coarse for a schedule, which gets a timer of its own. */
static void set_timer(struct load *self, uint64_t when)
{
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(when / 1000000000u),
                                           .tv_nsec = (long)(when % 1000000000u)}};
    if (self->timer_at == when)
        return;
    timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &spec, NULL);
    self->timer_at = when;
}

static void serve_events(struct load *self, uint64_t until)
{
    struct epoll_event events[BATCH];
    uint64_t at = now(), next = next_deadline(self, until);
    if (is_scheduled(self)) {
        uint64_t due = intended_at(self, self->scheduled);
        if (due <= at)
            next = at;
        else
            set_timer(self, due);
    }
    int timeout = next <= at ? 0 : (int)((next - at + 999999) / 1000000);
    int count = epoll_wait(self->poller, events, BATCH, timeout);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == TIMER)
            continue; /* Edge-triggered: it needs no read. */
        struct client *client = &self->clients[events[i].data.u32];
        if (client->state == CLIENT_CONNECTS)
            finish_opening(self, client);
        else if (client->state == CLIENT_GONE)
            continue;
        else if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive_replies(self, client);
        else
            send_messages(self, client);
    }
    if (self->ready_count)
        serve_ready(self);
}

int load_run(struct load *self, uint64_t nanoseconds)
{
    uint64_t at = now(), until = at + nanoseconds;
    int phase = self->phase;
    do {
        if (self->phase == LOAD_OPENING)
            open_due(self, at);
        if (is_scheduled(self))
            send_scheduled(self, at);
        if (at >= self->next_sweep)
            sweep(self, at);
        if (self->ready_count)
            serve_ready(self);
        advance(self, at);
        if (self->phase != phase)
            break;
        serve_events(self, until);
        at = now();
    } while (at < until);
    return self->phase;
}

void load_stop(struct load *self, uint64_t patience)
{
    uint64_t at = now();
    if (self->phase == LOAD_OPENING)
        self->phase = LOAD_DONE; /* Nothing was measured, and nobody failed. */
    if (self->phase == LOAD_DONE)
        return;
    if (!self->patience_ends || at + patience < self->patience_ends)
        self->patience_ends = at + patience;
    if (self->phase != LOAD_DRAIN)
        drain(self, at);
}
