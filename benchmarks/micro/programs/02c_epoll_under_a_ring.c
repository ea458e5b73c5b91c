/* 2c: what it costs that the ring waits, and the epoll set is watched by it.
 *
 * The multishot POLL tells of news once. So after its completion the set is read until it gives
 * less than was asked for, and whoever leaves a descriptor unread must not sleep in the ring. */
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

struct desk {
    struct pairs pairs;
    int set;
    struct ring ring;
    bool is_watched; /* by the ring, which alone waits */
    struct epoll_event events[BATCH];
    double *micros;
};

static void watch(struct desk *desk) {
    struct uring_sqe *sqe = ring_request(&desk->ring);
    prep_poll_add(sqe, desk->set, POLLIN, 1);
    sqe->len = URING_POLL_ADD_MULTI;
}

static void open_desk(struct desk *desk, bool is_watched, unsigned turns) {
    desk->is_watched = is_watched;
    desk->micros = calloc(turns, sizeof *desk->micros);
    pairs_open(&desk->pairs, CONNECTIONS);
    MUST(desk->micros && (desk->set = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    for (unsigned index = 0; index < CONNECTIONS; index++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = desk->pairs.near[index]};
        MUST(epoll_ctl(desk->set, EPOLL_CTL_ADD, event.data.fd, &event) == 0);
    }
    if (!is_watched) return;
    if (ring_open(&desk->ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED) < 0)
        micro_cannot("the kernel refuses io_uring");
    MUST(ring_enable(&desk->ring) == 0);
    watch(desk);
}

static void close_desk(struct desk *desk) {
    if (desk->is_watched) ring_close(&desk->ring);
    close(desk->set);
    pairs_close(&desk->pairs);
    free(desk->micros);
}

/* What is measured: from "nothing known" to a batch of ready descriptors. */
static int wait_for_batch(struct desk *desk) {
    if (!desk->is_watched) return epoll_wait(desk->set, desk->events, BATCH, -1);
    ring_enter(&desk->ring, 1, -1);
    uint32_t ready = ring_ready(&desk->ring);
    bool has_ended = false;
    for (uint32_t index = 0; index < ready; index++)
        has_ended |= !(ring_completion(&desk->ring, index)->flags & URING_CQE_F_MORE);
    ring_advance(&desk->ring, ready);
    if (has_ended) watch(desk);
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
    return (double)spent / 1e3;
}

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned active = *(const unsigned *)what;
    unsigned turns = micro_scaled(TURNS / (active > 10 ? 10 : 1), scale, 3);
    unsigned warm = micro_scaled(WARM_TURNS, scale, 1);
    struct desk *desks = calloc(2, sizeof *desks);
    MUST(desks);
    micro_raise_descriptors(4 * CONNECTIONS + 64);
    micro_pin(0);
    open_desk(&desks[0], false, turns);
    open_desk(&desks[1], true, turns);
    for (unsigned turn = 0; turn < warm + turns; turn++)
        for (unsigned index = 0, at = micro_random(2); index < 2; index++, at = !at) {
            double micros = take_turn(&desks[at], turn * active, active);
            if (turn >= warm) desks[at].micros[turn - warm] = micros;
        }
    double direct = micro_median(desks[0].micros, turns);
    double through = micro_median(desks[1].micros, turns);
    out->figure = through - direct;
    micro_part(out, "epoll_wait", direct);
    micro_part(out, "through the ring", through);
    close_desk(&desks[0]);
    close_desk(&desks[1]);
    free(desks);
}

static const struct micro_case cases[] = {
    {"1 of 100 ready", 1.5, &(const unsigned){1}},
    {"10 of 100 ready", 1.5, &(const unsigned){10}},
    {"100 of 100 ready", 1.5, &(const unsigned){100}},
};

static const struct micro micro = {
    .number = "2c",
    .name = "epoll-under-a-ring",
    .title = "a batch of readiness through a ring that watches the epoll set (multishot POLL),"
             " more than by epoll_wait",
    .unit = "us CPU a batch more",
    .parts_unit = "us CPU a batch, for the wait alone",
    .choice = "median",
    .reason = "a difference of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
