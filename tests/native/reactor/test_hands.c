/* What a worker holds in its hand when it does not come back: others serve it, each turn once. */
#include "conversation.h"

enum { MANY = 20 };

/* One worker hangs in a turn; what else it has must be served by others. */
typedef struct {
    world w;
    conversation *all[MANY];
    int count, hangs;              /* streams, and the one whose turn hangs */
    void (*hang)(conversation *c, pa_thread *self);
    atomic_bool is_hanging, go_on;
    pthread_t workers[2];
} scene;

static void answer(conversation *c, pa_thread *self, const uint8_t *bytes, size_t length)
{
    CHECK(pa_stream_send(c->stream, self, bytes, length, NULL, PA_NO_KEY) == PA_QUEUED);
}

static void go_on_when_told(conversation *c, pa_thread *self)
{
    scene *s = c->context;
    (void)self;
    atomic_store(&s->is_hanging, true);
    while (!atomic_load(&s->go_on))
        usleep(500);
}

static void hang(conversation *c, pa_thread *self, const uint8_t *bytes, size_t length)
{
    scene *s = c->context;
    (void)bytes, (void)length;
    s->hang(c, self);
}

static scene *open_scene(int count, int hangs, int64_t stall_ns,
                         void (*hang_so)(conversation *c, pa_thread *self))
{
    scene *s = calloc(1, sizeof *s);
    s->w = open_world(1, stall_ns, true);
    s->count = count;
    s->hangs = hangs;
    s->hang = hang_so;
    for (int i = 0; i < count; i++) {
        s->all[i] = converse(&s->w, NULL, NULL);
        s->all[i]->context = s;
        s->all[i]->on_frame = i == hangs ? hang : answer;
    }
    return s;
}

/* Their turns are queued in this order. */
static void send_hello(scene *s)
{
    for (int i = 0; i < s->count; i++) {
        send_all(s->all[i]->peer, "hello", 5);
        WAIT_FOR(state_of(s->all[i]).inbox_bytes == 5);
    }
}

static void check_that_all_are_served_once(scene *s)
{
    for (int i = 0; i < s->count; i++)
        if (i != s->hangs)
            CHECK(reads(s->all[i], "hello"));   /* Those before it in the hand, and those behind. */
    for (int i = 0; i < s->count; i++)
        if (i != s->hangs)
            WAIT_FOR(atomic_load(&s->all[i]->turns) == 1);
    atomic_store(&s->go_on, true);
    WAIT_FOR(atomic_load(&s->all[s->hangs]->bytes) == 5);
    for (int i = 0; i < s->count; i++)
        CHECK(atomic_load(&s->all[i]->turns) == 1 && atomic_load(&s->all[i]->frames) == 1);
}

static void close_scene(scene *s)
{
    for (int i = 0; i < s->count; i++) {
        pa_stream_abort(s->all[i]->stream, PA_END_ABORTED);
        WAIT_FOR(atomic_load(&s->all[i]->ends) == 1);
    }
    pa_port_close(s->w.port, NULL, NULL);
    for (int i = 0; i < 2; i++)
        if (s->workers[i])
            pthread_join(s->workers[i], NULL);
    for (int i = 0; i < s->count; i++)
        forget(s->all[i]);
    close_world(&s->w);
    free(s);
}

static void start_worker(scene *s, int number, void *(*run)(void *))
{
    s->workers[number] = start_thread(run, &s->w);
}

/* One worker has all of them in its hand and hangs; another one comes. */
static void check_that_another_serves(int64_t stall_ns,
                                      void (*hang_so)(conversation *c, pa_thread *self))
{
    scene *s = open_scene(MANY, 5, stall_ns, hang_so);
    send_hello(s);
    start_worker(s, 0, serve_until_closed);
    WAIT_FOR(atomic_load(&s->is_hanging));
    start_worker(s, 1, serve_until_closed);
    check_that_all_are_served_once(s);
    close_scene(s);
}

static void the_hand_of_a_stalled_worker_is_served_by_others_each_turn_once(void)
{
    check_that_another_serves(20 * MS, go_on_when_told);
}

static void go_on_when_told_outside_its_slot(conversation *c, pa_thread *self)
{
    pa_port *port = pa_thread_block(self);
    CHECK(port);
    go_on_when_told(c, self);
    pa_thread_resume(self, port);
}

/* No stall is looked for: it says itself that it blocks. */
static void the_hand_of_a_worker_that_says_that_it_blocks_is_served_by_others(void)
{
    check_that_another_serves(-1, go_on_when_told_outside_its_slot);
}

static void serve_inside_a_turn(conversation *c, pa_thread *self)
{
    scene *s = c->context;
    CHECK(serve_turns(s->w.port, self, 0) == s->count - s->hangs - 1);
    atomic_store(&s->is_hanging, true);
}

static void a_worker_that_serves_inside_a_turn_loses_nothing_of_its_hand(void)
{
    scene *s = open_scene(MANY, 5, -1, serve_inside_a_turn);
    send_hello(s);
    start_worker(s, 0, serve_until_closed);
    WAIT_FOR(atomic_load(&s->is_hanging));
    check_that_all_are_served_once(s);
    close_scene(s);
}

/* -- a worker that does not even wake up -- */

static _Thread_local int my_number;
static atomic_int how_many_are_held;
static atomic_bool may_wake[2];

static void hold(int number)
{
    struct timespec moment = {0, 500000};
    (void)number;
    atomic_fetch_add(&how_many_are_held, 1);
    while (!atomic_load(&may_wake[my_number]))
        nanosleep(&moment, NULL);
}

static void *serve_as_0(void *argument)
{
    my_number = 0;
    return serve_until_closed(argument);
}

static void *serve_as_1(void *argument)
{
    my_number = 1;
    return serve_until_closed(argument);
}

static pa_port_statistics port_counts(scene *s)
{
    pa_port_statistics counts;
    pa_port_statistics_get(s->w.port, &counts);
    return counts;
}

/* The newest is handed the first turn, and comes for it when its slot is the other one's already. */
static void a_worker_that_wakes_after_it_was_counted_as_stalled_takes_no_more(void)
{
    struct sigaction holding = {.sa_handler = hold}, before;
    scene *s = open_scene(4, 0, 20 * MS, go_on_when_told);
    sigaction(SIGUSR1, &holding, &before);
    atomic_store(&how_many_are_held, 0);
    for (int i = 0; i < 2; i++) {
        atomic_store(&may_wake[i], false);
        start_worker(s, i, i ? serve_as_1 : serve_as_0);
        WAIT_FOR(port_counts(s).waiting == (uint64_t)i + 1);
    }
    for (int i = 0; i < 2; i++)
        pthread_kill(s->workers[i], SIGUSR1);
    WAIT_FOR(atomic_load(&how_many_are_held) == 2);
    send_hello(s);
    WAIT_FOR(port_counts(s).stalls == 1);
    CHECK(port_counts(s).queued == 2 && port_counts(s).running == 1);
    atomic_store(&may_wake[1], true);
    WAIT_FOR(atomic_load(&s->is_hanging));
    atomic_store(&may_wake[0], true);
    check_that_all_are_served_once(s);
    sigaction(SIGUSR1, &before, NULL);
    close_scene(s);
}

static const test_case tests[] = {
    {"the hand of a stalled worker is served by others, each turn once",
     the_hand_of_a_stalled_worker_is_served_by_others_each_turn_once},
    {"the hand of a worker that says that it blocks is served by others",
     the_hand_of_a_worker_that_says_that_it_blocks_is_served_by_others},
    {"a worker that serves inside a turn loses nothing of its hand",
     a_worker_that_serves_inside_a_turn_loses_nothing_of_its_hand},
    {"a worker that wakes after it was counted as stalled takes no more",
     a_worker_that_wakes_after_it_was_counted_as_stalled_takes_no_more},
};

MAIN(tests)
