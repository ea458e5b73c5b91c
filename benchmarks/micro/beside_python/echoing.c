/* An echo of frames by streams of the core, without an interpreter, and who asks it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "micro.h"
#include "streaming.h"

enum { FRAME = 36, BATCH = 64, WARM_ROUNDS = 20, PAUSE_NS = 250000 };

static void serve_turn(pa_op *op, pa_thread *self) {
    pa_stream *stream = pa_turn_of(op);
    const uint8_t *bytes;
    pa_frame frame;
    pa_turn_begin_serving(stream);
    while (pa_turn_next(stream, &bytes, &frame))
        MUST(pa_stream_send(stream, self, bytes, frame.total, NULL, PA_NO_KEY) == PA_QUEUED);
    MUST(pa_turn_end_serving(stream) == PA_NOT_ENDED);
}

static void *serve(void *argument) {
    struct streaming *all = argument;
    pa_thread *self = pa_thread_new();
    pa_op *out[BATCH];
    bool interrupted;
    int count;
    MUST(self);
    while ((count = pa_port_wait(all->port, self, out, BATCH, -1, &interrupted)) >= 0) {
        pa_batch_begin(self, all->port);
        for (int index = 0; index < count; index++) serve_turn(out[index], self);
        pa_batch_end(self);
    }
    pa_thread_free(self);
    return NULL;
}

/* Send a frame and wait for its echo, `rounds` times; the microseconds of each go to `micros`.
 * There are pauses between them, in which all others fall asleep and somebody else may get what they
 * need. The descriptor blocks. */
void ask_all(int fd, unsigned rounds, double *micros) {
    uint8_t frame[FRAME] = {FRAME}, answer[FRAME];
    for (unsigned round = 0; round < WARM_ROUNDS + rounds; round++) {
        nanosleep(&(const struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        int64_t began = micro_now();
        frame[FRAME - 1] = (uint8_t)round;
        MUST(send(fd, frame, FRAME, MSG_NOSIGNAL) == FRAME);
        MUST(recv(fd, answer, FRAME, MSG_WAITALL) == FRAME && answer[FRAME - 1] == (uint8_t)round);
        if (round >= WARM_ROUNDS) micros[round - WARM_ROUNDS] = (double)(micro_now() - began) / 1e3;
    }
}

/* The same with the core on the other side: its I/O thread receives, a thread in C serves. */
void ask_core(unsigned rounds, double *micros) {
    struct streaming all;
    pthread_t thread;
    streaming_open(&all, 1);
    streaming_make(&all, 0);
    MUST(pa_engine_start_thread(all.engine) == 0);
    MUST(pa_stream_start(all.streams[0]) == 0);
    MUST(pthread_create(&thread, NULL, serve, &all) == 0);
    ask_all(all.pairs.far[0], rounds, micros);
    pa_port_close(all.port, NULL, NULL); /* Nothing is asked any more, so nothing is queued. */
    MUST(pthread_join(thread, NULL) == 0);
    streaming_close(&all);
}
