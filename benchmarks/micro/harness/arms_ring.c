#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "arms.h"
#include "micro.h"
#include "prep.h"
#include "ring.h"

enum { ON_RECV = 1, ON_SEND = 2, GROUP = 1 };
enum { PIECES = 16, PIECE_BYTES = 64 * 1024, PIECES_GIVEN = 4 };
enum { CLASSICS = 4096, CLASSIC_BYTES = 2048 };

struct ring_arm {
    struct ring ring;
    struct buffers buffers; /* of multishot receives */
    const int *near;
    unsigned connections, size, receive, sends;
    bool is_echo;
    uint8_t *rooms;     /* one shot: two for each connection, used in turns */
    uint8_t *side;      /* one shot: which of them receives */
    uint32_t *holds;    /* of each buffer: sends that read it */
    bool *is_used_up;   /* of each buffer */
    uint16_t *reserve;  /* buffers that are kept back, the last one that came on top */
    unsigned reserved, given, most_given; /* how many, how many the kernel has, and may have */
    uint64_t in_flight; /* sends */
    uint64_t received;
};

/* user_data: the kind, the buffer that a send reads, the connection. */
static uint64_t tag(unsigned kind, unsigned buffer, unsigned connection) {
    return (uint64_t)kind << 56 | (uint64_t)buffer << 32 | connection;
}

static struct uring_sqe *request(struct ring_arm *self) {
    struct uring_sqe *sqe = ring_request(&self->ring);
    if (sqe) return sqe;
    ring_enter(&self->ring, 0, 0); /* The queue is full: let the kernel have it. */
    sqe = ring_request(&self->ring);
    MUST(sqe);
    return sqe;
}

static uint8_t *room_of(const struct ring_arm *self, unsigned connection, unsigned side) {
    return self->rooms + ((size_t)connection * 2 + side) * self->size;
}

static void receive(struct ring_arm *self, unsigned connection) {
    struct uring_sqe *sqe = request(self);
    int fd = self->near[connection];
    if (self->receive == RECEIVE_ONE_SHOT) {
        uint8_t *room = room_of(self, connection, self->side[connection]);
        prep_recv(sqe, fd, room, self->size, 0, tag(ON_RECV, 0, connection));
        prep_poll_first(sqe); /* The last one has emptied the socket, as a rule. */
    } else {
        prep_recv_multishot(sqe, fd, GROUP, tag(ON_RECV, 0, connection));
    }
}

static void open_memory(struct ring_arm *self, const struct arm *arm) {
    bool in_pieces = self->receive == RECEIVE_PIECES;
    if (self->receive == RECEIVE_ONE_SHOT) {
        self->rooms = calloc(self->connections, 2 * (size_t)self->size);
        self->side = calloc(self->connections, 1);
        MUST(self->rooms && self->side);
        return;
    }
    uint32_t count = in_pieces ? PIECES : CLASSICS;
    uint32_t size = in_pieces ? PIECE_BYTES : CLASSIC_BYTES;
    self->most_given = in_pieces ? PIECES_GIVEN : count;
    if (in_pieces && arm->pieces)
        count = arm->pieces, size = arm->piece_bytes, self->most_given = arm->given;
    if (buffers_open(&self->buffers, &self->ring, GROUP, count, size, in_pieces) < 0)
        micro_cannot("the kernel refuses such a group of buffers");
    self->holds = calloc(count, sizeof *self->holds);
    self->is_used_up = calloc(count, sizeof *self->is_used_up);
    self->reserve = calloc(count, sizeof *self->reserve);
    self->given = count;
    MUST(self->holds && self->is_used_up && self->reserve);
}

void *arm_ring_open(const struct arm *arm, const struct work *work, const int *near) {
    struct ring_arm *self = calloc(1, sizeof *self);
    MUST(self);
    self->near = near;
    self->connections = work->connections;
    self->size = work->size;
    self->receive = arm->receive;
    self->is_echo = work->is_echo;
    self->sends = arm->sends;
    if (ring_open(&self->ring, ring_sizes, RING_SIZES, arm->option, 0) < 0)
        micro_cannot("the kernel refuses io_uring");
    MUST(ring_enable(&self->ring) == 0);
    open_memory(self, arm);
    for (unsigned connection = 0; connection < work->connections; connection++)
        receive(self, connection);
    return self;
}

/* The kernel takes buffers in the order in which it got them, and those that were used last are
 * still in the cache. So only some are given, and the last one that came back goes first. */
static void give(struct ring_arm *self, unsigned most) {
    for (; self->reserved && self->given < most; self->given++)
        buffers_give(&self->buffers, self->reserve[--self->reserved]);
}

static void give_if_free(struct ring_arm *self, unsigned buffer) {
    if (!self->is_used_up[buffer] || self->holds[buffer]) return;
    self->is_used_up[buffer] = false;
    self->reserve[self->reserved++] = (uint16_t)buffer;
    give(self, self->most_given);
}

static void echo(struct ring_arm *self, unsigned connection, const uint8_t *bytes, uint32_t size,
                 unsigned buffer) {
    int flags = self->receive == RECEIVE_ONE_SHOT ? MSG_WAITALL : MSG_DONTWAIT;
    if (self->sends == SENDS_INLINE) {
        ssize_t sent = send(self->near[connection], bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        MUST(sent == (ssize_t)size);
        return;
    }
    if (self->receive != RECEIVE_ONE_SHOT) self->holds[buffer]++;
    prep_send(request(self), self->near[connection], bytes, size, flags | MSG_NOSIGNAL,
              tag(ON_SEND, buffer, connection));
    self->in_flight++;
}

static void on_bytes(struct ring_arm *self, const struct uring_cqe *cqe, unsigned connection) {
    uint32_t size = (uint32_t)cqe->res;
    self->received += size;
    if (self->receive == RECEIVE_ONE_SHOT) {
        unsigned side = self->side[connection];
        if (self->is_echo) echo(self, connection, room_of(self, connection, side), size, 0);
        self->side[connection] = !side;
        return;
    }
    uint8_t *bytes;
    uint16_t buffer;
    if (buffers_take(&self->buffers, cqe, &bytes, &buffer)) {
        self->is_used_up[buffer] = true;
        self->given--;
    }
    if (self->is_echo) echo(self, connection, bytes, size, buffer);
    give_if_free(self, buffer);
}

static void on_completion(struct ring_arm *self, const struct uring_cqe *cqe) {
    unsigned connection = (uint32_t)cqe->user_data;
    if (cqe->user_data >> 56 == ON_SEND) {
        unsigned buffer = (cqe->user_data >> 32) & 0xFFFF;
        MUST(cqe->res > 0);
        self->in_flight--;
        if (self->receive == RECEIVE_ONE_SHOT) return;
        self->holds[buffer]--;
        give_if_free(self, buffer);
        return;
    }
    MUST(cqe->res > 0 || cqe->res == -ENOBUFS);
    if (cqe->res == -ENOBUFS && self->reserve) {
        if (self->most_given < CLASSICS) self->most_given *= 2; /* This load wants more. */
        give(self, self->most_given);
    }
    if (cqe->res > 0) on_bytes(self, cqe, connection);
    if (!(cqe->flags & URING_CQE_F_MORE)) receive(self, connection);
}

static uint32_t completions_to_wait_for(const struct ring_arm *self, uint64_t bytes) {
    if (self->sends != SENDS_WAITED_PAST) return 1;
    return (uint32_t)self->in_flight + (self->received < bytes);
}

void arm_ring_turn(void *argument, uint64_t bytes) {
    struct ring_arm *self = argument;
    self->received = 0;
    while (self->received < bytes || self->in_flight) {
        ring_enter(&self->ring, completions_to_wait_for(self, bytes), -1);
        uint32_t ready = ring_ready(&self->ring);
        for (uint32_t index = 0; index < ready; index++)
            on_completion(self, ring_completion(&self->ring, index));
        ring_advance(&self->ring, ready);
        if (self->receive != RECEIVE_ONE_SHOT) buffers_publish(&self->buffers);
    }
}

void arm_ring_close(void *argument) {
    struct ring_arm *self = argument;
    ring_close(&self->ring);
    if (self->receive != RECEIVE_ONE_SHOT) buffers_close(&self->buffers, NULL);
    free(self->rooms);
    free(self->side);
    free(self->holds);
    free(self->is_used_up);
    free(self->reserve);
    free(self);
}

#define RING(words, how, sends)                                                                    \
    {words, arm_ring_open, arm_ring_turn, arm_ring_close, RING_WANTED, how, sends, 0, 0, 0}

const struct arm arm_one_shot = RING("one-shot", RECEIVE_ONE_SHOT, SENDS_SUBMITTED);
const struct arm arm_classic = RING("multishot", RECEIVE_CLASSIC, SENDS_SUBMITTED);
const struct arm arm_pieces = RING("multishot, pieces", RECEIVE_PIECES, SENDS_SUBMITTED);
const struct arm arm_past_sends = RING("past sends", RECEIVE_PIECES, SENDS_WAITED_PAST);
const struct arm arm_inline_sends = RING("inline sends", RECEIVE_PIECES, SENDS_INLINE);
