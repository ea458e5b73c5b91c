/* What a stream receives: read it, keep it, cut it into frames, and stop where the inbox is full. */
#include "stream_state.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An unfinished frame that lacks this much is received in place. */
enum { IN_PLACE_FROM = 8192 };

/* A stream that brings this much at once is not worth a copy out of the ring's buffers; so it is until
 * it brings little several times in a row. */
enum { BULKY_FROM = 16384, LEAN_BELOW = 4096, LEAN_AT_MOST = 32 };

/* Mark what is whole now. A broken frame ends the stream, once what came before it is delivered. */
static void cut(pa_stream *stream)
{
    pa_inbox *inbox = &stream->inbox;
    size_t seen = stream->seen;
    pa_frame frame;
    if (!stream->framing) {
        stream->counts.frames_received++;
        inbox->whole = inbox->end;
        return;
    }
    while (inbox->whole < inbox->end) {
        int answer = pa_frame_next(stream->framing, inbox->bytes + inbox->whole,
                                   inbox->end - inbox->whole, &seen, &frame,
                                   &stream->framing_detail);
        stream->seen = (uint32_t)seen;
        if (answer == 0) {
            stream->need = (uint32_t)frame.total;
            return;
        }
        if (answer < 0) {
            stream->framing_error = (int8_t)answer;
            stream->end = PA_END_PROTOCOL;
            inbox->end = inbox->whole;
            return;
        }
        seen = stream->seen = stream->need = 0;
        stream->counts.frames_received++;
        inbox->whole += (uint32_t)frame.total;
    }
}

/* Of bytes without a framing it tells as much that they pile up: the ring's buffers may be small. */
static bool is_much(const pa_stream *stream, size_t count)
{
    return count + (stream->framing ? 0 : pa_inbox_size(&stream->inbox)) >= BULKY_FROM;
}

static void become_bulky(pa_stream *stream)
{
    stream->bulky = true;
    stream->lean_receives = stream->full_buffers = 0;
}

static void note_bytes(pa_stream *stream, size_t count)
{
    pa_engine *engine = pa_engine_of(stream);
    PA_COUNT(engine, bytes_received, count);
    stream->counts.bytes_received += count;
    stream->last_received = pa_recently(engine);
    if (is_much(stream, count)) {
        become_bulky(stream);
    } else if (stream->bulky && count < LEAN_BELOW && ++stream->lean_receives == LEAN_AT_MOST) {
        stream->bulky = false;
        stream->lean_receives = 0;
    }
}

/* Where one receive is one buffer of the ring's, several full ones in a row tell that much is there. */
void pa_stream_note_buffer(pa_stream *stream, size_t size, bool is_full)
{
    enum { MOST = 63 };
    if (stream->bulky)
        return;
    stream->full_buffers = !is_full ? 0 : stream->full_buffers < MOST ? stream->full_buffers + 1 : MOST;
    if (stream->full_buffers * size >= BULKY_FROM)
        become_bulky(stream);
}

/* The serving lock is held, too. */
static void note_received(pa_stream *stream, size_t count)
{
    pa_engine_of(stream)->pool.batch_bytes += count;
    note_bytes(stream, count);
}

/* Something whole is there, or the end. */
static void tell(pa_stream *stream, pa_wakes *wakes)
{
    bool deliverable = stream->inbox.whole > stream->inbox.begin && !stream->paused;
    if (deliverable || stream->end)
        pa_stream_schedule(stream, wakes);
}

/* What came lies in the engine's scratch, which is given to the inbox where it is much. */
static bool keep(pa_stream *stream, size_t count)
{
    pa_stream_pool *pool = &pa_engine_of(stream)->pool;
    if (count >= PA_KEEP_CHUNK_FROM && !pa_inbox_size(&stream->inbox)) {
        pa_inbox_adopt(&stream->inbox, &pool->chunks, pool->scratch, count);
        pool->scratch = NULL;
        return true;
    }
    return pa_inbox_append(&stream->inbox, &pool->chunks, pool->scratch, count, stream->need);
}

/* How much of an unfinished frame can be received behind what is there already. */
static size_t room_in_place(pa_stream *stream)
{
    pa_inbox *inbox = &stream->inbox;
    size_t there = inbox->end - inbox->whole;
    if (!there || stream->need < there + IN_PLACE_FROM)
        return 0;
    if (!pa_inbox_reserve(inbox, &pa_engine_of(stream)->pool.chunks,
                          stream->need + (inbox->whole - inbox->begin)))
        return 0;
    size_t room = inbox->capacity - inbox->end, lacking = stream->need - there;
    return room < lacking ? room : lacking;
}

static ssize_t read_some(pa_stream *stream, size_t in_place)
{
    pa_stream_pool *pool = &pa_engine_of(stream)->pool;
    int fd = stream->socket->fd;
    struct iovec pieces[2] = {{stream->inbox.bytes + stream->inbox.end, in_place},
                              {pool->scratch, PA_CHUNK}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t count;
    do
        count = in_place ? syscall(SYS_recvmsg, fd, &message, MSG_DONTWAIT)
                         : syscall(SYS_recvfrom, fd, pool->scratch, PA_CHUNK, MSG_DONTWAIT, NULL, NULL);
    while (count < 0 && errno == EINTR);
    return count;
}

void pa_stream_peer_is_done(pa_stream *stream, pa_wakes *wakes)
{
    if (stream->socket->fd < 0)
        return;   /* It has left before. */
    stream->eof = true;
    stream->missing = stream->inbox.end - stream->inbox.whole;
    if (!stream->closing && !stream->end)
        stream->end = PA_END_PEER_CLOSED;
    pa_stream_after_flush(stream, wakes);   /* It may have waited for this. */
    tell(stream, wakes);
}

/* What has come is in the inbox: cut it, and tell. */
static void take_in(pa_stream *stream, pa_wakes *wakes)
{
    cut(stream);
    stream->full = pa_stream_inbox_bytes(stream) > stream->limits->inbox_high;
    tell(stream, wakes);
}

/* Copy what somebody else has received. */
void pa_stream_feed(pa_stream *stream, const uint8_t *bytes, size_t count, pa_wakes *wakes)
{
    note_received(stream, count);
    if (stream->closing || stream->end)
        return;
    if (pa_inbox_append(&stream->inbox, &pa_engine_of(stream)->pool.chunks, bytes, count,
                        stream->need))
        take_in(stream, wakes);
    else
        pa_stream_fail(stream, ENOMEM, wakes);   /* The bytes are lost: so is the stream. */
}

/* Read once; what the kernel still has after it: nothing, perhaps more, or an end that is told. */
typedef enum { NOTHING_MORE, PERHAPS_MORE, AT_THE_END } what_is_left;

static what_is_left receive_once(pa_stream *stream, pa_wakes *wakes)
{
    pa_stream_pool *pool = &pa_engine_of(stream)->pool;
    if (!pool->scratch && !(pool->scratch = pa_chunks_take(&pool->chunks)))
        return PERHAPS_MORE;   /* No memory now. */
    size_t in_place = stream->closing ? 0 : room_in_place(stream);
    ssize_t count = read_some(stream, in_place);
    if (count < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return NOTHING_MORE;
        pa_stream_fail(stream, errno, wakes);
        return AT_THE_END;
    }
    if (count == 0) {
        pa_stream_peer_is_done(stream, wakes);
        return AT_THE_END;
    }
    note_received(stream, (size_t)count);
    what_is_left left = (size_t)count == in_place + PA_CHUNK ? PERHAPS_MORE : NOTHING_MORE;
    if (stream->closing)
        return left;   /* Nobody wants it any more; read so that the FIN can come. */
    size_t placed = (size_t)count < in_place ? (size_t)count : in_place;
    stream->inbox.end += (uint32_t)placed;
    if ((size_t)count > placed && !keep(stream, (size_t)count - placed)) {
        pa_stream_fail(stream, ENOMEM, wakes);   /* The bytes are lost: so is the stream. */
        return AT_THE_END;
    }
    take_in(stream, wakes);
    return left;
}

/* Read what has come. Edges tell it once, so all of it, or the caller must have it told again: then
 * this is false. A read that is short has emptied the socket; only an end may be behind it, of which
 * there is no edge any more where it came with the data: `to_the_end` says that one is there.
 *
 * Called with the engine's serving lock held, which guards the scratch. */
bool pa_stream_receive(pa_stream *stream, bool to_the_end, pa_wakes *wakes)
{
    for (int round = 0; round < 4; round++) {
        what_is_left left = receive_once(stream, wakes);
        if (left == AT_THE_END || (left == NOTHING_MORE && !to_the_end))
            return true;
        if (!pa_stream_wants_to_read(stream))
            return true;   /* When it does again it is armed again, and told. */
    }
    return false;
}

/* -- in the turn -- */

void pa_stream_receive_in_turns(pa_stream *stream)
{
    stream->in_turns = !stream->framing;
}

/* Not behind what the inbox has already: the order is that of their coming. */
static bool is_left_to_turns(const pa_stream *stream)
{
    return stream->in_turns && !stream->closing && stream->inbox.begin == stream->inbox.end;
}

bool pa_stream_leaves_unread(pa_stream *stream, pa_wakes *wakes)
{
    if (!stream->bulky || !is_left_to_turns(stream))
        return false;
    stream->unread = true;
    pa_stream_schedule(stream, wakes);
    return true;
}

static size_t unread_by(int fd)
{
    int count = 0;
    return fd < 0 || ioctl(fd, FIONREAD, &count) < 0 || count < 0 ? 0 : (size_t)count;
}

size_t pa_turn_unread(pa_stream *stream, size_t most)
{
    size_t count = unread_by(pa_socket_fd(stream->socket));
    return count < most ? count : most;
}

static ssize_t receive_into(pa_stream *stream, void *into, size_t room)
{
    ssize_t count;
    do
        count = syscall(SYS_recvfrom, stream->socket->fd, into, room, MSG_DONTWAIT, NULL, NULL);
    while (count < 0 && errno == EINTR);
    return count;
}

size_t pa_turn_receive(pa_stream *stream, void *into, size_t room)
{
    pa_wakes wakes = {0};
    ssize_t count = 0;
    pthread_mutex_lock(&stream->socket->lock);
    /* Not what the ring receives for by now: the bytes would come in two orders. */
    if (stream->unread && stream->socket->armed & PA_READ && pa_stream_wants_to_read(stream)
        && is_left_to_turns(stream)) {
        count = receive_into(stream, into, room);
        if (count > 0) {
            note_bytes(stream, (size_t)count);
            stream->counts.frames_received++;
        } else if (count == 0) {
            pa_stream_peer_is_done(stream, &wakes);
        } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
            pa_stream_fail(stream, errno, &wakes);
        }
    }
    if (count <= 0)
        pa_stream_refill(stream);   /* The reactor was faster: it has seen an end. */
    /* What comes from now on is told by an edge; of what did not fit no edge tells. */
    stream->unread = count == (ssize_t)room && unread_by(stream->socket->fd);
    if (!stream->bulky && !stream->unread)
        pa_stream_watch(stream);
    pthread_mutex_unlock(&stream->socket->lock);
    pa_wake_all(&wakes);
    return count > 0 ? (size_t)count : 0;
}

void pa_turn_keep(pa_stream *stream, size_t bytes)
{
    pthread_mutex_lock(&stream->socket->lock);
    stream->kept_bytes = (uint32_t)bytes;
    pthread_mutex_unlock(&stream->socket->lock);
}
