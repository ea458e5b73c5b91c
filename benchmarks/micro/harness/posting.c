#define _GNU_SOURCE
#include "posting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core.h"
#include "micro.h"

enum { BATCH = 64, THREADS_AT_MOST = 16 };

struct desk {
    const struct posting *posting;
    pa_port *port;
    pa_op *packets;
    pthread_barrier_t start;
    atomic_uint taken;
    atomic_ullong batches, sleeps;
    _Atomic int64_t began, ended;
};

struct producer {
    struct desk *desk;
    pa_op *first;
    unsigned count;
};

static void *produce(void *argument) {
    struct producer *self = argument;
    pthread_barrier_wait(&self->desk->start);
    int64_t nobody = 0; /* The first of them starts the clock. */
    atomic_compare_exchange_strong(&self->desk->began, &nobody, micro_now());
    for (unsigned index = 0; index < self->count; index++)
        MUST(pa_port_post(self->desk->port, &self->first[index]) == 0);
    return NULL;
}

static uint64_t sleeps_of_thread(void) {
    struct rusage usage;
    MUST(getrusage(RUSAGE_THREAD, &usage) == 0);
    return (uint64_t)usage.ru_nvcsw;
}

static void *work(void *argument) {
    struct desk *desk = argument;
    pa_thread *self = pa_thread_new();
    pa_op *out[BATCH];
    uint64_t batches = 0;
    bool interrupted;
    MUST(self);
    pthread_barrier_wait(&desk->start);
    uint64_t before = sleeps_of_thread();
    for (;;) {
        int count = pa_port_wait(desk->port, self, out, BATCH, -1, &interrupted);
        if (count < 0) break; /* Somebody has taken the last one, and closed the port. */
        batches += count > 0;
        unsigned taken = atomic_fetch_add(&desk->taken, (unsigned)count) + (unsigned)count;
        if (count && taken == desk->posting->packets) {
            atomic_store(&desk->ended, micro_now());
            pa_port_close(desk->port, NULL, NULL);
            break;
        }
    }
    atomic_fetch_add(&desk->sleeps, sleeps_of_thread() - before);
    atomic_fetch_add(&desk->batches, batches);
    pa_thread_free(self);
    return NULL;
}

static pa_op *make_packets(unsigned count) {
    pa_op *packets = malloc(count * sizeof *packets);
    MUST(packets);
    memset(packets, 0, count * sizeof *packets); /* Have the memory before the clock starts. */
    for (unsigned index = 0; index < count; index++) packets[index].kind = PA_POSTED;
    return packets;
}

static double run_threads(struct desk *desk) {
    const struct posting *posting = desk->posting;
    struct producer producers[THREADS_AT_MOST];
    pthread_t threads[2 * THREADS_AT_MOST];
    unsigned count = 0, share = posting->packets / posting->producers;
    MUST(posting->producers <= THREADS_AT_MOST && posting->workers <= THREADS_AT_MOST);
    for (; count < posting->workers; count++)
        MUST(pthread_create(&threads[count], NULL, work, desk) == 0);
    for (unsigned index = 0; index < posting->producers; index++) {
        producers[index] = (struct producer){desk, desk->packets + index * share, share};
        MUST(pthread_create(&threads[count++], NULL, produce, &producers[index]) == 0);
    }
    while (count) MUST(pthread_join(threads[--count], NULL) == 0);
    return (double)(atomic_load(&desk->ended) - atomic_load(&desk->began)) / 1e9;
}

struct posted post_and_take(const struct posting *posting) {
    struct desk desk = {.posting = posting};
    struct posted posted = {0};
    pa_engine *engine;
    pa_engine_statistics statistics;
    MUST(pa_engine_new(NULL, &engine) == 0);
    desk.port = pa_port_new(engine, (int)posting->concurrency, -1);
    desk.packets = make_packets(posting->packets);
    MUST(desk.port);
    MUST(!pthread_barrier_init(&desk.start, NULL, posting->producers + posting->workers));
    posted.seconds = run_threads(&desk);
    pa_engine_statistics_get(engine, &statistics);
    posted.batches = atomic_load(&desk.batches);
    posted.sleeps = atomic_load(&desk.sleeps);
    posted.writes = statistics.wakes_sent;
    pthread_barrier_destroy(&desk.start);
    pa_port_release(desk.port);
    pa_engine_free(engine);
    free(desk.packets);
    return posted;
}
