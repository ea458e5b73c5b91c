/* The queue of packets that wait to be sent, by itself: no socket, no clock. */
#include "conversation.h"

#include "send_queue.h"

/* The malloc after so many fails; -1: none. */
static int mallocs_left = -1;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    if (mallocs_left == 0)
        return NULL;
    if (mallocs_left > 0)
        mallocs_left--;
    return __real_malloc(size);
}

static void push(pa_send_queue *queue, const char *text, uint64_t key)
{
    CHECK(pa_sends_push(queue, text, strlen(text), NULL, key) == 0);
}

/* All that gather points at, as one text of the caller's. */
static const char *gathered(const pa_send_queue *queue, int most, char *into)
{
    struct iovec pieces[64];
    size_t at = 0;
    int count = pa_sends_gather(queue, pieces, most);
    for (int i = 0; i < count; i++) {
        memcpy(into + at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    into[at] = 0;
    return into;
}

static bool holds(const pa_send_queue *queue, const char *text)
{
    char into[8192];
    return strcmp(gathered(queue, 64, into), text) == 0 && queue->bytes == strlen(text);
}

static void neighbours_leave_as_one_piece(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    struct iovec pieces[64];
    owned owner = {0};
    pa_shared *shared = pa_shared_new(&owner);
    push(&queue, "one", 0), push(&queue, "two", 0), push(&queue, "", 0), push(&queue, "three", 0);
    CHECK(pa_sends_gather(&queue, pieces, 64) == 1 && pieces[0].iov_len == 11);
    CHECK(pa_sends_push(&queue, "shared", 6, shared, 0) == 0);
    push(&queue, "after", 0);
    CHECK(pa_sends_gather(&queue, pieces, 64) == 3);
    CHECK(pa_sends_gather(&queue, pieces, 2) == 2);
    CHECK(holds(&queue, "onetwothreesharedafter"));
    CHECK(pa_sends_clear(&queue, w.engine) == 6);
    CHECK(queue.count == 0 && queue.bytes == 0 && !queue.newest && !queue.entries);
    pa_shared_release(w.engine, shared);
    CHECK(pay_owed(w.engine) == 1);
    close_world(&w);
}

static void a_queue_may_be_cut_at_every_byte(void)
{
    world w = open_world(1, -1, false);
    static const char whole[] = "abcdefghijkl";
    for (size_t first = 0; first <= 12; first++) {
        for (size_t second = first; second <= 12; second++) {
            pa_send_queue queue = {0};
            owned owner = {0};
            pa_shared *shared = pa_shared_new(&owner);
            push(&queue, "abc", 0), push(&queue, "", 0);
            CHECK(pa_sends_push(&queue, "defg", 4, shared, 0) == 0);
            push(&queue, "hi", 0), push(&queue, "jkl", 0);
            pa_shared_release(w.engine, shared);
            uint32_t ended = pa_sends_advance(&queue, w.engine, first);
            CHECK(holds(&queue, whole + first));
            ended += pa_sends_advance(&queue, w.engine, second - first);
            CHECK(holds(&queue, whole + second));
            CHECK(pay_owed(w.engine) == (second >= 7));
            if (second < 12)
                CHECK(queue.begun == second - (second < 3 ? 0 : second < 7 ? 3 : second < 9 ? 7 : 9));
            ended += pa_sends_advance(&queue, w.engine, 12 - second);
            CHECK(ended == 5 && queue.count == 0 && queue.bytes == 0 && queue.begun == 0);
            CHECK(pay_owed(w.engine) == (second < 7));
        }
    }
    close_world(&w);
}

static void packets_without_bytes_end_with_the_ones_before_them(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    struct iovec pieces[4];
    push(&queue, "", 0);
    CHECK(pa_sends_gather(&queue, pieces, 4) == 1 && pieces[0].iov_len == 0);
    CHECK(pa_sends_advance(&queue, w.engine, 0) == 1 && queue.count == 0);
    push(&queue, "a", 0), push(&queue, "", 0), push(&queue, "", 0), push(&queue, "b", 0);
    CHECK(pa_sends_advance(&queue, w.engine, 1) == 3);
    CHECK(holds(&queue, "b"));
    CHECK(pa_sends_clear(&queue, w.engine) == 1);
    close_world(&w);
}

static void a_key_finds_what_is_not_begun_and_replaces_it_in_its_place(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    push(&queue, "first", 1), push(&queue, "second", 2), push(&queue, "third", 1);
    CHECK(pa_sends_advance(&queue, w.engine, 1) == 0);
    pa_entry *found = pa_sends_find(&queue, 1);   /* The first one is begun. */
    CHECK(found && found->length == 5 && memcmp(found->bytes, "third", 5) == 0);
    CHECK(!pa_sends_find(&queue, 3));
    found = pa_sends_find(&queue, 2);
    CHECK(pa_sends_replace(&queue, w.engine, found, "2", 1, NULL) == 0);
    CHECK(holds(&queue, "irst2third"));
    CHECK(pa_sends_replace(&queue, w.engine, pa_sends_find(&queue, 2), "the second", 10, NULL) == 0);
    CHECK(holds(&queue, "irstthe secondthird"));
    CHECK(pa_sends_clear(&queue, w.engine) == 3);
    close_world(&w);
}

static void replacing_for_ever_needs_no_more_memory_than_a_few_blocks(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    owned owner = {0};
    char text[200];
    memset(text, 'x', sizeof text);
    push(&queue, "state", 5);
    for (int i = 0; i < 10000; i++) {
        pa_shared *shared = i % 3 ? NULL : pa_shared_new(&owner);
        CHECK(pa_sends_replace(&queue, w.engine, pa_sends_find(&queue, 5), text, 1 + i % 200,
                               shared) == 0);
        if (shared)
            pa_shared_release(w.engine, shared);
        CHECK(queue.bytes == 1 + (size_t)i % 200 && queue.count == 1);
    }
    CHECK(pa_sends_clear(&queue, w.engine) == 1);   /* The address sanitizer counts the blocks. */
    CHECK(pay_owed(w.engine) == 3334);
    close_world(&w);
}

static void the_oldest_that_is_not_begun_is_dropped_first(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    push(&queue, "begun", 0), push(&queue, "two", 0), push(&queue, "three", 0);
    CHECK(pa_sends_advance(&queue, w.engine, 2) == 0);
    CHECK(pa_sends_drop_oldest(&queue, w.engine) && holds(&queue, "gunthree"));
    CHECK(pa_sends_drop_oldest(&queue, w.engine) && holds(&queue, "gun"));
    CHECK(!pa_sends_drop_oldest(&queue, w.engine) && holds(&queue, "gun"));
    push(&queue, "four", 0);
    CHECK(holds(&queue, "gunfour"));
    CHECK(pa_sends_advance(&queue, w.engine, 7) == 2);
    push(&queue, "only", 0);
    CHECK(pa_sends_drop_oldest(&queue, w.engine));
    CHECK(!pa_sends_drop_oldest(&queue, w.engine) && !queue.entries);
    close_world(&w);
}

static void a_queue_grows_and_wraps_and_keeps_its_order(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    uint32_t in = 0, out = 0;
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 1 + round % 17; i++, in++)
            CHECK(pa_sends_push(&queue, &in, 4, NULL, 0) == 0);
        for (int i = 0; i < 1 + round % 13 && out < in; i++, out++) {
            struct iovec piece;
            CHECK(pa_sends_gather(&queue, &piece, 1) == 1 && piece.iov_len >= 4);
            CHECK(memcmp(piece.iov_base, &out, 4) == 0);
            CHECK(pa_sends_advance(&queue, w.engine, 4) == 1);
        }
        CHECK(queue.count == in - out && queue.bytes == 4 * (in - out));
    }
    CHECK(pa_sends_clear(&queue, w.engine) == in - out);
    close_world(&w);
}

static void what_does_not_fit_into_a_block_has_one_of_its_own(void)
{
    world w = open_world(1, -1, false);
    pa_send_queue queue = {0};
    uint8_t large[10000], got[30000];
    struct iovec pieces[8];
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        fill_pattern(large, sizeof large, 1, (size_t)i * sizeof large);
        CHECK(pa_sends_push(&queue, large, sizeof large, NULL, 0) == 0);
    }
    int count = pa_sends_gather(&queue, pieces, 8);
    for (int i = 0; i < count; at += pieces[i++].iov_len)
        memcpy(got + at, pieces[i].iov_base, pieces[i].iov_len);
    CHECK(at == sizeof got);
    for (size_t i = 0; i < at; i++)
        CHECK(got[i] == pattern(1, i));
    CHECK(pa_sends_clear(&queue, w.engine) == 3);
    close_world(&w);
}

static void without_memory_nothing_changes(void)
{
    world w = open_world(1, -1, false);
    char text[500], into[16384];
    memset(text, 'x', sizeof text);
    for (int before = 0; before < 30; before++) {
        pa_send_queue queue = {0};
        int pushed = 0, failed = 0;
        for (int i = 0; i < before; i++)
            CHECK(pa_sends_push(&queue, text, 100, NULL, i == 0 ? 9 : 0) == 0);
        size_t bytes = queue.bytes;
        mallocs_left = 0;
        while (!failed && pushed < 60)
            pa_sends_push(&queue, text, 100, NULL, 0) == 0 ? pushed++ : failed++;
        pa_entry *first = pa_sends_find(&queue, 9);
        int replaced = first ? pa_sends_replace(&queue, w.engine, first, text, 500, NULL) : 0;
        mallocs_left = -1;
        CHECK(failed && queue.count == (uint32_t)(before + pushed));
        CHECK(replaced == 0 || (replaced == -ENOMEM && first->length == 100 && first->key == 9));
        if (replaced < 0)
            CHECK(queue.bytes == bytes + 100 * (size_t)pushed);
        CHECK(strlen(gathered(&queue, 64, into)) == queue.bytes);
        CHECK(pa_sends_push(&queue, "end", 3, NULL, 0) == 0);
        CHECK(pa_sends_clear(&queue, w.engine) == (uint32_t)(before + pushed + 1));
    }
    close_world(&w);
}

static const test_case tests[] = {
    {"neighbours leave as one piece", neighbours_leave_as_one_piece},
    {"a queue may be cut at every byte", a_queue_may_be_cut_at_every_byte},
    {"packets without bytes end with the ones before them",
     packets_without_bytes_end_with_the_ones_before_them},
    {"a key finds what is not begun and replaces it in its place",
     a_key_finds_what_is_not_begun_and_replaces_it_in_its_place},
    {"replacing for ever needs no more memory than a few blocks",
     replacing_for_ever_needs_no_more_memory_than_a_few_blocks},
    {"the oldest that is not begun is dropped first",
     the_oldest_that_is_not_begun_is_dropped_first},
    {"a queue grows and wraps and keeps its order", a_queue_grows_and_wraps_and_keeps_its_order},
    {"what does not fit into a block has one of its own",
     what_does_not_fit_into_a_block_has_one_of_its_own},
    {"without memory nothing changes", without_memory_nothing_changes},
};

MAIN(tests)
