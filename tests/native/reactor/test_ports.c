/* Ports: FIFO, LIFO, hand-off, the concurrency value, blocking, stalls, interrupts, close. */
#include "harness.h"

static pa_op *posted(void)
{
    pa_op *op = calloc(1, sizeof *op);
    op->kind = PA_POSTED;
    return op;
}

/* A thread that waits once and notes what it got. */
typedef struct {
    world *w;
    pa_thread *thread;
    pthread_t handle;
    pa_op *got;
    int answer;
    bool interrupted;
    atomic_bool ended;
} waiter;

static void *wait_once(void *argument)
{
    waiter *me = argument;
    me->answer = pa_port_wait(me->w->port, me->thread, &me->got, 1, 20 * SECOND, &me->interrupted);
    atomic_store(&me->ended, true);
    return NULL;
}

static uint64_t count_waiting(world *w)
{
    pa_port_statistics counts;
    pa_port_statistics_get(w->port, &counts);
    return counts.waiting;
}

static void start_waiter(waiter *me, world *w)
{
    uint64_t before = count_waiting(w);
    *me = (waiter){.w = w, .thread = pa_thread_new()};
    me->handle = start_thread(wait_once, me);
    for (int i = 0; i < 5000 && count_waiting(w) == before; i++)
        usleep(1000);
    CHECK(count_waiting(w) == before + 1);
}

static bool ends_within(waiter *me, int64_t timeout)
{
    for (int64_t until = pa_now() + timeout; pa_now() < until;) {
        if (atomic_load(&me->ended))
            return true;
        usleep(500);
    }
    return atomic_load(&me->ended);
}

static void end_waiter(waiter *me)
{
    pthread_join(me->handle, NULL);
    pa_thread_free(me->thread);
    free(me->got);
}

static void packets_are_first_in_first_out(void)
{
    world w = open_world(1, -1, false);
    pa_op *ops[10], *got[10];
    bool interrupted;
    for (int i = 0; i < 10; i++)
        CHECK(pa_port_post(w.port, ops[i] = posted()) == 0);
    CHECK(pa_port_take(w.port, w.self, got, 4) == 4);
    CHECK(pa_port_wait(w.port, w.self, got + 4, 10, 0, &interrupted) == 6);
    for (int i = 0; i < 10; i++) {
        CHECK(got[i] == ops[i]);
        free(ops[i]);
    }
    CHECK(pa_port_take(w.port, w.self, got, 4) == 0);
    int64_t began = pa_now();
    CHECK(pa_port_wait(w.port, w.self, got, 4, 30 * MS, &interrupted) == 0 && !interrupted);
    CHECK(pa_now() - began >= 30 * MS);
    close_world(&w);
}

static void the_newest_waiter_is_released_first(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(3, -1, threaded);
        waiter waiters[3];
        for (int i = 0; i < 3; i++)
            start_waiter(&waiters[i], &w);
        for (int i = 2; i >= 0; i--) {
            pa_op *op = posted();
            CHECK(pa_port_post(w.port, op) == 0);
            CHECK(ends_within(&waiters[i], 5 * SECOND) && waiters[i].got == op);
        }
        for (int i = 0; i < 3; i++)
            end_waiter(&waiters[i]);
        close_world(&w);
    }
}

static void one_slot_lets_one_thread_run(void)
{
    world w = open_world(1, -1, true);
    waiter older, newer;
    start_waiter(&older, &w);
    start_waiter(&newer, &w);
    pa_op *first = posted(), *second = posted();
    pa_port_post(w.port, first);
    CHECK(ends_within(&newer, 5 * SECOND) && newer.got == first);
    pa_port_post(w.port, second);
    CHECK(!ends_within(&older, 100 * MS));   /* Queued although a thread waits. */
    pa_port *blocked = pa_thread_block(newer.thread);
    CHECK(blocked == w.port);
    CHECK(ends_within(&older, 5 * SECOND) && older.got == second);
    pa_thread_resume(newer.thread, blocked);
    pa_port_statistics counts;
    pa_port_statistics_get(w.port, &counts);
    CHECK(counts.running == 2);   /* Above the value, as on Windows. */
    end_waiter(&older);
    end_waiter(&newer);
    pa_port_statistics_get(w.port, &counts);
    CHECK(counts.running == 0 && counts.delivered == 2 && counts.posted == 2);
    close_world(&w);
}

static void a_thread_that_goes_to_another_port_gives_its_slot_back(void)
{
    world w = open_world(1, -1, false);
    pa_port *other = pa_port_new(w.engine, 1, -1);
    pa_op *op = posted(), *got;
    pa_port_statistics counts;
    pa_port_post(w.port, op);
    CHECK(pa_port_take(w.port, w.self, &got, 1) == 1);
    CHECK(pa_port_take(other, w.self, &got, 1) == 0);
    pa_port_statistics_get(w.port, &counts);
    CHECK(counts.running == 0);
    free(op);
    pa_port_close(other, NULL, NULL);
    pa_port_release(other);
    close_world(&w);
}

static void a_stalled_thread_is_counted_as_blocked(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, 30 * MS, threaded);
        waiter older, newer;
        start_waiter(&older, &w);
        start_waiter(&newer, &w);
        pa_port_post(w.port, posted());
        CHECK(ends_within(&newer, 5 * SECOND));
        int64_t began = pa_now();
        pa_port_post(w.port, posted());
        CHECK(ends_within(&older, 5 * SECOND) && older.got);
        CHECK(pa_now() - began > 15 * MS);
        pa_port_statistics counts;
        pa_port_statistics_get(w.port, &counts);
        CHECK(counts.stalls == 1);
        end_waiter(&older);
        end_waiter(&newer);
        close_world(&w);
    }
}

static void a_stall_is_seen_by_a_thread_that_comes_later(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, 20 * MS, threaded);
        waiter late;
        pa_op *first = posted(), *got;
        pa_port_post(w.port, first);
        CHECK(pa_port_take(w.port, w.self, &got, 1) == 1 && got == first);
        pa_port_post(w.port, posted());   /* Nobody waits yet. */
        late = (waiter){.w = &w, .thread = pa_thread_new()};
        late.handle = start_thread(wait_once, &late);
        CHECK(ends_within(&late, 5 * SECOND) && late.got);
        end_waiter(&late);
        free(first);
        close_world(&w);
    }
}

static void an_interrupt_ends_this_wait_or_the_next(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        waiter polling, parked;
        start_waiter(&polling, &w);
        start_waiter(&parked, &w);
        pa_thread_interrupt(polling.thread);
        CHECK(ends_within(&polling, 5 * SECOND) && polling.interrupted && polling.answer == 0);
        CHECK(!ends_within(&parked, 50 * MS));
        pa_thread_interrupt(parked.thread);
        CHECK(ends_within(&parked, 5 * SECOND) && parked.interrupted);
        pa_op *got;
        bool interrupted;
        pa_thread_interrupt(w.self);
        CHECK(pa_port_wait(w.port, w.self, &got, 1, -1, &interrupted) == 0 && interrupted);
        CHECK(pa_port_wait(w.port, w.self, &got, 1, MS, &interrupted) == 0 && !interrupted);
        end_waiter(&polling);
        end_waiter(&parked);
        close_world(&w);
    }
}

static void note_lost(pa_op *op, void *context)
{
    CHECK(op->kind == PA_POSTED);
    (*(int *)context)++;
    free(op);
}

static void close_wakes_all_and_tells_what_is_lost(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        waiter waiters[3];
        int lost = 0;
        for (int i = 0; i < 3; i++)
            start_waiter(&waiters[i], &w);
        pa_port_post(w.port, posted());
        CHECK(ends_within(&waiters[2], 5 * SECOND));
        pa_port_post(w.port, posted());
        pa_port_post(w.port, posted());
        pa_port_close(w.port, note_lost, &lost);
        CHECK(lost == 2);
        for (int i = 0; i < 2; i++)
            CHECK(ends_within(&waiters[i], 5 * SECOND) && waiters[i].answer == -ECANCELED);
        pa_op *op = posted(), *got;
        bool interrupted;
        CHECK(pa_port_post(w.port, op) == -EBADF);
        CHECK(pa_port_wait(w.port, w.self, &got, 1, 0, &interrupted) == -EBADF);
        CHECK(pa_port_take(w.port, w.self, &got, 1) == -EBADF);
        free(op);
        for (int i = 0; i < 3; i++)
            end_waiter(&waiters[i]);
        close_world(&w);
    }
}

/* -- under load -- */

enum { POSTERS = 4, POSTS = 10000 };

typedef struct {
    world *w;
    int limit;
    atomic_int running, most, taken;
    atomic_bool out_of_order;
} crowd;

static void *post_many(void *argument)
{
    crowd *c = argument;
    for (int i = 0; i < POSTS; i++)
        pa_port_post(c->w->port, posted());
    return NULL;
}

static void *take_many(void *argument)
{
    crowd *c = argument;
    pa_thread *self = pa_thread_new();
    pa_op *got[8];
    bool interrupted;
    int count;
    while ((count = pa_port_wait(c->w->port, self, got, c->limit, 5 * SECOND, &interrupted)) >= 0) {
        int running = atomic_fetch_add(&c->running, 1) + 1, most = atomic_load(&c->most);
        while (running > most && !atomic_compare_exchange_weak(&c->most, &most, running))
            continue;
        for (int i = 0; i < count; i++)
            free(got[i]);
        int taken = atomic_fetch_add(&c->taken, count) + count;
        atomic_fetch_sub(&c->running, 1);
        if (taken == POSTERS * POSTS)
            pa_port_close(c->w->port, NULL, NULL);
    }
    pa_thread_free(self);
    return NULL;
}

static void the_concurrency_value_is_never_exceeded(void)
{
    for (int round = 0; round < 8; round++) {
        int concurrency = 1 + round % 3;
        world w = open_world(concurrency, -1, round & 4);
        crowd c = {.w = &w, .limit = round % 2 ? 1 : 8};
        pthread_t takers[4], posters[POSTERS];
        for (int i = 0; i < 4; i++)
            takers[i] = start_thread(take_many, &c);
        for (int i = 0; i < POSTERS; i++)
            posters[i] = start_thread(post_many, &c);
        for (int i = 0; i < POSTERS; i++)
            pthread_join(posters[i], NULL);
        for (int i = 0; i < 4; i++)
            pthread_join(takers[i], NULL);
        CHECK(c.taken == POSTERS * POSTS);
        CHECK(c.most <= concurrency);
        close_world(&w);
    }
}

static void *block_and_resume(void *argument)
{
    crowd *c = argument;
    pa_thread *self = pa_thread_new();
    pa_op *got[1];
    bool interrupted;
    int count;
    while ((count = pa_port_wait(c->w->port, self, got, 1, 5 * SECOND, &interrupted)) >= 0) {
        if (count == 0)
            continue;
        free(got[0]);
        pa_port *port = pa_thread_block(self);
        CHECK(port == c->w->port || port == NULL);
        if (atomic_fetch_add(&c->taken, 1) + 1 == POSTS)
            pa_port_close(c->w->port, NULL, NULL);
        pa_thread_resume(self, port);
    }
    pa_thread_free(self);
    return NULL;
}

static void blocking_under_load_loses_no_slot_and_no_packet(void)
{
    world w = open_world(1, 5 * MS, false);
    crowd c = {.w = &w};
    pthread_t takers[4];
    for (int i = 0; i < 4; i++)
        takers[i] = start_thread(block_and_resume, &c);
    pthread_t poster = start_thread(post_many, &c);
    pthread_join(poster, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(takers[i], NULL);
    pa_port_statistics counts;
    pa_port_statistics_get(w.port, &counts);
    CHECK(counts.running == 0 && counts.waiting == 0 && counts.delivered == POSTS);
    close_world(&w);
}

static void *interrupt_many(void *argument)
{
    pa_thread **threads = argument;
    for (int i = 0; i < 20000; i++)
        pa_thread_interrupt(threads[i % 2]);
    return NULL;
}

static void interrupts_lose_no_packet(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(2, -1, threaded);
        crowd c = {.w = &w, .limit = 8};
        pa_thread *threads[2] = {w.self, w.self};
        pthread_t poster = start_thread(post_many, &c), other = start_thread(interrupt_many, threads);
        int taken = 0;
        for (int64_t until = pa_now() + 30 * SECOND; taken < POSTS && pa_now() < until;) {
            pa_op *got[8];
            bool interrupted;
            int count = pa_port_wait(w.port, w.self, got, 8, SECOND, &interrupted);
            CHECK(count >= 0 && !(count && interrupted));
            for (int i = 0; i < count; i++)
                free(got[i]);
            taken += count;
        }
        CHECK(taken == POSTS);
        pthread_join(poster, NULL);
        pthread_join(other, NULL);
        close_world(&w);
    }
}

static void a_waiter_polls_when_the_one_that_polled_has_left(void)
{
    world w = open_world(2, -1, false);
    waiter polling, parked;
    int pair[2];
    char byte;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pa_socket *s = pa_socket_new(w.engine, pair[0], PA_CONNECTED, NULL);
    CHECK(pa_socket_attach(s, w.port, NULL) == 0);
    start_waiter(&polling, &w);
    usleep(10000);
    start_waiter(&parked, &w);
    usleep(10000);
    pa_thread_interrupt(polling.thread);
    CHECK(ends_within(&polling, 5 * SECOND));
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING);
    CHECK(send(pair[1], "x", 1, 0) == 1);
    CHECK(ends_within(&parked, 5 * SECOND) && parked.got == &op);
    parked.got = NULL;
    end_waiter(&polling);
    end_waiter(&parked);
    close(pair[1]);
    pa_socket_close(s, false);
    pa_socket_release(s);
    close_world(&w);
}

static void the_io_thread_takes_over_from_a_waiter(void)
{
    world w = open_world(2, -1, false);
    waiter first, second;
    start_waiter(&first, &w);
    start_waiter(&second, &w);
    CHECK(pa_engine_start_thread(w.engine) == 0);
    CHECK(pa_engine_start_thread(w.engine) == 0);
    int pair[2];
    char byte;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pa_socket *s = pa_socket_new(w.engine, pair[0], PA_CONNECTED, NULL);
    CHECK(pa_socket_attach(s, w.port, NULL) == 0);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING);
    CHECK(send(pair[1], "x", 1, 0) == 1);
    CHECK(ends_within(&second, 5 * SECOND) && second.got == &op);
    second.got = NULL;
    pa_port_post(w.port, posted());
    CHECK(ends_within(&first, 5 * SECOND));
    end_waiter(&first);
    end_waiter(&second);
    CHECK(pa_engine_turn(w.engine, 0) == -EBUSY);
    close(pair[1]);
    pa_socket_close(s, false);
    pa_socket_release(s);
    close_world(&w);
}

static void the_backup_thread_polls_for_threads_in_user_code(void)
{
    world w = open_world(1, -1, false);
    pa_engine_allow_backup(w.engine);
    for (int round = 0; round < 3; round++) {
        int pair[2];
        char byte;
        pa_op *got;
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        pa_socket *s = pa_socket_new(w.engine, pair[0], PA_CONNECTED, NULL);
        CHECK(pa_socket_attach(s, w.port, NULL) == 0);
        pa_op op = make_op(PA_RECV, &byte, 1);
        CHECK(submit(s, &op) == PA_PENDING);
        usleep(round * 20000);
        CHECK(send(pair[1], "x", 1, 0) == 1);
        int count = 0;
        for (int i = 0; i < 2000 && !count; i++) {   /* It never waits: only takes. */
            count = pa_port_take(w.port, w.self, &got, 1);
            usleep(500);
        }
        CHECK(count == 1);
        op = make_op(PA_RECV, &byte, 1);
        CHECK(submit(s, &op) == PA_PENDING);
        usleep(15000);   /* It polls by now, and gives way to a thread that waits. */
        CHECK(send(pair[1], "y", 1, 0) == 1);
        CHECK(take(&w) == &op && byte == 'y');
        close(pair[1]);
        pa_socket_close(s, false);
        pa_socket_release(s);
    }
    close_world(&w);
}

static const test_case tests[] = {
    {"packets are first in, first out", packets_are_first_in_first_out},
    {"the newest waiter is released first", the_newest_waiter_is_released_first},
    {"one slot lets one thread run", one_slot_lets_one_thread_run},
    {"a thread that goes to another port gives its slot back",
     a_thread_that_goes_to_another_port_gives_its_slot_back},
    {"a stalled thread is counted as blocked", a_stalled_thread_is_counted_as_blocked},
    {"a stall is seen by a thread that comes later", a_stall_is_seen_by_a_thread_that_comes_later},
    {"an interrupt ends this wait or the next", an_interrupt_ends_this_wait_or_the_next},
    {"close wakes all and tells what is lost", close_wakes_all_and_tells_what_is_lost},
    {"the concurrency value is never exceeded", the_concurrency_value_is_never_exceeded},
    {"blocking under load loses no slot and no packet",
     blocking_under_load_loses_no_slot_and_no_packet},
    {"interrupts lose no packet", interrupts_lose_no_packet},
    {"a waiter polls when the one that polled has left",
     a_waiter_polls_when_the_one_that_polled_has_left},
    {"the I/O thread takes over from a waiter", the_io_thread_takes_over_from_a_waiter},
    {"the backup thread polls for threads in user code",
     the_backup_thread_polls_for_threads_in_user_code},
};

MAIN(tests)
