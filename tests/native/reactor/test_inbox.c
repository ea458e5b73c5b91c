/* What has been received and not taken, by itself; and the chunks of an engine. */
#include "conversation.h"

#include "inbox.h"

/* Whole is what comes before the last `rest` bytes. */
static void append(pa_inbox *inbox, pa_chunks *chunks, const char *text, uint32_t rest)
{
    CHECK(pa_inbox_append(inbox, chunks, (const uint8_t *)text, strlen(text), 0));
    inbox->whole = inbox->end - rest;
}

static bool holds(const pa_inbox *inbox, const char *text)
{
    return pa_inbox_size(inbox) == strlen(text)
           && memcmp(inbox->bytes + inbox->begin, text, strlen(text)) == 0;
}

static void what_is_whole_is_taken_and_the_rest_stays(void)
{
    pa_chunks chunks;
    pa_inbox inbox = {0}, taken = {0};
    pa_chunks_open(&chunks);
    append(&inbox, &chunks, "one.two.th", 2);
    CHECK(pa_inbox_take(&inbox, &chunks, &taken));
    CHECK(holds(&taken, "one.two.") && taken.whole == taken.end);
    CHECK(holds(&inbox, "th") && inbox.whole == inbox.begin);
    append(&inbox, &chunks, "ree.", 0);
    pa_inbox_clear(&taken, &chunks);
    CHECK(pa_inbox_take(&inbox, &chunks, &taken) && holds(&taken, "three."));
    CHECK(!inbox.bytes && pa_inbox_size(&inbox) == 0);   /* Idle: it has no memory. */
    pa_inbox_clear(&taken, &chunks);
    pa_inbox_clear(&taken, &chunks);
    pa_chunks_close(&chunks);
}

static void an_inbox_grows_by_more_than_it_must(void)
{
    pa_chunks chunks;
    pa_inbox inbox = {0};
    int moves = 0;
    pa_chunks_open(&chunks);
    for (size_t i = 0; i < 100000; i++) {
        uint8_t byte = pattern(1, i), *before = inbox.bytes;
        uint32_t capacity = inbox.capacity;
        CHECK(pa_inbox_append(&inbox, &chunks, &byte, 1, 0));
        moves += inbox.bytes != before || inbox.capacity != capacity;
    }
    CHECK(moves < 40);
    for (size_t i = 0; i < 100000; i++)
        CHECK(inbox.bytes[inbox.begin + i] == pattern(1, i));
    pa_inbox_clear(&inbox, &chunks);
    pa_chunks_close(&chunks);
}

static void a_hint_or_a_reserve_makes_room_for_the_whole_frame_once(void)
{
    pa_chunks chunks;
    pa_inbox inbox = {0};
    pa_chunks_open(&chunks);
    CHECK(pa_inbox_append(&inbox, &chunks, (const uint8_t *)"ab", 2, 5000));
    CHECK(inbox.capacity >= 5000);
    inbox.begin = inbox.whole = 1;   /* One frame of one byte is taken. */
    CHECK(pa_inbox_reserve(&inbox, &chunks, 4000));
    CHECK(holds(&inbox, "b") && inbox.begin == 1);   /* It was there: nothing moves. */
    CHECK(pa_inbox_reserve(&inbox, &chunks, 6000));
    CHECK(holds(&inbox, "b") && inbox.capacity - inbox.begin >= 6000);
    CHECK(inbox.whole == inbox.begin);
    pa_inbox_clear(&inbox, &chunks);
    CHECK(pa_inbox_reserve(&inbox, &chunks, 10) && inbox.capacity >= 10);
    pa_inbox_clear(&inbox, &chunks);
    pa_chunks_close(&chunks);
}

static void a_chunk_is_adopted_grown_out_of_and_given_back(void)
{
    pa_chunks chunks;
    pa_inbox inbox = {0}, taken = {0};
    pa_chunks_open(&chunks);
    uint8_t *chunk = pa_chunks_take(&chunks);
    memset(chunk, 'c', PA_CHUNK);
    pa_inbox_adopt(&inbox, &chunks, chunk, PA_CHUNK - 1);
    CHECK(inbox.bytes == chunk && inbox.is_chunk && inbox.whole == 0);
    CHECK(pa_inbox_append(&inbox, &chunks, (const uint8_t *)"x", 1, 0) && inbox.bytes == chunk);
    CHECK(pa_inbox_append(&inbox, &chunks, (const uint8_t *)"y", 1, 0) && !inbox.is_chunk);
    CHECK(chunks.count == 1 && inbox.end == PA_CHUNK + 1);
    CHECK(inbox.bytes[PA_CHUNK - 2] == 'c' && memcmp(inbox.bytes + PA_CHUNK - 1, "xy", 2) == 0);
    pa_inbox_clear(&inbox, &chunks);
    CHECK(chunks.count == 1);   /* That was no chunk. */

    chunk = pa_chunks_take(&chunks);
    memcpy(chunk, "whole.res", 9);
    pa_inbox_adopt(&inbox, &chunks, chunk, 9);
    inbox.whole = 6;
    CHECK(pa_inbox_take(&inbox, &chunks, &taken));
    CHECK(taken.is_chunk && taken.bytes == chunk && holds(&taken, "whole."));
    CHECK(!inbox.is_chunk && holds(&inbox, "res"));
    pa_inbox_clear(&taken, &chunks);
    pa_inbox_clear(&inbox, &chunks);
    CHECK(chunks.count == 1);
    pa_chunks_close(&chunks);
}

static void no_more_than_sixteen_chunks_are_kept(void)
{
    enum { MANY = 20 };
    pa_chunks chunks;
    uint8_t *all[MANY];
    pa_chunks_open(&chunks);
    for (int i = 0; i < MANY; i++)
        CHECK((all[i] = pa_chunks_take(&chunks)));
    for (int i = 0; i < MANY; i++)
        pa_chunks_give(&chunks, all[i]);
    CHECK(chunks.count == 16);
    uint8_t *warm = pa_chunks_take(&chunks);
    CHECK(warm == all[15] && chunks.count == 15);   /* The last that was used comes first. */
    pa_chunks_give(&chunks, warm);
    pa_chunks_close(&chunks);
}

static const test_case tests[] = {
    {"what is whole is taken and the rest stays", what_is_whole_is_taken_and_the_rest_stays},
    {"an inbox grows by more than it must", an_inbox_grows_by_more_than_it_must},
    {"a hint or a reserve makes room for the whole frame once",
     a_hint_or_a_reserve_makes_room_for_the_whole_frame_once},
    {"a chunk is adopted, grown out of and given back",
     a_chunk_is_adopted_grown_out_of_and_given_back},
    {"no more than sixteen chunks are kept", no_more_than_sixteen_chunks_are_kept},
};

MAIN(tests)
