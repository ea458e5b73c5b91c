/* What the streams of an engine share: chunks, what is owed to the face, and the table of all. */
#include "stream_state.h"

#include <stdlib.h>

void pa_pool_open(pa_stream_pool *pool)
{
    pa_chunks_open(&pool->chunks);
    pthread_mutex_init(&pool->lock, NULL);
}

void pa_pool_close(pa_stream_pool *pool)
{
    free(pool->scratch);
    free(pool->streams);
    pa_chunks_close(&pool->chunks);
    pthread_mutex_destroy(&pool->lock);
}

bool pa_pool_enter(pa_stream_pool *pool, pa_stream *stream)
{
    pthread_mutex_lock(&pool->lock);
    uint32_t slot = 0;
    if (pool->spare_count) {
        slot = pool->spare[--pool->spare_count];
    } else {
        if (pool->used == pool->capacity) {
            uint32_t capacity = pool->capacity ? pool->capacity * 2 : 64;
            /* One allocation: the streams, then the numbers of the slots that are free. */
            pa_stream **streams = malloc(capacity * (sizeof *streams + sizeof *pool->spare));
            if (!streams) {
                pthread_mutex_unlock(&pool->lock);
                return false;
            }
            for (uint32_t i = 0; i < pool->used; i++)
                streams[i] = pool->streams[i];
            free(pool->streams);
            pool->streams = streams;
            pool->spare = (uint32_t *)(streams + capacity);
            pool->capacity = capacity;
        }
        slot = pool->used++;
    }
    pool->streams[slot] = stream;
    stream->id = ++pool->serial << 32 | slot;
    pthread_mutex_unlock(&pool->lock);
    return true;
}

void pa_pool_leave(pa_stream_pool *pool, pa_stream *stream)
{
    uint32_t slot = (uint32_t)stream->id;
    pthread_mutex_lock(&pool->lock);
    pool->streams[slot] = NULL;
    pool->spare[pool->spare_count++] = slot;
    pthread_mutex_unlock(&pool->lock);
}

pa_shared *pa_shared_new(void *owner)
{
    pa_shared *shared = malloc(sizeof *shared);
    if (shared) {
        atomic_init(&shared->references, 1);
        shared->is_embedded = false;
        shared->owner = owner;
    }
    return shared;
}

void pa_shared_release(pa_engine *engine, pa_shared *shared)
{
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1)
        return;
    pa_shared *first = atomic_load_explicit(&engine->pool.owed, memory_order_relaxed);
    do
        shared->next = first;
    while (!atomic_compare_exchange_weak(&engine->pool.owed, &first, shared));
}

void pa_shared_free(pa_shared *shared)
{
    if (!shared->is_embedded)
        free(shared);
}

pa_shared *pa_engine_take_owed(pa_engine *engine)
{
    if (!atomic_load_explicit(&engine->pool.owed, memory_order_relaxed))
        return NULL;
    return atomic_exchange(&engine->pool.owed, NULL);
}
