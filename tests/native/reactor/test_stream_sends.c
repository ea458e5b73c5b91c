/* A stream sends: the cap, water marks, keys, batches; and how it is closed and aborted. */
#include "conversation.h"

enum { MEGABYTE = 1 << 20 };

static const uint8_t zeros[4 * MEGABYTE];

/* Room in the kernel for little, so that a stream blocks soon. */
static conversation *converse_narrowly(world *w, const pa_stream_limits *limits)
{
    int client, server, small = 16384;
    tcp_pair(&client, &server);
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    conversation *c = converse_over(w, server, client, NULL, limits);
    CHECK(pa_stream_start(c->stream) == 0);
    return c;
}

/* Send until the kernel takes no more: something stays queued. */
static void block(conversation *c)
{
    for (int i = 0; i < 2000 && !state_of(c).queued_bytes; i++)
        CHECK(pa_stream_send(c->stream, NULL, zeros, 16384, NULL, PA_NO_KEY) == PA_QUEUED);
    CHECK(state_of(c).queued_bytes > 0);
}

typedef struct {
    int fd;
    uint8_t *bytes;                /* owned */
    size_t room;
    ssize_t count;
} reader;

static void *read_all(void *argument)
{
    reader *r = argument;
    r->bytes = malloc(r->room);
    r->count = read_to_the_end(r->fd, r->bytes, r->room);
    return NULL;
}

/* -- the queue's bounds -- */

static void the_cap_refuses_and_an_empty_queue_takes_any_one_packet(void)
{
    pa_stream_limits limits = usual_limits();
    limits.send_bytes = 1000;
    limits.send_packets = 3;
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, &limits);
    pa_send_answer answer = pa_stream_send(c->stream, NULL, zeros, 4 * MEGABYTE, NULL, PA_NO_KEY);
    CHECK(answer == PA_QUEUED);   /* More than the cap, and more than the kernel takes. */
    CHECK(state_of(c).queued_packets == 1 && state_of(c).queued_bytes > 1000);
    CHECK(send_text(c, NULL, "x") == PA_FULL);
    CHECK(counts_of(c).refused == 1);
    finish(&w, c);

    limits.send_bytes = 1 << 30;
    c = converse_narrowly(&w, &limits);
    block(c);
    while (state_of(c).queued_packets < 3)
        CHECK(send_text(c, NULL, "x") == PA_QUEUED);
    CHECK(send_text(c, NULL, "x") == PA_FULL);
    CHECK(pa_stream_drop_oldest(c->stream, 1, 1) == 1);
    CHECK(send_text(c, NULL, "y") == PA_QUEUED);
    CHECK(counts_of(c).dropped == 1 && counts_of(c).refused == 1);
    finish(&w, c);
    close_world(&w);
}

static void each_water_mark_is_told_once(void)
{
    pa_stream_limits limits = usual_limits();
    limits.send_high = 50000;
    limits.send_low = 10000;
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, &limits);
    block(c);
    for (int i = 0; i < 10; i++)
        pa_stream_send(c->stream, NULL, zeros, 10000, NULL, PA_NO_KEY);
    UNTIL(&w, atomic_load(&c->above) == 1);
    pa_stream_send(c->stream, NULL, zeros, 10000, NULL, PA_NO_KEY);
    serve_turns(w.port, w.self, 0);
    CHECK(atomic_load(&c->above) == 1 && atomic_load(&c->drained) == 0);
    reader r = {.fd = c->peer, .room = 4 * MEGABYTE};
    pthread_t thread = start_thread(read_all, &r);
    UNTIL(&w, atomic_load(&c->drained) == 1);
    UNTIL(&w, state_of(c).queued_bytes == 0);
    CHECK(atomic_load(&c->above) == 1 && atomic_load(&c->drained) == 1);
    pa_stream_close(c->stream, NULL);
    pthread_join(thread, NULL);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    free(r.bytes);
    finish(&w, c);
    close_world(&w);
}

static void a_packet_with_a_key_replaces_the_one_that_is_not_begun(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, NULL);
    block(c);
    CHECK(pa_stream_send(c->stream, NULL, "[old]", 5, NULL, 7) == PA_QUEUED);
    CHECK(pa_stream_send(c->stream, NULL, "[other]", 7, NULL, 8) == PA_QUEUED);
    size_t before = state_of(c).queued_bytes;
    CHECK(pa_stream_send(c->stream, NULL, "[newer]", 7, NULL, 7) == PA_QUEUED);
    CHECK(pa_stream_send(c->stream, NULL, "[new]", 5, NULL, 7) == PA_QUEUED);
    CHECK(state_of(c).queued_bytes == before);
    CHECK(counts_of(c).replaced == 2);
    pa_stream_close(c->stream, NULL);
    reader r = {.fd = c->peer, .room = 4 * MEGABYTE};
    pthread_t thread = start_thread(read_all, &r);
    UNTIL(&w, counts_of(c).packets_sent && state_of(c).queued_bytes == 0);
    pthread_join(thread, NULL);
    CHECK(r.count > 12 && memcmp(r.bytes + r.count - 12, "[new][other]", 12) == 0);
    CHECK(counts_of(c).bytes_sent == (uint64_t)r.count);
    free(r.bytes);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    finish(&w, c);
    close_world(&w);
}

static void dropping_leaves_the_packet_that_is_begun(void)
{
    pa_stream_limits limits = usual_limits();
    limits.send_bytes = 4 * MEGABYTE;
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, &limits);
    uint8_t *large = malloc(3 * MEGABYTE);
    fill_pattern(large, 3 * MEGABYTE, 5, 0);
    CHECK(pa_stream_send(c->stream, NULL, large, 3 * MEGABYTE, NULL, PA_NO_KEY) == PA_QUEUED);
    CHECK(state_of(c).queued_bytes > 0 && state_of(c).queued_bytes < 3 * MEGABYTE);   /* Begun. */
    for (int i = 0; i < 5; i++)
        CHECK(send_text(c, NULL, "dropped") == PA_QUEUED);
    CHECK(pa_stream_drop_oldest(c->stream, 4 * MEGABYTE, 1) == 5);
    CHECK(state_of(c).queued_packets == 1);
    CHECK(send_text(c, NULL, "last") == PA_QUEUED);
    pa_stream_close(c->stream, NULL);
    reader r = {.fd = c->peer, .room = 4 * MEGABYTE};
    pthread_t thread = start_thread(read_all, &r);
    UNTIL(&w, state_of(c).queued_bytes == 0);
    pthread_join(thread, NULL);
    CHECK(r.count == 3 * MEGABYTE + 4 && memcmp(r.bytes, large, 3 * MEGABYTE) == 0);
    CHECK(memcmp(r.bytes + 3 * MEGABYTE, "last", 4) == 0);
    free(r.bytes);
    free(large);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    finish(&w, c);
    close_world(&w);
}

static void much_that_is_queued_leaves_although_each_turn_sends_only_some(void)
{
    enum { PACKET = 16384, PACKETS = 1024 };
    pa_stream_limits limits = usual_limits();
    limits.send_bytes = 64 * MEGABYTE;
    world w = open_world(1, -1, false);
    int client, server, large = 8 * MEGABYTE;
    tcp_pair(&client, &server);
    setsockopt(server, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large);
    conversation *c = converse_over(&w, server, client, NULL, &limits);
    CHECK(pa_stream_start(c->stream) == 0);
    block(c);
    while (state_of(c).queued_packets < PACKETS)
        CHECK(pa_stream_send(c->stream, NULL, zeros, PACKET, NULL, PA_NO_KEY) == PA_QUEUED);
    reader r = {.fd = c->peer, .room = 64 * MEGABYTE};
    pthread_t thread = start_thread(read_all, &r);
    UNTIL(&w, state_of(c).queued_bytes == 0);
    pa_stream_abort(c->stream, PA_END_ABORTED);
    pthread_join(thread, NULL);
    free(r.bytes);
    finish(&w, c);
    close_world(&w);
}

static void shared_bytes_are_owed_when_the_last_packet_is_gone(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, NULL);
    owned owner = {0};
    pa_shared *shared = pa_shared_new(&owner);
    block(c);
    CHECK(pa_stream_send(c->stream, NULL, zeros, 600, shared, PA_NO_KEY) == PA_QUEUED);
    CHECK(pa_stream_send(c->stream, NULL, zeros, 600, shared, 4) == PA_QUEUED);
    CHECK(pa_stream_send(c->stream, NULL, "no more", 7, NULL, 4) == PA_QUEUED);
    CHECK(atomic_load(&shared->references) == 2);
    pa_shared_release(w.engine, shared);
    CHECK(pay_owed(w.engine) == 0);
    pa_stream_abort(c->stream, PA_END_ABORTED);
    CHECK(pay_owed(w.engine) == 1 && atomic_load(&owner.paid) == 1);
    finish(&w, c);
    CHECK(pay_owed(w.engine) == 0);
    close_world(&w);
}

/* -- ending it from this side -- */

static void closing_flushes_then_ends_once_when_the_peer_is_done_too(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, NULL);
    block(c);
    CHECK(send_text(c, NULL, "farewell") == PA_QUEUED);
    pa_stream_close(c->stream, NULL);
    pa_stream_close(c->stream, NULL);
    CHECK(send_text(c, NULL, "late") == PA_OVER);
    CHECK(state_of(c).closing);
    send_all(c->peer, "not delivered", 13);
    reader r = {.fd = c->peer, .room = 4 * MEGABYTE};
    pthread_t thread = start_thread(read_all, &r);
    UNTIL(&w, state_of(c).queued_bytes == 0);
    pthread_join(thread, NULL);   /* So the FIN came. */
    CHECK(r.count > 8 && memcmp(r.bytes + r.count - 8, "farewell", 8) == 0);
    for (int i = 0; i < 10; i++)
        serve_turns(w.port, w.self, 5 * MS);
    CHECK(atomic_load(&c->ends) == 0);   /* The peer may send still. */
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_CLOSED && atomic_load(&c->frames) == 0);
    free(r.bytes);
    finish(&w, c);
    close_world(&w);
}

static void a_peer_that_never_reads_keeps_a_closing_stream_until_it_is_aborted(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_narrowly(&w, NULL);
    uint8_t *got = malloc(4 * MEGABYTE);
    block(c);
    pa_stream_close(c->stream, NULL);
    for (int i = 0; i < 10; i++)
        serve_turns(w.port, w.self, 5 * MS);
    CHECK(atomic_load(&c->ends) == 0);
    pa_stream_abort(c->stream, PA_END_ABORTED);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_ABORTED);
    CHECK(counts_of(c).dropped > 0 && state_of(c).queued_bytes == 0);
    CHECK(read_to_the_end(c->peer, got, 4 * MEGABYTE) == -ECONNRESET);
    free(got);
    finish(&w, c);
    close_world(&w);
}

static void an_abort_resets_the_peer_at_once_also_while_nobody_serves(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    uint8_t got[8];
    send_all(c->peer, "x", 1);
    UNTIL(&w, atomic_load(&c->bytes) == 1);   /* So a receive is armed. */
    pa_stream_abort(c->stream, PA_END_ABORTED);
    pa_stream_abort(c->stream, PA_END_ERROR);
    CHECK(read_to_the_end(c->peer, got, sizeof got) == -ECONNRESET);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    finish(&w, c);

    c = converse_idle(&w, NULL, NULL);   /* Not even started. */
    pa_stream_abort(c->stream, PA_END_ABORTED);
    CHECK(read_to_the_end(c->peer, got, sizeof got) == -ECONNRESET);
    finish(&w, c);
    close_world(&w);
}

static void a_stream_that_a_send_finds_reset_refuses(void)
{
    pa_stream_limits limits = usual_limits();
    limits.send_packets = 2;
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, &limits);
    pa_batch_begin(w.self, w.port);
    CHECK(send_text(c, w.self, "one") == PA_QUEUED);
    CHECK(send_text(c, w.self, "two") == PA_QUEUED);
    reset_and_close(c->peer);
    c->peer = -1;
    CHECK(send_text(c, w.self, "three") == PA_OVER);   /* It flushed, to make room. */
    CHECK(state_of(c).queued_packets == 0);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_RESET);
    finish(&w, c);
    close_world(&w);
}

/* -- batches -- */

static void what_a_batch_queues_leaves_at_its_end_in_one_piece(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    char got[4];
    pa_batch_begin(w.self, w.port);
    for (int i = 0; i < 4; i++) {
        CHECK(send_text(c, w.self, "x") == PA_QUEUED);
        pa_seal_turn(w.self);
    }
    CHECK(recv(c->peer, got, 4, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(counts_of(c).sends == 0 && state_of(c).queued_packets == 4);
    CHECK(!pa_flush_dirty(w.self, 0));
    CHECK(counts_of(c).sends == 1 && counts_of(c).packets_sent == 4);
    CHECK(recv(c->peer, got, 4, 0) == 4);
    pa_batch_end(w.self);
    CHECK(send_text(c, w.self, "now") == PA_QUEUED);   /* In no batch: it leaves at once. */
    CHECK(counts_of(c).sends == 2);
    CHECK(recv(c->peer, got, 4, 0) == 3);
    finish(&w, c);
    close_world(&w);
}

static void a_flush_in_slices_flushes_each_stream_once(void)
{
    enum { MANY = 10 };
    world w = open_world(1, -1, false);
    conversation *all[MANY];
    pa_batch_begin(w.self, w.port);
    for (int i = 0; i < MANY; i++) {
        all[i] = converse(&w, NULL, NULL);
        CHECK(send_text(all[i], w.self, "x") == PA_QUEUED);
    }
    CHECK(pa_flush_dirty(w.self, 4));
    CHECK(counts_of(all[3]).sends == 1 && counts_of(all[4]).sends == 0);
    CHECK(send_text(all[0], w.self, "y") == PA_QUEUED);
    CHECK(pa_flush_dirty(w.self, 4));
    CHECK(pa_flush_dirty(w.self, 4));
    CHECK(!pa_flush_dirty(w.self, 4));
    for (int i = 0; i < MANY; i++) {
        CHECK(counts_of(all[i]).sends == (i == 0 ? 2 : 1));
        finish(&w, all[i]);
    }
    close_world(&w);
}

static void closing_in_a_batch_sends_the_fin_behind_what_the_batch_queued(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    uint8_t got[8];
    pa_batch_begin(w.self, w.port);
    CHECK(send_text(c, w.self, "bye") == PA_QUEUED);
    pa_stream_close(c->stream, w.self);
    CHECK(recv(c->peer, got, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    pa_batch_end(w.self);
    CHECK(read_to_the_end(c->peer, got, 8) == 3);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_CLOSED);
    finish(&w, c);
    close_world(&w);
}

static const test_case tests[] = {
    {"the cap refuses, and an empty queue takes any one packet",
     the_cap_refuses_and_an_empty_queue_takes_any_one_packet},
    {"each water mark is told once", each_water_mark_is_told_once},
    {"a packet with a key replaces the one that is not begun",
     a_packet_with_a_key_replaces_the_one_that_is_not_begun},
    {"dropping leaves the packet that is begun", dropping_leaves_the_packet_that_is_begun},
    {"much that is queued leaves although each turn sends only some",
     much_that_is_queued_leaves_although_each_turn_sends_only_some},
    {"shared bytes are owed when the last packet is gone",
     shared_bytes_are_owed_when_the_last_packet_is_gone},
    {"closing flushes, then ends once when the peer is done too",
     closing_flushes_then_ends_once_when_the_peer_is_done_too},
    {"a peer that never reads keeps a closing stream until it is aborted",
     a_peer_that_never_reads_keeps_a_closing_stream_until_it_is_aborted},
    {"an abort resets the peer at once, also while nobody serves",
     an_abort_resets_the_peer_at_once_also_while_nobody_serves},
    {"a stream that a send finds reset refuses", a_stream_that_a_send_finds_reset_refuses},
    {"what a batch queues leaves at its end in one piece",
     what_a_batch_queues_leaves_at_its_end_in_one_piece},
    {"a flush in slices flushes each stream once", a_flush_in_slices_flushes_each_stream_once},
    {"closing in a batch sends the FIN behind what the batch queued",
     closing_in_a_batch_sends_the_fin_behind_what_the_batch_queued},
};

MAIN(tests)
