/* Latencies in buckets of about 1.5 %: 64 of them for each power of two nanoseconds, so that one
 * table holds a microsecond and a minute, and recording is two shifts. Owns its table.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { FINE = 64, FINE_BITS = 6, POWERS = 58 };

static uint64_t buckets[FINE * POWERS], recorded, largest;

static unsigned bucket_of(uint64_t value)
{
    if (value < FINE)
        return (unsigned)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value) - FINE_BITS;
    return (power + 1) * FINE + (unsigned)(value >> power) - FINE;
}

static void record(uint64_t nanoseconds)
{
    unsigned bucket = bucket_of(nanoseconds);
    buckets[bucket < FINE * POWERS ? bucket : FINE * POWERS - 1]++;
    recorded++;
    if (nanoseconds > largest)
        largest = nanoseconds;
}

/* The middle of the bucket that `part` of all latencies are not above, in seconds. */
static double quantile(double part)
{
    uint64_t wanted = (uint64_t)(part * (double)recorded), seen = 0;
    for (unsigned i = 0; i < FINE * POWERS; i++) {
        seen += buckets[i];
        if (seen > wanted) {
            if (i < FINE)
                return i / 1e9;
            unsigned power = i / FINE - 1;
            return ((double)((uint64_t)(i % FINE + FINE) << power) + (double)(1ull << power) / 2) /
                   1e9;
        }
    }
    return (double)largest / 1e9;
}

static double longest(void)
{
    return (double)largest / 1e9;
}

#endif
