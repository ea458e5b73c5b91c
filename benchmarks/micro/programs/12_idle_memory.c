/* 12: the memory of a connection that waits: the core's own, and what the kernel has for it. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "micro.h"
#include "streaming.h"

enum { SESSIONS = 10000 };
enum { ATTACHED, RECEIVING, STREAMING };

struct desk {
    struct streaming all;
    pa_socket **sockets; /* where there are no streams */
    pa_op **receives;
};

/* What the kernel has in caches of objects; all of the system's, so only a hint. */
static double kernel_bytes(void) {
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    MUST(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Slab: %lf kB", &kilobytes) == 1) break;
    fclose(file);
    return kilobytes * 1024;
}

static double our_bytes(void) { return (double)mallinfo2().uordblks; }

static void attach(struct desk *desk, unsigned index) {
    int fd = desk->all.pairs.near[index];
    pa_socket *socket = pa_socket_new(desk->all.engine, fd, PA_CONNECTED, NULL);
    MUST(socket && pa_socket_attach(socket, desk->all.port, NULL) == 0);
    desk->sockets[index] = socket;
}

/* As the face would post it: to know of data, without memory of its own (a zero-byte receive). */
static void receive(struct desk *desk, unsigned index) {
    pa_op *op = calloc(1, sizeof *op);
    MUST(op);
    op->kind = PA_RECV;
    op->file = op->accepted = -1;
    op->iov = op->inline_iov;
    op->iov_count = 1;
    desk->receives[index] = op;
    MUST(pa_submit(desk->sockets[index], op) == PA_PENDING);
}

static void close_all(struct desk *desk) {
    unsigned count = desk->all.pairs.count;
    for (unsigned index = 0; index < count && desk->sockets[index]; index++) {
        pa_socket_close(desk->sockets[index], true);
        pa_socket_release(desk->sockets[index]);
        desk->all.pairs.near[index] = -1; /* The core has closed it. */
    }
    pa_engine_turn(desk->all.engine, 0);
    streaming_close(&desk->all);
    for (unsigned index = 0; index < count; index++) free(desk->receives[index]);
    free(desk->sockets);
    free(desk->receives);
}

/* Make all connections wait in one way; return the core's bytes for each. */
static double wait_by(struct desk *desk, unsigned way, struct micro_result *out) {
    unsigned count = desk->all.pairs.count;
    double before = our_bytes();
    for (unsigned index = 0; index < count; index++) {
        if (way == STREAMING)
            streaming_make(&desk->all, index);
        else
            attach(desk, index);
    }
    double opened = (our_bytes() - before) / count;
    for (unsigned index = 0; way == RECEIVING && index < count; index++) receive(desk, index);
    for (unsigned index = 0; way == STREAMING && index < count; index++)
        MUST(pa_stream_start(desk->all.streams[index]) == 0);
    double all = (our_bytes() - before) / count;
    micro_part(out, "opened", opened);
    micro_part(out, "waiting", all - opened);
    return all;
}

static void run(const void *what, double scale, struct micro_result *out) {
    unsigned count = micro_scaled(SESSIONS, scale < 1 ? scale : 1, 10);
    struct desk desk = {0};
    unsigned allowed = (micro_raise_descriptors(256) - 64) / 2;
    if (count > allowed) count = allowed; /* It is a figure for each: some fewer give the same. */
    streaming_open(&desk.all, count);
    desk.sockets = calloc(count, sizeof *desk.sockets);
    desk.receives = calloc(count, sizeof *desk.receives);
    MUST(desk.sockets && desk.receives);
    double kernel = kernel_bytes();
    out->figure = wait_by(&desk, *(const unsigned *)what, out);
    micro_part(out, "kernel, beyond the socket", (kernel_bytes() - kernel) / count);
    close_all(&desk);
}

/* A receive that waits has no bound: it is the operation's record, which has room for an address
 * and for vectors since any operation may have them. */
static const struct micro_case cases[] = {
    {"attached", 512, &(const unsigned){ATTACHED}},
    {"a receive pending", 0, &(const unsigned){RECEIVING}},
    {"a stream", 512, &(const unsigned){STREAMING}},
};

static const struct micro micro = {
    .number = "12",
    .name = "idle-memory",
    .title = "the native core's memory for each of some 10,000 connections that wait",
    .unit = "bytes a connection",
    .parts_unit = "bytes a connection",
    .choice = "best",
    .reason = "our bytes are counted, not sampled, and the kernel's only grow by what others do",
    .repeats = 2,
    .cases = cases,
    .count = sizeof cases / sizeof *cases,
    .run = run,
};

int main(int count, char **words) { return micro_main(&micro, count, words); }
