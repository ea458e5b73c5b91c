/* Every byte arrives, once and in order, whatever the ring does: few buffers, a queue that
 * overflows, other owners. With PA_DRIVER=multishot or basic; else readiness is asked the same. */
#include "conversation.h"

#include <poll.h>

enum { MOST = 64 };

int __real_poll(struct pollfd *polled, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout);
static atomic_int looks_for_ends, pretends_an_end;

int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout)
{
    if (polled->events != POLLRDHUP)
        return __real_poll(polled, count, timeout);
    atomic_fetch_add(&looks_for_ends, 1);
    if (!atomic_exchange(&pretends_an_end, 0))
        return __real_poll(polled, count, timeout);
    polled->revents = POLLRDHUP;
    return 1;
}

typedef struct {
    world w;
    bool by_ring;
    int count;
    size_t each;                   /* bytes that come on each stream */
    size_t piece;
    conversation *all[MOST];
    atomic_int closed;
} traffic;

/* `count` streams on which `each` bytes come. */
static traffic *open_traffic(const pa_uring_profile *changes, int count, size_t each, size_t piece)
{
    pa_uring_profile profile;
    traffic *t = calloc(1, sizeof *t);
    t->by_ring = chosen_profile(&profile);
    profile.sq_entries = changes->sq_entries, profile.cq_entries = changes->cq_entries;
    profile.buffer_count = changes->buffer_count, profile.buffer_bytes = changes->buffer_bytes;
    t->w = open_world_of(t->by_ring ? &profile : NULL, 2, -1, false);
    t->count = count, t->each = each, t->piece = piece;
    for (int i = 0; i < count; i++) {
        t->all[i] = converse(&t->w, NULL, NULL);
        t->all[i]->seed = (uint64_t)i;
        t->all[i]->on_frame = check_pattern;
    }
    return t;
}

static bool has_all(traffic *t)
{
    for (int i = 0; i < t->count; i++)
        if (atomic_load(&t->all[i]->bytes) < t->each)
            return false;
    return true;
}

static pa_engine_statistics close_traffic(traffic *t)
{
    pa_engine_statistics statistics;
    pa_engine_statistics_get(t->w.engine, &statistics);
    for (int i = 0; i < t->count; i++) {
        CHECK(atomic_load(&t->all[i]->bytes) == t->each);
        CHECK(t->all[i]->wrong == 0);
        finish(&t->w, t->all[i]);
    }
    close_world(&t->w);
    free(t);
    return statistics;
}

static void *send_to_all(void *argument)
{
    traffic *t = argument;
    uint8_t *bytes = malloc(t->piece);
    for (size_t at = 0; at < t->each; at += t->piece) {
        size_t length = t->each - at < t->piece ? t->each - at : t->piece;
        for (int i = 0; i < t->count; i++) {
            fill_pattern(bytes, length, (uint64_t)i, at);
            send_all(t->all[i]->peer, bytes, length);
        }
    }
    free(bytes);
    return NULL;
}

static void few_small_buffers_lose_no_byte(void)
{
    pa_uring_profile few = {.buffer_count = 2, .buffer_bytes = 64};
    traffic *t = open_traffic(&few, 16, 20000, 700);
    bool by_ring = t->by_ring;
    pthread_t sender = start_thread(send_to_all, t);
    UNTIL(&t->w, has_all(t));
    pthread_join(sender, NULL);
    pa_engine_statistics statistics = close_traffic(t);
    CHECK(!by_ring || statistics.no_buffers > 0);
}

static void a_completion_queue_that_overflows_loses_no_byte(void)
{
    pa_uring_profile narrow = {.sq_entries = 8, .cq_entries = 8};
    traffic *t = open_traffic(&narrow, MOST, 6000, 100);
    bool by_ring = t->by_ring;
    pthread_t sender = start_thread(send_to_all, t);
    usleep(2000);   /* Not to wait for something: so that much comes at once. */
    UNTIL(&t->w, has_all(t));
    pthread_join(sender, NULL);
    pa_engine_statistics statistics = close_traffic(t);
    CHECK(!by_ring || statistics.overflows > 0);
}

static void a_ring_that_cannot_be_opened_leaves_the_streams_to_readiness(void)
{
    pa_uring_profile odd = {.buffer_count = 3, .buffer_bytes = 64};   /* No power of two. */
    traffic *t = open_traffic(&odd, 4, 100000, 5000);
    pthread_t sender = start_thread(send_to_all, t);
    UNTIL(&t->w, has_all(t));
    pthread_join(sender, NULL);
    pa_engine_statistics statistics = close_traffic(t);
    CHECK(statistics.completions == 0);
}

/* -- other owners -- */

static void *serve_all_of_it(void *argument)
{
    traffic *t = argument;
    pa_thread *self = pa_thread_new();
    while (!has_all(t) && !atomic_load(&t->closed))
        serve_turns(t->w.port, self, 2 * MS);
    pa_batch_end(self);
    pa_thread_free(self);
    return NULL;
}

static void take_over(const pa_uring_profile *profile)
{
    traffic *t = open_traffic(profile, 32, 20000, 300);
    pthread_t sender = start_thread(send_to_all, t);
    for (int i = 0; i < 4; i++)
        serve_turns(t->w.port, t->w.self, MS);   /* This thread owns the ring. */
    pthread_t second = start_thread(serve_all_of_it, t);
    UNTIL(&t->w, has_all(t));
    atomic_store(&t->closed, 1);
    pthread_join(sender, NULL);
    pthread_join(second, NULL);
    close_traffic(t);
}

static void the_io_thread_takes_over_from_the_first_owner_and_no_byte_is_lost(void)
{
    pa_uring_profile usual = {0}, narrow = {.sq_entries = 8, .cq_entries = 8},
                     few = {.buffer_count = 2, .buffer_bytes = 64};
    for (int i = 0; i < 5; i++) {
        take_over(&usual);
        take_over(&narrow);
        take_over(&few);
    }
}

static void *serve_for_a_moment(void *argument)
{
    traffic *t = argument;
    pa_thread *self = pa_thread_new();
    for (int i = 0; i < 20; i++)
        serve_turns(t->w.port, self, MS / 10);
    pa_batch_end(self);
    pa_thread_free(self);
    return NULL;   /* Whatever has come since is for the next owner. */
}

static void owners_that_end_while_bytes_come_lose_none(void)
{
    pa_uring_profile usual = {0};
    for (int round = 0; round < 4; round++) {
        traffic *t = open_traffic(&usual, 16, 60000, 200);
        pthread_t sender = start_thread(send_to_all, t);
        int generations = 0;
        for (; !has_all(t) && generations < 5000; generations++)
            pthread_join(start_thread(serve_for_a_moment, t), NULL);
        CHECK(has_all(t));
        pthread_join(sender, NULL);
        pa_engine_statistics statistics;
        pa_engine_statistics_get(t->w.engine, &statistics);
        close_traffic(t);
    }
}

/* -- numbers of descriptors -- */

static void a_new_connection_gets_every_byte_although_its_number_was_another_ones(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        for (int i = 0; i < 200; i++) {
            conversation *old = converse(&w, NULL, NULL);
            send_all(old->peer, "x", 1);
            if (i % 3)
                UNTIL(&w, atomic_load(&old->bytes) == 1);
            pa_stream_abort(old->stream, PA_END_ABORTED);
            int client, server;
            char got[6] = "";
            tcp_pair(&client, &server);   /* Perhaps by the number of the old one. */
            send_all(client, "abcdef", 6);
            serve_turns(w.port, w.self, 0);
            serve_turns(w.port, w.self, MS / 10);
            struct pollfd ready = {.fd = server, .events = POLLIN};
            CHECK(poll(&ready, 1, 2000) == 1);
            CHECK(recv(server, got, 6, MSG_DONTWAIT) == 6 && memcmp(got, "abcdef", 6) == 0);
            close(client);
            close(server);
            finish(&w, old);
        }
        close_world(&w);
    }
}

/* The kernel cannot be made to miss one at will: a look that says so must be enough. */
static void who_has_received_is_looked_at_once_and_an_end_makes_the_receive_anew(void)
{
    pa_uring_profile profile;
    if (!chosen_profile(&profile))
        return;
    world w = open_world_of(&profile, 1, -1, false);
    conversation *c = converse(&w, NULL, NULL), *silent = converse(&w, NULL, NULL);
    pa_engine_statistics before, after;
    atomic_store(&looks_for_ends, 0);
    send_all(c->peer, "a", 1);
    UNTIL(&w, atomic_load(&c->bytes) == 1);
    pa_engine_statistics_get(w.engine, &before);
    atomic_store(&pretends_an_end, 1);
    UNTIL(&w, atomic_load(&looks_for_ends) == 1);
    UNTIL(&w, (pa_engine_statistics_get(w.engine, &after), after.rearms > before.rearms));
    send_all(c->peer, "b", 1);
    UNTIL(&w, atomic_load(&c->bytes) == 2);
    UNTIL(&w, atomic_load(&looks_for_ends) == 2);
    CHECK(!c->stream->ring_heard && !silent->stream->ring_heard);
    finish(&w, silent);
    finish(&w, c);
    close_world(&w);
}

static const test_case tests[] = {
    {"who has received is looked at once and an end makes the receive anew",
     who_has_received_is_looked_at_once_and_an_end_makes_the_receive_anew},
    {"few small buffers lose no byte", few_small_buffers_lose_no_byte},
    {"a completion queue that overflows loses no byte",
     a_completion_queue_that_overflows_loses_no_byte},
    {"a ring that cannot be opened leaves the streams to readiness",
     a_ring_that_cannot_be_opened_leaves_the_streams_to_readiness},
    {"the I/O thread takes over from the first owner and no byte is lost",
     the_io_thread_takes_over_from_the_first_owner_and_no_byte_is_lost},
    {"owners that end while bytes come lose none", owners_that_end_while_bytes_come_lose_none},
    {"a new connection gets every byte although its number was another one's",
     a_new_connection_gets_every_byte_although_its_number_was_another_ones},
};

MAIN(tests)
