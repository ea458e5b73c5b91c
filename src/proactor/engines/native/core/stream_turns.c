/* Turns: who serves a stream when. Idle, queued, running, and back; never queued twice.
 *
 * Also what becomes of a stream whose port is closed, since then no turn comes any more.
 */
#include "stream_state.h"

#include <stdlib.h>

bool pa_stream_has_frames(const pa_stream *stream)
{
    return !stream->closing && !stream->paused
           && (stream->has_taken || stream->inbox.begin < stream->inbox.whole
               || (stream->unread && pa_stream_wants_to_read(stream)));
}

/* The end can be told: everything before it is delivered, and sent where that was promised. */
bool pa_stream_is_finished(const pa_stream *stream)
{
    if (!stream->end || stream->over)
        return false;
    if (stream->end == PA_END_PEER_CLOSED && stream->queue.count)
        return false;
    return stream->closing
           || (!stream->has_taken && stream->inbox.begin == stream->inbox.whole);
}

/* The engine lets go of what it has lost: once, and not while a turn is queued or running, whose
 * thread finds the owner by the stream. */
void pa_stream_let_owner_go(pa_stream *stream)
{
    bool is_due = stream->lost && stream->started && stream->farewell.owner;
    if (stream->said_farewell || !is_due || stream->turn != PA_TURN_IDLE)
        return;
    stream->said_farewell = true;
    pa_shared_release(pa_engine_of(stream), &stream->farewell);
}

/* Nobody will serve it: its port is closed. */
void pa_stream_lose(pa_stream *stream)
{
    if (!stream->over) {
        stream->over = stream->lost = true;
        stream->closing = true;
        pa_stream_leave(stream, false);
    }
    pa_stream_let_owner_go(stream);
}

/* The last reference may just have gone, in a thread that waits for the lock to free the stream. */
bool pa_stream_hold_if_alive(pa_stream *stream)
{
    int count = atomic_load(&stream->references);
    while (count > 0)
        if (atomic_compare_exchange_weak(&stream->references, &count, count + 1))
            return true;
    return false;
}

/* There is no memory for its turn: the reactor tries again at its next look. */
static void note_due(pa_stream *stream, pa_wakes *wakes)
{
    pa_engine *engine = pa_engine_of(stream);
    atomic_store(&engine->pool.turns_due, true);
    pa_watch(engine, wakes);
}

void pa_stream_schedule(pa_stream *stream, pa_wakes *wakes)
{
    if (stream->turn == PA_TURN_RUNNING)
        stream->again = true;
    if (stream->turn != PA_TURN_IDLE || stream->over)
        return;
    pa_op *op = malloc(sizeof *op);
    stream->turn_due = !op;
    if (!op) {
        note_due(stream, wakes);
        return;
    }
    op->kind = PA_TURN;
    op->owner = stream;
    op->result_flags = 0;
    if (!pa_stream_hold_if_alive(stream)) {
        free(op);
        return;
    }
    stream->turn = PA_TURN_QUEUED;
    if (pa_port_push(atomic_load(&stream->socket->port), op, false, wakes))
        return;
    free(op);
    stream->turn = PA_TURN_IDLE;
    /* Not the last one, while its owner is not told that it is lost: after that, it may be. */
    atomic_fetch_sub_explicit(&stream->references, 1, memory_order_release);
    pa_stream_lose(stream);
}

pa_stream *pa_turn_of(pa_op *op)
{
    pa_stream *stream = op->owner;
    free(op);
    return stream;
}

void pa_turn_lost(pa_op *op)
{
    pa_stream *stream = pa_turn_of(op);
    pthread_mutex_lock(&stream->socket->lock);
    stream->turn = PA_TURN_IDLE;
    pa_stream_lose(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_stream_release(stream);
}

void pa_stream_disown(pa_stream *stream)
{
    pthread_mutex_lock(&stream->socket->lock);
    stream->farewell.owner = NULL;
    pa_stream_lose(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_stream_release(stream);
}

/* The stream of the first slot from `*slot` on that has one, with a reference; NULL: there is none. */
static pa_stream *next_alive(pa_stream_pool *pool, uint32_t *slot)
{
    pa_stream *found = NULL;
    pthread_mutex_lock(&pool->lock);
    while (!found && *slot < pool->used) {
        pa_stream *stream = pool->streams[(*slot)++];
        if (stream && pa_stream_hold_if_alive(stream))
            found = stream;
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

void pa_streams_lose_port(pa_engine *engine, pa_port *port)
{
    pa_stream *stream;
    for (uint32_t slot = 0; (stream = next_alive(&engine->pool, &slot)); pa_stream_release(stream)) {
        if (atomic_load(&stream->socket->port) != port)
            continue;
        pthread_mutex_lock(&stream->socket->lock);
        pa_stream_lose(stream);
        pthread_mutex_unlock(&stream->socket->lock);
    }
}

bool pa_streams_schedule_due(pa_engine *engine)
{
    if (!atomic_load_explicit(&engine->pool.turns_due, memory_order_relaxed))
        return false;
    atomic_store(&engine->pool.turns_due, false);   /* Before it looks: who fails now sets it again. */
    pa_wakes wakes = {0};
    pa_stream *stream;
    for (uint32_t slot = 0; (stream = next_alive(&engine->pool, &slot)); pa_stream_release(stream)) {
        pthread_mutex_lock(&stream->socket->lock);
        if (stream->turn_due)
            pa_stream_schedule(stream, &wakes);
        pthread_mutex_unlock(&stream->socket->lock);
    }
    pa_wake_all(&wakes);
    return true;
}

/* The turn says, with the lock held, how much of what it has taken is left; receive again if it is
 * little. */
static void note_taken(pa_stream *stream)
{
    stream->taken_bytes = stream->taken.whole - stream->taken.begin + stream->kept_bytes;
    stream->has_taken = stream->taken_bytes > 0;
    if (stream->full && pa_stream_inbox_bytes(stream) <= stream->limits->inbox_low) {
        stream->full = false;
        pa_stream_watch(stream);
    }
}

void pa_stream_refill(pa_stream *stream)
{
    pa_chunks *chunks = &pa_engine_of(stream)->pool.chunks;
    if (stream->taken.begin < stream->taken.whole || stream->closing || stream->paused
        || stream->inbox.begin == stream->inbox.whole)
        return;
    pa_inbox_clear(&stream->taken, chunks);
    pa_inbox_take(&stream->inbox, chunks, &stream->taken);
    note_taken(stream);
}

uint32_t pa_turn_begin_serving(pa_stream *stream)
{
    pthread_mutex_lock(&stream->socket->lock);
    uint32_t news = stream->news;
    stream->news = 0;
    stream->again = false;
    stream->turn = PA_TURN_RUNNING;
    if (stream->closing)
        news &= PA_POSTED_CALLS;
    pa_stream_refill(stream);
    if (stream->unread && !stream->has_taken)
        news |= PA_UNREAD;
    pthread_mutex_unlock(&stream->socket->lock);
    return news;
}

bool pa_turn_has_frames(pa_stream *stream)
{
    return stream->taken.begin < stream->taken.whole;
}

bool pa_stream_is_paused(const pa_stream *stream)
{
    return atomic_load_explicit(&stream->paused, memory_order_relaxed);
}

int pa_turn_next(pa_stream *stream, const uint8_t **bytes, pa_frame *frame)
{
    pa_inbox *taken = &stream->taken;
    size_t seen = 0;
    uint64_t detail;
    if (taken->begin == taken->whole)
        return 0;   /* What has come meanwhile is for the next turn. */
    *bytes = taken->bytes + taken->begin;
    if (!stream->framing) {
        frame->total = frame->body_length = taken->whole - taken->begin;
        frame->body_offset = 0;
    } else if (pa_frame_next(stream->framing, *bytes, taken->whole - taken->begin, &seen, frame,
                             &detail) != 1) {
        return 0;   /* Not possible: it was whole when it was received. */
    }
    taken->begin += (uint32_t)frame->total;
    return 1;
}

static void end_turn(pa_stream *stream, pa_wakes *wakes)
{
    stream->turn = PA_TURN_IDLE;
    if (stream->again || stream->news || pa_stream_has_frames(stream) || pa_stream_is_finished(stream))
        pa_stream_schedule(stream, wakes);
    pa_stream_let_owner_go(stream);
}

/* Let go of what is read, now: who reads it last has it in its caches. */
static void settle_taken(pa_stream *stream)
{
    if (stream->closing)
        stream->kept_bytes = 0;
    if (stream->closing || stream->taken.begin == stream->taken.whole)
        pa_inbox_clear(&stream->taken, &pa_engine_of(stream)->pool.chunks);
    note_taken(stream);
}

pa_stream_end pa_turn_end_serving(pa_stream *stream)
{
    pa_wakes wakes = {0};
    pa_stream_end end = PA_NOT_ENDED;
    pthread_mutex_lock(&stream->socket->lock);
    settle_taken(stream);
    if (stream->end == PA_END_PEER_CLOSED && !stream->paused && !pa_stream_has_frames(stream)) {
        stream->closing = true;   /* What is queued is the last that the peer gets. */
        pa_stream_flush_locked(stream, &wakes);
    }
    if (pa_stream_is_finished(stream)) {
        end = stream->end;
        stream->over = true;
        pa_stream_leave(stream, end == PA_END_PROTOCOL);
    } else {
        end_turn(stream, &wakes);
    }
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
    if (end == PA_NOT_ENDED)
        pa_stream_release(stream);
    return end;
}

void pa_turn_end_told(pa_stream *stream)
{
    pthread_mutex_lock(&stream->socket->lock);
    stream->turn = PA_TURN_IDLE;
    pthread_mutex_unlock(&stream->socket->lock);
    pa_stream_release(stream);
}
