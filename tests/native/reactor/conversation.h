/* What the face does for a stream, in C: it owns it, serves its turns, and notes what was told.
 *
 * Each rule of the contract that a turn can break is checked in run_turn: never two at once, nothing
 * after the end, the end once. */
#ifndef PA_CONVERSATION_H
#define PA_CONVERSATION_H

#include "harness.h"
#include "stream_state.h"

/* What the engine owes: released by whoever takes it. The first member of all that it points to. */
typedef struct {
    atomic_int paid;
} owned;

typedef struct conversation conversation;
struct conversation {
    owned owned;
    pa_stream *stream;             /* a reference */
    int peer;                      /* the other end; -1: closed */
    pa_framing framing;
    pa_stream_limits limits;
    int frames_a_turn;             /* 0: all */
    size_t room;                   /* what a turn that receives itself has; 0: much */
    bool holds_back;               /* it keeps what it received for a later turn */
    void (*on_frame)(conversation *c, pa_thread *self, const uint8_t *bytes, size_t length);
    void *context;
    /* What was told. */
    uint8_t *got;                  /* owned; the bodies one behind the other, if `keeps` */
    bool keeps;
    size_t got_bytes, got_room;
    uint8_t *kept;                 /* owned */
    size_t kept_bytes;
    uint64_t seed, wrong;          /* of `check_pattern` */
    atomic_int serving;
    atomic_ullong bytes, frames, turns, receiving_turns;
    atomic_int above, drained, posts, ends;
    _Atomic pa_stream_end end;
};

static inline uint8_t pattern(uint64_t seed, size_t position)
{
    return (uint8_t)((position * 2654435761u >> 11) + seed * 37);
}

static inline void fill_pattern(uint8_t *into, size_t count, uint64_t seed, size_t position)
{
    for (size_t i = 0; i < count; i++)
        into[i] = pattern(seed, position + i);
}

/* An on_frame: what comes is the pattern of c->seed, on and on. */
__attribute__((unused)) static void check_pattern(conversation *c, pa_thread *self,
                                                  const uint8_t *bytes, size_t length)
{
    size_t position = atomic_load(&c->bytes);
    (void)self;
    for (size_t i = 0; i < length; i++)
        c->wrong += bytes[i] != pattern(c->seed, position + i);
}

static inline void note_frame(conversation *c, pa_thread *self, const uint8_t *bytes, size_t length)
{
    if (c->keeps) {
        if (c->got_bytes + length > c->got_room) {
            c->got_room = (c->got_bytes + length) * 2;
            c->got = realloc(c->got, c->got_room);
        }
        if (length)
            memcpy(c->got + c->got_bytes, bytes, length);
        c->got_bytes += length;
    }
    if (c->on_frame)
        c->on_frame(c, self, bytes, length);
    atomic_fetch_add(&c->bytes, length);
    atomic_fetch_add(&c->frames, 1);
}

static inline void give_kept(conversation *c, pa_thread *self, pa_stream *stream)
{
    note_frame(c, self, c->kept, c->kept_bytes);
    free(c->kept);
    c->kept = NULL;
    c->kept_bytes = 0;
    pa_turn_keep(stream, 0);
}

static inline void receive_in_turn(conversation *c, pa_stream *stream)
{
    size_t room = pa_turn_unread(stream, c->room ? c->room : 256 * 1024);
    CHECK(!c->kept);
    c->kept = malloc(room ? room : 1);
    c->kept_bytes = pa_turn_receive(stream, c->kept, room ? room : 1);
    pa_turn_keep(stream, c->kept_bytes);
    atomic_fetch_add(&c->receiving_turns, c->kept_bytes > 0);
    if (!c->kept_bytes) {
        free(c->kept);
        c->kept = NULL;
    }
}

static inline void run_turn(pa_op *op, pa_thread *self)
{
    const uint8_t *bytes;
    pa_frame frame;
    conversation *c = pa_stream_owner(op->owner);
    if (!c) {
        pa_turn_lost(op);
        return;
    }
    pa_stream *stream = pa_turn_of(op);
    CHECK(atomic_exchange(&c->serving, 1) == 0);
    CHECK(atomic_load(&c->ends) == 0);
    atomic_fetch_add(&c->turns, 1);
    uint32_t news = pa_turn_begin_serving(stream);
    if (news & PA_ABOVE_HIGH)
        atomic_fetch_add(&c->above, 1);
    if (news & PA_DRAINED)
        atomic_fetch_add(&c->drained, 1);
    if (news & PA_POSTED_CALLS)
        atomic_fetch_add(&c->posts, 1);
    if (news & PA_UNREAD)
        receive_in_turn(c, stream);
    if (c->kept && !c->holds_back && !pa_stream_is_paused(stream))
        give_kept(c, self, stream);
    for (int left = c->frames_a_turn ? c->frames_a_turn : 1 << 30; left; left--) {
        if (!pa_turn_next(stream, &bytes, &frame))
            break;
        note_frame(c, self, bytes + frame.body_offset, frame.body_length);
    }
    atomic_store(&c->serving, 0);
    pa_stream_end end = pa_turn_end_serving(stream);
    if (end == PA_NOT_ENDED)
        return;
    atomic_store(&c->end, end);
    CHECK(atomic_fetch_add(&c->ends, 1) == 0);
    pa_turn_end_told(stream);
}

/* One batch of turns as `serve` of the face runs it; how many, or what pa_port_wait said. Other
 * packets are freed. */
static inline int serve_turns(pa_port *port, pa_thread *self, int64_t timeout)
{
    bool interrupted;
    int served = 0;
    pa_op *op;
    pa_flush_dirty(self, 0);
    int count = pa_port_wait(port, self, pa_thread_hand(self), PA_HAND, timeout, &interrupted);
    if (count <= 0)
        return count;
    pa_batch_begin(self, port);
    while ((op = pa_hand_next(self))) {
        if (op->kind == PA_TURN)
            run_turn(op, self);
        else
            free(op);
        served++;
        pa_seal_turn(self);
    }
    pa_flush_dirty(self, 0);
    return served;
}

/* A thread that serves until the port is closed. */
__attribute__((unused)) static void *serve_until_closed(void *argument)
{
    world *w = argument;
    pa_thread *self = pa_thread_new();
    while (serve_turns(w->port, self, -1) >= 0)
        continue;
    pa_batch_end(self);
    pa_thread_free(self);
    return NULL;
}

/* Serve until it is so; fail after ten seconds. */
#define UNTIL(w, condition)                                                                \
    do {                                                                                   \
        int64_t deadline_ = pa_now() + 10 * SECOND;                                        \
        while (!(condition) && pa_now() < deadline_)                                       \
            serve_turns((w)->port, (w)->self, 2 * MS);                                     \
        CHECK(condition);                                                                  \
    } while (0)

/* The same where other threads serve. */
#define WAIT_FOR(condition)                                                                \
    do {                                                                                   \
        int64_t deadline_ = pa_now() + 20 * SECOND;                                        \
        while (!(condition) && pa_now() < deadline_)                                       \
            usleep(500);                                                                   \
        CHECK(condition);                                                                  \
    } while (0)

static inline int pay_owed(pa_engine *engine)
{
    int count = 0;
    for (pa_shared *shared = pa_engine_take_owed(engine), *next; shared; shared = next, count++) {
        next = shared->next;
        atomic_fetch_add(&((owned *)shared->owner)->paid, 1);
        pa_shared_free(shared);
    }
    return count;
}

static inline pa_stream_limits usual_limits(void)
{
    return (pa_stream_limits){.inbox_high = 256 * 1024, .inbox_low = 64 * 1024,
                              .send_high = 256 * 1024, .send_low = 64 * 1024,
                              .send_bytes = 1 << 20, .send_packets = 16384};
}

/* Four bytes of length, little-endian, then the body. */
static inline pa_framing length_framing(uint32_t max_frame)
{
    return (pa_framing){.kind = PA_LENGTH_FRAMING, .max_frame = max_frame, .length_bytes = 4,
                        .strip = 4};
}

/* Over a descriptor of the caller's, which it takes over; not started. */
static inline conversation *converse_over(world *w, int fd, int peer, const pa_framing *framing,
                                          const pa_stream_limits *limits)
{
    conversation *c = calloc(1, sizeof *c);
    c->peer = peer;
    c->limits = limits ? *limits : usual_limits();
    if (framing)
        c->framing = *framing;
    pa_socket *socket = pa_socket_new(w->engine, fd, PA_CONNECTED, NULL);
    MUST(socket);
    c->stream = pa_stream_new(socket, w->port, framing ? &c->framing : NULL, &c->limits, c);
    MUST(c->stream);
    return c;
}

static inline conversation *converse_idle(world *w, const pa_framing *framing,
                                          const pa_stream_limits *limits)
{
    int client, server;
    tcp_pair(&client, &server);
    return converse_over(w, server, client, framing, limits);
}

static inline conversation *converse(world *w, const pa_framing *framing,
                                     const pa_stream_limits *limits)
{
    conversation *c = converse_idle(w, framing, limits);
    CHECK(pa_stream_start(c->stream) == 0);
    return c;
}

static inline void hang_up(conversation *c)
{
    if (c->peer >= 0)
        close(c->peer);
    c->peer = -1;
}

/* The face lets go. */
static inline void forget(conversation *c)
{
    hang_up(c);
    pa_stream_disown(c->stream);
    free(c->got);
    free(c->kept);
    free(c);
}

/* Abort if it has not ended; serve until the end is told; let go. */
static inline void finish(world *w, conversation *c)
{
    if (!atomic_load(&c->ends))
        pa_stream_abort(c->stream, PA_END_ABORTED);
    UNTIL(w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->owned.paid) == 0);   /* Either told or lost, never both. */
    forget(c);
}

static inline void send_all(int fd, const void *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t count = send(fd, (const char *)bytes + at, length - at, MSG_NOSIGNAL);
        MUST(count > 0);
        at += (size_t)count;
    }
}

static inline size_t put_frame(uint8_t *into, const void *body, uint32_t length)
{
    memcpy(into, &length, 4);
    memcpy(into + 4, body, length);
    return 4 + length;
}

static inline pa_send_answer send_text(conversation *c, pa_thread *self, const char *text)
{
    return pa_stream_send(c->stream, self, text, strlen(text), NULL, PA_NO_KEY);
}

static inline pa_stream_state state_of(conversation *c)
{
    pa_stream_state state;
    pa_stream_state_get(c->stream, &state);
    return state;
}

static inline pa_stream_statistics counts_of(conversation *c)
{
    pa_stream_statistics counts;
    pa_stream_statistics_get(c->stream, &counts);
    return counts;
}

/* The peer reads just `text`; "": nothing is there. */
static inline bool reads(conversation *c, const char *text)
{
    char got[64];
    size_t length = strlen(text);
    struct pollfd ready = {.fd = c->peer, .events = POLLIN};
    if (length && poll(&ready, 1, 5000) != 1)
        return false;
    ssize_t count = recv(c->peer, got, sizeof got, MSG_DONTWAIT);
    return length ? count == (ssize_t)length && memcmp(got, text, length) == 0 : count < 0;
}

/* Read to the end of the stream; how many bytes, or -errno. */
static inline ssize_t read_to_the_end(int fd, uint8_t *into, size_t room)
{
    size_t at = 0;
    for (;;) {
        ssize_t count = recv(fd, into + at, room - at, 0);
        if (count < 0)
            return -errno;
        if (count == 0)
            return (ssize_t)at;
        at += (size_t)count;
    }
}

#endif
