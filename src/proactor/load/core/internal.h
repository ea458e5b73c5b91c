/* What the files of the generator share. Ownership: `struct load` owns every client, their tables,
 * the noise, and the descriptors; all are made in load_open and go in load_close.
 */
#ifndef PROACTOR_LOAD_INTERNAL_H
#define PROACTOR_LOAD_INTERNAL_H

#include "load.h"

#include <time.h>

enum { STAMP = 8, FRAME = 4, PREFIX = FRAME + STAMP };
enum { STRIDES = 4096, MOST_IN_PROGRESS = 256, GATHERED = 16 };
enum { ARRIVED_SIZE = 256 * 1024, STAGED_SIZE = 32 * 1024 };
enum { HELLO = 0xffffffffu };     /* The number of a greeting in a fan-out. */
enum { TIMER = 0xffffffffu };     /* Stands for the timer where an event bears a client's index. */
enum { SWEEP = 50 * 1000 * 1000 }; /* Nanoseconds between two looks for who is silent. */
enum { HELLO_SWEEPS = 16 };        /* The most sweeps between two greetings of one member. */

enum client_state { CLIENT_WAITS, CLIENT_CONNECTS, CLIENT_GREETS, CLIENT_RUNS, CLIENT_GONE };

struct client {
    int fd; /* -1 before it connects and once it is given up. */
    uint8_t state;
    bool polls_out, is_ready;
    uint32_t inside;         /* Fan-out: bytes of the frame that is arriving. */
    uint64_t sent, received; /* Bytes of the streams, each way; what was received is right. */
    uint64_t begun, done;    /* Messages: the first byte sent; everything awaited has come. */
    uint64_t due;            /* Open loop: messages that the schedule has reached. */
    uint64_t hellos;         /* Messages before number 0. */
    uint64_t news;           /* When something came, or the first of what is awaited was sent. */
    uint64_t *begun_at;      /* When message `n` was begun, or intended, at `n % depth`. */
    uint32_t *awaited;       /* Fan-out: deliveries that message `n` lacks, at `n % depth`. */
    uint32_t *next;          /* Fan-out: the number that is due, by sender. */
    unsigned char prefix[PREFIX]; /* Fan-out: of the frame that is arriving. */
};

struct load {
    struct load_plan plan;
    struct load_counts counts;
    struct load_histogram latencies;
    struct client *clients;
    unsigned char *noise, *arrived, *staged;
    uint32_t framing, head; /* Bytes of the frame's header; of header and stamp in a message. */
    int poller, timer;
    int phase;
    bool holds;        /* Greetings only. */
    bool is_stopped;   /* Nothing more begins. */
    uint32_t to_open, in_progress;
    /* Fan-out: senders that may go on after this batch; a queue in a circle, each once at most. */
    uint32_t *ready, ready_first, ready_count;
    uint64_t budget;   /* Messages that may still begin. */
    uint64_t opened_at, warm_at, patience_ends, next_sweep, timer_at, sweeps;
    uint64_t scheduled_from, scheduled; /* Open loop: when number 0 is due; the next number. */
    double interval;                    /* Nanoseconds between two. */
};

static inline uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static inline uint32_t index_of(const struct load *self, const struct client *client)
{
    return (uint32_t)(client - self->clients);
}

static inline const unsigned char *body_of(const struct load *self, uint32_t sender)
{
    return self->noise + (size_t)sender * 61 % STRIDES;
}

/* A member of a fan-out that only receives. */
static inline bool listens(const struct load *self, const struct client *client)
{
    return self->plan.senders > 0 && index_of(self, client) >= self->plan.senders;
}

/* Nobody is left who could get an answer. */
static inline bool too_few(const struct load *self)
{
    return self->counts.alive < (self->plan.others_only ? 2u : 1u);
}

static inline uint64_t intended_at(const struct load *self, uint64_t number)
{
    return self->scheduled_from + (uint64_t)((double)number * self->interval);
}

/* messages.c: what a stream consists of. */
void build_prefix(const struct load *self, uint32_t sender, uint32_t number, unsigned char *prefix);
ssize_t send_stream(struct load *self, struct client *client, uint64_t limit);
uint64_t matching(const struct load *self, const struct client *client, const unsigned char *bytes,
                  size_t count);
unsigned char byte_at(const struct load *self, const struct client *client, uint64_t position);

/* clients.c: the life of one connection. */
void open_client(struct load *self, struct client *client);
void finish_opening(struct load *self, struct client *client);
void send_messages(struct load *self, struct client *client);
void receive_replies(struct load *self, struct client *client);
void give_up(struct load *self, struct client *client, struct load_failure failure);
void count_reply(struct load *self, uint64_t begun_at, uint64_t at);
void poll_out(struct load *self, struct client *client, bool wanted);

/* fanout.c: frames that everybody gets. */
void fan_in(struct load *self, struct client *client, const unsigned char *bytes, size_t count,
            uint64_t at);
void fan_out_begun(struct load *self, struct client *client, uint64_t message);
uint64_t leave_fan_out(struct load *self, struct client *client);
void serve_ready(struct load *self);
void repeat_hellos(struct load *self);
void begin_fan_out(struct load *self);
void blame_receivers(struct load *self, struct client *sender);

#endif
