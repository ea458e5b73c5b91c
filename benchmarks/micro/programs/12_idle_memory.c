/* 12: the memory of a connection that waits: the core's own, and what the kernel has for it. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "micro.h"
#include "pairs.h"

enum { SESSIONS = 10000 };

struct desk {
    pa_engine *engine;
    pa_port *port;
    struct pairs pairs;
    pa_socket **sockets;
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
    pa_socket *socket = pa_socket_new(desk->engine, desk->pairs.near[index], PA_CONNECTED, NULL);
    MUST(socket && pa_socket_attach(socket, desk->port, NULL) == 0);
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
    for (unsigned index = 0; index < desk->pairs.count; index++) {
        pa_socket_close(desk->sockets[index], true);
        pa_socket_release(desk->sockets[index]);
        desk->pairs.near[index] = -1; /* The core has closed it. */
    }
    pa_engine_turn(desk->engine, 0);
    pa_port_close(desk->port, NULL, NULL);
    pa_engine_turn(desk->engine, 0);
    pa_port_release(desk->port);
    pa_engine_free(desk->engine);
    for (unsigned index = 0; index < desk->pairs.count; index++) free(desk->receives[index]);
    pairs_close(&desk->pairs);
    free(desk->sockets);
    free(desk->receives);
}

static void run(const void *what, double scale, struct micro_result *out) {
    bool has_receive = *(const bool *)what;
    unsigned count = micro_scaled(SESSIONS, scale < 1 ? scale : 1, 10);
    struct desk desk = {0};
    unsigned allowed = (micro_raise_descriptors(256) - 64) / 2;
    if (count > allowed) count = allowed; /* It is a figure for each: some fewer give the same. */
    MUST(pa_engine_new(NULL, &desk.engine) == 0);
    MUST(desk.port = pa_port_new(desk.engine, 1, -1));
    pairs_open(&desk.pairs, count);
    desk.sockets = calloc(count, sizeof *desk.sockets);
    desk.receives = calloc(count, sizeof *desk.receives);
    MUST(desk.sockets && desk.receives);
    double ours = our_bytes(), kernel = kernel_bytes();
    for (unsigned index = 0; index < count; index++) attach(&desk, index);
    double sockets = (our_bytes() - ours) / count;
    for (unsigned index = 0; has_receive && index < count; index++) receive(&desk, index);
    out->figure = (our_bytes() - ours) / count;
    micro_part(out, "pa_socket", sockets);
    micro_part(out, "operation", out->figure - sockets);
    micro_part(out, "kernel, beyond the socket", (kernel_bytes() - kernel) / count);
    close_all(&desk);
}

static const struct micro_case cases[] = {
    {"attached", 512, &(const bool){false}},
    {"a receive pending", 512, &(const bool){true}},
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
