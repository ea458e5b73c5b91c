/* Threads that post packets to one port, and threads that take them: what the port costs alone. */
#ifndef PROACTOR_POSTING_H
#define PROACTOR_POSTING_H

#include <stdint.h>

struct posting {
    unsigned producers, workers;
    unsigned concurrency;  /* of the port */
    unsigned packets;      /* in all, a multiple of `producers` */
};

struct posted {
    double seconds;        /* from the first post to the last packet taken */
    uint64_t batches;      /* waits that brought packets */
    uint64_t sleeps;       /* how often a worker's thread gave its CPU up: futex or epoll */
    uint64_t writes;       /* of the eventfd, to wake a worker that sleeps in the reactor */
};

/* Post and take everything once, on an engine of its own. */
struct posted post_and_take(const struct posting *posting);

#endif
