/* The load of the benchmarks: the generator of `proactor load` (src/proactor/load/core) as a program
 * that needs no interpreter, and that watches the server's process meanwhile.
 *
 *   load --port P [--traffic echo|framed|fanout] [--connections N] [--size BYTES] [--depth N]
 *        [--senders N] [--seconds S] [--warmup S] [--patience S] [--watch PID]
 *
 * A closed loop: it keeps `depth` messages in flight on each connection and compares every byte of
 * every reply with what was sent. Prints one JSON object. With --watch it also tells the CPU time
 * and the memory of that process, for the measured time alone. Exit code: 0 every reply was right;
 * 1 one was wrong or missing, or a connection was refused or ended early; 2 misused.
 */
#define _GNU_SOURCE
#include "load.h"
#include "options.h"
#include "watching.h"

#include <arpa/inet.h>
#include <string.h>

enum { SLICE = 100 * 1000 * 1000 };

/* What the watched process and this one had used when a phase began. */
struct usage {
    double own, server;
    long memory;
};

static struct usage usage_now(void)
{
    return (struct usage){cpu_of(getpid()), cpu_of(watched), memory_of(watched)};
}

static struct load_plan plan_of_options(void)
{
    struct load_plan plan = {.kind = traffic,
                             .connections = (uint32_t)connections,
                             .depth = (uint32_t)depth,
                             .size = (uint32_t)size,
                             .senders = (uint32_t)senders,
                             .id = 1,
                             .resets = true, /* Ten thousand ports in TIME_WAIT would be missing. */
                             .holds = true,
                             .duration = (uint64_t)(seconds * 1e9),
                             .warmup = (uint64_t)(warmup * 1e9),
                             .timeout = (uint64_t)(patience * 1e9),
                             .address_length = sizeof(struct sockaddr_in)};
    struct sockaddr_in *address = (struct sockaddr_in *)&plan.address;
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->sin_port = htons((uint16_t)port);
    return plan;
}

static const char *words_for(const struct load_failure *failure)
{
    switch (failure->kind) {
    case LOAD_REFUSED: return strerror((int)failure->number);
    case LOAD_CLOSED:
        return failure->number ? strerror((int)failure->number) : "the server closed it";
    case LOAD_SILENT: return "no reply in time";
    case LOAD_SKIPPED: return "a frame is missing, or out of order";
    case LOAD_REPEATED: return "a frame came twice";
    default: return "a reply is not what was sent";
    }
}

static void tell_failures(const struct load_counts *counts)
{
    uint64_t total = 0;
    for (int kind = 0; kind < LOAD_FAILURES; kind++)
        total += counts->failed[kind];
    for (uint64_t i = 0; i < total && i < 5; i++)
        fprintf(stderr, "load: connection %u, byte %llu: %s\n", counts->first[i].connection,
                (unsigned long long)counts->first[i].position, words_for(&counts->first[i]));
    if (counts->missing > 0)
        fprintf(stderr, "load: %llu replies are missing\n", (unsigned long long)counts->missing);
}

/* The middle of the bucket that `part` of all latencies are not above, in seconds. */
static double quantile(const struct load_histogram *latencies, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)latencies->recorded), seen = 0;
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        seen += latencies->buckets[i];
        if (seen > wanted) {
            if (i < LOAD_FINE)
                return i / 1e9;
            unsigned power = i / LOAD_FINE - 1;
            double begins = (double)((uint64_t)(i % LOAD_FINE + LOAD_FINE) << power);
            double middle = begins + (double)(1ull << power) / 2;
            double most = (double)latencies->largest;
            return (middle < most ? middle : most) / 1e9;
        }
    }
    return (double)latencies->largest / 1e9;
}

static int print_figures(const struct load *load, const struct usage *from, const struct usage *to,
                         long memory_before)
{
    const struct load_counts *counts = load_counts(load);
    const struct load_histogram *latencies = load_latencies(load);
    const uint64_t *failed = counts->failed;
    double took = counts->ended > counts->began ? (double)(counts->ended - counts->began) / 1e9 : 0;
    uint64_t dropped = failed[LOAD_REFUSED] + failed[LOAD_CLOSED];
    uint64_t wrong = failed[LOAD_WRONG] + failed[LOAD_SURPLUS] + failed[LOAD_SKIPPED] +
                     failed[LOAD_REPEATED];
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"rate\": %.1f, "
           "\"p50\": %.9f, \"p90\": %.9f, \"p99\": %.9f, \"max\": %.9f, "
           "\"wrong\": %llu, \"dropped\": %llu, \"missing\": %llu, \"load_cpu_share\": %.4f, "
           "\"server_cpu\": %.6f, \"server_bytes_a_connection\": %ld}\n",
           (unsigned long long)counts->messages, took,
           took > 0 ? (double)counts->messages / took : 0, quantile(latencies, 0.5),
           quantile(latencies, 0.9), quantile(latencies, 0.99), (double)latencies->largest / 1e9,
           (unsigned long long)wrong, (unsigned long long)dropped,
           (unsigned long long)counts->missing, took > 0 ? (to->own - from->own) / took : 0,
           to->server - from->server, (from->memory - memory_before) / connections);
    return wrong + dropped + counts->missing + failed[LOAD_SILENT] > 0 || counts->messages == 0;
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    struct load_plan plan = plan_of_options();
    struct usage from = {0}, to = {0};
    long memory_before = memory_of(watched);
    struct load *load = load_open(&plan);
    if (load == NULL)
        fail("load_open");
    for (int phase = LOAD_OPENING; phase != LOAD_DONE;) {
        int next = load_run(load, SLICE);
        if (next != phase && next == LOAD_MEASURE)
            from = usage_now();
        else if (next != phase && phase == LOAD_MEASURE)
            to = usage_now();
        phase = next;
    }
    tell_failures(load_counts(load));
    int code = print_figures(load, &from, &to, memory_before);
    load_close(load);
    return code;
}
