/* 6c: into how many vectors one sendmsg may gather: 256 packets of 100 B, so many in each call. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/socket.h>

#include "micro.h"
#include "pairs.h"

enum { PACKET = 100, PACKETS = 256, SLICES = 12, ROUNDS_OF_A_SLICE = 20 };

struct desk {
    struct pairs pairs; /* one connection for the cap, one for all in one call */
    uint8_t packets[PACKETS][PACKET];
};

static void send_in_parts(struct desk *desk, int fd, unsigned cap) {
    for (unsigned first = 0; first < PACKETS; first += cap) {
        struct iovec parts[PACKETS];
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = cap};
        for (unsigned index = 0; index < cap; index++)
            parts[index] = (struct iovec){desk->packets[first + index], PACKET};
        MUST(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(cap * PACKET));
    }
}

static double slice(struct desk *desk, unsigned which, unsigned cap, unsigned rounds) {
    int64_t spent = 0;
    for (unsigned index = 0; index < rounds; index++) {
        int64_t began = micro_cpu();
        send_in_parts(desk, desk->pairs.near[which], cap);
        spent += micro_cpu() - began;
        pairs_take(&desk->pairs, which, 1, PACKETS * PACKET);
    }
    return (double)spent / 1e3 / rounds / PACKETS;
}

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned caps[2] = {*(const unsigned *)what, PACKETS};
    unsigned slices = micro_scaled(SLICES, scale, 1);
    double micros[2][256];
    struct desk *desk = calloc(1, sizeof *desk);
    MUST(desk && slices <= 256);
    micro_pin(0);
    pairs_open(&desk->pairs, 2);
    for (unsigned index = 0; index < 2; index++) slice(desk, index, caps[index], 20);
    for (unsigned number = 0; number < slices; number++)
        for (unsigned index = 0, at = micro_random(2); index < 2; index++, at = !at)
            micros[at][number] = slice(desk, at, caps[at], ROUNDS_OF_A_SLICE);
    double capped = micro_median(micros[0], slices), whole = micro_median(micros[1], slices);
    out->figure = capped / whole;
    micro_part(out, "with the cap", capped);
    micro_part(out, "all 256 in one", whole);
    pairs_close(&desk->pairs);
    free(desk);
}

static const struct micro_case cases[] = {
    {"8 a call", 0, &(const unsigned){8}},
    {"16 a call", 0, &(const unsigned){16}},
    {"32 a call", 0, &(const unsigned){32}},
    {"64 a call", 1.75, &(const unsigned){64}},
};

static const struct micro micro = {
    .number = "6c",
    .name = "vectors",
    .title = "256 packets of 100 B sent by reference, with a cap of vectors, against one call",
    .unit = "x the CPU of one call",
    .parts_unit = "us CPU a packet",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
