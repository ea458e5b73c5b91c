/* Streams: connections that a port serves in turns. Whole frames come in, gathered sends go out.
 *
 * A stream's receive is kept going by the reactor; what comes is cut into frames and kept in the
 * inbox; what has no framing and is much at a time waits in the kernel for the turn, if the face wants
 * it so. Not the frame but the stream is queued on the port, as an op of kind PA_TURN, and never
 * twice: one thread at a time serves it, in order. Sends are queued here and leave in as few system
 * calls as they fit in.
 *
 * Who owns what
 *   pa_stream   counted; the face holds one reference, each queued turn, each list of dirty streams,
 *               each group and each receive in a ring one. It has the only reference to its socket.
 *   its owner   the face's, named by the stream. From the start (or a close or abort before it) it
 *               must live until the turn that tells the end, or until it comes out of
 *               pa_engine_take_owed: its port was closed, and no turn is queued or running. Who has
 *               another reference to the stream may come later; the owner is not touched then.
 *   frames      the inbox is malloc'd memory of the stream's; a thread in the turn reads what it has
 *               taken (`pa_stream_take`) without the lock, and nobody else touches that.
 *   pa_shared   bytes of the face's that are sent without a copy; counted. The last release hangs it
 *               in the engine's list of what is owed, since only the face may free what it owns.
 *
 * Lock: that of the stream's socket guards everything in it. Threads: any, but for the functions of
 * a turn, which belong to the thread that took it.
 */
#ifndef PA_STREAMS_H
#define PA_STREAMS_H

#include "core.h"
#include "framing.h"

typedef struct pa_stream pa_stream;
typedef struct pa_group pa_group;

/* Bytes of the face's, sent without a copy. */
typedef struct pa_shared pa_shared;
struct pa_shared {
    atomic_int references;
    bool is_embedded;             /* in the stream that says farewell to its owner */
    void *owner;                  /* the face's; see pa_engine_take_owed */
    pa_shared *next;
};

typedef struct {
    size_t inbox_high, inbox_low;      /* bytes received and not yet delivered */
    size_t send_high, send_low;        /* bytes queued: where the news are told */
    size_t send_bytes;                 /* the cap; an empty queue takes any one packet */
    uint32_t send_packets;
} pa_stream_limits;

/* Why a stream has ended. The order is that of `StreamEnd`. */
typedef enum {
    PA_NOT_ENDED = 0, PA_END_PEER_CLOSED, PA_END_RESET, PA_END_CLOSED, PA_END_ABORTED,
    PA_END_PROTOCOL, PA_END_ERROR,
} pa_stream_end;

/* What a turn has to tell beside frames. The first two are the bits of `StreamNews`. */
enum { PA_DRAINED = 1, PA_ABOVE_HIGH = 2, PA_POSTED_CALLS = 4, PA_UNREAD = 8 };

typedef struct {
    uint64_t bytes_received, frames_received, bytes_sent, packets_sent;
    uint32_t sends, dropped, replaced, refused;
} pa_stream_statistics;

/* Make a stream of `socket`, which is connected and without operations, and whose reference it takes
 * over; `framing` and `limits` are the owner's and must live as long as the owner does. NULL: no
 * memory, and the socket is still the caller's. */
pa_stream *pa_stream_new(pa_socket *socket, pa_port *port, const pa_framing *framing,
                         const pa_stream_limits *limits, void *owner);
void pa_stream_hold(pa_stream *stream);
void pa_stream_release(pa_stream *stream);
/* The owner goes, and its reference: for the others the stream is over, and has none. */
void pa_stream_disown(pa_stream *stream);
/* Receive from now on; 0 or -errno. The owner stays from now on. */
int pa_stream_start(pa_stream *stream);
/* Before the start, of a stream without framing: what comes much at a time stays with the kernel until
 * the turn receives it, by pa_turn_receive, to where it is wanted: not copied, and warm. */
void pa_stream_receive_in_turns(pa_stream *stream);
/* Never used again while the process lives: generation << 32 | slot. */
uint64_t pa_stream_id(const pa_stream *stream);
/* NULL: it is disowned. A turn of it is given up by pa_turn_lost. */
void *pa_stream_owner(const pa_stream *stream);
int pa_stream_fd(const pa_stream *stream);

/* -- sending -- */

enum { PA_NO_KEY = 0 };   /* a key has 63 bits */
typedef enum { PA_QUEUED = 0, PA_FULL = 1, PA_OVER = 2 } pa_send_answer;   /* PA_OVER: it is closing */

/* Queue one packet. `shared` NULL: the bytes are copied; else a reference of it is taken while they
 * are queued. A packet with `key` replaces the one with the same key that is not begun. With `self`
 * in a batch the packet leaves at the end of it (pa_flush_dirty), else now. Takes no GIL. */
pa_send_answer pa_stream_send(pa_stream *stream, pa_thread *self, const void *bytes, size_t length,
                              pa_shared *shared, uint64_t key);
/* Packets this large are worth sharing. */
enum { PA_SHARE_FROM = 512 };
/* Drop packets that are not begun, oldest first, until so much would fit; how many. */
uint32_t pa_stream_drop_oldest(pa_stream *stream, size_t bytes, uint32_t packets);
void pa_stream_flush(pa_stream *stream);

/* The calling thread serves turns of `port` from now on, or no longer: what it queues on any stream
 * waits for the flush. The end flushes all. */
void pa_batch_begin(pa_thread *self, pa_port *port);
void pa_batch_end(pa_thread *self);
/* The thread runs turns, or no longer: of a turn nothing is flushed before its end. */
void pa_batch_in_turn(pa_thread *self, bool in_turn);
/* A turn of the batch is over: what it queued need not wait for the later ones, should they stall. */
void pa_seal_turn(pa_thread *self);
/* What it queued first has waited long enough for company. */
bool pa_is_late(const pa_thread *self);
/* Flush up to `limit` streams that this thread has queued for (0: all); true if some are left. */
bool pa_flush_dirty(pa_thread *self, int limit);

/* -- ending -- */

void pa_stream_close(pa_stream *stream, pa_thread *self);
void pa_stream_abort(pa_stream *stream, pa_stream_end end);
void pa_stream_pause(pa_stream *stream);
void pa_stream_resume(pa_stream *stream);
bool pa_stream_is_paused(const pa_stream *stream);
/* Queue a turn that tells PA_POSTED_CALLS; false if it has ended. */
bool pa_stream_post(pa_stream *stream);

/* -- turns: an op of kind PA_TURN has come out of a port -- */

/* The stream of the turn, whose reference goes to the caller; the op is freed. */
pa_stream *pa_turn_of(pa_op *op);
/* Give up a turn that nobody serves: its port is closed. */
void pa_turn_lost(pa_op *op);
/* What there is to tell; clears it. Then take frames, then end the turn. */
uint32_t pa_turn_begin_serving(pa_stream *stream);
/* Say whether there is a frame to be delivered now. */
bool pa_turn_has_frames(pa_stream *stream);
/* The next frame, in memory that stays until the next call: 1, or 0 if there is none now. A raw
 * stream gives all there is at once. */
int pa_turn_next(pa_stream *stream, const uint8_t **bytes, pa_frame *frame);
/* After PA_UNREAD. How many bytes wait in the kernel, up to `most`; 0 if that is not known. */
size_t pa_turn_unread(pa_stream *stream, size_t most);
/* Receive them: how many; 0 if there is nothing now, or pa_turn_next has it, or at the end. */
size_t pa_turn_receive(pa_stream *stream, void *into, size_t room);
/* So many bytes that the turn received are not delivered yet: the next turn does it. */
void pa_turn_keep(pa_stream *stream, size_t bytes);
/* PA_NOT_ENDED: the turn is over, the next is queued if there is something to do, and the caller's
 * reference is given up. Else, once: everything is delivered and the connection is gone; tell it, and
 * call pa_turn_end_told, which ends the turn. */
pa_stream_end pa_turn_end_serving(pa_stream *stream);
void pa_turn_end_told(pa_stream *stream);

/* -- state -- */

typedef struct {
    size_t inbox_bytes, queued_bytes;
    uint32_t queued_packets;
    bool closing, over;
    int error;                        /* errno of PA_END_ERROR and of a reset */
    int framing_error;                /* of PA_END_PROTOCOL */
    uint64_t framing_detail;
    size_t missing, expected;         /* of a frame unfinished at the FIN: what came of it, and
                                       * its size, 0 if that is not known */
    int64_t last_received, last_sent; /* CLOCK_MONOTONIC, to about a turn of the reactor */
} pa_stream_state;
void pa_stream_state_get(pa_stream *stream, pa_stream_state *out);
void pa_stream_statistics_get(pa_stream *stream, pa_stream_statistics *out);

/* -- what the face owes -- */

pa_shared *pa_shared_new(void *owner);          /* one reference; NULL: no memory */
void pa_shared_release(pa_engine *engine, pa_shared *shared);
/* All whose last reference went, linked by `next`: the caller lets each owner go, having read `next` and
 * freed it by pa_shared_free. */
pa_shared *pa_engine_take_owed(pa_engine *engine);
void pa_shared_free(pa_shared *shared);

/* -- groups: one packet to many -- */

pa_group *pa_group_new(void);
void pa_group_free(pa_group *group);
/* 1: added, 0: it is a member already, -ENOMEM. */
int pa_group_add(pa_group *group, pa_stream *stream);
bool pa_group_discard(pa_group *group, pa_stream *stream);
bool pa_group_has(pa_group *group, pa_stream *stream);
size_t pa_group_count(pa_group *group);   /* those that have not ended */
/* Queue one packet for every member but `exclude`. Members that have ended fall out. `refused` gets
 * those whose queue is full, each with a reference; how many. Where there is no more room in it,
 * nobody else is sent anything: give room for all members. */
size_t pa_group_broadcast(pa_group *group, pa_thread *self, const void *bytes, size_t length,
                          pa_shared *shared, uint64_t key, pa_stream *exclude, pa_stream **refused,
                          size_t room_for_refused);

#endif
