/* Who owns the ring: the thread that runs the reactor. Where another one has to, it closes the ring of
 * the last and opens its own, as long as that does not happen too often (has_credit); then the I/O
 * thread is started, which owns it for good. Nobody is in a turn at such a moment, so every completion
 * has been read, and nothing that a request does can move bytes any more (with DEFER_TASKRUN that
 * happens inside an enter of the owner's). What has come since stays in the sockets.
 */
#include "uring.h"

#include <stdlib.h>

/* Buffers are copied out of at once, so what counts is not how many there are but that they are warm:
 * the kernel gets a quarter of them, and more where a receive has found none (decision 0011). */
enum { INC_COUNT = 16, INC_BYTES = 65536, PLAIN_COUNT = 256, PLAIN_BYTES = 4096, GIVEN_PART = 4 };

/* Guards who owns which ring, and the list of all; before every other lock. */
static pthread_mutex_t owners = PTHREAD_MUTEX_INITIALIZER;
static struct pa_uring *all_urings;

static void leave_rings(void *serial);
static pthread_key_t leaving;          /* its destructor runs in a thread that ends */
static pthread_once_t leaving_is_made = PTHREAD_ONCE_INIT;

static void make_leaving(void) { pthread_key_create(&leaving, leave_rings); }

/* A number for the calling thread that no other one has had or will have. */
static uint64_t thread_serial(void)
{
    static atomic_ullong serials;
    static _Thread_local uint64_t mine;
    if (!mine)
        mine = atomic_fetch_add(&serials, 1) + 1;
    return mine;
}

/* -- opening and closing -- */

int pa_uring_new(pa_engine *engine, const pa_uring_profile *profile)
{
    struct pa_uring *uring = calloc(1, sizeof *uring);
    if (!uring)
        return -ENOMEM;
    uring->profile = *profile;
    uring->ring.fd = -1;
    uring->engine = engine;
    engine->uring = uring;
    pthread_once(&leaving_is_made, make_leaving);
    pthread_mutex_lock(&owners);
    uring->next = all_urings;
    all_urings = uring;
    pthread_mutex_unlock(&owners);
    return 0;
}

static int open_buffers(struct pa_uring *uring)
{
    bool incremental = uring->profile.incremental;
    uint32_t count = incremental ? INC_COUNT : PLAIN_COUNT;
    uint32_t bytes = incremental ? INC_BYTES : PLAIN_BYTES;
    int error = -ENOMEM;
    if (uring->profile.buffer_count) {
        count = uring->profile.buffer_count;
        bytes = uring->profile.buffer_bytes;
    }
    /* The group's own table counts against RLIMIT_MEMLOCK as the queues do. */
    for (; count >= 2 && error == -ENOMEM; count /= 2) {
        uring->given = count >= 2 * GIVEN_PART ? count / GIVEN_PART : count;
        error = buffers_open_some(&uring->buffers, &uring->ring, PA_URING_GROUP, count, bytes, incremental,
                                  uring->given);
    }
    return error;
}

static int open_ring(struct pa_uring *uring, bool for_life)
{
    struct ring_size asked = {uring->profile.sq_entries, uring->profile.cq_entries};
    int error = asked.cq_entries
                    ? ring_open(&uring->ring, &asked, 1, RING_WANTED, RING_REQUIRED)
                    : ring_open(&uring->ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED);
    if (error)
        return error;
    error = for_life ? ring_enable(&uring->ring) : ring_enable_unregistered(&uring->ring);
    if (!error)
        error = open_buffers(uring);
    if (error)
        ring_close(&uring->ring);
    return error;
}

/* `owners` is held. */
static void close_ring(pa_engine *engine, bool ask_again)
{
    struct pa_uring *uring = engine->uring;
    if (!atomic_load(&uring->owner))
        return;
    ring_close(&uring->ring);
    atomic_store(&uring->owner, 0);
    /* The kernel ends the requests a little later: their buffers stay until the engine goes. */
    buffers_close(&uring->retired, NULL);
    uring->retired = uring->buffers;
    uring->buffers = (struct buffers){0};
    pa_uring_forget_requests(engine, ask_again);
}

/* In a forked child: its copy of the descriptor, nothing else. */
static void close_copy(struct pa_uring *uring)
{
    owners = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    all_urings = NULL;
    atomic_store(&uring->owner, 0);
    ring_close(&uring->ring);
}

void pa_uring_close(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    if (atomic_load(&engine->dead)) {
        close_copy(uring);
        return;
    }
    pthread_mutex_lock(&owners);
    close_ring(engine, false);
    struct pa_uring **link = &all_urings;
    while (*link != uring)
        link = &(*link)->next;
    *link = uring->next;
    pthread_mutex_unlock(&owners);
    pa_uring_drop_asked(uring);
    buffers_close(&uring->retired, NULL);
    free(uring);
    engine->uring = NULL;
}

/* -- owning -- */

/* Open a ring, or let streams be served by readiness; `owners` is held. */
static bool open_own(pa_engine *engine, bool for_life)
{
    struct pa_uring *uring = engine->uring;
    if (open_ring(uring, for_life) < 0) {
        atomic_store(&uring->is_broken, true);
        pa_uring_give_up(engine);
        return false;
    }
    uring->watches_epoll = uring->epoll_is_ready = false;
    atomic_store(&uring->owner, thread_serial());
    pthread_setspecific(leaving, (void *)(uintptr_t)thread_serial());
    return true;
}

/* Say whether the ring may change hands again, at a cost that is a small part of all time. Where threads
 * stall now and then (at the start of a server, say) it is cheaper for the newest waiter to be the owner
 * than for each batch to cross two threads; where they stall all the time the I/O thread is. */
static bool has_credit(struct pa_uring *uring)
{
    int64_t now = pa_now(), most = 100000000;
    uring->credit += uring->credited ? (now - uring->credited) / 64 : most;
    if (uring->credit > most)
        uring->credit = most;
    uring->credited = now;
    return uring->credit > 0;
}

/* Be the ring's owner from now on; false: there is no ring, or it is another thread's to keep. */
bool pa_uring_own(pa_engine *engine)
{
    struct pa_uring *uring = engine->uring;
    if (atomic_load_explicit(&uring->owner, memory_order_relaxed) == thread_serial())
        return true;
    bool for_life = atomic_load(&engine->has_io_thread)
                    && pthread_equal(engine->thread, pthread_self());
    bool is_mine = false;
    pthread_mutex_lock(&owners);
    if (!atomic_load(&uring->owner) || for_life || has_credit(uring)) {
        int64_t began = pa_now();
        close_ring(engine, true);
        is_mine = open_own(engine, for_life);
        uring->credit -= pa_now() - began;
    }
    pthread_mutex_unlock(&owners);
    return is_mine;
}

/* The calling thread ends. What its rings have received is read; the rest is for the next owner. */
static void leave_rings(void *serial)
{
    pthread_mutex_lock(&owners);
    for (struct pa_uring *uring = all_urings; uring; uring = uring->next) {
        if (atomic_load(&uring->owner) != (uintptr_t)serial)
            continue;
        pa_uring_reap(uring->engine);
        close_ring(uring->engine, true);
    }
    pthread_mutex_unlock(&owners);
}
