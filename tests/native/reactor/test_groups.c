/* Groups: one packet to many; and what the end of a port means for streams. */
#include "conversation.h"

enum { MANY = 40 };

static size_t broadcast(pa_group *group, const char *text, pa_stream *exclude, pa_stream **refused,
                        size_t room)
{
    return pa_group_broadcast(group, NULL, text, strlen(text), NULL, PA_NO_KEY, exclude, refused,
                              room);
}

static void a_broadcast_reaches_every_member_but_the_excluded_one(void)
{
    world w = open_world(1, -1, false);
    pa_group *group = pa_group_new();
    conversation *all[MANY];
    pa_stream *refused[MANY];
    for (int i = 0; i < MANY; i++) {
        all[i] = converse(&w, NULL, NULL);
        CHECK(pa_group_add(group, all[i]->stream) == 1);
        CHECK(pa_group_add(group, all[i]->stream) == 0);
    }
    CHECK(pa_group_count(group) == MANY);
    CHECK(broadcast(group, "all", NULL, refused, MANY) == 0);
    CHECK(broadcast(group, "others", all[3]->stream, refused, MANY) == 0);
    for (int i = 0; i < MANY; i++)
        CHECK(reads(all[i], i == 3 ? "all" : "allothers"));
    for (int i = 0; i < MANY; i += 2) {
        CHECK(pa_group_discard(group, all[i]->stream));
        CHECK(!pa_group_discard(group, all[i]->stream));
        CHECK(!pa_group_has(group, all[i]->stream));
    }
    CHECK(pa_group_count(group) == MANY / 2);
    CHECK(broadcast(group, "odd", NULL, refused, MANY) == 0);
    for (int i = 0; i < MANY; i++)
        CHECK(reads(all[i], i % 2 ? "odd" : "") && pa_group_has(group, all[i]->stream) == i % 2);
    for (int i = 0; i < MANY; i++)
        finish(&w, all[i]);
    CHECK(pa_group_count(group) == 0);   /* They are over, though not yet out of it. */
    CHECK(broadcast(group, "nobody", NULL, refused, MANY) == 0);
    pa_group_free(group);
    close_world(&w);
}

static void members_come_and_go_by_the_hundred(void)
{
    enum { CROWD = 300 };
    world w = open_world(1, -1, false);
    pa_group *group = pa_group_new();
    conversation *all[CROWD];
    bool is_in[CROWD] = {false};
    unsigned random = 7;
    size_t count = 0;
    for (int i = 0; i < CROWD; i++) {
        int pair[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        all[i] = converse_over(&w, pair[1], pair[0], NULL, NULL);
    }
    for (int step = 0; step < 20000; step++) {
        random = random * 1103515245 + 12345;
        int i = (int)(random >> 16) % CROWD;
        if (is_in[i])
            CHECK(pa_group_discard(group, all[i]->stream));
        else
            CHECK(pa_group_add(group, all[i]->stream) == 1);
        is_in[i] = !is_in[i];
        count += is_in[i] ? 1 : (size_t)-1;
        if (step % 1000 == 0)
            for (int k = 0; k < CROWD; k++)
                CHECK(pa_group_has(group, all[k]->stream) == is_in[k]);
    }
    CHECK(pa_group_count(group) == count);
    pa_group_free(group);
    for (int i = 0; i < CROWD; i++)
        forget(all[i]);
    close_world(&w);
}

static void who_is_full_is_named_and_who_has_ended_falls_out(void)
{
    static const uint8_t zeros[1 << 20];
    pa_stream_limits limits = usual_limits();
    limits.send_bytes = 1000;
    world w = open_world(1, -1, false);
    pa_group *group = pa_group_new();
    conversation *all[4];
    pa_stream *refused[4] = {NULL};
    for (int i = 0; i < 4; i++) {
        all[i] = converse(&w, NULL, &limits);
        pa_group_add(group, all[i]->stream);
    }
    while (!state_of(all[1]).queued_bytes)
        pa_stream_send(all[1]->stream, NULL, zeros, sizeof zeros, NULL, PA_NO_KEY);
    pa_stream_close(all[2]->stream, NULL);   /* Closing, not over: it is a member still. */
    pa_stream_abort(all[3]->stream, PA_END_ABORTED);
    UNTIL(&w, atomic_load(&all[3]->ends) == 1);
    int references = atomic_load(&all[3]->stream->references);
    CHECK(broadcast(group, "x", NULL, refused, 4) == 1);
    CHECK(refused[0] == all[1]->stream);
    pa_stream_release(refused[0]);
    CHECK(atomic_load(&all[3]->stream->references) == references - 1);
    CHECK(reads(all[0], "x"));
    CHECK(pa_group_count(group) == 3 && pa_group_has(group, all[2]->stream));
    CHECK(pa_group_add(group, all[3]->stream) == 0 && !pa_group_has(group, all[3]->stream));
    for (int i = 0; i < 4; i++) {
        hang_up(all[i]);
        finish(&w, all[i]);
    }
    pa_group_free(group);   /* It had the last references. */
    close_world(&w);
}

static void one_buffer_is_shared_by_all_and_owed_once(void)
{
    static uint8_t bytes[100000];
    pa_stream_limits limits = usual_limits();
    limits.send_bytes = 1 << 30;
    world w = open_world(1, -1, false);
    pa_group *group = pa_group_new();
    conversation *all[8];
    pa_stream *refused[8];
    owned owner = {0};
    for (int i = 0; i < 8; i++) {
        all[i] = converse(&w, NULL, &limits);
        pa_group_add(group, all[i]->stream);
    }
    pa_shared *shared = pa_shared_new(&owner);
    for (int i = 0; i < 100; i++)
        CHECK(pa_group_broadcast(group, NULL, bytes, sizeof bytes, shared, PA_NO_KEY, NULL, refused,
                                 8) == 0);
    CHECK(atomic_load(&shared->references) > 8);   /* Nobody reads: most of it waits. */
    pa_shared_release(w.engine, shared);
    for (int i = 0; i < 8; i++) {
        CHECK(pay_owed(w.engine) == 0);
        finish(&w, all[i]);
    }
    CHECK(pay_owed(w.engine) == 1 && atomic_load(&owner.paid) == 1);
    pa_group_free(group);
    close_world(&w);
}

/* -- a port is closed under its streams -- */

static void a_port_that_is_closed_lets_go_of_its_streams(void)
{
    for (int served = 0; served < 2; served++) {
        world w = open_world(1, -1, false);
        conversation *all[6];
        uint8_t got[8];
        int count = 0;
        pa_shared *owed;
        for (int i = 0; i < 6; i++)
            all[i] = converse(&w, NULL, NULL);
        if (served)
            serve_turns(w.port, w.self, 0);   /* Receives are armed. */
        for (int i = 0; i < 3; i++)
            CHECK(pa_stream_post(all[i]->stream));   /* Turns are queued. */
        pa_batch_begin(w.self, w.port);
        CHECK(send_text(all[1], w.self, "x") == PA_QUEUED);
        CHECK(send_text(all[4], w.self, "x") == PA_QUEUED);
        pa_port_close(w.port, NULL, NULL);
        for (int i = 0; i < 6; i++) {
            CHECK(pa_stream_fd(all[i]->stream) == -1);
            CHECK(state_of(all[i]).over);
            CHECK(!pa_stream_post(all[i]->stream));
            CHECK(send_text(all[i], w.self, "x") == PA_OVER);
            pa_stream_pause(all[i]->stream);
            pa_stream_resume(all[i]->stream);
            pa_stream_close(all[i]->stream, w.self);
            pa_stream_abort(all[i]->stream, PA_END_ABORTED);
            CHECK(read_to_the_end(all[i]->peer, got, sizeof got) <= 0);
        }
        pay_owed(w.engine);
        for (int i = 0; i < 6; i++) {
            count += atomic_load(&all[i]->owned.paid);
            CHECK(atomic_load(&all[i]->ends) == 0);
            forget(all[i]);
        }
        CHECK(count == 6);
        CHECK(!(owed = pa_engine_take_owed(w.engine)));
        close_world(&w);
    }
}

static void a_turn_that_runs_while_its_port_closes_ends_quietly(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    send_all(c->peer, "bytes", 5);
    pa_op *op = take(&w);
    const uint8_t *bytes;
    pa_frame frame;
    pa_stream *stream = pa_turn_of(op);
    CHECK(stream == c->stream && pa_turn_begin_serving(stream) == 0);
    CHECK(pa_turn_next(stream, &bytes, &frame) == 1 && frame.total == 5);
    pa_port_close(w.port, NULL, NULL);
    CHECK(memcmp(bytes, "bytes", 5) == 0);   /* It may read on. */
    CHECK(pa_turn_next(stream, &bytes, &frame) == 0);
    CHECK(pa_turn_end_serving(stream) == PA_NOT_ENDED);
    CHECK(pay_owed(w.engine) == 1 && atomic_load(&c->owned.paid) == 1);
    forget(c);
    close_world(&w);
}

static void the_owner_stays_while_a_turn_is_in_a_hand(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    pa_op *op;
    bool interrupted;
    CHECK(pa_stream_post(c->stream));
    CHECK(pa_port_wait(w.port, w.self, pa_thread_hand(w.self), PA_HAND, SECOND, &interrupted) == 1);
    pa_port_close(w.port, NULL, NULL);
    CHECK(pa_stream_fd(c->stream) == -1);
    CHECK(pay_owed(w.engine) == 0);   /* Whoever serves the hand asks the owner. */
    CHECK((op = pa_hand_next(w.self)) && !pa_hand_next(w.self));
    run_turn(op, w.self);
    CHECK(pay_owed(w.engine) == 1 && atomic_load(&c->owned.paid) == 1);
    forget(c);
    close_world(&w);
}

static void a_stream_that_is_started_or_ended_after_its_port_is_owed(void)
{
    for (int how = 0; how < 6; how++) {
        world w = open_world(1, -1, false);
        conversation *c = how < 3 ? converse_idle(&w, NULL, NULL) : NULL;
        pa_port_close(w.port, NULL, NULL);
        c = c ? c : converse_idle(&w, NULL, NULL);   /* It was in no table when the port closed. */
        CHECK(pay_owed(w.engine) == 0);   /* Its owner has not left it to the engine. */
        switch (how % 3) {
        case 0: CHECK(pa_stream_start(c->stream) == 0); break;
        case 1: pa_stream_close(c->stream, NULL); break;
        default: pa_stream_abort(c->stream, PA_END_ABORTED);
        }
        hang_up(c);
        for (int i = 0; i < 1000 && !atomic_load(&c->owned.paid); i++) {
            pay_owed(w.engine);
            pa_engine_turn(w.engine, 5 * MS);
        }
        CHECK(atomic_load(&c->owned.paid) == 1 && pa_stream_fd(c->stream) == -1);
        forget(c);
        close_world(&w);
    }
}

static void an_engine_is_freed_while_its_ring_still_has_receives(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        pa_uring_profile profile;
        bool by_ring = chosen_profile(&profile);
        world w = open_world_of(by_ring ? &profile : NULL, 1, -1, threaded);
        conversation *all[4];
        for (int i = 0; i < 4; i++) {
            all[i] = converse(&w, NULL, NULL);
            send_all(all[i]->peer, "x", 1);
            UNTIL(&w, atomic_load(&all[i]->bytes) == 1);
        }
        pa_thread_free(w.self);
        pa_port_close(w.port, NULL, NULL);
        pa_port_close(w.fallback, NULL, NULL);
        CHECK(pay_owed(w.engine) == 4);
        for (int i = 0; i < 4; i++)
            forget(all[i]);
        pa_engine_free(w.engine);   /* No turn since: the ring has the last references. */
        pa_port_release(w.port);
        pa_port_release(w.fallback);
    }
}

static void a_stream_that_nobody_keeps_is_over_for_those_who_know_it(void)
{
    world w = open_world(1, -1, false);
    pa_group *group = pa_group_new();
    conversation *c = converse_idle(&w, NULL, NULL);
    pa_stream *stream = c->stream, *refused[1];
    int peer = c->peer;
    char byte;
    c->peer = -1;
    CHECK(pa_group_add(group, stream) == 1);
    CHECK(pa_stream_post(stream));   /* A turn is queued, though it was never started. */
    pa_batch_begin(w.self, w.port);
    CHECK(pa_stream_send(stream, w.self, "x", 1, NULL, PA_NO_KEY) == PA_QUEUED);
    forget(c);
    CHECK(recv(peer, &byte, 1, 0) == 0);   /* Its descriptor is closed at once. */
    CHECK(pa_group_count(group) == 0);
    CHECK(broadcast(group, "y", NULL, refused, 1) == 0);
    pa_flush_dirty(w.self, 0);
    CHECK(serve_turns(w.port, w.self, 0) == 1);   /* The turn is given up. */
    CHECK(!pa_engine_take_owed(w.engine));
    close(peer);
    pa_group_free(group);
    close_world(&w);
}

static const test_case tests[] = {
    {"a broadcast reaches every member but the excluded one",
     a_broadcast_reaches_every_member_but_the_excluded_one},
    {"members come and go by the hundred", members_come_and_go_by_the_hundred},
    {"who is full is named and who has ended falls out",
     who_is_full_is_named_and_who_has_ended_falls_out},
    {"one buffer is shared by all and owed once", one_buffer_is_shared_by_all_and_owed_once},
    {"a port that is closed lets go of its streams", a_port_that_is_closed_lets_go_of_its_streams},
    {"a turn that runs while its port closes ends quietly",
     a_turn_that_runs_while_its_port_closes_ends_quietly},
    {"the owner stays while a turn is in a hand", the_owner_stays_while_a_turn_is_in_a_hand},
    {"a stream that is started or ended after its port is owed",
     a_stream_that_is_started_or_ended_after_its_port_is_owed},
    {"an engine is freed while its ring still has receives",
     an_engine_is_freed_while_its_ring_still_has_receives},
    {"a stream that nobody keeps is over for those who know it",
     a_stream_that_nobody_keeps_is_over_for_those_who_know_it},
};

MAIN(tests)
