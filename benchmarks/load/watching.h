/* What is asked about a process: this one, or the server under measurement. Linux tells the CPU
 * time of any process by a clock of its own, to the nanosecond.
 */
#ifndef WATCHING_H
#define WATCHING_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *tried)
{
    perror(tried);
    exit(1);
}

/* Seconds of CPU time that all threads of `pid` have used; 0 where there is no such process. */
static double cpu_of(int pid)
{
    clockid_t clock;
    struct timespec used;
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Bytes of memory that `pid` has in use; 0 where that is not told. */
static long memory_of(int pid)
{
    char path[64];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = pid > 0 ? fopen(path, "r") : NULL;
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

#endif
