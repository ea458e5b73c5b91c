/* What a stream sends: queue it, gather it, and say where the peer does not keep up. */
#include "stream_state.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EARLY_BYTES = 32 * 1024,      /* queued in one batch: it leaves before the end of the batch */
    LATE_NS = 500000,             /* how long the first packet of a batch waits for the others */
};

/* -- flushing -- */

/* By the bare calls: those of the C library are points where a thread can be cancelled, which costs. */
static ssize_t send_pieces(int fd, struct iovec *pieces, int count)
{
    if (count == 1)
        return syscall(SYS_sendto, fd, pieces->iov_base, pieces->iov_len,
                       MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    return syscall(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_queued(pa_stream *stream, pa_wakes *wakes)
{
    pa_engine *engine = pa_engine_of(stream);
    struct iovec pieces[PA_IOV_MAX];
    for (size_t moved = 0; stream->queue.count;) {
        if (moved >= PA_TURN_BYTES) {
            /* Others must not starve: go on at the next readiness. The kernel may have room still,
             * of which no edge tells: it is armed anew. */
            stream->blocked = true;
            pa_set_interest(stream->socket, stream->socket->armed & ~(uint32_t)PA_WRITE);
            return;
        }
        int pieces_count = pa_sends_gather(&stream->queue, pieces, PA_IOV_MAX);
        ssize_t count = send_pieces(stream->socket->fd, pieces, pieces_count);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            stream->blocked = true;
            return;
        }
        if (count < 0) {
            pa_stream_fail(stream, errno, wakes);
            return;
        }
        PA_COUNT(engine, bytes_sent, (uint64_t)count);
        moved += (size_t)count;
        stream->counts.bytes_sent += (uint64_t)count;
        stream->counts.sends++;
        stream->counts.packets_sent += pa_sends_advance(&stream->queue, engine, (size_t)count);
        stream->last_sent = pa_recently(engine);
    }
}

/* Tell each crossing of a water mark once. */
static void note_water(pa_stream *stream, pa_wakes *wakes)
{
    size_t bytes = stream->queue.bytes;
    if (!stream->above && bytes > stream->limits->send_high) {
        stream->above = true;
        stream->news |= PA_ABOVE_HIGH;
    } else if (stream->above && bytes <= stream->limits->send_low) {
        stream->above = false;
        stream->news |= PA_DRAINED;
    } else {
        return;
    }
    if (!stream->closing)
        pa_stream_schedule(stream, wakes);
}

void pa_stream_flush_locked(pa_stream *stream, pa_wakes *wakes)
{
    if (stream->over)
        return;   /* Its owner may be gone, and the limits with it. */
    if (stream->queue.count && !stream->blocked && stream->socket->fd >= 0)
        send_queued(stream, wakes);
    note_water(stream, wakes);
    pa_stream_after_flush(stream, wakes);
    pa_stream_watch(stream);
}

void pa_stream_flush(pa_stream *stream)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    pa_stream_flush_locked(stream, &wakes);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
}

/* -- what a thread has queued in its batch of turns -- */

void pa_batch_begin(pa_thread *self, pa_port *port)
{
    if (self->batch == port)
        return;
    if (self->batch)
        pa_port_release(self->batch);
    pa_port_hold(port);
    self->batch = port;
}

/* A port that is closed has nobody come back to it. */
static bool is_in_batch(const pa_thread *self)
{
    return self && self->batch && !atomic_load(&self->batch->closed);
}

void pa_batch_end(pa_thread *self)
{
    pa_flush_dirty(self, 0);
    if (self->batch)
        pa_port_release(self->batch);
    self->batch = NULL;
}

static void remember_dirty(pa_thread *self, pa_stream *stream)
{
    if (stream->dirty)
        return;
    stream->dirty = true;
    pa_stream_hold(stream);
    pa_stream *last = atomic_load_explicit(&self->dirty, memory_order_relaxed);
    if (!last && !atomic_load_explicit(&self->sealed, memory_order_relaxed))
        self->dirty_since = pa_now();
    do
        stream->next_dirty = last;
    while (!atomic_compare_exchange_weak(&self->dirty, &last, stream));
}

void pa_batch_in_turn(pa_thread *self, bool in_turn)
{
    atomic_store_explicit(&self->in_turn, in_turn, memory_order_relaxed);
}

void pa_seal_turn(pa_thread *self)
{
    pa_stream *first = atomic_load_explicit(&self->dirty, memory_order_relaxed);
    if (first)
        first = atomic_exchange(&self->dirty, NULL);
    if (!first)
        return;
    pa_stream *last = first;
    while (last->next_dirty)
        last = last->next_dirty;
    pa_stream *before = atomic_load(&self->sealed);
    do
        last->next_dirty = before;
    while (!atomic_compare_exchange_weak(&self->sealed, &before, first));
}

bool pa_is_late(const pa_thread *self)
{
    return atomic_load_explicit(&self->sealed, memory_order_relaxed)
           && pa_now() - self->dirty_since > LATE_NS;
}

static void flush_dirty(pa_stream *stream)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    stream->dirty = false;
    pa_stream_flush_locked(stream, &wakes);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
    pa_stream_release(stream);
}

static pa_stream *turned_round(pa_stream *dirty)
{
    pa_stream *first = NULL;
    while (dirty) {
        pa_stream *next = dirty->next_dirty;
        dirty->next_dirty = first;
        first = dirty;
        dirty = next;
    }
    return first;
}

void pa_flush_streams(pa_stream *dirty)
{
    pa_stream *stream = turned_round(dirty);
    while (stream) {
        pa_stream *next = stream->next_dirty;
        flush_dirty(stream);
        stream = next;
    }
}

/* Everything that the thread has queued for, in order. */
static pa_stream *all_dirty(pa_thread *self)
{
    pa_seal_turn(self);
    if (!atomic_load_explicit(&self->sealed, memory_order_relaxed))
        return NULL;
    return turned_round(atomic_exchange(&self->sealed, NULL));
}

bool pa_flush_dirty(pa_thread *self, int limit)
{
    /* What is left of the last slice comes first. */
    pa_stream *stream = self->rest_dirty ? self->rest_dirty : all_dirty(self);
    for (int count = 0; stream && (!limit || count < limit); count++) {
        pa_stream *next = stream->next_dirty;
        flush_dirty(stream);
        stream = next ? next : limit ? NULL : all_dirty(self);
    }
    self->rest_dirty = stream;
    return stream || atomic_load_explicit(&self->dirty, memory_order_relaxed)
           || atomic_load_explicit(&self->sealed, memory_order_relaxed);
}

/* -- queueing -- */

static bool fits(const pa_stream *stream, size_t bytes, uint32_t packets)
{
    const pa_send_queue *queue = &stream->queue;
    if (!queue->count)
        return true;
    return queue->bytes + bytes <= stream->limits->send_bytes
           && queue->count + packets <= stream->limits->send_packets;
}

static bool is_gone(const pa_stream *stream)
{
    return stream->closing || stream->over || (stream->end && stream->end != PA_END_PEER_CLOSED);
}

static pa_send_answer queue_packet(pa_stream *stream, const void *bytes, size_t length,
                                   pa_shared *shared, uint64_t key, pa_wakes *wakes)
{
    pa_engine *engine = pa_engine_of(stream);
    if (is_gone(stream))
        return PA_OVER;
    pa_entry *same = key == PA_NO_KEY ? NULL : pa_sends_find(&stream->queue, key);
    if (same) {
        size_t left = stream->queue.bytes - same->length;
        if ((left && left + length > stream->limits->send_bytes)
            || pa_sends_replace(&stream->queue, engine, same, bytes, length, shared) < 0) {
            stream->counts.refused++;
            return PA_FULL;
        }
        stream->counts.replaced++;
        return PA_QUEUED;
    }
    if (!fits(stream, length, 1))
        pa_stream_flush_locked(stream, wakes);   /* Only what the kernel does not take counts. */
    if (is_gone(stream))
        return PA_OVER;   /* So the flush has found. */
    if (!fits(stream, length, 1) || pa_sends_push(&stream->queue, bytes, length, shared, key) < 0) {
        stream->counts.refused++;
        return PA_FULL;
    }
    return PA_QUEUED;
}

pa_send_answer pa_stream_send(pa_stream *stream, pa_thread *self, const void *bytes, size_t length,
                              pa_shared *shared, uint64_t key)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    pa_send_answer answer = queue_packet(stream, bytes, length, shared, key, &wakes);
    if (answer == PA_QUEUED && !stream->blocked && is_in_batch(self)
        && stream->queue.bytes < EARLY_BYTES)
        remember_dirty(self, stream);
    else if (answer == PA_QUEUED)
        pa_stream_flush_locked(stream, &wakes);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
    return answer;
}

uint32_t pa_stream_drop_oldest(pa_stream *stream, size_t bytes, uint32_t packets)
{
    uint32_t count = 0;
    pthread_mutex_lock(&stream->socket->lock);
    while (!fits(stream, bytes, packets)
           && pa_sends_drop_oldest(&stream->queue, pa_engine_of(stream)))
        count++;
    stream->counts.dropped += count;
    pthread_mutex_unlock(&stream->socket->lock);
    return count;
}
