/* The life of a stream: begin, turns, and the ways to end. */
#include "stream_state.h"

#include <stdlib.h>
#include <unistd.h>

/* -- the pool of an engine: chunks, what is owed, and the table of all streams -- */

void pa_pool_open(pa_stream_pool *pool)
{
    pa_chunks_open(&pool->chunks);
    pthread_mutex_init(&pool->lock, NULL);
}

void pa_pool_close(pa_stream_pool *pool)
{
    free(pool->scratch);
    free(pool->streams);
    pa_chunks_close(&pool->chunks);
    pthread_mutex_destroy(&pool->lock);
}

static bool enter_table(pa_stream_pool *pool, pa_stream *stream)
{
    pthread_mutex_lock(&pool->lock);
    uint32_t slot = 0;
    if (pool->spare_count) {
        slot = pool->spare[--pool->spare_count];
    } else {
        if (pool->used == pool->capacity) {
            uint32_t capacity = pool->capacity ? pool->capacity * 2 : 64;
            /* One allocation: the streams, then the numbers of the slots that are free. */
            pa_stream **streams = malloc(capacity * (sizeof *streams + sizeof *pool->spare));
            if (!streams) {
                pthread_mutex_unlock(&pool->lock);
                return false;
            }
            for (uint32_t i = 0; i < pool->used; i++)
                streams[i] = pool->streams[i];
            free(pool->streams);
            pool->streams = streams;
            pool->spare = (uint32_t *)(streams + capacity);
            pool->capacity = capacity;
        }
        slot = pool->used++;
    }
    pool->streams[slot] = stream;
    stream->id = ++pool->serial << 32 | slot;
    pthread_mutex_unlock(&pool->lock);
    return true;
}

static void leave_table(pa_stream_pool *pool, pa_stream *stream)
{
    uint32_t slot = (uint32_t)stream->id;
    pthread_mutex_lock(&pool->lock);
    pool->streams[slot] = NULL;
    pool->spare[pool->spare_count++] = slot;
    pthread_mutex_unlock(&pool->lock);
}

pa_shared *pa_shared_new(void *owner)
{
    pa_shared *shared = malloc(sizeof *shared);
    if (shared) {
        atomic_init(&shared->references, 1);
        shared->owner = owner;
    }
    return shared;
}

void pa_shared_release(pa_engine *engine, pa_shared *shared)
{
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1)
        return;
    pa_shared *first = atomic_load_explicit(&engine->pool.owed, memory_order_relaxed);
    do
        shared->next = first;
    while (!atomic_compare_exchange_weak(&engine->pool.owed, &first, shared));
}

pa_shared *pa_engine_take_owed(pa_engine *engine)
{
    if (!atomic_load_explicit(&engine->pool.owed, memory_order_relaxed))
        return NULL;
    return atomic_exchange(&engine->pool.owed, NULL);
}

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
    stream->owner = owner;
    stream->last_received = stream->last_sent = pa_now();
    stream->farewell = pa_shared_new(owner);
    /* Last: who goes through the table finds it whole. */
    if (!stream->farewell || !enter_table(&socket->engine->pool, stream)) {
        free(stream->farewell);
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
    leave_table(&engine->pool, stream);
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
    free(stream->farewell);
    free(stream);
}

uint64_t pa_stream_id(const pa_stream *stream) { return stream->id; }
void *pa_stream_owner(const pa_stream *stream) { return stream->owner; }
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

void pa_stream_watch(pa_stream *stream)
{
    bool reads = pa_stream_wants_to_read(stream);
    bool by_ring = pa_uring_receives(stream);
    if (by_ring ? reads != stream->ring_armed : stream->ring_armed)
        pa_uring_ask(stream);
    /* Never both at once: the bytes would come in two orders. */
    uint32_t wanted = (reads && !by_ring && !stream->ring_armed ? PA_READ | PA_EDGE : 0)
                      | (stream->blocked ? PA_WRITE : 0);
    if (stream->socket->fd >= 0 && pa_set_interest(stream->socket, wanted) < 0 && wanted)
        stream->error = ENOMEM;   /* The kernel has no memory to watch one more: rare, and loud. */
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

/* -- turns -- */

static bool has_frames(const pa_stream *stream)
{
    return !stream->closing && !stream->paused
           && (stream->has_taken || stream->inbox.begin < stream->inbox.whole);
}

/* The end can be told: everything before it is delivered, and sent where that was promised. */
static bool is_finished(const pa_stream *stream)
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
static void let_owner_go(pa_stream *stream)
{
    pa_shared *farewell = stream->farewell;
    bool is_due = stream->lost && stream->started && stream->owner;
    if (!farewell || !is_due || stream->turn != PA_TURN_IDLE)
        return;
    stream->farewell = NULL;
    pa_shared_release(pa_engine_of(stream), farewell);
}

/* Nobody will serve it: its port is closed. */
static void lose(pa_stream *stream)
{
    if (!stream->over) {
        stream->over = stream->lost = true;
        stream->closing = true;
        pa_stream_leave(stream, false);
    }
    let_owner_go(stream);
}

/* The last reference may just have gone, in a thread that waits for the lock to free the stream. */
static bool hold_if_alive(pa_stream *stream)
{
    int count = atomic_load(&stream->references);
    while (count > 0)
        if (atomic_compare_exchange_weak(&stream->references, &count, count + 1))
            return true;
    return false;
}

void pa_stream_schedule(pa_stream *stream, pa_wakes *wakes)
{
    if (stream->turn == PA_TURN_RUNNING)
        stream->again = true;
    if (stream->turn != PA_TURN_IDLE || stream->over)
        return;
    pa_op *op = malloc(sizeof *op);
    if (!op)
        return;   /* The next thing that comes tries again. */
    op->kind = PA_TURN;
    op->owner = stream;
    op->result_flags = 0;
    if (!hold_if_alive(stream)) {
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
    lose(stream);
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
    lose(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_stream_release(stream);
}

void pa_stream_disown(pa_stream *stream)
{
    pthread_mutex_lock(&stream->socket->lock);
    stream->owner = NULL;
    lose(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_stream_release(stream);
}

void pa_streams_lose_port(pa_engine *engine, pa_port *port)
{
    pa_stream_pool *pool = &engine->pool;
    pthread_mutex_lock(&pool->lock);
    uint32_t used = pool->used;
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t slot = 0; slot < used; slot++) {
        pthread_mutex_lock(&pool->lock);
        pa_stream *stream = pool->streams[slot];
        bool alive = stream && hold_if_alive(stream);
        pthread_mutex_unlock(&pool->lock);
        if (!alive)
            continue;
        if (atomic_load(&stream->socket->port) == port) {
            pthread_mutex_lock(&stream->socket->lock);
            lose(stream);
            pthread_mutex_unlock(&stream->socket->lock);
        }
        pa_stream_release(stream);
    }
}

/* The turn says, with the lock held, how much of what it has taken is left. */
static void note_taken(pa_stream *stream)
{
    stream->taken_bytes = stream->taken.whole - stream->taken.begin;
    stream->has_taken = stream->taken_bytes > 0;
}

/* Take what the reactor has put into the inbox; the lock is held. */
static void refill(pa_stream *stream)
{
    pa_chunks *chunks = &pa_engine_of(stream)->pool.chunks;
    if (stream->taken.begin < stream->taken.whole || stream->closing || stream->paused
        || stream->inbox.begin == stream->inbox.whole)
        return;
    pa_inbox_clear(&stream->taken, chunks);
    pa_inbox_take(&stream->inbox, chunks, &stream->taken);
    note_taken(stream);
    if (stream->full && pa_stream_inbox_bytes(stream) <= stream->limits->inbox_low) {
        stream->full = false;
        pa_stream_watch(stream);
    }
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
    refill(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    return news;
}

bool pa_turn_has_frames(pa_stream *stream)
{
    return stream->taken.begin < stream->taken.whole;
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
    if (stream->again || stream->news || has_frames(stream) || is_finished(stream))
        pa_stream_schedule(stream, wakes);
    let_owner_go(stream);
}

/* Let go of what is read, now: who reads it last has it in its caches. */
static void settle_taken(pa_stream *stream)
{
    if (stream->closing || stream->taken.begin == stream->taken.whole)
        pa_inbox_clear(&stream->taken, &pa_engine_of(stream)->pool.chunks);
    note_taken(stream);
    if (stream->full && pa_stream_inbox_bytes(stream) <= stream->limits->inbox_low) {
        stream->full = false;
        pa_stream_watch(stream);
    }
}

pa_stream_end pa_turn_end_serving(pa_stream *stream)
{
    pa_wakes wakes = {0};
    pa_stream_end end = PA_NOT_ENDED;
    pthread_mutex_lock(&stream->socket->lock);
    settle_taken(stream);
    if (stream->end == PA_END_PEER_CLOSED && stream->queue.count && !has_frames(stream))
        pa_stream_flush_locked(stream, &wakes);
    if (is_finished(stream)) {
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

/* -- the reactor's news -- */

void pa_stream_serve(pa_stream *stream, uint32_t ready, pa_wakes *wakes)
{
    if (ready & PA_WRITE && stream->blocked) {
        stream->blocked = false;
        pa_stream_flush_locked(stream, wakes);
    }
    /* Not what is armed only for writing: the ring receives for it. */
    if (ready & PA_READ & stream->socket->armed && pa_stream_wants_to_read(stream)
        && !pa_stream_receive(stream, ready & PA_ENDING, wakes))
        pa_set_interest(stream->socket, 0);   /* There is more: armed again, it is told again. */
    pa_stream_watch(stream);
}

void pa_stream_fail(pa_stream *stream, int number, pa_wakes *wakes)
{
    if (stream->over || stream->socket->fd < 0)
        return;   /* It has left before, and why is known. */
    bool reset = number == ECONNRESET || number == EPIPE;
    stream->error = number;
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
    if (is_finished(stream))
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
        lose(stream);
    pa_stream_watch(stream);
    int error = stream->error;
    pthread_mutex_unlock(&stream->socket->lock);
    if (!error)
        pa_backup_note(engine);
    return -error;
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
        let_owner_go(stream);
    }
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
}

void pa_stream_abort(pa_stream *stream, pa_stream_end end)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&stream->socket->lock);
    if (!stream->over) {
        stream->closing = stream->started = true;
        if (stream->end != PA_END_RESET && stream->end != PA_END_ERROR) {
            stream->end = end;
            pa_stream_leave(stream, true);
        }
        pa_stream_schedule(stream, &wakes);   /* Also what it waits to be asked for in a pause. */
    } else if (stream->lost) {
        stream->started = true;
        let_owner_go(stream);
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
    if (has_frames(stream) || is_finished(stream))
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
