/* The echo that stays in the native core: what its streams cost without an interpreter.
 *
 *   echo_core [--ring [--multishot] [--incremental]]    prints its port; ends when its input does.
 *
 * For measurement only. It does in C what the package's face does in `CompletionPort.serve`: one
 * thread takes turns from a port, reads each stream's frames (raw: all there is), queues the reply,
 * and flushes at the end of the batch. --ring receives by an io_uring, else by readiness.
 *
 * Ownership: each stream is owned by the turn that tells its end, which releases it. The process
 * ends without taking anything down: the kernel does.
 */
#define _GNU_SOURCE
#include "listening.h"

#include <getopt.h>
#include <pthread.h>
#include <stdlib.h>

#include "streams.h"

enum { ACCEPTS = 64, HAND = 64 };

static pa_engine *engine;
static pa_port *port;
static pa_socket *listener;
static const pa_framing raw = {.kind = PA_RAW_FRAMING, .max_frame = 1 << 30};
static const pa_stream_limits limits = {
    .inbox_high = 256 * 1024, .inbox_low = 64 * 1024, .send_high = 256 * 1024,
    .send_low = 64 * 1024, .send_bytes = 1024 * 1024, .send_packets = 16384,
};

static void parse(int argc, char **argv, pa_uring_profile *profile, bool *has_ring)
{
    static const struct option options[] = {
        {"ring", 0, 0, 'r'}, {"multishot", 0, 0, 'm'}, {"incremental", 0, 0, 'i'}, {0, 0, 0, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'r': *has_ring = true; break;
        case 'm': profile->multishot = true; break;
        case 'i': profile->incremental = true; break;
        default: exit(2);
        }
}

static void open_core(const pa_uring_profile *profile)
{
    pa_port *indications;
    int failure = pa_engine_new(profile, &engine);
    if (failure < 0) {
        fprintf(stderr, "the native core cannot be opened: error %d\n", -failure);
        exit(3);
    }
    port = pa_port_new(engine, 1, -1);
    indications = pa_port_new(engine, 1, -1);
    if (port == NULL || indications == NULL)
        fail("pa_port_new");
    pa_engine_set_default_port(engine, indications);
}

static void accept_one(pa_op *op)
{
    *op = (pa_op){.kind = PA_ACCEPT, .file = -1, .accepted = -1};
    op->iov = op->inline_iov;
    if (pa_submit(listener, op) == PA_REFUSED)
        exit(1); /* The listener is fine and open: there is no memory. */
}

static void listen_with_core(void)
{
    listener = pa_socket_new(engine, listen_on_loopback(), 0, NULL);
    if (listener == NULL || pa_socket_attach(listener, port, NULL) < 0)
        fail("attach the listener");
    for (int i = 0; i < ACCEPTS; i++) {
        pa_op *op = malloc(sizeof *op);
        if (op == NULL)
            fail("malloc");
        accept_one(op);
    }
}

/* Make a stream of a descriptor, which becomes the core's. */
static void welcome(int fd)
{
    pa_socket *socket = pa_socket_new(engine, fd, PA_CONNECTED, NULL);
    pa_stream *stream = socket ? pa_stream_new(socket, port, &raw, &limits, NULL) : NULL;
    if (stream == NULL)
        fail("open a stream");
    pa_stream_start(stream);
}

static void run_turn(pa_op *op, pa_thread *self)
{
    const uint8_t *bytes;
    pa_frame frame;
    pa_stream *stream = pa_turn_of(op);
    uint32_t news = pa_turn_begin_serving(stream);
    if (news & PA_ABOVE_HIGH)
        pa_stream_pause(stream); /* It does not read what it gets: no more is taken from it. */
    if (news & PA_DRAINED)
        pa_stream_resume(stream);
    while (!pa_stream_is_paused(stream) && pa_turn_next(stream, &bytes, &frame))
        if (pa_stream_send(stream, self, bytes + frame.body_offset, frame.body_length, NULL,
                           PA_NO_KEY) == PA_FULL)
            pa_stream_abort(stream, PA_END_ABORTED); /* Does not happen: it was paused before. */
    if (pa_turn_end_serving(stream) != PA_NOT_ENDED) {
        pa_turn_end_told(stream);
        pa_stream_release(stream); /* The reference that pa_stream_new gave. */
    }
}

static void serve(pa_op *op, pa_thread *self)
{
    if (op->kind == PA_TURN) {
        run_turn(op, self);
        return;
    }
    if (op->accepted >= 0)
        welcome(op->accepted);
    accept_one(op);
}

static void *end_with_input(void *nothing)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    _exit(0);
    return nothing;
}

int main(int argc, char **argv)
{
    pa_uring_profile profile = {0};
    bool has_ring = false, interrupted;
    pthread_t thread;
    pa_op *op;
    parse(argc, argv, &profile, &has_ring);
    raise_descriptor_limit();
    open_core(has_ring ? &profile : NULL);
    listen_with_core();
    if (pthread_create(&thread, NULL, end_with_input, NULL) != 0)
        fail("pthread_create");
    pa_thread *self = pa_thread_new();
    if (self == NULL)
        fail("pa_thread_new");
    for (;;) {
        pa_flush_dirty(self, 0);
        if (pa_port_wait(port, self, pa_thread_hand(self), HAND, -1, &interrupted) < 0)
            return 1;
        pa_batch_begin(self, port);
        while ((op = pa_hand_next(self))) {
            serve(op, self);
            pa_seal_turn(self);
        }
        pa_flush_dirty(self, 0);
    }
}
