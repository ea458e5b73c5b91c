/* 2: how a ring receives: one shot, multishot with a buffer for each, or large ones in pieces. */
#include "comparing.h"
#include "micro.h"

static void run(const void *what, double scale, struct micro_result *out) {
    const struct arm *const arms[] = {&arm_one_shot, &arm_classic, &arm_pieces};
    double micros[3];
    compare_in_turns(arms, 3, what, scale, micros);
    out->figure = micros[2] / (micros[0] < micros[1] ? micros[0] : micros[1]);
    micro_part(out, "one-shot", micros[0]);
    micro_part(out, "multishot, 2 KiB", micros[1]);
    micro_part(out, "multishot, pieces", micros[2]);
}

#define RECEIVE(count, size) (&(const struct work){count, count, size, false})

static const struct micro_case cases[] = {
    {"100 x 64 B", 1.05, RECEIVE(100, 64)},
    {"100 x 1 KiB", 1.05, RECEIVE(100, 1024)},
    {"100 x 8 KiB", 1.05, RECEIVE(100, 8192)},
};

static const struct micro micro = {
    .number = "2",
    .name = "receives",
    .title = "a multishot RECV into large buffers used up in pieces, against the better of one-shot"
             " RECV and multishot RECV into 2 KiB buffers",
    .unit = "x the better's CPU",
    .parts_unit = "us CPU a message",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
