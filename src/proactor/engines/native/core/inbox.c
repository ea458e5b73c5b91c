#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "inbox.h"

/* -- chunks -- */

void pa_chunks_open(pa_chunks *chunks)
{
    chunks->count = 0;
    pthread_mutex_init(&chunks->lock, NULL);
}

void pa_chunks_close(pa_chunks *chunks)
{
    while (chunks->count)
        free(chunks->spare[--chunks->count]);
    pthread_mutex_destroy(&chunks->lock);
}

uint8_t *pa_chunks_take(pa_chunks *chunks)
{
    uint8_t *chunk = NULL;
    pthread_mutex_lock(&chunks->lock);
    if (chunks->count)
        chunk = chunks->spare[--chunks->count];
    pthread_mutex_unlock(&chunks->lock);
    return chunk ? chunk : malloc(PA_CHUNK);
}

void pa_chunks_give(pa_chunks *chunks, uint8_t *chunk)
{
    pthread_mutex_lock(&chunks->lock);
    if (chunks->count < (int)(sizeof chunks->spare / sizeof chunks->spare[0])) {
        chunks->spare[chunks->count++] = chunk;
        chunk = NULL;
    }
    pthread_mutex_unlock(&chunks->lock);
    free(chunk);
}

/* -- an inbox -- */

static void let_go(pa_inbox *inbox, pa_chunks *chunks)
{
    if (inbox->is_chunk)
        pa_chunks_give(chunks, inbox->bytes);
    else
        free(inbox->bytes);
}

void pa_inbox_clear(pa_inbox *inbox, pa_chunks *chunks)
{
    if (inbox->bytes)
        let_go(inbox, chunks);
    *inbox = (pa_inbox){0};
}

/* Move to memory of `capacity` bytes. */
static bool move(pa_inbox *inbox, pa_chunks *chunks, size_t capacity)
{
    size_t size = pa_inbox_size(inbox);
    uint8_t *bytes = malloc(capacity);
    if (!bytes)
        return false;
    if (size)
        memcpy(bytes, inbox->bytes + inbox->begin, size);
    if (inbox->bytes)
        let_go(inbox, chunks);
    *inbox = (pa_inbox){.bytes = bytes, .capacity = (uint32_t)capacity,
                        .whole = inbox->whole - inbox->begin, .end = (uint32_t)size};
    return true;
}

bool pa_inbox_reserve(pa_inbox *inbox, pa_chunks *chunks, size_t total)
{
    if (inbox->bytes && inbox->capacity - inbox->begin >= total)
        return true;
    return move(inbox, chunks, total);
}

/* Have room for `count` bytes behind what is there. */
static bool make_room(pa_inbox *inbox, pa_chunks *chunks, size_t count, size_t hint)
{
    if (inbox->bytes && inbox->capacity - inbox->end >= count)
        return true;
    size_t size = pa_inbox_size(inbox), capacity = size + count;
    size_t grown = inbox->capacity + inbox->capacity / 2;
    if (grown > INT32_MAX)
        grown = INT32_MAX;
    if (size && capacity < grown)
        capacity = grown;   /* It grows: not byte by byte. */
    if (capacity < hint)
        capacity = hint;
    return move(inbox, chunks, capacity < 64 ? 64 : capacity);
}

bool pa_inbox_append(pa_inbox *inbox, pa_chunks *chunks, const uint8_t *bytes, size_t count,
                     size_t hint)
{
    if (!make_room(inbox, chunks, count, hint))
        return false;
    memcpy(inbox->bytes + inbox->end, bytes, count);
    inbox->end += (uint32_t)count;
    return true;
}

void pa_inbox_adopt(pa_inbox *inbox, pa_chunks *chunks, uint8_t *bytes, size_t count)
{
    pa_inbox_clear(inbox, chunks);
    *inbox = (pa_inbox){.bytes = bytes, .capacity = PA_CHUNK,
                        .end = (uint32_t)count, .is_chunk = true};
}

bool pa_inbox_take(pa_inbox *inbox, pa_chunks *chunks, pa_inbox *taken)
{
    size_t rest = inbox->end - inbox->whole;
    pa_inbox kept = {0};
    if (rest && !pa_inbox_append(&kept, chunks, inbox->bytes + inbox->whole, rest, 0))
        return false;
    *taken = *inbox;
    taken->end = taken->whole;
    *inbox = kept;
    return true;
}
