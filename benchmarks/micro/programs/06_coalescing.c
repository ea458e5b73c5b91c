/* 6: many small packets for one socket: each by itself, or gathered into one send. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "micro.h"
#include "pairs.h"
#include "prep.h"
#include "ring.h"

enum { PACKET = 100, PACKETS = 64, SLICES = 12, SENDS_OF_A_SLICE = 640 };
enum { SINGLY, LINKED, GATHERED, COPIED, WAYS };

static const char *const names[WAYS] = {"a send each", "linked SENDs", "one sendmsg", "copy, send"};

struct desk {
    struct pairs pairs; /* one connection for each way */
    struct ring ring;
    uint8_t packets[PACKETS][PACKET];
    uint8_t staging[PACKETS * PACKET];
};

static void send_singly(struct desk *desk, int fd, unsigned count) {
    for (unsigned index = 0; index < count; index++)
        MUST(send(fd, desk->packets[index], PACKET, MSG_NOSIGNAL | MSG_DONTWAIT) == PACKET);
}

static void send_linked(struct desk *desk, int fd, unsigned count) {
    for (unsigned index = 0; index < count; index++) {
        struct uring_sqe *sqe = ring_request(&desk->ring);
        prep_send(sqe, fd, desk->packets[index], PACKET, MSG_WAITALL | MSG_NOSIGNAL, index);
        if (index + 1 < count) sqe->flags |= URING_SQE_IO_LINK;
    }
    for (unsigned done = 0; done < count;) {
        ring_enter(&desk->ring, 1, -1);
        uint32_t ready = ring_ready(&desk->ring);
        for (uint32_t index = 0; index < ready; index++)
            MUST(ring_completion(&desk->ring, index)->res == PACKET);
        ring_advance(&desk->ring, ready);
        done += ready;
    }
}

static void send_gathered(struct desk *desk, int fd, unsigned count) {
    struct iovec parts[PACKETS];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    for (unsigned index = 0; index < count; index++)
        parts[index] = (struct iovec){desk->packets[index], PACKET};
    MUST(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(count * PACKET));
}

static void send_copied(struct desk *desk, int fd, unsigned count) {
    size_t bytes = 0;
    for (unsigned index = 0; index < count; index++, bytes += PACKET)
        memcpy(desk->staging + bytes, desk->packets[index], PACKET);
    MUST(send(fd, desk->staging, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes);
}

static void (*const ways[WAYS])(struct desk *desk, int fd, unsigned count) = {
    send_singly, send_linked, send_gathered, send_copied};

/* Microseconds a packet. The client takes everything after each send, unmeasured. */
static double slice(struct desk *desk, unsigned way, unsigned count, unsigned sends) {
    int64_t spent = 0;
    for (unsigned index = 0; index < sends; index++) {
        int64_t began = micro_cpu();
        ways[way](desk, desk->pairs.near[way], count);
        spent += micro_cpu() - began;
        pairs_take(&desk->pairs, way, 1, (size_t)count * PACKET);
    }
    return (double)spent / 1e3 / sends / count;
}

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned count = *(const unsigned *)what, slices = micro_scaled(SLICES, scale, 1);
    unsigned sends = micro_scaled(SENDS_OF_A_SLICE / count, scale < 1 ? scale : 1, 2);
    double micros[WAYS][256];
    struct desk *desk = calloc(1, sizeof *desk);
    MUST(desk && slices <= 256);
    micro_pin(0);
    pairs_open(&desk->pairs, WAYS);
    if (ring_open(&desk->ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED) < 0)
        micro_cannot("the kernel refuses io_uring");
    MUST(ring_enable(&desk->ring) == 0);
    for (unsigned way = 0; way < WAYS; way++) slice(desk, way, count, 20);
    for (unsigned number = 0; number < slices; number++)
        for (unsigned index = 0, first = micro_random(WAYS); index < WAYS; index++) {
            unsigned way = (first + index) % WAYS;
            micros[way][number] = slice(desk, way, count, sends);
        }
    double medians[WAYS];
    for (unsigned way = 0; way < WAYS; way++) {
        medians[way] = micro_median(micros[way], slices);
        micro_part(out, names[way], medians[way]);
    }
    out->figure = medians[COPIED] / medians[SINGLY];
    ring_close(&desk->ring);
    pairs_close(&desk->pairs);
    free(desk);
}

static const struct micro_case cases[] = {
    {"1 packet", 1.1, &(const unsigned){1}},    {"4 packets", 0.4, &(const unsigned){4}},
    {"16 packets", 0.15, &(const unsigned){16}}, {"64 packets", 0.06, &(const unsigned){64}},
};

static const struct micro micro = {
    .number = "6",
    .name = "coalescing",
    .title = "packets of 100 B for one socket, copied together and sent, against a send each",
    .unit = "x the CPU of a send each",
    .parts_unit = "us CPU a packet",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
