/* The load generator without an interpreter: what a caller may ask. Nothing here knows of Python.
 *
 * One thread drives one `struct load`, in slices: `load_run` returns when its time is over or the
 * phase changes, and the caller looks at `phase`, `counts` and `latencies` between two of them.
 *
 * The rules of the traffic, which the generator in Python (`load/pure`) keeps as well:
 * - What a connection sends is one stream of messages of one size. A message is a frame header (not
 *   in LOAD_ECHO), a stamp (number, sender; cut off if the message ends before) and a slice of one
 *   table of noise that begins elsewhere for each sender. Nothing is generated for a message.
 * - A connection's first message is a greeting: who is connected need not be accepted yet. It is
 *   compared and not measured.
 * - LOAD_FANOUT: greetings bear the number HELLO, are sent again until somebody has seen them, and
 *   may come to anybody. Then each member awaits each frame of each, in the order of its sender.
 *   Where only some send, who has got a greeting is known to be a member.
 * - A connection that does wrong is given up and counted under its failure; the others go on.
 */
#ifndef PROACTOR_LOAD_H
#define PROACTOR_LOAD_H

#include "histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { LOAD_ECHO, LOAD_FRAMED, LOAD_FANOUT };
enum { LOAD_OPENING, LOAD_WARMUP, LOAD_MEASURE, LOAD_DRAIN, LOAD_DONE };

/* Why a connection was given up. `failures.py` has the words. */
enum {
    LOAD_REFUSED,  /* It could not be opened: `number` is the errno. */
    LOAD_CLOSED,   /* The server closed it, or reset it: `number` is the errno, or 0. */
    LOAD_WRONG,    /* A byte differs: at `position` of the stream, `expected`, `got`. */
    LOAD_SURPLUS,  /* More came than was sent, from `position` on. */
    LOAD_SILENT,   /* No reply within the time-out; `number` messages are without one. */
    LOAD_SKIPPED,  /* Fan-out: `got` of `sender` came where `expected` was due. */
    LOAD_REPEATED, /* Fan-out: `got` of `sender` came again; `expected` was due. */
    LOAD_FAILURES
};

struct load_plan {
    int kind;
    uint32_t connections, depth, size;
    uint32_t senders;  /* Fan-out, closed loop: the first so many send, the rest listen; 0: all. Only
                        * the program of the benchmarks asks for it. */
    uint16_t id;       /* Of each frame. */
    bool big_endian;   /* The frame's header. */
    bool others_only;  /* Fan-out: the server leaves the sender out. */
    bool resets;       /* End with a reset: no port is left in TIME_WAIT. */
    bool holds;        /* All wait for the last greeting; a fan-out must. */
    double rate;       /* Messages a second in all; 0: a closed loop. */
    uint64_t messages; /* Begun after the greetings, then it ends; 0: by time alone. */
    uint64_t duration, warmup, ramp, timeout; /* Nanoseconds. */
    struct sockaddr_storage address;
    socklen_t address_length;
};

struct load_failure {
    int kind;
    uint32_t connection, sender;
    uint64_t position; /* Of the stream of replies: bytes before it are right. */
    uint64_t expected, got, number;
};

enum { LOAD_FIRST_FAILURES = 16 };

struct load_counts {
    uint64_t messages;    /* Replies (fan-out: deliveries) within the measured time. */
    uint64_t replies;     /* The same from the beginning on, greetings included. */
    uint64_t sent;        /* Messages begun within the measured time. */
    uint64_t unsent;      /* Open loop: intended within the measured time, and never begun. */
    uint64_t missing;     /* Replies that silent and closed connections still owed. */
    uint64_t outstanding; /* Replies awaited now. */
    uint64_t began, ended; /* The measured time, by the monotonic clock; 0: not yet. */
    uint32_t opened;         /* Connections, at any time. */
    uint32_t alive, greeted; /* Opened or about to be, and not given up; of these, answered. */
    uint64_t failed[LOAD_FAILURES]; /* Connections. */
    struct load_failure first[LOAD_FIRST_FAILURES];
};

struct load;

/* NULL with errno set if there is not enough memory or no epoll. The plan is copied. */
struct load *load_open(const struct load_plan *plan);
/* Drive it for at most `nanoseconds`, or until the phase changes; the phase. */
int load_run(struct load *self, uint64_t nanoseconds);
/* Nothing more begins; what is in flight is awaited, for `patience` nanoseconds at most. */
void load_stop(struct load *self, uint64_t patience);
int load_phase(const struct load *self);
const struct load_counts *load_counts(const struct load *self);         /* Lives as long as self. */
const struct load_histogram *load_latencies(const struct load *self);   /* Likewise. */
void load_close(struct load *self); /* Resets the connections that are left; frees everything. */

#endif
