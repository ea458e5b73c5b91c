/* Streams asked for everything by several threads at once, while workers serve them and the reactor
 * receives. What is checked: each frame once and in order, each end told once or owed once, never
 * both, and nothing left. */
#include "conversation.h"

enum { STREAMS = 24, WORKERS = 3, HAMMERS = 3 };

typedef struct {
    world w;
    conversation *all[STREAMS];
    pthread_t workers[WORKERS], hammers[HAMMERS], peer;
    pa_group *group;
    atomic_bool stop;
    int strokes;                   /* of each hammer */
    bool ends_them;
} melee;

static unsigned next_random(unsigned *random)
{
    *random = *random * 1103515245 + 12345;
    return *random >> 8;
}

/* One thread asks for whatever it likes. */
static void strike(melee *m, conversation *c, unsigned what, pa_thread *self)
{
    static const uint8_t bytes[3000];
    pa_stream_state state;
    switch (what % 16) {
    case 0: pa_stream_pause(c->stream); break;
    case 1: case 2: pa_stream_resume(c->stream); break;
    case 3: pa_stream_post(c->stream); break;
    case 4: pa_stream_drop_oldest(c->stream, 5000, 2); break;
    case 5: pa_stream_state_get(c->stream, &state); break;
    case 6: pa_stream_flush(c->stream); break;
    case 7: pa_stream_send(c->stream, NULL, bytes, 700, NULL, 1 + what % 3); break;
    case 8:
        if (m->ends_them && what % 1600 == 8)
            pa_stream_abort(c->stream, PA_END_ABORTED);
        break;
    case 9:
        if (m->ends_them && what % 3200 == 9)
            pa_stream_close(c->stream, self);
        break;
    default: pa_stream_send(c->stream, what % 2 ? self : NULL, bytes, what % 3000, NULL, PA_NO_KEY);
    }
}

static void *hammer(void *argument)
{
    melee *m = argument;
    pa_thread *self = pa_thread_new();
    unsigned random = (unsigned)(uintptr_t)&random ^ (unsigned)pa_now();
    for (int i = 0; i < m->strokes && !atomic_load(&m->stop); i++) {
        if (i % 10 == 0)
            pa_batch_begin(self, m->w.port);
        conversation *c = m->all[next_random(&random) % STREAMS];
        strike(m, c, next_random(&random), self);
        if (i % 3 == 0)
            pa_seal_turn(self);
        if (i % 10 == 9)
            pa_batch_end(self);
    }
    pa_thread_free(self);
    return NULL;
}

/* The other ends of all: they send frames and read whatever comes. */
static void *be_the_peers(void *argument)
{
    melee *m = argument;
    static uint8_t into[65536];
    unsigned random = 99;
    uint8_t frame[64];
    size_t length = put_frame(frame, "a frame of some length", 22);
    while (!atomic_load(&m->stop)) {
        conversation *c = m->all[next_random(&random) % STREAMS];
        /* Whole frames only, or none: so that what comes can be cut. */
        send(c->peer, frame, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        for (int i = 0; i < 3; i++) {
            c = m->all[next_random(&random) % STREAMS];
            recv(c->peer, into, sizeof into, MSG_DONTWAIT);
        }
        if (m->ends_them && next_random(&random) % 5000 == 0)
            shutdown(c->peer, SHUT_WR);
    }
    return NULL;
}

static void begin(melee *m, int strokes, bool ends_them, bool threaded)
{
    pa_framing framing = length_framing(1024);
    pa_stream_limits limits = {.inbox_high = 200, .inbox_low = 50, .send_high = 20000,
                               .send_low = 2000, .send_bytes = 100000, .send_packets = 100};
    *m = (melee){.strokes = strokes, .ends_them = ends_them};
    m->w = open_world(2, MS, threaded);
    m->group = pa_group_new();
    for (int i = 0; i < STREAMS; i++)
        m->all[i] = converse(&m->w, &framing, &limits);
    for (int i = 0; i < WORKERS; i++)
        m->workers[i] = start_thread(serve_until_closed, &m->w);
    for (int i = 0; i < HAMMERS; i++)
        m->hammers[i] = start_thread(hammer, m);
    m->peer = start_thread(be_the_peers, m);
}

static void end(melee *m)
{
    pa_port_close(m->w.port, NULL, NULL);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(m->workers[i], NULL);
    pa_group_free(m->group);
    pay_owed(m->w.engine);
    for (int i = 0; i < STREAMS; i++) {
        CHECK(atomic_load(&m->all[i]->ends) + atomic_load(&m->all[i]->owned.paid) == 1);
        CHECK(pa_stream_fd(m->all[i]->stream) == -1);
        forget(m->all[i]);
    }
    close_world(&m->w);
}

static void join_hammers(melee *m)
{
    for (int i = 0; i < HAMMERS; i++)
        pthread_join(m->hammers[i], NULL);
    atomic_store(&m->stop, true);
    pthread_join(m->peer, NULL);
}

static void everything_at_once_tells_each_end_once(void)
{
    for (int round = 0; round < 6; round++) {
        melee m;
        begin(&m, 6000, true, round % 2);
        join_hammers(&m);
        for (int i = 0; i < STREAMS; i++)
            pa_stream_abort(m.all[i]->stream, PA_END_ABORTED);
        for (int i = 0; i < STREAMS; i++)
            WAIT_FOR(atomic_load(&m.all[i]->ends) == 1);
        end(&m);
    }
}

static uint64_t count_turns(melee *m)
{
    uint64_t count = 0;
    for (int i = 0; i < STREAMS; i++)
        count += atomic_load(&m->all[i]->turns);
    return count;
}

static void a_port_is_closed_while_everything_goes_on(void)
{
    for (int i = 0; i < 8; i++) {
        melee m;
        begin(&m, 1 << 30, i % 2, i % 4 > 1);
        for (int64_t until = pa_now() + 300 * MS; count_turns(&m) < 200 && pa_now() < until;)
            usleep(1000);
        pa_port_close(m.w.port, NULL, NULL);
        atomic_store(&m.stop, true);
        join_hammers(&m);
        end(&m);
    }
}

/* -- groups -- */

static void *broadcast_much(void *argument)
{
    melee *m = argument;
    static uint8_t bytes[2000];
    pa_stream *refused[STREAMS];
    for (int i = 0; i < 300; i++) {
        owned *owner = calloc(1, sizeof *owner);
        pa_shared *shared = i % 2 ? pa_shared_new(owner) : NULL;
        size_t count = pa_group_broadcast(m->group, NULL, bytes, sizeof bytes, shared,
                                          i % 5 ? PA_NO_KEY : 7, m->all[i % STREAMS]->stream,
                                          refused, STREAMS);
        for (size_t k = 0; k < count; k++)
            pa_stream_release(refused[k]);
        if (shared)
            pa_shared_release(m->w.engine, shared);
        else
            free(owner);
    }
    return NULL;
}

static void *come_and_go(void *argument)
{
    melee *m = argument;
    unsigned random = 5;
    for (int i = 0; i < 3000; i++) {
        conversation *c = m->all[next_random(&random) % STREAMS];
        if (next_random(&random) % 2)
            pa_group_add(m->group, c->stream);
        else
            pa_group_discard(m->group, c->stream);
        if (i % 100 == 0)
            CHECK(pa_group_count(m->group) <= STREAMS);
        if (i % 400 == 399)
            pa_stream_abort(c->stream, PA_END_ABORTED);
    }
    return NULL;
}

static void free_what_is_owed(pa_engine *engine, melee *m)
{
    for (pa_shared *shared = pa_engine_take_owed(engine), *next; shared; shared = next) {
        bool is_streams = false;
        next = shared->next;
        for (int i = 0; i < STREAMS; i++)
            is_streams = is_streams || shared->owner == m->all[i];
        CHECK(atomic_fetch_add(&((owned *)shared->owner)->paid, 1) == 0);
        if (!is_streams)
            free(shared->owner);
        pa_shared_free(shared);
    }
}

static void broadcasts_meet_members_that_come_go_and_end(void)
{
    melee m;
    begin(&m, 2000, true, true);
    pthread_t threads[3];
    threads[0] = start_thread(broadcast_much, &m);
    threads[1] = start_thread(broadcast_much, &m);
    threads[2] = start_thread(come_and_go, &m);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    join_hammers(&m);
    for (int i = 0; i < STREAMS; i++)
        pa_stream_abort(m.all[i]->stream, PA_END_ABORTED);
    for (int i = 0; i < STREAMS; i++)
        WAIT_FOR(atomic_load(&m.all[i]->ends) == 1);
    CHECK(pa_group_count(m.group) == 0);
    free_what_is_owed(m.w.engine, &m);
    end(&m);
}

/* -- stalls -- */

static void answer_late(conversation *c, pa_thread *self, const uint8_t *bytes, size_t length)
{
    uint8_t frame[64];
    CHECK(pa_stream_send(c->stream, self, frame, put_frame(frame, bytes, (uint32_t)length), NULL,
                         PA_NO_KEY) == PA_QUEUED);
    if (atomic_load(&c->frames) % 64 == c->seed % 64)
        usleep(8000);   /* The worker hangs for longer than the port allows. */
}

static void turns_of_workers_that_stall_are_served_once_and_answers_keep_their_order(void)
{
    enum { ROUNDS = 80, BURST = 4 };
    for (int threaded = 0; threaded < 2; threaded++) {
        melee m = {0};
        pa_framing framing = length_framing(1024);
        m.w = open_world(2, MS, threaded);
        m.group = pa_group_new();
        for (int i = 0; i < STREAMS; i++) {
            m.all[i] = converse(&m.w, &framing, NULL);
            m.all[i]->seed = (uint64_t)i;
            m.all[i]->on_frame = answer_late;
        }
        for (int i = 0; i < WORKERS; i++)
            m.workers[i] = start_thread(serve_until_closed, &m.w);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            uint8_t sent[BURST * 8], got[BURST * 8];
            size_t length = 0;
            for (uint32_t k = 0; k < BURST; k++) {
                uint32_t number = round * BURST + k;
                length += put_frame(sent + length, &number, 4);
            }
            for (int i = 0; i < STREAMS; i++)
                send_all(m.all[i]->peer, sent, length);
            for (int i = 0; i < STREAMS; i++) {
                read_exactly(m.all[i]->peer, got, length);
                CHECK(memcmp(sent, got, length) == 0);
            }
        }
        for (int i = 0; i < STREAMS; i++) {
            CHECK(atomic_load(&m.all[i]->frames) == ROUNDS * BURST);
            pa_stream_close(m.all[i]->stream, NULL);
            hang_up(m.all[i]);
            WAIT_FOR(atomic_load(&m.all[i]->ends) == 1);
        }
        end(&m);
    }
}

static const test_case tests[] = {
    {"everything at once tells each end once", everything_at_once_tells_each_end_once},
    {"a port is closed while everything goes on", a_port_is_closed_while_everything_goes_on},
    {"broadcasts meet members that come, go and end",
     broadcasts_meet_members_that_come_go_and_end},
    {"turns of workers that stall are served once and answers keep their order",
     turns_of_workers_that_stall_are_served_once_and_answers_keep_their_order},
};

MAIN(tests)
