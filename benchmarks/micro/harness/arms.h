/* The ways of serving connections that are compared: an arm receives, and sends back if it echoes.
 *
 * An arm belongs to the thread that opened it.
 */
#ifndef PROACTOR_ARMS_H
#define PROACTOR_ARMS_H

#include <stdbool.h>
#include <stdint.h>

struct work {
    unsigned connections;
    unsigned active; /* how many of them have a message for the server in one turn */
    unsigned size;   /* bytes of a message */
    bool is_echo;
};

struct arm {
    const char *name;
    /* Serve the descriptors `near` from now on; they stay the caller's. */
    void *(*open)(const struct arm *arm, const struct work *work, const int *near);
    /* Serve until `bytes` more have been received, and sent back if it echoes. */
    void (*turn)(void *self, uint64_t bytes);
    void (*close)(void *self);
    uint32_t option;  /* of a ring: its flags of setup */
    unsigned receive; /* of a ring: a word of RECEIVE_* */
    unsigned sends;   /* of a ring: a word of SENDS_* */
    /* Of RECEIVE_PIECES: the pool, and how many of it the kernel has at a time; 0: as usual. */
    unsigned pieces, piece_bytes, given;
};

/* Readiness: epoll_wait, and for each descriptor recv, and send. */
extern const struct arm arm_epoll;

enum {
    RECEIVE_ONE_SHOT, /* one RECV a message, into memory of the connection's; SENDs that may wait */
    RECEIVE_CLASSIC,  /* a multishot RECV, a buffer of 2 KiB for each completion */
    RECEIVE_PIECES,   /* a multishot RECV, large buffers used up in pieces; SENDs do not wait */
};

enum {
    SENDS_SUBMITTED, /* as requests, in the next enter; their completions end its wait */
    /* A send with MSG_DONTWAIT has always completed when the enter that submits it begins to wait.
     * So this one waits for as many completions more, and sleeps until something is received. */
    SENDS_WAITED_PAST,
    SENDS_INLINE, /* by a system call each, while the completions are looked at */
};

/* The functions of a ring's arm, for tables of other flags. */
void *arm_ring_open(const struct arm *arm, const struct work *work, const int *near);
void arm_ring_turn(void *self, uint64_t bytes);
void arm_ring_close(void *self);

/* Rings as the engine opens them: SINGLE_ISSUER | DEFER_TASKRUN. */
extern const struct arm arm_one_shot, arm_classic, arm_pieces, arm_past_sends, arm_inline_sends;

#endif
