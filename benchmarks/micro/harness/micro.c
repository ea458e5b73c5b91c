#define _GNU_SOURCE
#include "micro.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* -- what a program uses -- */

void micro_part(struct micro_result *out, const char *name, double value) {
    MUST(out->parts < MICRO_PARTS);
    out->names[out->parts] = name;
    out->values[out->parts++] = value;
}

void micro_cannot(const char *why) {
    fprintf(stderr, "micro: %s\n", why);
    exit(3);
}

void micro_failed(const char *what) {
    fprintf(stderr, "micro: failed: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int64_t read_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t micro_cpu(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

int64_t micro_now(void) { return read_clock(CLOCK_MONOTONIC); }

static int compare(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

double micro_median(double *values, unsigned count) {
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

unsigned micro_random(unsigned limit) {
    static uint64_t state; /* Of the main thread, which alone asks. */
    if (!state) state = (uint64_t)micro_now() | 1;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (unsigned)(state % limit);
}

unsigned micro_scaled(unsigned usual, double scale, unsigned least) {
    double scaled = usual * scale;
    return scaled < least ? least : (unsigned)scaled;
}

void micro_pin(unsigned which) {
    static cpu_set_t all; /* Before the first pinning; the main thread asks first. */
    if (!CPU_COUNT(&all)) MUST(sched_getaffinity(0, sizeof all, &all) == 0);
    if (CPU_COUNT(&all) < 2) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    for (unsigned cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && seen++ == which) CPU_SET(cpu, &one);
    MUST(sched_setaffinity(0, sizeof one, &one) == 0);
}

unsigned micro_raise_descriptors(unsigned least) {
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < least) micro_cannot("too few descriptors are allowed: raise ulimit -n");
    return limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
}

/* -- what the program says -- */

static void print_words(const char *key, const char *text) {
    printf("\"%s\": \"%s\", ", key, text);
}

/* The words are ours and hold nothing that JSON would want escaped. */
static int describe(const struct micro *micro) {
    printf("{");
    print_words("number", micro->number);
    print_words("name", micro->name);
    print_words("title", micro->title);
    print_words("unit", micro->unit);
    print_words("parts_unit", micro->parts_unit);
    print_words("choice", micro->choice);
    print_words("reason", micro->reason);
    printf("\"is_least\": %s, \"repeats\": %u, \"cases\": [", micro->is_least ? "true" : "false",
           micro->repeats);
    for (unsigned index = 0; index < micro->count; index++)
        printf("%s{\"name\": \"%s\", \"bound\": %g}", index ? ", " : "", micro->cases[index].name,
               micro->cases[index].bound);
    printf("]}\n");
    return 0;
}

static int print_case(const struct micro *micro, const char *name, double scale) {
    for (unsigned index = 0; index < micro->count; index++) {
        if (strcmp(micro->cases[index].name, name)) continue;
        struct micro_result result = {0};
        micro->run(micro->cases[index].what, scale, &result);
        printf("{\"figure\": %.6g, \"parts\": {", result.figure);
        for (unsigned part = 0; part < result.parts; part++)
            printf("%s\"%s\": %.6g", part ? ", " : "", result.names[part], result.values[part]);
        printf("}}\n");
        return 0;
    }
    fprintf(stderr, "micro: there is no case %s\n", name);
    return 2;
}

/* How much of its bound a figure uses up; above 1 it is over. */
static double share(const struct micro *micro, double figure, double bound) {
    if (!micro->is_least) return figure / bound;
    return figure > 0 ? bound / figure : 1e9;
}

static int print_number(const struct micro *micro, double scale) {
    double worst = -1, number = 0;
    const struct micro_case *at = NULL;
    for (unsigned index = 0; index < micro->count; index++) {
        const struct micro_case *one = &micro->cases[index];
        if (!one->bound) continue;
        struct micro_result result = {0};
        micro->run(one->what, scale, &result);
        double used = share(micro, result.figure, one->bound);
        if (at && used <= worst) continue;
        worst = used, number = result.figure, at = one;
    }
    if (!at) return 2;
    printf("%s %s: %.4g %s (%s), bound %s %g: %s\n", micro->number, micro->name, number,
           micro->unit, at->name, micro->is_least ? ">=" : "<=", at->bound,
           worst > 1 ? "over" : "ok");
    return worst > 1;
}

int micro_main(const struct micro *micro, int count, char **words) {
    const char *only = NULL;
    double scale = 1;
    for (int index = 1; index < count; index++) {
        bool has_value = index + 1 < count;
        if (!strcmp(words[index], "--describe")) return describe(micro);
        if (!strcmp(words[index], "--case") && has_value) {
            only = words[++index];
        } else if (!strcmp(words[index], "--scale") && has_value) {
            scale = atof(words[++index]);
        } else {
            fprintf(stderr, "usage: %s [--describe] [--case NAME] [--scale FACTOR]\n", words[0]);
            return 2;
        }
    }
    return only ? print_case(micro, only, scale) : print_number(micro, scale);
}
