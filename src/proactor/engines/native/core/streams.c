/* The life of a stream: begin, turns, and the ways to end. */
#include "stream_state.h"

#include <stdlib.h>
#include <unistd.h>

/* -- making and counting -- */

pa_stream *pa_stream_new(pa_socket *socket, pa_port *port, const pa_framing *framing,
                         const pa_stream_limits *limits, void *owner)
{
    pa_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    atomic_init(&stream->references, 1);
    stream->socket = socket;
    stream->parting_fd = -1;
    stream->framing = framing;
    stream->limits = limits;
    stream->farewell.owner = owner;
    stream->farewell.is_embedded = true;
    atomic_init(&stream->farewell.references, 1);
    stream->last_received = stream->last_sent = pa_now();
    /* Last: who goes through the table finds it whole. */
    if (!pa_pool_enter(&socket->engine->pool, stream)) {
        free(stream);
        return NULL;
    }
    pthread_mutex_lock(&socket->lock);
    socket->stream = stream;
    pa_port_hold(port);
    atomic_store(&socket->port, port);
    pthread_mutex_unlock(&socket->lock);
    return stream;
}

void pa_stream_hold(pa_stream *stream)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
}

void pa_stream_release(pa_stream *stream)
{
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    pa_socket *socket = stream->socket;
    pa_engine *engine = socket->engine;
    pa_pool_leave(&engine->pool, stream);
    /* The reactor may be serving it this moment, or name the socket in a batch that it is about to
     * serve: it has no reference to the stream, but the lock. */
    pthread_mutex_lock(&socket->lock);
    socket->stream = NULL;
    pa_close_descriptor(socket);
    pthread_mutex_unlock(&socket->lock);
    pa_inbox_clear(&stream->inbox, &engine->pool.chunks);
    pa_inbox_clear(&stream->taken, &engine->pool.chunks);
    pa_sends_clear(&stream->queue, engine);
    pa_socket_release(socket);
    free(stream);
}

uint64_t pa_stream_id(const pa_stream *stream) { return stream->id; }
void *pa_stream_owner(const pa_stream *stream) { return stream->farewell.owner; }
int pa_stream_fd(const pa_stream *stream) { return pa_socket_fd(stream->socket); }

size_t pa_stream_inbox_bytes(const pa_stream *stream)
{
    return stream->inbox.whole - stream->inbox.begin + stream->taken_bytes;
}

/* -- watching -- */

bool pa_stream_wants_to_read(const pa_stream *stream)
{
    if (!stream->started || stream->eof || atomic_load(&stream->over))
        return false;
    if (stream->closing)
        return !stream->end;
    return !stream->end && !stream->paused && !stream->full;
}

/* Have told what the stream waits for; an errno, negative, if the kernel has no room to. */
static int watch(pa_stream *stream)
{
    bool reads = pa_stream_wants_to_read(stream);
    bool by_ring = pa_uring_receives(stream);
    if (by_ring ? reads != stream->ring_armed : stream->ring_armed)
        pa_uring_ask(stream);
    /* Never both at once: the bytes would come in two orders. */
    uint32_t wanted = (reads && !by_ring && !stream->ring_armed ? PA_READ | PA_EDGE : 0)
                      | (stream->blocked ? PA_WRITE : 0);
    int error = stream->socket->fd >= 0 ? pa_set_interest(stream->socket, wanted) : 0;
    return wanted ? error : 0;
}

/* Where it cannot be watched any more it would wait for ever: it ends, and says why. */
void pa_stream_watch(pa_stream *stream)
{
    pa_wakes wakes = {0};
    int error = watch(stream);
    if (error < 0)
        pa_stream_fail(stream, -error, &wakes);
    pa_wake_all(&wakes);
}

/* A receive is in the ring, which holds the file open: a close alone would not let the peer know. Nor
 * may the number be free yet. The request may not be submitted, and would receive then what belongs
 * to the next file of that number. It ends by what is done here; then the descriptor is closed. */
static void part(pa_stream *stream, bool reset)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    int fd = stream->socket->fd;
    int error = reset ? connect(fd, &nowhere, sizeof nowhere) : shutdown(fd, SHUT_RDWR);
    pa_set_interest(stream->socket, 0);
    stream->parting_fd = atomic_exchange(&stream->socket->fd, -1);
    if (error)
        pa_uring_ask(stream);   /* Nothing ends it by itself: it is cancelled. */
}

/* Let the peer know now. */
static void end_connection(pa_stream *stream, bool reset)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    int fd = stream->socket->fd;
    if (fd < 0)
        return;
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (stream->ring_armed)
        part(stream, reset);
    else
        pa_close_descriptor(stream->socket);
}

/* Nothing goes in or out any more: the descriptor is closed, what is queued is dropped. */
void pa_stream_leave(pa_stream *stream, bool reset)
{
    stream->counts.dropped += pa_sends_clear(&stream->queue, pa_engine_of(stream));
    stream->blocked = false;
    stream->eof = true;
    end_connection(stream, reset);
}

/* -- the reactor's news -- */

void pa_stream_serve(pa_stream *stream, uint32_t ready, pa_wakes *wakes)
{
    if (ready & PA_WRITE && stream->blocked) {
        stream->blocked = false;
        pa_stream_flush_locked(stream, wakes);
    }
    /* Not what is armed only for writing: the ring receives for it. */
    if (ready & PA_READ & stream->socket->armed && pa_stream_wants_to_read(stream)
        && !(!(ready & PA_ENDING) && pa_stream_leaves_unread(stream, wakes))
        && !pa_stream_receive(stream, ready & PA_ENDING, wakes))
        pa_set_interest(stream->socket, 0);   /* There is more: armed again, it is told again. */
    pa_stream_watch(stream);
}

void pa_stream_fail(pa_stream *stream, int number, pa_wakes *wakes)
{
    if (stream->over || stream->socket->fd < 0)
        return;   /* It has left before, and why is known. */
    bool reset = number == ECONNRESET || number == EPIPE;
    stream->error = (int16_t)number;
    if (stream->closing && reset && !stream->end)
        stream->end = PA_END_CLOSED;   /* Both were going; there is nobody to hear the rest. */
    if (!stream->end || stream->end == PA_END_PEER_CLOSED)
        stream->end = reset ? PA_END_RESET : PA_END_ERROR;
    pa_stream_leave(stream, false);
    pa_stream_schedule(stream, wakes);
}

/* The queue may be empty now: go on with what waited for that. */
void pa_stream_after_flush(pa_stream *stream, pa_wakes *wakes)
{
    if (stream->queue.count || stream->over)
        return;
    if (stream->closing && !stream->end) {
        if (!stream->fin_sent && stream->socket->fd >= 0)
            shutdown(stream->socket->fd, SHUT_WR);
        stream->fin_sent = true;
        if (stream->eof)
            stream->end = PA_END_CLOSED;
    }
    if (pa_stream_is_finished(stream))
        pa_stream_schedule(stream, wakes);
}

/* -- what the owner asks for -- */

int pa_stream_start(pa_stream *stream)
{
    pa_engine *engine = pa_engine_of(stream);
    pthread_mutex_lock(&stream->socket->lock);
    stream->started = true;
    /* Closed before now, perhaps before this stream was in the table: nobody else looks for it. */
    if (atomic_load(&atomic_load(&stream->socket->port)->closed))
        pa_stream_lose(stream);
    int error = watch(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    if (!error)
        pa_backup_note(engine);
    return error;
}

void pa_stream_close(pa_stream *stream, pa_thread *self)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    if (!stream->closing && !stream->over) {
        stream->closing = stream->started = true;
        stream->paused = stream->full = false;
        if (stream->end == PA_END_PEER_CLOSED)
            stream->end = PA_NOT_ENDED;   /* It is not told yet, and this side closes as well. */
        pa_inbox_clear(&stream->inbox, &pa_engine_of(stream)->pool.chunks);
        /* What this thread has queued in its batch leaves at the end of it, then the FIN. */
        if (!(self && self->batch && stream->dirty))
            pa_stream_flush_locked(stream, &wakes);
        pa_stream_watch(stream);
    } else if (stream->lost) {
        stream->started = true;
        pa_stream_let_owner_go(stream);
    }
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
}

void pa_stream_abort(pa_stream *stream, pa_stream_end end)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    if (!stream->over) {
        /* Nothing more is delivered; how it ended may be known already. */
        stream->closing = stream->started = true;
        pa_inbox_clear(&stream->inbox, &pa_engine_of(stream)->pool.chunks);
        if (stream->end != PA_END_RESET && stream->end != PA_END_ERROR)
            stream->end = end;
        pa_stream_leave(stream, true);
        pa_stream_schedule(stream, &wakes);
    } else if (stream->lost) {
        stream->started = true;
        pa_stream_let_owner_go(stream);
    }
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
}

void pa_stream_pause(pa_stream *stream)
{
    pthread_mutex_lock(&stream->socket->lock);
    stream->paused = true;
    pa_stream_watch(stream);
    pthread_mutex_unlock(&stream->socket->lock);
}

void pa_stream_resume(pa_stream *stream)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    stream->paused = false;
    if (pa_stream_has_frames(stream) || pa_stream_is_finished(stream))
        pa_stream_schedule(stream, &wakes);
    pa_stream_watch(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
}

bool pa_stream_post(pa_stream *stream)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    bool alive = !stream->over;
    if (alive) {
        stream->news |= PA_POSTED_CALLS;
        pa_stream_schedule(stream, &wakes);
        alive = !stream->over;
    }
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
    return alive;
}

/* -- telling -- */

void pa_stream_state_get(pa_stream *stream, pa_stream_state *out)
{
    pthread_mutex_lock(&stream->socket->lock);
    *out = (pa_stream_state){
        .inbox_bytes = pa_stream_inbox_bytes(stream),
        .queued_bytes = stream->queue.bytes,
        .queued_packets = stream->queue.count,
        .closing = stream->closing,
        .over = stream->over,
        .error = stream->error,
        .framing_error = stream->framing_error,
        .framing_detail = stream->framing_detail,
        .missing = stream->missing,
        .expected = stream->need,
        .last_received = stream->last_received,
        .last_sent = stream->last_sent,
    };
    pthread_mutex_unlock(&stream->socket->lock);
}

void pa_stream_statistics_get(pa_stream *stream, pa_stream_statistics *out)
{
    pthread_mutex_lock(&stream->socket->lock);
    *out = stream->counts;
    pthread_mutex_unlock(&stream->socket->lock);
}
