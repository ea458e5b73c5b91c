/* 1: the ring as streams use it against epoll, recv and send: is it ever dearer?
 *
 * Many connections are served in turns with the client. A server that echoes on one connection
 * sleeps before each message, which is the most of what it costs: there the load is a thread
 * beside it. Its receive alone, awake and in turns, has no bound: nobody is served so, and what is
 * seen there is that epoll's one buffer stays in the cache and the ring's pool does not. */
#include "comparing.h"
#include "micro.h"

static void run(const void *what, double scale, struct micro_result *out) {
    const struct arm *const arms[] = {&arm_epoll, &arm_pieces};
    double micros[2];
    const struct work *work = what;
    bool is_woken = work->is_echo && work->connections == 1;
    (is_woken ? compare_beside_load : compare_in_turns)(arms, 2, work, scale, micros);
    out->figure = micros[1] / micros[0];
    micro_part(out, "epoll", micros[0]);
    micro_part(out, "ring", micros[1]);
}

#define WORK(count, size, is_echo) (&(const struct work){count, count, size, is_echo})
#define BOTH(count, size, words, bound)                                                            \
    {"receive, " words, bound, WORK(count, size, false)},                                          \
        {"echo, " words, 1.05, WORK(count, size, true)}

static const struct micro_case cases[] = {
    BOTH(1, 64, "1 x 64 B", 0),
    BOTH(50, 64, "50 x 64 B", 1.05),
    BOTH(1000, 64, "1000 x 64 B", 1.05),
    BOTH(1, 1024, "1 x 1 KiB", 0),
    BOTH(50, 1024, "50 x 1 KiB", 1.05),
    BOTH(1000, 1024, "1000 x 1 KiB", 1.05),
    BOTH(1, 8192, "1 x 8 KiB", 0),
    BOTH(50, 8192, "50 x 8 KiB", 1.05),
    BOTH(1000, 8192, "1000 x 8 KiB", 1.05),
};

static const struct micro micro = {
    .number = "1",
    .name = "ring-against-epoll",
    .title = "a stream on the ring (multishot RECV in pieces, SEND with MSG_DONTWAIT) against"
             " epoll, recv and send",
    .unit = "x epoll's CPU",
    .parts_unit = "us CPU a message",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
