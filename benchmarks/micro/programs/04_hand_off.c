/* 4: commands from other threads to the one that runs the reactor: how often do they need a wake-up
 * through the kernel? The worker sleeps in the reactor itself, so a wake-up is a write to its
 * eventfd, 5 us for the one who writes. */
#include "micro.h"
#include "posting.h"

enum { PACKETS = 100000 };

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned producers = *(const unsigned *)what;
    unsigned share = micro_scaled(PACKETS / producers, scale < 1 ? scale : 1, 10);
    struct posting posting = {producers, 1, 1, share * producers};
    struct posted posted = post_and_take(&posting);
    out->figure = (double)posted.writes / posting.packets;
    micro_part(out, "commands/s", posting.packets / posted.seconds);
    micro_part(out, "commands a batch", (double)posting.packets / (double)posted.batches);
    micro_part(out, "eventfd writes", (double)posted.writes);
}

static const struct micro_case cases[] = {
    {"1 producer", 0.05, &(const unsigned){1}},
    {"2 producers", 0.05, &(const unsigned){2}},
    {"4 producers", 0.05, &(const unsigned){4}},
};

static const struct micro micro = {
    .number = "4",
    .name = "hand-off",
    .title = "packets posted without pause by other threads to one worker that runs the reactor",
    .unit = "eventfd writes a command",
    .parts_unit = "what each column says",
    .choice = "median",
    .reason = "how the threads meet is chance, and the best of that is no promise",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
