/* Latencies in buckets of about 1.5 %: 64 of them for each power of two nanoseconds, so that one
 * table holds a microsecond and a minute, and recording is two shifts. `histogram.py` has the same
 * buckets, and computes the percentiles of both generators. Owns nothing: the table is the struct.
 */
#ifndef PROACTOR_LOAD_HISTOGRAM_H
#define PROACTOR_LOAD_HISTOGRAM_H

#include <stdint.h>

enum { LOAD_FINE = 64, LOAD_FINE_BITS = 6, LOAD_BUCKETS = LOAD_FINE * 58 };

struct load_histogram {
    uint64_t buckets[LOAD_BUCKETS], recorded, largest;
};

static inline unsigned load_bucket_of(uint64_t value)
{
    if (value < LOAD_FINE)
        return (unsigned)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value) - LOAD_FINE_BITS;
    return (power + 1) * LOAD_FINE + (unsigned)(value >> power) - LOAD_FINE;
}

static inline void load_record(struct load_histogram *self, uint64_t nanoseconds)
{
    unsigned bucket = load_bucket_of(nanoseconds);
    self->buckets[bucket < LOAD_BUCKETS ? bucket : LOAD_BUCKETS - 1]++;
    self->recorded++;
    if (nanoseconds > self->largest)
        self->largest = nanoseconds;
}

#endif
