/* 4b: the time from a post to the worker that slept, when nothing else runs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>

#include "core.h"
#include "micro.h"

enum { ROUNDS = 2000 };

struct desk {
    pa_engine *engine;
    pa_port *ports[2]; /* ours, and the other thread's */
    unsigned rounds;
    bool is_threaded;  /* the core's own thread runs the reactor: the workers sleep on futexes */
};

static void take_one(pa_port *port, pa_thread *self) {
    pa_op *out[1];
    bool interrupted;
    while (pa_port_wait(port, self, out, 1, -1, &interrupted) != 1) continue;
}

static void *answer(void *argument) {
    struct desk *desk = argument;
    pa_thread *self = pa_thread_new();
    static pa_op packet = {.kind = PA_POSTED};
    MUST(self);
    micro_pin(1);
    for (unsigned round = 0; round < desk->rounds; round++) {
        take_one(desk->ports[1], self);
        MUST(pa_port_post(desk->ports[0], &packet) == 0);
    }
    pa_thread_free(self);
    return NULL;
}

static double ask(struct desk *desk, double *micros) {
    pa_thread *self = pa_thread_new();
    static pa_op packet = {.kind = PA_POSTED};
    MUST(self);
    for (unsigned round = 0; round < desk->rounds; round++) {
        int64_t began = micro_now();
        MUST(pa_port_post(desk->ports[1], &packet) == 0);
        take_one(desk->ports[0], self);
        micros[round] = (double)(micro_now() - began) / 2e3;
    }
    pa_thread_free(self);
    return micro_median(micros, desk->rounds);
}

static void run(const void *what, double scale, struct micro_result *out) {
    struct desk desk = {.is_threaded = *(const bool *)what};
    pthread_t thread;
    desk.rounds = micro_scaled(ROUNDS, scale < 1 ? scale : 1, 10);
    double *micros = calloc(desk.rounds, sizeof *micros);
    MUST(micros && pa_engine_new(NULL, &desk.engine) == 0);
    micro_pin(0);
    for (unsigned index = 0; index < 2; index++)
        MUST(desk.ports[index] = pa_port_new(desk.engine, 1, -1));
    if (desk.is_threaded) MUST(pa_engine_start_thread(desk.engine) == 0);
    MUST(pthread_create(&thread, NULL, answer, &desk) == 0);
    out->figure = ask(&desk, micros);
    MUST(pthread_join(thread, NULL) == 0);
    micro_part(out, "p50", out->figure);
    micro_part(out, "p99", micros[desk.rounds * 99 / 100]);
    for (unsigned index = 0; index < 2; index++) {
        pa_port_close(desk.ports[index], NULL, NULL);
        pa_port_release(desk.ports[index]);
    }
    pa_engine_free(desk.engine);
    free(micros);
}

static const struct micro_case cases[] = {
    {"one of the two runs the reactor", 50, &(const bool){false}},
    {"a thread of the core's runs it", 50, &(const bool){true}},
};

static const struct micro micro = {
    .number = "4b",
    .name = "wake-up",
    .title = "from a post to the worker that slept on the other CPU, half of a ping-pong, p50",
    .unit = "us",
    .parts_unit = "us",
    .choice = "best",
    .reason = "nothing makes a wake-up faster than it is, and much makes it slower",
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
