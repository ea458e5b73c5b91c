/* A stream receives: frames, however they are cut; what stops it, and how it ends. */
#include "conversation.h"

enum { BIG = 5 * 1024 * 1024 };

/* -- frames -- */

static void frames_cut_at_every_byte_arrive_whole(void)
{
    pa_framing framing = length_framing(1024);
    uint8_t sent[64];
    size_t length = put_frame(sent, "first", 5);
    length += put_frame(sent + length, "", 0);
    length += put_frame(sent + length, "the third", 9);
    world w = open_world(1, -1, false);
    for (size_t cut = 1; cut < length; cut++) {
        conversation *c = converse(&w, &framing, NULL);
        c->keeps = true;
        send_all(c->peer, sent, cut);
        UNTIL(&w, counts_of(c).bytes_received == cut);
        send_all(c->peer, sent + cut, length - cut);
        UNTIL(&w, atomic_load(&c->frames) == 3);
        CHECK(c->got_bytes == 14 && memcmp(c->got, "firstthe third", 14) == 0);
        CHECK(counts_of(c).frames_received == 3);
        CHECK(state_of(c).inbox_bytes == 0);
        finish(&w, c);
    }
    close_world(&w);
}

static void a_frame_that_comes_byte_by_byte_arrives_whole(void)
{
    pa_framing framing = length_framing(1024);
    uint8_t sent[32];
    size_t length = put_frame(sent, "byte by byte", 12);
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, &framing, NULL);
    c->keeps = true;
    for (size_t i = 0; i < length; i++) {
        send_all(c->peer, sent + i, 1);
        UNTIL(&w, counts_of(c).bytes_received == i + 1);
        CHECK(atomic_load(&c->frames) == (i == length - 1));
    }
    CHECK(c->got_bytes == 12 && memcmp(c->got, "byte by byte", 12) == 0);
    finish(&w, c);
    close_world(&w);
}

static void many_frames_in_one_piece_are_served_in_order_some_in_each_turn(void)
{
    enum { MANY = 2000 };
    pa_framing framing = length_framing(1024);
    uint8_t *sent = malloc(MANY * 8);
    size_t length = 0;
    for (uint32_t i = 0; i < MANY; i++)
        length += put_frame(sent + length, &i, 4);
    world w = open_world(1, -1, false);
    conversation *c = converse_idle(&w, &framing, NULL);
    c->keeps = true;
    c->frames_a_turn = 64;
    send_all(c->peer, sent, length);
    CHECK(pa_stream_start(c->stream) == 0);
    UNTIL(&w, atomic_load(&c->frames) == MANY);
    CHECK(atomic_load(&c->turns) >= MANY / 64);
    for (uint32_t i = 0; i < MANY && c->got_bytes == 4 * MANY; i++)
        CHECK(memcmp(c->got + i * 4, &i, 4) == 0);
    CHECK(c->got_bytes == 4 * MANY);
    finish(&w, c);
    free(sent);
    close_world(&w);
}

static void *send_big(void *argument)
{
    conversation *c = argument;
    uint8_t *bytes = malloc(BIG + 4 + 9);
    uint32_t length = BIG;
    memcpy(bytes, &length, 4);
    fill_pattern(bytes + 4, BIG, c->seed, 0);
    put_frame(bytes + 4 + BIG, "after", 5);
    send_all(c->peer, bytes, BIG + 4 + 9);
    free(bytes);
    return NULL;
}

static void a_frame_of_five_megabytes_is_received_whole_and_the_next_one_too(void)
{
    pa_framing framing = length_framing(BIG + 4);
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, &framing, NULL);
    c->keeps = true;
    c->seed = 3;
    pthread_t sender = start_thread(send_big, c);
    UNTIL(&w, atomic_load(&c->frames) == 2);
    pthread_join(sender, NULL);
    CHECK(c->got_bytes == BIG + 5);
    size_t wrong = 0;
    for (size_t i = 0; i < BIG && c->got_bytes == BIG + 5; i++)
        wrong += c->got[i] != pattern(3, i);
    CHECK(wrong == 0);
    CHECK(c->got_bytes == BIG + 5 && memcmp(c->got + BIG, "after", 5) == 0);
    finish(&w, c);
    close_world(&w);
}

static void a_raw_stream_gives_what_has_come(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    c->keeps = true;
    send_all(c->peer, "abc", 3);
    UNTIL(&w, c->got_bytes == 3);
    send_all(c->peer, "def", 3);
    UNTIL(&w, c->got_bytes == 6);
    CHECK(memcmp(c->got, "abcdef", 6) == 0);
    finish(&w, c);
    close_world(&w);
}

/* -- the peer's end -- */

static void the_end_comes_after_the_frames_and_tells_what_was_missing(void)
{
    pa_framing framing = length_framing(1024);
    uint8_t sent[64];
    size_t length = put_frame(sent, "good", 4);
    put_frame(sent + length, "never whole", 11);
    for (int at_once = 0; at_once < 2; at_once++) {
        world w = open_world(1, -1, false);
        conversation *c = at_once ? converse_idle(&w, &framing, NULL)
                                  : converse(&w, &framing, NULL);
        c->keeps = true;
        send_all(c->peer, sent, length + 7);
        if (!at_once)
            UNTIL(&w, atomic_load(&c->frames) == 1);
        hang_up(c);
        if (at_once)
            CHECK(pa_stream_start(c->stream) == 0);
        UNTIL(&w, atomic_load(&c->ends) == 1);
        CHECK(atomic_load(&c->end) == PA_END_PEER_CLOSED);
        CHECK(atomic_load(&c->frames) == 1);
        CHECK(state_of(c).missing == 7 && state_of(c).expected == 15);
        CHECK(pa_stream_fd(c->stream) == -1);
        CHECK(!pa_stream_post(c->stream));
        CHECK(send_text(c, NULL, "late") == PA_OVER);
        finish(&w, c);
        close_world(&w);
    }
}

static void a_reset_is_told_after_the_frames(void)
{
    pa_framing framing = length_framing(1024);
    uint8_t sent[64];
    size_t length = put_frame(sent, "good", 4);
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, &framing, NULL);
    send_all(c->peer, sent, length);
    UNTIL(&w, atomic_load(&c->frames) == 1);
    reset_and_close(c->peer);
    c->peer = -1;
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_RESET);
    CHECK(state_of(c).error == ECONNRESET);
    finish(&w, c);
    close_world(&w);
}

static void a_broken_frame_ends_the_stream_after_the_good_ones_and_resets_the_peer(void)
{
    pa_framing framing = length_framing(1024);
    uint8_t sent[64], got[8];
    size_t length = put_frame(sent, "one", 3);
    length += put_frame(sent + length, "two", 3);
    length += put_frame(sent + length, "too long", 8);
    uint32_t lie = 100000;
    memcpy(sent + length - 12, &lie, 4);
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, &framing, NULL);
    c->keeps = true;
    send_all(c->peer, sent, length);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_PROTOCOL);
    CHECK(c->got_bytes == 6 && memcmp(c->got, "onetwo", 6) == 0);
    CHECK(state_of(c).framing_error == PA_TOO_LONG && state_of(c).framing_detail == 100000);
    CHECK(read_to_the_end(c->peer, got, sizeof got) == -ECONNRESET);
    finish(&w, c);
    close_world(&w);
}

static void what_is_queued_is_sent_to_a_peer_that_has_half_closed(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    uint8_t got[16];
    pa_batch_begin(w.self, w.port);
    CHECK(send_text(c, w.self, "answer") == PA_QUEUED);
    CHECK(state_of(c).queued_bytes == 6);
    shutdown(c->peer, SHUT_WR);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_PEER_CLOSED);
    CHECK(read_to_the_end(c->peer, got, sizeof got) == 6 && memcmp(got, "answer", 6) == 0);
    finish(&w, c);
    close_world(&w);
}

/* -- stopping and going on -- */

/* Send until the peer's kernel takes no more; how much. */
static size_t send_until_full(int fd)
{
    static uint8_t bytes[65536];
    size_t sent = 0;
    int quiet = 0;
    while (quiet < 20) {
        ssize_t count = send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        quiet = count > 0 ? 0 : quiet + 1;
        if (count <= 0)
            usleep(2000);
    }
    return sent;
}

static void a_full_inbox_stops_receiving_and_an_empty_one_resumes_it(void)
{
    pa_stream_limits limits = usual_limits();
    limits.inbox_high = 20000;
    limits.inbox_low = 5000;
    world w = open_world(1, -1, true);   /* The I/O thread receives, nobody serves. */
    conversation *c = converse(&w, NULL, &limits);
    int small = 65536;
    setsockopt(c->peer, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    size_t sent = send_until_full(c->peer);
    CHECK(state_of(c).inbox_bytes > limits.inbox_high);
    CHECK(state_of(c).inbox_bytes < limits.inbox_high + 2 * PA_CHUNK + (1 << 20));
    CHECK(state_of(c).inbox_bytes < sent);   /* The rest is the kernel's: TCP pushes back. */
    UNTIL(&w, atomic_load(&c->bytes) == sent);
    CHECK(state_of(c).inbox_bytes == 0);
    finish(&w, c);
    close_world(&w);
}

static void a_paused_stream_keeps_its_frames_until_it_is_resumed(void)
{
    pa_framing framing = length_framing(1024);
    uint8_t sent[64];
    size_t length = put_frame(sent, "now", 3);
    world w = open_world(1, -1, true);
    conversation *c = converse(&w, &framing, NULL);
    c->keeps = true;
    send_all(c->peer, sent, length);
    WAIT_FOR(state_of(c).inbox_bytes == 7);
    pa_stream_pause(c->stream);
    pa_stream_pause(c->stream);
    for (int i = 0; i < 20; i++)
        serve_turns(w.port, w.self, 5 * MS);
    CHECK(atomic_load(&c->frames) == 0);
    pa_stream_resume(c->stream);
    UNTIL(&w, atomic_load(&c->frames) == 1);   /* Nothing has come since. */
    pa_stream_pause(c->stream);
    send_all(c->peer, sent, length);
    for (int i = 0; i < 20; i++)
        serve_turns(w.port, w.self, 5 * MS);
    CHECK(atomic_load(&c->frames) == 1);
    pa_stream_resume(c->stream);
    UNTIL(&w, atomic_load(&c->frames) == 2);
    hang_up(c);
    pa_stream_pause(c->stream);
    pa_stream_resume(c->stream);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    finish(&w, c);
    close_world(&w);
}

static void a_paused_stream_that_was_reset_can_be_ended(void)
{
    for (int closes = 0; closes < 2; closes++) {
        world w = open_world(1, -1, true);
        conversation *c = converse(&w, NULL, NULL);
        send_all(c->peer, "never delivered", 15);
        WAIT_FOR(state_of(c).inbox_bytes == 15);
        reset_and_close(c->peer);
        c->peer = -1;
        WAIT_FOR(pa_stream_fd(c->stream) == -1);   /* The reset is known. */
        pa_stream_pause(c->stream);
        serve_turns(w.port, w.self, 5 * MS);
        CHECK(atomic_load(&c->ends) == 0);
        if (closes)
            pa_stream_close(c->stream, NULL);
        else
            pa_stream_abort(c->stream, PA_END_ABORTED);
        UNTIL(&w, atomic_load(&c->ends) == 1);
        CHECK(atomic_load(&c->end) == PA_END_RESET && atomic_load(&c->frames) == 0);
        finish(&w, c);
        close_world(&w);
    }
}

static void pausing_and_resuming_loses_no_byte(void)
{
    enum { BYTES = 400000 };
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    uint8_t *sent = malloc(BYTES);
    c->seed = 9;
    c->on_frame = check_pattern;
    fill_pattern(sent, BYTES, 9, 0);
    for (size_t at = 0; at < BYTES; at += 1000) {
        send_all(c->peer, sent + at, 1000);
        if (at % 3000 == 0)
            pa_stream_pause(c->stream);
        serve_turns(w.port, w.self, 0);
        if (at % 5000 == 0)
            pa_stream_resume(c->stream);
    }
    pa_stream_resume(c->stream);
    UNTIL(&w, atomic_load(&c->bytes) == BYTES);
    CHECK(c->wrong == 0);
    free(sent);
    finish(&w, c);
    close_world(&w);
}

static void a_post_is_a_turn_of_its_own_and_is_told_once(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    CHECK(pa_stream_post(c->stream));
    CHECK(pa_stream_post(c->stream));   /* Not served yet: one turn tells of both. */
    UNTIL(&w, atomic_load(&c->posts) == 1);
    pa_stream_close(c->stream, NULL);
    CHECK(pa_stream_post(c->stream));   /* It is closing, not over. */
    UNTIL(&w, atomic_load(&c->posts) == 2);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_CLOSED);
    CHECK(!pa_stream_post(c->stream));
    finish(&w, c);
    close_world(&w);
}

static void numbers_of_streams_are_not_used_again(void)
{
    world w = open_world(1, -1, false);
    uint64_t last = 0;
    for (int i = 0; i < 100; i++) {
        conversation *c = converse_idle(&w, NULL, NULL);
        CHECK(pa_stream_id(c->stream) > last);
        CHECK((uint32_t)pa_stream_id(c->stream) == 0);   /* The slot is. */
        last = pa_stream_id(c->stream);
        forget(c);   /* Never started: nobody needs to be told. */
    }
    close_world(&w);
}

static const test_case tests[] = {
    {"frames cut at every byte arrive whole", frames_cut_at_every_byte_arrive_whole},
    {"a frame that comes byte by byte arrives whole",
     a_frame_that_comes_byte_by_byte_arrives_whole},
    {"many frames in one piece are served in order, some in each turn",
     many_frames_in_one_piece_are_served_in_order_some_in_each_turn},
    {"a frame of five megabytes is received whole, and the next one too",
     a_frame_of_five_megabytes_is_received_whole_and_the_next_one_too},
    {"a raw stream gives what has come", a_raw_stream_gives_what_has_come},
    {"the end comes after the frames and tells what was missing",
     the_end_comes_after_the_frames_and_tells_what_was_missing},
    {"a reset is told after the frames", a_reset_is_told_after_the_frames},
    {"a broken frame ends the stream after the good ones and resets the peer",
     a_broken_frame_ends_the_stream_after_the_good_ones_and_resets_the_peer},
    {"what is queued is sent to a peer that has half-closed",
     what_is_queued_is_sent_to_a_peer_that_has_half_closed},
    {"a full inbox stops receiving and an empty one resumes it",
     a_full_inbox_stops_receiving_and_an_empty_one_resumes_it},
    {"a paused stream keeps its frames until it is resumed",
     a_paused_stream_keeps_its_frames_until_it_is_resumed},
    {"a paused stream that was reset can be ended", a_paused_stream_that_was_reset_can_be_ended},
    {"pausing and resuming loses no byte", pausing_and_resuming_loses_no_byte},
    {"a post is a turn of its own and is told once", a_post_is_a_turn_of_its_own_and_is_told_once},
    {"numbers of streams are not used again", numbers_of_streams_are_not_used_again},
};

MAIN(tests)
