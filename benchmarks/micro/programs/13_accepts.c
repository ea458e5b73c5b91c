/* 13: how connections are accepted.
 *
 * The engine waits for readiness and calls accept4, which also says who has called, until nothing is
 * left; but an accept4 that finds nobody costs a file that is made in vain, so after the first caller
 * it asks once whether there are more. A multishot ACCEPT makes the connections in the kernel as they come; but it does not say of
 * whom, since it has one place for an address and many callers, so each costs a getpeername. One-shot
 * ACCEPTs, as many as come at once, have a place each.
 *
 * In one thread: it lets `burst` clients call, measures how the server gets descriptor and address of
 * each, and resets both ends. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "micro.h"
#include "prep.h"
#include "ring.h"

enum { MOST = 100, TURNS = 2000, WARM_TURNS = 100 };

enum way { READINESS, MULTISHOT, ONE_SHOT, WAYS };

struct desk {
    enum way way;
    int listener, set;
    struct sockaddr_in address;
    struct ring ring; /* not if READINESS */
    bool is_armed;    /* MULTISHOT */
    unsigned posted;  /* ONE_SHOT */
    struct sockaddr_in callers[MOST];
    socklen_t lengths[MOST];
    double *micros;
};

static void open_desk(struct desk *desk, enum way way, unsigned turns) {
    struct epoll_event event = {.events = EPOLLIN};
    socklen_t length = sizeof desk->address;
    desk->way = way;
    desk->micros = calloc(turns, sizeof *desk->micros);
    desk->address = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(desk->micros);
    MUST((desk->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) >= 0);
    MUST(bind(desk->listener, (struct sockaddr *)&desk->address, length) == 0);
    MUST(listen(desk->listener, 2 * MOST) == 0);
    MUST(getsockname(desk->listener, (struct sockaddr *)&desk->address, &length) == 0);
    MUST((desk->set = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    MUST(epoll_ctl(desk->set, EPOLL_CTL_ADD, desk->listener, &event) == 0);
    if (way == READINESS) return;
    if (ring_open(&desk->ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED) < 0)
        micro_cannot("the kernel refuses io_uring");
    MUST(ring_enable(&desk->ring) == 0);
}

static void close_desk(struct desk *desk) {
    if (desk->way != READINESS) ring_close(&desk->ring);
    close(desk->set);
    close(desk->listener);
    free(desk->micros);
}

static unsigned by_readiness(struct desk *desk, int *accepted) {
    struct epoll_event event;
    unsigned count = 0;
    MUST(epoll_wait(desk->set, &event, 1, -1) == 1);
    for (;;) {
        socklen_t length = sizeof desk->callers[0];
        int fd = accept4(desk->listener, (struct sockaddr *)&desk->callers[count], &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return count;
        accepted[count++] = fd;
        struct pollfd more = {.fd = desk->listener, .events = POLLIN};
        if (count == 1 && poll(&more, 1, 0) == 0) return count;
    }
}

static void arm(struct desk *desk, unsigned burst) {
    if (desk->way == MULTISHOT && !desk->is_armed) {
        prep_accept_multishot(ring_request(&desk->ring), desk->listener,
                              SOCK_NONBLOCK | SOCK_CLOEXEC, 1);
        desk->is_armed = true;
    }
    for (; desk->way == ONE_SHOT && desk->posted < burst; desk->posted++) {
        desk->lengths[desk->posted] = sizeof desk->callers[0];
        prep_accept(ring_request(&desk->ring), desk->listener,
                    (struct sockaddr *)&desk->callers[desk->posted], &desk->lengths[desk->posted],
                    SOCK_NONBLOCK | SOCK_CLOEXEC, 1);
    }
}

static unsigned by_ring(struct desk *desk, int *accepted, unsigned burst) {
    unsigned count = 0;
    arm(desk, burst);
    ring_enter(&desk->ring, 1, -1);
    uint32_t ready = ring_ready(&desk->ring);
    for (uint32_t index = 0; index < ready; index++) {
        const struct uring_cqe *cqe = ring_completion(&desk->ring, index);
        socklen_t length = sizeof desk->callers[0];
        MUST(cqe->res >= 0);
        if (desk->way == ONE_SHOT)
            desk->posted--;
        else if (!(cqe->flags & URING_CQE_F_MORE))
            desk->is_armed = false;
        if (desk->way == MULTISHOT)
            MUST(getpeername(cqe->res, (struct sockaddr *)&desk->callers[count], &length) == 0);
        accepted[count++] = cqe->res;
    }
    ring_advance(&desk->ring, ready);
    return count;
}

static void hang_up(int fd) {
    struct linger none = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

static double take_turn(struct desk *desk, unsigned burst) {
    int callers[MOST], accepted[2 * MOST];
    int64_t spent = 0;
    /* Before they call, as a server that waits has done. */
    if (desk->way != READINESS) {
        arm(desk, burst);
        ring_enter(&desk->ring, 0, 0);
    }
    for (unsigned index = 0; index < burst; index++) {
        MUST((callers[index] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
        MUST(connect(callers[index], (struct sockaddr *)&desk->address, sizeof desk->address) == 0);
    }
    for (unsigned count = 0; count < burst;) {
        int64_t began = micro_cpu();
        count += desk->way == READINESS ? by_readiness(desk, accepted + count)
                                        : by_ring(desk, accepted + count, burst);
        spent += micro_cpu() - began;
    }
    for (unsigned index = 0; index < burst; index++) {
        hang_up(accepted[index]);
        hang_up(callers[index]);
    }
    return (double)spent / 1e3 / burst;
}

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned burst = *(const unsigned *)what;
    unsigned turns = micro_scaled(TURNS / (burst > 10 ? 10 : 1), scale, 3);
    unsigned warm = micro_scaled(WARM_TURNS, scale, 1);
    struct desk *desks = calloc(WAYS, sizeof *desks);
    double medians[WAYS];
    MUST(desks);
    micro_raise_descriptors(4 * MOST + 64);
    micro_pin(0);
    for (unsigned way = 0; way < WAYS; way++) open_desk(&desks[way], way, turns);
    for (unsigned turn = 0; turn < warm + turns; turn++)
        for (unsigned index = 0, first = micro_random(WAYS); index < WAYS; index++) {
            struct desk *desk = &desks[(first + index) % WAYS];
            double micros = take_turn(desk, burst);
            if (turn >= warm) desk->micros[turn - warm] = micros;
        }
    for (unsigned way = 0; way < WAYS; way++) {
        medians[way] = micro_median(desks[way].micros, turns);
        close_desk(&desks[way]);
    }
    double better = medians[MULTISHOT] < medians[ONE_SHOT] ? medians[MULTISHOT] : medians[ONE_SHOT];
    out->figure = medians[READINESS] / better;
    micro_part(out, "epoll_wait, accept4", medians[READINESS]);
    micro_part(out, "multishot ACCEPT, getpeername", medians[MULTISHOT]);
    micro_part(out, "one-shot ACCEPTs", medians[ONE_SHOT]);
    free(desks);
}

static const struct micro_case cases[] = {
    {"1 at once", 1.3, &(const unsigned){1}},
    {"10 at once", 1.3, &(const unsigned){10}},
    {"100 at once", 1.15, &(const unsigned){100}},
};

static const struct micro micro = {
    .number = "13",
    .name = "accepts",
    .title = "connections accepted by readiness and accept4, as the engine does, against the better"
             " of a multishot ACCEPT and one-shot ACCEPTs in a ring",
    .unit = "x the better's CPU",
    .parts_unit = "us CPU a connection",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
