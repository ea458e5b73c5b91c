/* 2c: what it costs that the ring waits, and the epoll set is watched by it.
 *
 * A multishot POLL tells of news once: what is left unread, or armed while it is ready and still on
 * the set's list, it does not tell again. A POLL that is made anew in each enter looks at the set
 * when it is made, and so is as level-triggered as epoll_wait. It is what the engine can rely on,
 * and so the figure; the multishot one is measured beside it. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "micro.h"
#include "pairs.h"
#include "prep.h"
#include "ring.h"

enum { CONNECTIONS = 100, BATCH = 256, TURNS = 3000, WARM_TURNS = 300, SIZE = 64 };

enum way { DIRECT, ANEW, MULTISHOT, WAYS };

struct desk {
    struct pairs pairs;
    int set;
    struct ring ring; /* not if DIRECT */
    enum way way;
    bool must_watch;
    struct epoll_event events[BATCH];
    double *micros;
};

static void watch(struct desk *desk) {
    struct uring_sqe *sqe = ring_request(&desk->ring);
    prep_poll_add(sqe, desk->set, POLLIN, 1);
    if (desk->way == MULTISHOT) sqe->len = URING_POLL_ADD_MULTI;
    desk->must_watch = false;
}

static void open_desk(struct desk *desk, enum way way, unsigned turns) {
    desk->way = way;
    desk->must_watch = way != DIRECT;
    desk->micros = calloc(turns, sizeof *desk->micros);
    pairs_open(&desk->pairs, CONNECTIONS);
    MUST(desk->micros && (desk->set = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    for (unsigned index = 0; index < CONNECTIONS; index++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = desk->pairs.near[index]};
        MUST(epoll_ctl(desk->set, EPOLL_CTL_ADD, event.data.fd, &event) == 0);
    }
    if (way == DIRECT) return;
    if (ring_open(&desk->ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED) < 0)
        micro_cannot("the kernel refuses io_uring");
    MUST(ring_enable(&desk->ring) == 0);
}

static void close_desk(struct desk *desk) {
    if (desk->way != DIRECT) ring_close(&desk->ring);
    close(desk->set);
    pairs_close(&desk->pairs);
    free(desk->micros);
}

/* What is measured: from "nothing known" to a batch of ready descriptors. */
static int wait_for_batch(struct desk *desk) {
    if (desk->way == DIRECT) return epoll_wait(desk->set, desk->events, BATCH, -1);
    if (desk->must_watch) watch(desk);
    ring_enter(&desk->ring, 1, -1);
    uint32_t ready = ring_ready(&desk->ring);
    for (uint32_t index = 0; index < ready; index++)
        desk->must_watch |= !(ring_completion(&desk->ring, index)->flags & URING_CQE_F_MORE);
    ring_advance(&desk->ring, ready);
    return epoll_wait(desk->set, desk->events, BATCH, 0);
}

static double take_turn(struct desk *desk, unsigned first, unsigned active) {
    char room[SIZE];
    int64_t spent = 0;
    pairs_send(&desk->pairs, first, active, SIZE);
    for (unsigned left = active; left;) {
        int64_t began = micro_cpu();
        int count = wait_for_batch(desk);
        spent += micro_cpu() - began;
        MUST(count >= 0);
        for (int index = 0; index < count; index++, left--)
            MUST(recv(desk->events[index].data.fd, room, SIZE, 0) == SIZE);
    }
    pairs_answer(&desk->pairs, first, active);
    return (double)spent / 1e3;
}

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned active = *(const unsigned *)what;
    unsigned turns = micro_scaled(TURNS / (active > 10 ? 10 : 1), scale, 3);
    unsigned warm = micro_scaled(WARM_TURNS, scale, 1);
    struct desk *desks = calloc(WAYS, sizeof *desks);
    double medians[WAYS], *more = calloc(turns, sizeof *more);
    MUST(desks && more);
    micro_raise_descriptors(2 * WAYS * CONNECTIONS + 64);
    micro_pin(0);
    for (unsigned way = 0; way < WAYS; way++) open_desk(&desks[way], way, turns);
    for (unsigned turn = 0; turn < warm + turns; turn++)
        for (unsigned index = 0, first = micro_random(WAYS); index < WAYS; index++) {
            struct desk *desk = &desks[(first + index) % WAYS];
            double micros = take_turn(desk, turn * active, active);
            if (turn >= warm) desk->micros[turn - warm] = micros;
        }
    /* Turn by turn, since what slows one down for a while slows the other. Then sort them. */
    for (unsigned turn = 0; turn < turns; turn++)
        more[turn] = desks[ANEW].micros[turn] - desks[DIRECT].micros[turn];
    out->figure = micro_median(more, turns);
    for (unsigned way = 0; way < WAYS; way++) {
        medians[way] = micro_median(desks[way].micros, turns);
        close_desk(&desks[way]);
    }
    micro_part(out, "epoll_wait", medians[DIRECT]);
    micro_part(out, "POLL anew, epoll_wait", medians[ANEW]);
    micro_part(out, "multishot POLL, epoll_wait", medians[MULTISHOT]);
    free(more);
    free(desks);
}

static const struct micro_case cases[] = {
    {"1 of 100 ready", 1.5, &(const unsigned){1}},
    {"10 of 100 ready", 1.5, &(const unsigned){10}},
    {"100 of 100 ready", 3, &(const unsigned){100}},
};

static const struct micro micro = {
    .number = "2c",
    .name = "epoll-under-a-ring",
    .title = "a batch of readiness through a ring that watches the epoll set, by a POLL that is"
             " made anew in each enter, more than by epoll_wait alone",
    .unit = "us CPU a batch more",
    .parts_unit = "us CPU a batch, for the wait alone",
    .choice = "median",
    .reason = "a difference of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
