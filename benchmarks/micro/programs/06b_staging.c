/* 6b: up to which size a packet is copied into the staging chunk, and above which it is referred
 * to; 6's copy and gather again, 16 packets of each size, that lie apart in 8 MiB. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "micro.h"
#include "pairs.h"

enum { PACKETS = 16, SLICES = 12, SENDS_OF_A_SLICE = 40, SPREAD = 8 << 20 };
enum { COPIED, GATHERED, WAYS };

struct desk {
    struct pairs pairs;
    uint8_t *source; /* packets lie all over it */
    uint8_t *staging;
    size_t at;
};

static const uint8_t *next_packet(struct desk *desk, size_t size) {
    desk->at = (desk->at + 12288 + 64) % (SPREAD - size);
    return desk->source + desk->at;
}

static void send_gathered(struct desk *desk, int fd, size_t size) {
    struct iovec parts[PACKETS];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = PACKETS};
    for (unsigned index = 0; index < PACKETS; index++)
        parts[index] = (struct iovec){(void *)(uintptr_t)next_packet(desk, size), size};
    MUST(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(PACKETS * size));
}

static void send_copied(struct desk *desk, int fd, size_t size) {
    for (unsigned index = 0; index < PACKETS; index++)
        memcpy(desk->staging + index * size, next_packet(desk, size), size);
    MUST(send(fd, desk->staging, PACKETS * size, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         (ssize_t)(PACKETS * size));
}

static double slice(struct desk *desk, unsigned way, size_t size, unsigned sends) {
    int64_t spent = 0;
    for (unsigned index = 0; index < sends; index++) {
        int64_t began = micro_cpu();
        (way == COPIED ? send_copied : send_gathered)(desk, desk->pairs.near[way], size);
        spent += micro_cpu() - began;
        pairs_take(&desk->pairs, way, 1, PACKETS * size);
    }
    return (double)spent / 1e3 / sends / PACKETS;
}

static void run(const void *what, double scale, struct micro_result *out) {
    size_t size = *(const unsigned *)what;
    unsigned slices = micro_scaled(SLICES, scale, 1);
    double micros[WAYS][256];
    struct desk *desk = calloc(1, sizeof *desk);
    MUST(desk && slices <= 256);
    desk->source = malloc(SPREAD);
    desk->staging = malloc(PACKETS * size);
    MUST(desk->source && desk->staging);
    memset(desk->source, 1, SPREAD);
    micro_pin(0);
    pairs_open(&desk->pairs, WAYS);
    for (unsigned way = 0; way < WAYS; way++) slice(desk, way, size, 20);
    for (unsigned number = 0; number < slices; number++)
        for (unsigned index = 0, way = micro_random(WAYS); index < WAYS; index++, way = !way)
            micros[way][number] = slice(desk, way, size, SENDS_OF_A_SLICE);
    double copied = micro_median(micros[COPIED], slices);
    double gathered = micro_median(micros[GATHERED], slices);
    out->figure = copied / gathered;
    micro_part(out, "copy, send", copied);
    micro_part(out, "one sendmsg", gathered);
    pairs_close(&desk->pairs);
    free(desk->source);
    free(desk->staging);
    free(desk);
}

static const struct micro_case cases[] = {
    {"64 B", 1.05, &(const unsigned){64}},    {"256 B", 1.05, &(const unsigned){256}},
    {"512 B", 1.05, &(const unsigned){512}},  {"1 KiB", 1.05, &(const unsigned){1024}},
    {"2 KiB", 1.05, &(const unsigned){2048}},    {"4 KiB", 0, &(const unsigned){4096}},
    {"8 KiB", 0, &(const unsigned){8192}},
};

static const struct micro micro = {
    .number = "6b",
    .name = "staging",
    .title = "16 packets of a size, copied together and sent, against one sendmsg by reference",
    .unit = "x the CPU of sendmsg",
    .parts_unit = "us CPU a packet",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
