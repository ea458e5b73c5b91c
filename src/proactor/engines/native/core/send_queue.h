/* The packets of one stream that wait to be sent: bounded by their owner, in order, gathered.
 *
 * Pure state: no I/O, no lock, no clock. Small packets are copied one behind the other into blocks,
 * so that many of them leave as one piece; large ones stay where they are and are counted (`shared`).
 *
 * A packet is *begun* once some of its bytes are sent: from then on it is neither dropped nor
 * replaced, or the peer would read half of it.
 */
#ifndef PA_SEND_QUEUE_H
#define PA_SEND_QUEUE_H

#include "streams.h"

typedef struct {
    uint32_t used, size, live;    /* live: entries whose bytes are here */
    uint8_t bytes[];
} pa_block;

typedef struct {
    const uint8_t *bytes;
    size_t length;
    void *keeper;                 /* a pa_shared, with a reference, or the pa_block where they are */
    uint64_t key : 63;
    uint64_t is_shared : 1;
} pa_entry;

typedef struct {
    pa_entry *entries;            /* owned; a ring of `capacity`, a power of two; none while empty */
    uint32_t first, count, capacity;
    pa_block *newest;             /* where the next copy goes; in use while anything is queued */
    size_t bytes;                 /* not sent yet */
    size_t begun;                 /* bytes of the first packet that are sent */
} pa_send_queue;

/* Append one packet; 0, or -ENOMEM: nothing is queued. Takes a reference of `shared` if it is not NULL. */
int pa_sends_push(pa_send_queue *queue, const void *bytes, size_t length, pa_shared *shared,
                  uint64_t key);
/* The packet with `key` that is not begun, or NULL. */
pa_entry *pa_sends_find(const pa_send_queue *queue, uint64_t key);
/* Put a packet in the place of another: 0, or -ENOMEM: the other one stays. */
int pa_sends_replace(pa_send_queue *queue, pa_engine *engine, pa_entry *entry, const void *bytes,
                     size_t length, pa_shared *shared);
/* Drop the oldest packet that is not begun; false if there is none. */
bool pa_sends_drop_oldest(pa_send_queue *queue, pa_engine *engine);
/* Point at what is to be sent next, at most `most` pieces; how many. */
int pa_sends_gather(const pa_send_queue *queue, struct iovec *pieces, int most);
/* `count` bytes are sent; how many packets that ended. */
uint32_t pa_sends_advance(pa_send_queue *queue, pa_engine *engine, size_t count);
/* Drop everything; how many packets. */
uint32_t pa_sends_clear(pa_send_queue *queue, pa_engine *engine);

#endif
