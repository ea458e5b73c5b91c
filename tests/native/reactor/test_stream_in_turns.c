/* What is much at a time stays with the kernel until the turn receives it, to where it is wanted. */
#include "conversation.h"

enum { MUCH = 64 * 1024, PIECES = 40 };

static conversation *converse_in_turns(world *w)
{
    conversation *c = converse_idle(w, NULL, NULL);
    pa_stream_receive_in_turns(c->stream);
    c->on_frame = check_pattern;
    CHECK(pa_stream_start(c->stream) == 0);
    return c;
}

static void send_pattern(conversation *c, size_t position, size_t count)
{
    uint8_t *bytes = malloc(count);
    fill_pattern(bytes, count, c->seed, position);
    send_all(c->peer, bytes, count);
    free(bytes);
}

/* Much at once, so that all that follows is left to the turns; how much. A slow machine may bring it
 * in small pieces: then more. The ring must have let go of the stream, too. */
static size_t make_bulky(world *w, conversation *c)
{
    size_t sent = 0;
    for (int i = 0; !c->stream->bulky && i < 100; i++, sent += MUCH) {
        send_pattern(c, sent, MUCH);
        UNTIL(w, atomic_load(&c->bytes) == sent + MUCH);
    }
    CHECK(c->stream->bulky);
    UNTIL(w, !c->stream->ring_armed);
    return sent;
}

static void *send_pieces(void *argument)
{
    conversation *c = argument;
    size_t position = (size_t)c->context;
    for (size_t i = 0; i < PIECES; i++) {
        size_t count = i % 3 == 2 ? 100 : MUCH + i;
        send_pattern(c, position, count);
        position += count;
    }
    shutdown(c->peer, SHUT_WR);
    return (void *)position;
}

static void all_of_it_comes_in_order_and_then_the_end(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t first = make_bulky(&w, c);
    void *sent;
    /* Alone, before the threads race: what an edge tells together with an end no turn receives. */
    send_pattern(c, first, MUCH);
    UNTIL(&w, atomic_load(&c->bytes) == first + MUCH);
    CHECK(atomic_load(&c->receiving_turns) > 0);
    c->context = (void *)(first + MUCH);
    pthread_t sender = start_thread(send_pieces, c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    pthread_join(sender, &sent);
    CHECK(atomic_load(&c->end) == PA_END_PEER_CLOSED);
    CHECK(atomic_load(&c->bytes) == (size_t)sent);
    CHECK(counts_of(c).bytes_received == (size_t)sent);
    CHECK(c->wrong == 0);
    CHECK(state_of(c).missing == 0);
    finish(&w, c);
    close_world(&w);
}

static void what_has_no_room_comes_in_the_next_turns(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t sent = make_bulky(&w, c);
    c->room = 1000;
    send_pattern(c, sent, MUCH);
    UNTIL(&w, atomic_load(&c->bytes) == sent + MUCH);
    CHECK(c->wrong == 0);
    CHECK(atomic_load(&c->receiving_turns) >= MUCH / 1000);
    finish(&w, c);
    close_world(&w);
}

static void what_is_told_while_it_pauses_is_received_when_it_goes_on(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t sent = make_bulky(&w, c);
    send_pattern(c, sent, MUCH);
    pa_engine_poll_now(w.engine);   /* Its turn is queued now, on readiness. */
    pa_stream_pause(c->stream);
    CHECK(serve_turns(w.port, w.self, 0) >= 0);
    CHECK(atomic_load(&c->bytes) == sent);
    pa_stream_resume(c->stream);
    UNTIL(&w, atomic_load(&c->bytes) == sent + MUCH);
    CHECK(c->wrong == 0);
    finish(&w, c);
    close_world(&w);
}

static void what_a_turn_keeps_comes_before_the_end(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t sent = make_bulky(&w, c);
    c->holds_back = true;
    send_pattern(c, sent, MUCH);
    UNTIL(&w, c->kept_bytes > 0);
    CHECK(state_of(c).inbox_bytes == c->kept_bytes);
    pa_stream_pause(c->stream);
    send_pattern(c, sent + MUCH, 10);
    hang_up(c);
    CHECK(serve_turns(w.port, w.self, 0) >= 0);
    CHECK(atomic_load(&c->bytes) == sent && !atomic_load(&c->ends));
    c->holds_back = false;
    pa_stream_resume(c->stream);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_PEER_CLOSED);
    CHECK(atomic_load(&c->bytes) == sent + MUCH + 10);
    CHECK(c->wrong == 0);
    finish(&w, c);
    close_world(&w);
}

static void a_stream_that_brings_little_again_is_received_for_at_once(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t sent = make_bulky(&w, c);
    for (int i = 0; c->stream->bulky && i < 100; i++, sent += 10) {
        send_pattern(c, sent, 10);
        UNTIL(&w, atomic_load(&c->bytes) == sent + 10);
    }
    CHECK(!c->stream->bulky);
    unsigned long long before = atomic_load(&c->receiving_turns);
    for (int i = 0; i < 20; i++, sent += 10) {
        send_pattern(c, sent, 10);
        UNTIL(&w, atomic_load(&c->bytes) == sent + 10);
    }
    CHECK(atomic_load(&c->receiving_turns) == before);
    CHECK(c->wrong == 0);
    finish(&w, c);
    close_world(&w);
}

static void a_close_does_not_wait_for_what_nobody_has_read(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t sent = make_bulky(&w, c);
    uint8_t last[16];
    send_pattern(c, sent, MUCH);
    pa_engine_poll_now(w.engine);
    pa_stream_close(c->stream, NULL);
    CHECK(read_to_the_end(c->peer, last, sizeof last) == 0);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_CLOSED);
    CHECK(atomic_load(&c->bytes) == sent);
    finish(&w, c);
    close_world(&w);
}

static void a_reset_that_comes_before_the_turn_is_told(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse_in_turns(&w);
    size_t sent = make_bulky(&w, c);
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    send_pattern(c, sent, MUCH);
    pa_engine_poll_now(w.engine);
    setsockopt(c->peer, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    hang_up(c);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_RESET);
    CHECK(c->wrong == 0);
    finish(&w, c);
    close_world(&w);
}

static void one_with_a_framing_is_received_for_as_ever(void)
{
    pa_framing framing = length_framing(MUCH + 4);
    world w = open_world(1, -1, false);
    conversation *c = converse_idle(&w, &framing, NULL);
    pa_stream_receive_in_turns(c->stream);
    CHECK(pa_stream_start(c->stream) == 0);
    uint8_t *bytes = malloc(MUCH + 4);
    put_frame(bytes, bytes + 4, MUCH);
    for (unsigned i = 1; i <= 3; i++) {
        send_all(c->peer, bytes, MUCH + 4);
        UNTIL(&w, atomic_load(&c->frames) == i);
    }
    CHECK(atomic_load(&c->receiving_turns) == 0);
    free(bytes);
    finish(&w, c);
    close_world(&w);
}

static const test_case tests[] = {
    {"all of it comes in order and then the end", all_of_it_comes_in_order_and_then_the_end},
    {"what has no room comes in the next turns", what_has_no_room_comes_in_the_next_turns},
    {"what is told while it pauses is received when it goes on",
     what_is_told_while_it_pauses_is_received_when_it_goes_on},
    {"what a turn keeps comes before the end", what_a_turn_keeps_comes_before_the_end},
    {"a stream that brings little again is received for at once",
     a_stream_that_brings_little_again_is_received_for_at_once},
    {"a close does not wait for what nobody has read",
     a_close_does_not_wait_for_what_nobody_has_read},
    {"a reset that comes before the turn is told", a_reset_that_comes_before_the_turn_is_told},
    {"one with a framing is received for as ever", one_with_a_framing_is_received_for_as_ever},
};

MAIN(tests)
