/* A stream as its own files see it. */
#ifndef PA_STREAM_STATE_H
#define PA_STREAM_STATE_H

#include "internal.h"   /* Before any system header. */

#include "inbox.h"
#include "send_queue.h"
#include "streams.h"

typedef enum { PA_TURN_IDLE, PA_TURN_QUEUED, PA_TURN_RUNNING } pa_turn_state;

/* An idle one is all that most of them are most of the time: wide fields first, no holes. */
struct pa_stream {
    atomic_int references;
    int parting_fd;                /* the ring's: given up, but closed with the receive that names it */
    pa_socket *socket;             /* the only reference to it */
    const pa_framing *framing;     /* the owner's; NULL: raw */
    const pa_stream_limits *limits;
    pa_shared farewell;            /* owed to its owner when the engine's reference goes */
    uint64_t id;
    pa_inbox inbox;
    pa_inbox taken;                /* the turn's alone */
    uint32_t seen, need;           /* of the unfinished frame: looked at, and in all if known */
    pa_send_queue queue;
    pa_stream *next_dirty;
    int64_t last_received, last_sent;
    pa_stream_statistics counts;
    uint64_t framing_detail;
    pa_stream *next_asked;         /* the ring's */
    uint32_t missing;
    uint32_t taken_bytes;          /* taken and not delivered, as the turn last said */
    uint32_t kept_bytes;           /* received by a turn, and kept by the face; likewise */
    int16_t error;                 /* errno */
    int8_t framing_error;
    uint8_t turn, news, end;
    bool again;                    /* something came while a turn was running */
    bool has_taken;                /* taken_bytes are more than none */
    bool started;
    atomic_bool paused;            /* not receiving, at the owner's wish */
    bool full;                     /* not receiving, since the inbox is full */
    bool eof, closing, fin_sent;
    atomic_bool over;                   /* the end is told, or nobody is there to tell it to */
    bool lost;                          /* and it is the latter */
    bool blocked;                  /* the kernel takes no more: waiting for room to write */
    bool above;                    /* PA_ABOVE_HIGH is told, PA_DRAINED is due */
    bool said_farewell;
    bool dirty;                    /* in some thread's list of streams to be flushed */
    /* Of the io_uring driver: */
    bool ring_armed;               /* a receive is in the ring, with a reference */
    bool ring_cancelled;           /* and it was asked to end */
    bool ring_asked;               /* in the driver's list, with a reference */
    bool bulky;                    /* so much comes at once that it is received in place */
    uint8_t lean_receives : 6;     /* how many in a row brought little although it is bulky */
    uint8_t full_buffers : 6;      /* how many of the ring's came full in a row */
    bool in_turns : 1;             /* the turn may receive what is bulky */
    bool unread : 1;               /* and has to: something has come */
    bool turn_due : 1;             /* it wants a turn for which there was no memory */
    bool ring_heard;               /* the ring's: it has received since the last look for missed ends */
};

/* Everything below: the socket's lock is held. */

static inline pa_engine *pa_engine_of(const pa_stream *stream) { return stream->socket->engine; }

/* stream_pool.c; no lock is held */
bool pa_pool_enter(pa_stream_pool *pool, pa_stream *stream);
void pa_pool_leave(pa_stream_pool *pool, pa_stream *stream);
/* stream_turns.c */
void pa_stream_schedule(pa_stream *stream, pa_wakes *wakes);
bool pa_stream_has_frames(const pa_stream *stream);    /* to be delivered now */
bool pa_stream_is_finished(const pa_stream *stream);   /* the end can be told */
void pa_stream_refill(pa_stream *stream);              /* the turn takes what the inbox has */
bool pa_stream_hold_if_alive(pa_stream *stream);       /* no lock, but the pool's */
void pa_stream_lose(pa_stream *stream);                /* its port is closed */
void pa_stream_let_owner_go(pa_stream *stream);
/* streams.c */
void pa_stream_fail(pa_stream *stream, int number, pa_wakes *wakes);
void pa_stream_after_flush(pa_stream *stream, pa_wakes *wakes);
void pa_stream_watch(pa_stream *stream);
void pa_stream_leave(pa_stream *stream, bool reset);
size_t pa_stream_inbox_bytes(const pa_stream *stream);
bool pa_stream_wants_to_read(const pa_stream *stream);
/* stream_receives.c */
bool pa_stream_receive(pa_stream *stream, bool to_the_end, pa_wakes *wakes);
void pa_stream_feed(pa_stream *stream, const uint8_t *bytes, size_t count, pa_wakes *wakes);
void pa_stream_note_buffer(pa_stream *stream, size_t size, bool is_full);   /* the ring's */
void pa_stream_peer_is_done(pa_stream *stream, pa_wakes *wakes);
bool pa_stream_leaves_unread(pa_stream *stream, pa_wakes *wakes);   /* true: a turn receives */
/* stream_sends.c */
void pa_stream_flush_locked(pa_stream *stream, pa_wakes *wakes);

#endif
