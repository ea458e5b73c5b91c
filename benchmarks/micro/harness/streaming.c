#define _GNU_SOURCE
#include "streaming.h"

#include <stdlib.h>

#include "micro.h"

const pa_framing streaming_packets = {
    .kind = PA_PACKET_FRAMING, .max_frame = 65535, .length_bytes = 2, .id_bytes = 2,
    .includes_header = true,
};

/* Those of `StreamLimits()`. */
static const pa_stream_limits limits = {
    .inbox_high = 256 * 1024, .inbox_low = 64 * 1024, .send_high = 256 * 1024,
    .send_low = 64 * 1024, .send_bytes = 1024 * 1024, .send_packets = 16384,
};

void streaming_open(struct streaming *all, unsigned count) {
    *all = (struct streaming){.streams = calloc(count, sizeof *all->streams)};
    MUST(all->streams && pa_engine_new(NULL, &all->engine) == 0);
    MUST(all->port = pa_port_new(all->engine, 1, -1));
    pairs_open(&all->pairs, count);
}

void streaming_make(struct streaming *all, unsigned index) {
    pa_socket *socket = pa_socket_new(all->engine, all->pairs.near[index], PA_CONNECTED, NULL);
    MUST(socket);
    all->streams[index] = pa_stream_new(socket, all->port, &streaming_packets, &limits, all);
    MUST(all->streams[index]);
    all->pairs.near[index] = -1; /* The stream closes it. */
}

static void lose(pa_op *op, void *context) {
    (void)context;
    if (op->kind == PA_TURN) pa_turn_lost(op);
}

void streaming_close(struct streaming *all) {
    for (unsigned index = 0; index < all->pairs.count; index++)
        if (all->streams[index]) pa_stream_disown(all->streams[index]);
    pa_port_close(all->port, lose, NULL);
    pa_engine_turn(all->engine, 0);
    for (pa_shared *owed = pa_engine_take_owed(all->engine); owed;) {
        pa_shared *next = owed->next; /* Where the port was closed before, that of each stream. */
        pa_shared_free(owed);
        owed = next;
    }
    pa_port_release(all->port);
    pa_engine_free(all->engine);
    pairs_close(&all->pairs);
    free(all->streams);
}
