/* A tiny harness: tests are functions in a table, CHECK notes a failure and goes on. */
#ifndef CHECKING_H
#define CHECKING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((unused)) static atomic_int failures_here;

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            printf("  %s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            atomic_fetch_add(&failures_here, 1);                                           \
        }                                                                                  \
    } while (0)

#define MUST(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            printf("  %s:%d: %s (giving up)\n", __FILE__, __LINE__, #condition);            \
            fflush(stdout);                                                                \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

typedef struct {
    const char *name;
    void (*run)(void);
} test_case;

static inline int count_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* What a test opened is closed at its end. */
static inline void check_descriptors(int before)
{
    for (int i = 0; i < 500 && count_descriptors() != before; i++)
        usleep(1000);   /* A thread that has just been joined may be ending in the kernel still. */
    CHECK(count_descriptors() == before);
}

static inline double seconds_now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static inline int run_tests(const test_case *tests, int count, const char *only)
{
    int passed = 0, failed = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < count; i++) {
        if (only && !strstr(tests[i].name, only))
            continue;
        atomic_store(&failures_here, 0);
        alarm(60);   /* A test that hangs fails. */
        double began = seconds_now();
        int descriptors = count_descriptors();
        tests[i].run();
        check_descriptors(descriptors);
        bool good = atomic_load(&failures_here) == 0;
        printf("%s %s (%.2f s)\n", good ? "ok  " : "FAIL", tests[i].name, seconds_now() - began);
        fflush(stdout);
        good ? passed++ : failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

/* A program of these tests; its first word, if there is one, is part of the names of those to run. */
#define MAIN_WHERE(table, can_run)                                                         \
    int main(int count, char **words)                                                      \
    {                                                                                      \
        int tests_here = (int)(sizeof table / sizeof table[0]);                            \
        if (!(can_run)) {                                                                  \
            printf("0 passed, 0 failed, %d skipped\n", tests_here);                        \
            return 0;                                                                      \
        }                                                                                  \
        return run_tests(table, tests_here, count > 1 ? words[1] : NULL);                  \
    }

#endif
