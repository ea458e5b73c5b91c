/* What streams do where there is no memory: they refuse, or end, and say so. */
#include "conversation.h"

#include <sys/epoll.h>

/* What this thread asks for from so many bytes on fails; 0: nothing does. Or, what is to grow. */
static _Thread_local size_t fails_from;
static _Thread_local bool fails_to_grow;
static _Thread_local bool fails_to_watch;   /* as beyond fs.epoll.max_user_watches */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *before, size_t size);
void *__wrap_realloc(void *before, size_t size);

static bool fails(size_t size) { return fails_from && size >= fails_from; }

void *__wrap_malloc(size_t size) { return fails(size) ? NULL : __real_malloc(size); }

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *before, size_t size)
{
    return fails_to_grow ? NULL : __real_realloc(before, size);
}

int __real_epoll_ctl(int set, int change, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int change, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int set, int change, int fd, struct epoll_event *event)
{
    if (!fails_to_watch || change == EPOLL_CTL_DEL)
        return __real_epoll_ctl(set, change, fd, event);
    errno = ENOSPC;
    return -1;
}

static void a_stream_that_cannot_be_made_leaves_the_socket_to_the_caller(void)
{
    world w = open_world(1, -1, false);
    pa_stream_limits limits = usual_limits();
    int client, server;
    tcp_pair(&client, &server);
    pa_socket *socket = pa_socket_new(w.engine, server, PA_CONNECTED, NULL);
    for (size_t from = 1; from < 1000; from += 20) {
        fails_from = from;
        pa_stream *stream = pa_stream_new(socket, w.port, NULL, &limits, NULL);
        fails_from = 0;
        if (stream) {
            pa_stream_release(stream);
            socket = NULL;
            break;
        }
        CHECK(pa_socket_fd(socket) >= 0);
    }
    CHECK(!socket);
    close(client);
    close_world(&w);
}

static void a_send_that_finds_no_memory_is_refused(void)
{
    static const uint8_t zeros[100000];
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    fails_from = 2000;
    CHECK(pa_stream_send(c->stream, NULL, zeros, 5000, NULL, PA_NO_KEY) == PA_FULL);
    CHECK(counts_of(c).refused == 1 && state_of(c).queued_packets == 0);
    CHECK(send_text(c, NULL, "small") == PA_QUEUED);
    fails_from = 0;
    CHECK(counts_of(c).packets_sent == 1);
    finish(&w, c);
    close_world(&w);
}

static void bytes_that_find_no_memory_end_the_stream_with_an_error(void)
{
    static uint8_t large[9000];
    uint32_t length = 50000;
    pa_framing framing = length_framing(100000);
    uint8_t frame[64];
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, &framing, NULL);
    send_all(c->peer, frame, put_frame(frame, "good", 4));
    UNTIL(&w, atomic_load(&c->frames) == 1);
    fails_from = 5000;
    memcpy(large, &length, 4);
    send_all(c->peer, large, sizeof large);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    fails_from = 0;
    CHECK(atomic_load(&c->end) == PA_END_ERROR && state_of(c).error == ENOMEM);
    finish(&w, c);
    close_world(&w);
}

/* Nothing more comes that would try again. */
static void an_end_for_whose_turn_there_was_no_memory_is_told_when_there_is(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    fails_from = sizeof(pa_op);
    pa_stream_abort(c->stream, PA_END_ABORTED);
    CHECK(c->stream->turn == PA_TURN_IDLE);
    for (int i = 0; i < 5; i++)
        serve_turns(w.port, w.self, 10 * MS);
    CHECK(!atomic_load(&c->ends));
    fails_from = 0;
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_ABORTED);
    finish(&w, c);
    close_world(&w);
}

static void it_is_told_by_a_thread_that_slept_for_good_too(void)
{
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    pthread_t thread = start_thread(serve_until_closed, &w);
    WAIT_FOR(atomic_load(&w.engine->state) == PA_ASLEEP);
    fails_from = sizeof(pa_op);
    pa_stream_abort(c->stream, PA_END_ABORTED);
    fails_from = 0;
    WAIT_FOR(atomic_load(&c->ends) == 1);
    forget(c);
    pa_port_close(w.port, NULL, NULL);
    pthread_join(thread, NULL);
    close_world(&w);
}

/* Nobody would tell it that there is room again. */
static void a_stream_that_cannot_be_watched_any_more_ends_with_an_error(void)
{
    static const uint8_t zeros[100000];
    world w = open_world(1, -1, false);
    conversation *c = converse(&w, NULL, NULL);
    fails_to_watch = true;
    while (pa_stream_send(c->stream, NULL, zeros, sizeof zeros, NULL, PA_NO_KEY) == PA_QUEUED)
        continue;
    fails_to_watch = false;
    CHECK(pa_socket_fd(c->stream->socket) < 0);
    UNTIL(&w, atomic_load(&c->ends) == 1);
    CHECK(atomic_load(&c->end) == PA_END_ERROR && state_of(c).error == ENOSPC);
    finish(&w, c);
    close_world(&w);
}

static void a_stream_that_cannot_be_watched_at_first_says_so(void)
{
    static const uint8_t zeros[100000];
    world w = open_world(1, -1, false);
    conversation *c = converse_idle(&w, NULL, NULL);
    while (pa_stream_send(c->stream, NULL, zeros, sizeof zeros, NULL, PA_NO_KEY) == PA_QUEUED)
        continue;
    pa_set_interest(c->stream->socket, 0);
    fails_to_watch = true;
    CHECK(pa_stream_start(c->stream) == -ENOSPC);
    fails_to_watch = false;
    CHECK(!atomic_load(&c->ends));
    finish(&w, c);
    close_world(&w);
}

static void a_broadcast_reaches_those_behind_members_that_it_cannot_note_as_gone(void)
{
    enum { MANY = 40 };
    world w = open_world(1, -1, false);
    pa_group *group = pa_group_new();
    conversation *all[MANY];
    pa_stream *refused[MANY];
    for (int i = 0; i < MANY; i++) {
        all[i] = converse(&w, NULL, NULL);
        CHECK(pa_group_add(group, all[i]->stream) == 1);
    }
    for (int i = 0; i < MANY; i += 2) {
        pa_stream_abort(all[i]->stream, PA_END_ABORTED);
        UNTIL(&w, atomic_load(&all[i]->ends) == 1);
    }
    for (int round = 0; round < 2; round++) {
        fails_to_grow = round == 0;
        CHECK(pa_group_broadcast(group, NULL, "x", 1, NULL, PA_NO_KEY, NULL, refused, MANY) == 0);
        fails_to_grow = false;
        for (int i = 0; i < MANY; i++)
            CHECK(counts_of(all[i]).packets_sent == (i % 2 ? (uint64_t)round + 1 : 0));
    }
    for (int i = 0; i < MANY; i += 2)   /* They have fallen out now. */
        UNTIL(&w, atomic_load(&all[i]->stream->references) == 1);
    for (int i = 0; i < MANY; i++)
        finish(&w, all[i]);
    pa_group_free(group);
    close_world(&w);
}

static const test_case tests[] = {
    {"a stream that cannot be made leaves the socket to the caller",
     a_stream_that_cannot_be_made_leaves_the_socket_to_the_caller},
    {"a send that finds no memory is refused", a_send_that_finds_no_memory_is_refused},
    {"bytes that find no memory end the stream with an error",
     bytes_that_find_no_memory_end_the_stream_with_an_error},
    {"an end for whose turn there was no memory is told when there is",
     an_end_for_whose_turn_there_was_no_memory_is_told_when_there_is},
    {"it is told by a thread that slept for good, too",
     it_is_told_by_a_thread_that_slept_for_good_too},
    {"a stream that cannot be watched any more ends with an error",
     a_stream_that_cannot_be_watched_any_more_ends_with_an_error},
    {"a stream that cannot be watched at first says so",
     a_stream_that_cannot_be_watched_at_first_says_so},
    {"a broadcast reaches those behind members that it cannot note as gone",
     a_broadcast_reaches_those_behind_members_that_it_cannot_note_as_gone},
};

MAIN(tests)
