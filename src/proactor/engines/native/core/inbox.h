/* What a stream has received and its owner has not taken: whole frames, then the beginning of one.
 *
 * One run of bytes. The reactor appends to it and marks how much of it is whole frames; a turn takes
 * those away (`pa_inbox_take`) and reads them without a lock, in memory that nobody else touches.
 *
 * The memory is allocated when something comes and given up when it is taken, so an idle stream has
 * none. What came in one large piece keeps the chunk that it was received into: it is not copied.
 */
#ifndef PA_INBOX_H
#define PA_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>

enum { PA_CHUNK = 256 * 1024 };        /* what one receive can bring */
enum { PA_KEEP_CHUNK_FROM = 12 * 1024 }; /* received bytes that are not worth a copy */

typedef struct {
    uint8_t *bytes;                    /* owned */
    uint32_t capacity : 31;
    uint32_t is_chunk : 1;             /* `bytes` is one of the pool's */
    uint32_t begin, whole, end;        /* taken | whole frames | the beginning of one */
} pa_inbox;

/* Chunks that are not in use, for all streams of an engine. The lock is a leaf. */
typedef struct {
    pthread_mutex_t lock;
    uint8_t *spare[16];                /* owned */
    int count;
} pa_chunks;

void pa_chunks_open(pa_chunks *chunks);
void pa_chunks_close(pa_chunks *chunks);
uint8_t *pa_chunks_take(pa_chunks *chunks);        /* NULL: no memory */
void pa_chunks_give(pa_chunks *chunks, uint8_t *chunk);

static inline size_t pa_inbox_size(const pa_inbox *inbox) { return inbox->end - inbox->begin; }

/* Append a copy; false: no memory. `hint`: how much the unfinished frame will need, 0 unknown. */
bool pa_inbox_append(pa_inbox *inbox, pa_chunks *chunks, const uint8_t *bytes, size_t count,
                     size_t hint);
/* Have memory for `total` bytes from `begin` on; false: none. */
bool pa_inbox_reserve(pa_inbox *inbox, pa_chunks *chunks, size_t total);
/* Make the chunk `bytes`, in which `count` bytes are, the whole of an empty inbox. */
void pa_inbox_adopt(pa_inbox *inbox, pa_chunks *chunks, uint8_t *bytes, size_t count);
/* Move the whole frames to `taken`, which is empty; the unfinished rest stays. False: no memory. */
bool pa_inbox_take(pa_inbox *inbox, pa_chunks *chunks, pa_inbox *taken);
void pa_inbox_clear(pa_inbox *inbox, pa_chunks *chunks);

#endif
