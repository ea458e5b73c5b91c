#define _GNU_SOURCE
#include "comparing.h"

#include <pthread.h>
#include <stdlib.h>

#include "micro.h"
#include "pairs.h"

enum {
    SLICES = 8,           /* of each arm; the median counts */
    SLICE_NS = 3000000,   /* of the server's CPU */
    WARM_TURNS = 18,      /* TCP acknowledges the first segments of a connection in another way */
    SLICE_TURNS = 150,    /* of a slice in which each message is waited for */
    SLICES_AT_MOST = 256,
};

struct contender {
    const struct arm *arm;
    const struct work *work;
    struct pairs pairs;
    void *self;
    unsigned first; /* where the next turn's active connections begin */
    unsigned turns; /* of a slice beside a load */
    double slices[SLICES_AT_MOST];
};

typedef int64_t (*slice_function)(struct contender *one, uint64_t *messages);

static int64_t cost_of_clock(void) {
    int64_t least = INT64_MAX;
    for (unsigned index = 0; index < 200; index++) {
        int64_t began = micro_cpu(), took = micro_cpu() - began;
        if (took < least) least = took;
    }
    return least;
}

/* -- in one thread -- */

static int64_t take_turn(struct contender *one) {
    const struct work *work = one->work;
    pairs_send(&one->pairs, one->first, work->active, work->size);
    int64_t began = micro_cpu();
    one->arm->turn(one->self, (uint64_t)work->active * work->size);
    int64_t took = micro_cpu() - began;
    if (work->is_echo)
        pairs_take(&one->pairs, one->first, work->active, work->size);
    else
        pairs_answer(&one->pairs, one->first, work->active);
    one->first = (one->first + work->active) % work->connections;
    return took;
}

static int64_t slice_in_turns(struct contender *one, uint64_t *messages) {
    static int64_t clock;
    if (!clock) clock = cost_of_clock();
    int64_t took = 0;
    for (*messages = 0; took < SLICE_NS && *messages < 100000; *messages += one->work->active)
        took += take_turn(one) - clock;
    return took;
}

/* -- beside a load -- */

static void *load(void *argument) {
    struct contender *one = argument;
    const struct work *work = one->work;
    micro_pin(1);
    for (unsigned turn = 0; turn < one->turns; turn++) {
        pairs_send(&one->pairs, one->first, work->active, work->size);
        pairs_take(&one->pairs, one->first, work->active, work->size);
        one->first = (one->first + work->active) % work->connections;
    }
    return NULL;
}

static int64_t slice_beside_load(struct contender *one, uint64_t *messages) {
    pthread_t thread;
    one->turns = one->work->active < 10 ? SLICE_TURNS : 1 + 2000 / one->work->active;
    *messages = (uint64_t)one->turns * one->work->active;
    MUST(pthread_create(&thread, NULL, load, one) == 0);
    int64_t began = micro_cpu();
    one->arm->turn(one->self, *messages * one->work->size);
    int64_t took = micro_cpu() - began;
    MUST(pthread_join(thread, NULL) == 0);
    return took;
}

/* -- both -- */

static void open_contender(struct contender *one, const struct arm *arm, const struct work *work,
                           double scale) {
    one->arm = arm;
    one->work = work;
    one->self = arm->open(arm, work, one->pairs.near);
    unsigned turns = WARM_TURNS * (work->connections / work->active);
    for (turns = micro_scaled(turns, scale < 1 ? scale : 1, 1); turns; turns--) take_turn(one);
}

static void shuffle(unsigned *order, unsigned count) {
    for (unsigned index = 0; index < count; index++) {
        unsigned other = micro_random(index + 1);
        order[index] = order[other];
        order[other] = index;
    }
}

static void compare(const struct arm *const *arms, unsigned count, const struct work *work,
                    double scale, double *micros, slice_function slice) {
    struct contender *all = calloc(count, sizeof *all);
    unsigned slices = micro_scaled(SLICES, scale, 1);
    if (slices > SLICES_AT_MOST) slices = SLICES_AT_MOST;
    MUST(all);
    micro_raise_descriptors(2 * count * work->connections + 64);
    micro_pin(0);
    unsigned order[ARMS_AT_MOST];
    struct pairs *sets[ARMS_AT_MOST];
    for (unsigned index = 0; index < count; index++) sets[index] = &all[index].pairs;
    pairs_open_alike(sets, count, work->connections);
    shuffle(order, count);
    for (unsigned index = 0; index < count; index++)
        open_contender(&all[order[index]], arms[order[index]], work, scale);
    for (unsigned number = 0; number < slices; number++) {
        shuffle(order, count);
        for (unsigned index = 0; index < count; index++) {
            uint64_t messages;
            struct contender *one = &all[order[index]];
            double took = (double)slice(one, &messages);
            one->slices[number] = took / 1e3 / (double)messages;
        }
    }
    for (unsigned index = 0; index < count; index++) {
        micros[index] = micro_median(all[index].slices, slices);
        all[index].arm->close(all[index].self);
        pairs_close(&all[index].pairs);
    }
    free(all);
}

void compare_in_turns(const struct arm *const *arms, unsigned count, const struct work *work,
                      double scale, double *micros) {
    compare(arms, count, work, scale, micros, slice_in_turns);
}

void compare_beside_load(const struct arm *const *arms, unsigned count, const struct work *work,
                         double scale, double *micros) {
    compare(arms, count, work, scale, micros, slice_beside_load);
}
