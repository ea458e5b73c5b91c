/* 5: the port's queue alone: four threads post without pause, some workers take. */
#include "micro.h"
#include "posting.h"

enum { PRODUCERS = 4, PACKETS = 100000, CONCURRENCY = 2 };

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned share = micro_scaled(PACKETS / PRODUCERS, scale < 1 ? scale : 1, 10);
    struct posting posting = {PRODUCERS, *(const unsigned *)what, CONCURRENCY, share * PRODUCERS};
    struct posted posted = post_and_take(&posting);
    out->figure = posting.packets / posted.seconds;
    micro_part(out, "packets a batch", (double)posting.packets / (double)posted.batches);
    micro_part(out, "sleeps a batch", (double)posted.sleeps / (double)posted.batches);
    micro_part(out, "eventfd writes a packet", (double)posted.writes / posting.packets);
}

static const struct micro_case cases[] = {
    {"1 worker", 300000, &(const unsigned){1}},
    {"2 workers", 300000, &(const unsigned){2}},
    {"4 workers", 300000, &(const unsigned){4}},
    {"8 workers", 300000, &(const unsigned){8}},
};

static const struct micro micro = {
    .number = "5",
    .name = "port-queue",
    .title = "packets posted by four threads to a port of concurrency 2, and taken by its workers",
    .unit = "packets/s",
    .parts_unit = "what each column says",
    .choice = "median",
    .reason = "how the threads meet is chance, and the best of that is no promise",
    .is_least = true,
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
