/* 2b: one receive and one send a message, posted each time, or as a stream: where the ring pays.
 *
 * Posted operations wait for readiness in the epoll set, so `posted` compares that with one-shot
 * requests. Streams use the ring, so `streamed` compares it with epoll. */
#include "comparing.h"
#include "micro.h"

enum { EPOLL, ONE_SHOT, PIECES, PAST_SENDS, INLINE_SENDS, ARMS };

struct what {
    struct work work;
    unsigned ours, other;
    bool is_beside_load;
};

static void run(const void *argument, double scale, struct micro_result *out) {
    const struct what *what = argument;
    const struct arm *const arms[ARMS] = {&arm_epoll, &arm_one_shot, &arm_pieces, &arm_past_sends,
                                          &arm_inline_sends};
    double micros[ARMS];
    (what->is_beside_load ? compare_beside_load : compare_in_turns)(arms, ARMS, &what->work, scale,
                                                                    micros);
    out->figure = micros[what->ours] / micros[what->other];
    micro_part(out, "epoll, recv, send", micros[EPOLL]);
    micro_part(out, "one-shot RECV, SEND", micros[ONE_SHOT]);
    micro_part(out, "multishot RECV, SEND", micros[PIECES]);
    micro_part(out, "the same, waiting past sends", micros[PAST_SENDS]);
    micro_part(out, "multishot RECV, send inline", micros[INLINE_SENDS]);
}

#define ECHO(count, active) {count, active, 1024, true}
#define POSTED(count, active, beside)                                                              \
    (&(const struct what){ECHO(count, active), EPOLL, ONE_SHOT, beside})
#define STREAMED(count, active, beside)                                                            \
    (&(const struct what){ECHO(count, active), PIECES, EPOLL, beside})

static const struct micro_case cases[] = {
    {"posted, 100 of 100 at once", 1.05, POSTED(100, 100, false)},
    {"posted, 10 of 100 at once", 1.05, POSTED(100, 10, false)},
    {"posted, 100 beside a load", 1.05, POSTED(100, 100, true)},
    {"streamed, 100 of 100 at once", 1.05, STREAMED(100, 100, false)},
    {"streamed, 10 of 100 at once", 1.05, STREAMED(100, 10, false)},
    {"streamed, 100 beside a load", 1.05, STREAMED(100, 100, true)},
    {"streamed, 1 beside a load", 1.05, STREAMED(1, 1, true)},
};

static const struct micro micro = {
    .number = "2b",
    .name = "posted-and-streamed",
    .title = "echo of 1 KiB: what the engine does (posted: epoll, recv, send; streamed: the ring)"
             " against the other way",
    .unit = "x the other's CPU",
    .parts_unit = "us CPU a message",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
