/* 2d: how large the pool of receive buffers may be: the kernel takes them in turn, so all of it
 * goes through the cache; and where it is too small, receives end and are armed again (ENOBUFS). An
 * echo holds its buffer until it is sent, one enter later. Ours keeps most of the pool back, and
 * gives twice as many from then on when a receive has ended so. */
#include "comparing.h"
#include "micro.h"
#include "ring.h"

#define POOL(words, count, bytes, given)                                                           \
    {words, arm_ring_open, arm_ring_turn, arm_ring_close, RING_WANTED, RECEIVE_PIECES,             \
     SENDS_SUBMITTED, count, bytes, given}

enum { OURS, ALL_GIVEN, SMALLER, LARGER, LARGEST, POOLS };

static const struct arm pools[POOLS] = {
    POOL("16 x 64 KiB, 4 given", 16, 65536, 4), POOL("16 x 64 KiB", 16, 65536, 16),
    POOL("4 x 64 KiB", 4, 65536, 4),            POOL("8 x 256 KiB", 8, 262144, 8),
    POOL("32 x 256 KiB", 32, 262144, 32),
};

static void run(const void *what, double scale, struct micro_result *out) {
    const struct arm *arms[POOLS];
    double micros[POOLS];
    for (unsigned index = 0; index < POOLS; index++) arms[index] = &pools[index];
    compare_in_turns(arms, POOLS, what, scale, micros);
    double best = micros[ALL_GIVEN];
    for (unsigned index = 0; index < POOLS; index++) {
        micro_part(out, pools[index].name, micros[index]);
        if (index != OURS && micros[index] < best) best = micros[index];
    }
    out->figure = micros[OURS] / best;
}

#define WORK(count, size, is_echo) (&(const struct work){count, count, size, is_echo})

static const struct micro_case cases[] = {
    {"echo, 50 x 1 KiB", 1.15, WORK(50, 1024, true)},
    {"echo, 50 x 8 KiB", 1.15, WORK(50, 8192, true)},
    {"echo, 500 x 8 KiB", 1.15, WORK(500, 8192, true)},
    {"receive, 50 x 8 KiB", 1.15, WORK(50, 8192, false)},
    {"receive, 100 x 32 KiB", 1.15, WORK(100, 32768, false)},
};

static const struct micro micro = {
    .number = "2d",
    .name = "pool",
    .title = "receive streams with a pool of 16 x 64 KiB, of which the kernel has four at"
             " first, against the best of other pools",
    .unit = "x the best's CPU",
    .parts_unit = "us CPU a message",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
