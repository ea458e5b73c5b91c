#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "send_queue.h"

enum { BLOCK_BYTES = 4096, FIRST_BLOCK_BYTES = 1008, FIRST_ENTRIES = 4 };

static pa_entry *at(const pa_send_queue *queue, uint32_t index)
{
    return &queue->entries[(queue->first + index) & (queue->capacity - 1)];
}

/* -- where the bytes are -- */

static bool grow(pa_send_queue *queue)
{
    uint32_t capacity = queue->capacity ? queue->capacity * 2 : FIRST_ENTRIES;
    pa_entry *entries = malloc(capacity * sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < queue->count; i++)
        entries[i] = *at(queue, i);
    free(queue->entries);
    queue->entries = entries;
    queue->first = 0;
    queue->capacity = capacity;
    return true;
}

static pa_block *block_for(pa_send_queue *queue, size_t length)
{
    pa_block *block = queue->newest;
    if (block && block->size - block->used >= length)
        return block;
    /* A lone reply gets a small block; who queues more gets a large one. */
    size_t size = block ? BLOCK_BYTES : FIRST_BLOCK_BYTES;
    if (size < length)
        size = length;
    pa_block *fresh = malloc(sizeof *fresh + size);
    if (!fresh)
        return NULL;
    fresh->used = fresh->live = 0;
    fresh->size = (uint32_t)size;
    if (block && !block->live)
        free(block);
    queue->newest = fresh;
    return fresh;
}

/* Let go of the bytes of one entry. */
static void let_go(pa_send_queue *queue, pa_engine *engine, pa_entry *entry)
{
    pa_block *block = entry->keeper;
    if (entry->is_shared)
        pa_shared_release(engine, entry->keeper);
    else if (--block->live == 0 && block != queue->newest)
        free(block);
}

static bool keep(pa_send_queue *queue, pa_entry *entry, const void *bytes, size_t length,
                 pa_shared *shared, uint64_t key)
{
    *entry = (pa_entry){.length = length, .keeper = shared, .key = key, .is_shared = shared != NULL};
    if (shared) {
        atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
        entry->bytes = bytes;
        return true;
    }
    pa_block *block = block_for(queue, length);
    if (!block)
        return false;
    entry->keeper = block;
    entry->bytes = memcpy(block->bytes + block->used, bytes, length);
    block->used += (uint32_t)length;
    block->live++;
    return true;
}

static void become_empty(pa_send_queue *queue)
{
    free(queue->newest);
    queue->newest = NULL;
    free(queue->entries);  /* A stream that sends nothing costs nothing. */
    queue->entries = NULL;
    queue->first = queue->capacity = 0;
    queue->begun = 0;
}

/* -- in and out -- */

int pa_sends_push(pa_send_queue *queue, const void *bytes, size_t length, pa_shared *shared,
                  uint64_t key)
{
    if (queue->count == queue->capacity && !grow(queue))
        return -ENOMEM;
    if (!keep(queue, at(queue, queue->count), bytes, length, shared, key))
        return -ENOMEM;
    queue->count++;
    queue->bytes += length;
    return 0;
}

static uint32_t first_not_begun(const pa_send_queue *queue)
{
    return queue->begun ? 1 : 0;
}

pa_entry *pa_sends_find(const pa_send_queue *queue, uint64_t key)
{
    for (uint32_t i = first_not_begun(queue); i < queue->count; i++)
        if (at(queue, i)->key == key)
            return at(queue, i);
    return NULL;
}

int pa_sends_replace(pa_send_queue *queue, pa_engine *engine, pa_entry *entry, const void *bytes,
                     size_t length, pa_shared *shared)
{
    pa_entry before = *entry;
    if (!keep(queue, entry, bytes, length, shared, before.key)) {
        *entry = before;
        return -ENOMEM;
    }
    queue->bytes += length;
    queue->bytes -= before.length;
    let_go(queue, engine, &before);
    return 0;
}

bool pa_sends_drop_oldest(pa_send_queue *queue, pa_engine *engine)
{
    uint32_t index = first_not_begun(queue);
    if (index >= queue->count)
        return false;
    pa_entry dropped = *at(queue, index);
    if (index)
        *at(queue, index) = *at(queue, 0);   /* The begun one moves up. */
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
    queue->bytes -= dropped.length;
    let_go(queue, engine, &dropped);
    if (!queue->count)
        become_empty(queue);
    return true;
}

int pa_sends_gather(const pa_send_queue *queue, struct iovec *pieces, int most)
{
    int count = 0;
    for (uint32_t i = 0; i < queue->count; i++) {
        const pa_entry *entry = at(queue, i);
        size_t skip = i ? 0 : queue->begun;
        uint8_t *bytes = (uint8_t *)entry->bytes + skip;
        struct iovec *last = count ? &pieces[count - 1] : NULL;
        if (last && (uint8_t *)last->iov_base + last->iov_len == bytes && !entry->is_shared) {
            last->iov_len += entry->length;
            continue;
        }
        if (count == most)
            break;
        pieces[count++] = (struct iovec){bytes, entry->length - skip};
    }
    return count;
}

uint32_t pa_sends_advance(pa_send_queue *queue, pa_engine *engine, size_t count)
{
    uint32_t ended = 0;
    queue->bytes -= count;
    count += queue->begun;
    while (queue->count && count >= at(queue, 0)->length) {
        pa_entry sent = *at(queue, 0);
        count -= sent.length;
        queue->first = (queue->first + 1) & (queue->capacity - 1);
        queue->count--;
        let_go(queue, engine, &sent);
        ended++;
    }
    queue->begun = count;
    if (!queue->count)
        become_empty(queue);
    return ended;
}

uint32_t pa_sends_clear(pa_send_queue *queue, pa_engine *engine)
{
    uint32_t count = queue->count;
    for (uint32_t i = 0; i < count; i++)
        let_go(queue, engine, at(queue, i));
    queue->count = 0;
    queue->bytes = 0;
    become_empty(queue);
    return count;
}
