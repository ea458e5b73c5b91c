/* 3: when a ring does its work: at the owner's next enter (DEFER_TASKRUN), at its next system call
 * (COOP_TASKRUN), or at once by an interrupt (no flag). The server sleeps, and a load wakes it. */
#include "comparing.h"
#include "micro.h"
#include "ring.h"

#define URING_SETUP_COOP_TASKRUN (1U << 8) /* Only here: the engine never asks for it. */
#define COMMON (URING_SETUP_SUBMIT_ALL | URING_SETUP_NO_SQARRAY)

#define RING(words, flags)                                                                         \
    {words, arm_ring_open, arm_ring_turn, arm_ring_close, flags, RECEIVE_PIECES, SENDS_SUBMITTED,  \
     0, 0, 0}

static void run(const void *what, double scale, struct micro_result *out) {
    static const struct arm coop = RING("COOP", COMMON | URING_SETUP_COOP_TASKRUN);
    static const struct arm none = RING("none", COMMON);
    const struct arm *const arms[] = {&arm_pieces, &coop, &none};
    double micros[3];
    compare_beside_load(arms, 3, what, scale, micros);
    out->figure = micros[0] / (micros[1] < micros[2] ? micros[1] : micros[2]);
    micro_part(out, "DEFER_TASKRUN", micros[0]);
    micro_part(out, "COOP_TASKRUN", micros[1]);
    micro_part(out, "no flag", micros[2]);
}

#define ECHO(count) (&(const struct work){count, count, 1024, true})

static const struct micro_case cases[] = {
    {"1 connection", 1.05, ECHO(1)},
    {"50 connections", 1.05, ECHO(50)},
    {"500 connections", 1.05, ECHO(500)},
};

static const struct micro micro = {
    .number = "3",
    .name = "task-work",
    .title = "a ring with DEFER_TASKRUN against the better of COOP_TASKRUN and no flag,"
             " echo of 1 KiB",
    .unit = "x the better's CPU",
    .parts_unit = "us CPU a message",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
