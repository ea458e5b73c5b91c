/* 7: one packet to many streams: what the streams cost beyond the sends that it takes at least. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/socket.h>

#include "micro.h"
#include "streaming.h"

enum { SLICES = 8, DELIVERIES_OF_A_SLICE = 2000, LARGE = 4000, WARM_ROUNDS = 18, SLICES_AT_MOST = 256 };
enum { BARE, COPIED, SHARED, WAYS };

struct audience {
    unsigned streams, size, pending; /* packets that are queued together before they leave */
};

struct desk {
    const struct audience *audience;
    struct streaming all;
    pa_group *group;
    pa_thread *self;
    pa_shared *shared;
    pa_stream **refused;
    int *fds;
    uint8_t packet[8192];
};

/* The least there is: a send for each packet and stream, on the descriptors of the streams. */
static void send_bare(struct desk *desk) {
    const struct audience *audience = desk->audience;
    for (unsigned number = 0; number < audience->pending; number++)
        for (unsigned index = 0; index < audience->streams; index++)
            MUST(send(desk->fds[index], desk->packet, audience->size, MSG_NOSIGNAL | MSG_DONTWAIT)
                 == (ssize_t)audience->size);
}

/* As a worker does it in its batch of turns: what is queued leaves at the end of the batch. A
 * single packet goes as from any other thread: at once. */
static void broadcast(struct desk *desk, pa_shared *shared) {
    const struct audience *audience = desk->audience;
    pa_thread *self = audience->pending > 1 ? desk->self : NULL;
    if (self) pa_batch_begin(self, desk->all.port);
    for (unsigned number = 0; number < audience->pending; number++)
        MUST(pa_group_broadcast(desk->group, self, desk->packet, audience->size, shared, PA_NO_KEY,
                                NULL, desk->refused, audience->streams) == 0);
    if (self) pa_batch_end(self);
}

static void deliver(struct desk *desk, unsigned way) {
    if (way == BARE)
        send_bare(desk);
    else
        broadcast(desk, way == SHARED ? desk->shared : NULL);
}

/* Nanoseconds of one round in one way. The clients take everything after it, unmeasured. */
static int64_t round_of(struct desk *desk, unsigned way) {
    const struct audience *audience = desk->audience;
    int64_t began = micro_cpu();
    deliver(desk, way);
    int64_t took = micro_cpu() - began;
    pairs_take(&desk->all.pairs, 0, audience->streams, (size_t)audience->size * audience->pending);
    return took;
}

static void open_desk(struct desk *desk, const struct audience *audience) {
    unsigned count = audience->streams;
    desk->audience = audience;
    streaming_open(&desk->all, count);
    desk->fds = calloc(count, sizeof *desk->fds);
    desk->refused = calloc(count, sizeof *desk->refused);
    MUST(desk->fds && desk->refused && (desk->group = pa_group_new()));
    MUST((desk->self = pa_thread_new()) && (desk->shared = pa_shared_new(NULL)));
    for (unsigned index = 0; index < count; index++) {
        streaming_make(&desk->all, index);
        MUST(pa_stream_start(desk->all.streams[index]) == 0);
        MUST(pa_group_add(desk->group, desk->all.streams[index]) == 1);
        desk->fds[index] = pa_stream_fd(desk->all.streams[index]);
    }
}

static void close_desk(struct desk *desk) {
    pa_group_free(desk->group);
    streaming_close(&desk->all);
    pa_thread_free(desk->self);
    free(desk->shared); /* All but this reference are gone: nothing is queued. */
    free(desk->refused);
    free(desk->fds);
    free(desk);
}

static void run(const void *what, double scale, struct micro_result *out) {
    static const char *const names[WAYS] = {"bare sends", "copied", "shared"};
    struct audience audience = *(const struct audience *)what;
    if (scale < 0.1) audience.streams = micro_scaled(audience.streams, scale * 10, 10);
    unsigned deliveries = audience.streams * audience.pending;
    unsigned rounds = 1 + DELIVERIES_OF_A_SLICE / deliveries;
    unsigned slices = micro_scaled(deliveries > LARGE ? SLICES / 2 : SLICES, scale, 1);
    /* Of eight packets, the bare sends of two rounds are as many segments. */
    unsigned warm = micro_scaled(WARM_ROUNDS / (audience.pending > 1 ? 3 : 1),
                                 scale < 1 ? scale : 1, 1);
    double micros[WAYS][SLICES_AT_MOST], medians[WAYS];
    struct desk *desk = calloc(1, sizeof *desk);
    MUST(desk && slices <= SLICES_AT_MOST);
    micro_raise_descriptors(2 * audience.streams + 64);
    micro_pin(0);
    open_desk(desk, &audience);
    for (unsigned number = 0; number < warm; number++) round_of(desk, number % WAYS);
    for (unsigned number = 0; number < slices; number++)
        for (unsigned index = 0, first = micro_random(WAYS); index < WAYS; index++) {
            unsigned way = (first + index) % WAYS;
            int64_t took = 0;
            for (unsigned turn = 0; turn < rounds; turn++) took += round_of(desk, way);
            micros[way][number] = (double)took / 1e3 / rounds / deliveries;
        }
    for (unsigned way = 0; way < WAYS; way++) {
        medians[way] = micro_median(micros[way], slices);
        micro_part(out, names[way], medians[way]);
    }
    /* As the face does it: bytes of 512 or more are shared. */
    out->figure = medians[audience.size >= PA_SHARE_FROM ? SHARED : COPIED] / medians[BARE];
    close_desk(desk);
}

#define CASE(words, bound, ...) {words, bound, &(const struct audience){__VA_ARGS__}}
static const struct micro_case cases[] = {
    CASE("100 streams, 132 B", 1.15, 100, 132, 1),
    CASE("500 streams, 132 B", 1.15, 500, 132, 1),
    CASE("2,000 streams, 132 B", 1.15, 2000, 132, 1),
    CASE("100 streams, 8 KB", 1.15, 100, 8192, 1),
    CASE("500 streams, 8 KB", 1.15, 500, 8192, 1),
    CASE("2,000 streams, 8 KB", 1.15, 2000, 8192, 1),
    CASE("100 streams, 8 packets of 132 B", 0.35, 100, 132, 8),
    CASE("500 streams, 8 packets of 132 B", 0.35, 500, 132, 8),
    CASE("2,000 streams, 8 packets of 132 B", 0.35, 2000, 132, 8),
};

static const struct micro micro = {
    .number = "7",
    .name = "broadcast",
    .title = "a packet for each stream of a group, against a bare send for each on the same sockets",
    .unit = "x the CPU of bare sends",
    .parts_unit = "us CPU a delivery (a packet for one stream)",
    .choice = "median",
    .reason = "a ratio of two noisy times is as often too low as too high",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
