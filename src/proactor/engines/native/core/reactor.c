/* The engine: who runs the reactor, one turn of it, and the I/O thread.
 *
 * Without an I/O thread whoever waits runs the reactor: exactly one thread sleeps in the driver,
 * the others stand in line, and who leaves lets the newest of them take over. With an I/O thread
 * that one has the right for good.
 */
#include "internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t pa_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -- the right to run the reactor -- */

/* Newest first. */
static void stand_in_line(pa_engine *engine, pa_thread *thread)
{
    pa_thread *older = engine->candidates, *newer = NULL;
    if (thread->is_candidate)
        return;
    while (older && older->wait_serial > thread->wait_serial) {
        newer = older;
        older = older->next_candidate;
    }
    thread->is_candidate = true;
    thread->previous_candidate = newer;
    thread->next_candidate = older;
    if (older)
        older->previous_candidate = thread;
    if (newer)
        newer->next_candidate = thread;
    else
        engine->candidates = thread;
    atomic_fetch_add(&engine->candidates_count, 1);
}

static void leave_line(pa_engine *engine, pa_thread *thread)
{
    if (!thread->is_candidate)
        return;
    thread->is_candidate = false;
    if (thread->next_candidate)
        thread->next_candidate->previous_candidate = thread->previous_candidate;
    if (thread->previous_candidate)
        thread->previous_candidate->next_candidate = thread->next_candidate;
    else
        engine->candidates = thread->next_candidate;
    atomic_fetch_sub(&engine->candidates_count, 1);
}

/* Say whether `thread` came before the newest in line. */
static bool is_outdone(const pa_engine *engine, const pa_thread *thread)
{
    return thread && engine->candidates
           && engine->candidates->wait_serial > thread->wait_serial;
}

bool pa_turn_begin(pa_engine *engine, pa_thread *thread)
{
    bool displaces = false;
    pthread_mutex_lock(&engine->lock);
    bool mine = !engine->turning && !engine->threaded && !is_outdone(engine, thread);
    if (mine) {
        engine->turning = true;
        engine->turner = thread;
        if (thread)
            leave_line(engine, thread);
    } else if (!engine->threaded) {
        if (thread)
            stand_in_line(engine, thread);
        /* The stand-in gives way to everybody, a waiting thread to newer ones. */
        displaces = engine->backup_turning
                    || (engine->turning && is_outdone(engine, engine->turner));
    }
    pthread_mutex_unlock(&engine->lock);
    if (displaces)
        pa_engine_wake(engine);
    return mine;
}

void pa_turn_end(pa_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->turning = false;
    engine->turner = NULL;
    if (engine->threaded)
        pthread_cond_broadcast(&engine->free_to_turn);
    pthread_mutex_unlock(&engine->lock);
}

void pa_turn_yield(pa_engine *engine, pa_thread *thread)
{
    pa_wakes wakes = {0};
    if (!atomic_load(&engine->candidates_count))
        return;
    pthread_mutex_lock(&engine->lock);
    if (!engine->turning && !engine->threaded && is_outdone(engine, thread))
        pa_open_gate(engine->candidates, &wakes);
    pthread_mutex_unlock(&engine->lock);
    pa_wake_all(&wakes);
}

/* Say whether everybody in line waits at `port`. */
static bool all_wait_at(const pa_engine *engine, const pa_port *port)
{
    for (const pa_thread *thread = engine->candidates; thread; thread = thread->next_candidate)
        if (thread->waits_at != port)
            return false;
    return true;
}

void pa_turn_pass_on(pa_engine *engine, pa_thread *thread, pa_port *busy_with)
{
    pa_wakes wakes = {0};
    bool in_line = thread && thread->is_candidate;
    if (!in_line && !atomic_load(&engine->backup_sleeps)
        && atomic_load(&engine->candidates_count) == 0)
        return;
    if (!atomic_load_explicit(&engine->backup_known, memory_order_relaxed))
        busy_with = NULL;
    pthread_mutex_lock(&engine->lock);
    if (in_line)
        leave_line(engine, thread);
    if (!engine->turning && !engine->threaded) {
        bool later = busy_with && all_wait_at(engine, busy_with);
        if (engine->candidates && !later)
            pa_open_gate(engine->candidates, &wakes);
        else if (pa_is_looked_for(engine) && atomic_load(&engine->backup_sleeps))
            pthread_cond_signal(&engine->backup_due);
    }
    pthread_mutex_unlock(&engine->lock);
    pa_wake_all(&wakes);
}

bool pa_is_threaded(pa_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool threaded = engine->threaded;
    pthread_mutex_unlock(&engine->lock);
    return threaded;
}

void pa_engine_wake(pa_engine *engine)
{
    if (atomic_exchange(&engine->state, PA_WOKEN) == PA_ASLEEP) {
        PA_COUNT(engine, wakes_sent, 1);
        engine->driver->wake(engine);
    } else {
        PA_COUNT(engine, wakes_saved, 1);
    }
}

void pa_engine_wake_for_command(pa_engine *engine)
{
    /* Who runs the reactor looks for commands when it has said that it is about to sleep. */
    if (atomic_load(&engine->state) != PA_RUNNING)
        pa_engine_wake(engine);
}

/* -- a turn -- */

static void leave_batch(pa_engine *engine)
{
    if (atomic_fetch_sub(&engine->active, 1) == 1 && atomic_load(&engine->retired))
        pa_drop_retired(engine);
}

/* What is received in one batch should fit into the caches until its owners have read it. */
enum { MUCH = 256 * 1024, LITTLE = 64 * 1024, SMALLEST_BATCH = 4 };

static void adapt_batch(pa_engine *engine)
{
    size_t bytes = engine->pool.batch_bytes;
    int batch = atomic_load_explicit(&engine->batch, memory_order_relaxed);
    engine->pool.batch_bytes = 0;
    if (bytes > MUCH && batch > SMALLEST_BATCH)
        batch /= 2;
    else if (bytes < LITTLE && batch < PA_BATCH)
        batch *= 2;
    atomic_store_explicit(&engine->batch, batch, memory_order_relaxed);
}

static void serve(pa_engine *engine, const pa_ready *ready, int count)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&engine->serving);
    atomic_store_explicit(&engine->pool.now, pa_now(), memory_order_relaxed);
    for (int i = 0; i < count; i++) {
        pa_serve(ready[i].socket, ready[i].ready, &wakes);
        if (i % 32 == 31)
            pa_wake_all(&wakes);   /* One wake a batch, but not later than this. */
    }
    adapt_batch(engine);
    pthread_mutex_unlock(&engine->serving);
    pa_wake_all(&wakes);
}

bool pa_look(pa_engine *engine, int64_t now)
{
    bool was_due = pa_streams_schedule_due(engine);
    return pa_release_stalled(engine, now) || was_due;
}

/* Look every tick, until nothing has been found for a while. */
static void look_at_ticks(pa_engine *engine)
{
    int64_t now = pa_now();
    if (now < engine->next_look)
        return;
    engine->next_look = now + PA_TICK_NS;
    engine->idle_looks = pa_look(engine, now) ? 0 : engine->idle_looks + 1;
    if (engine->idle_looks < PA_IDLE_TICKS)
        return;
    engine->idle_looks = 0;
    atomic_store(&engine->watching, false);
    if (pa_look(engine, now))   /* There has been something to find just now. */
        atomic_store(&engine->watching, true);
}

void pa_watch(pa_engine *engine, pa_wakes *wakes)
{
    if (!atomic_exchange(&engine->watching, true))
        wakes->engine = engine;
    pa_backup_note(engine);   /* It looks where nobody runs the reactor. */
}

int pa_turn(pa_engine *engine, int64_t timeout_ns, atomic_int *gate)
{
    pa_ready ready[PA_BATCH];
    int awake = PA_RUNNING;
    if (atomic_load(&engine->watching) && (timeout_ns < 0 || timeout_ns > PA_TICK_NS))
        timeout_ns = PA_TICK_NS;
    atomic_fetch_add(&engine->active, 1);
    if (timeout_ns && !atomic_compare_exchange_strong(&engine->state, &awake, PA_ASLEEP))
        timeout_ns = 0;
    int count = engine->driver->wait(engine, true, timeout_ns, ready,
                                     atomic_load_explicit(&engine->batch, memory_order_relaxed));
    atomic_exchange(&engine->state, PA_RUNNING);
    if (gate)
        atomic_exchange(gate, PA_AWAKE);
    atomic_fetch_add(&engine->counters.turns, 1);   /* In order with backup_sleeps: see backup.c. */
    if (timeout_ns)
        PA_COUNT(engine, waits, 1);
    if (count > 0)
        serve(engine, ready, count);
    leave_batch(engine);
    if (atomic_load(&engine->watching))
        look_at_ticks(engine);
    return count;
}

int pa_engine_turn(pa_engine *engine, int64_t timeout_ns)
{
    if (!pa_turn_begin(engine, NULL))
        return -EBUSY;
    int count = pa_turn(engine, timeout_ns, NULL);
    pa_turn_end(engine);
    pa_turn_pass_on(engine, NULL, NULL);
    return count;
}

/* A ring is served by the thread that owns it only. */
static void turn_ring_now(pa_engine *engine)
{
    if (!engine->uring || atomic_load(&engine->has_io_thread) || !pa_turn_begin(engine, NULL))
        return;
    pa_turn(engine, 0, NULL);
    pa_turn_end(engine);
    pa_turn_pass_on(engine, NULL, NULL);
}

void pa_engine_poll_now(pa_engine *engine)
{
    turn_ring_now(engine);
    pa_wakes wakes = {0};
    pa_ready ready[PA_BATCH];
    int count;
    atomic_fetch_add(&engine->active, 1);
    /* In the lock, so that what another thread is serving is served when this returns. */
    pthread_mutex_lock(&engine->serving);
    do {
        count = engine->driver->wait(engine, false, 0, ready, PA_BATCH);
        for (int i = 0; i < count; i++)
            pa_serve(ready[i].socket, ready[i].ready, &wakes);
    } while (count == PA_BATCH);
    pthread_mutex_unlock(&engine->serving);
    leave_batch(engine);
    pa_wake_all(&wakes);
}

/* -- the I/O thread -- */

static bool is_stopping(pa_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->lock);
    return stopping;
}

static void *run_io(void *argument)
{
    pa_engine *engine = argument;
    pthread_mutex_lock(&engine->lock);
    while (engine->turning)
        pthread_cond_wait(&engine->free_to_turn, &engine->lock);
    engine->turning = true;
    pthread_mutex_unlock(&engine->lock);
    while (!is_stopping(engine))
        pa_turn(engine, -1, NULL);
    return NULL;
}

int pa_engine_start_thread(pa_engine *engine)
{
    sigset_t all, before;
    pthread_mutex_lock(&engine->lock);
    if (engine->threaded) {
        pthread_mutex_unlock(&engine->lock);
        return 0;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&engine->thread, NULL, run_io, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    engine->threaded = error == 0;
    atomic_store(&engine->has_io_thread, engine->threaded);
    pthread_cond_signal(&engine->backup_due);
    pthread_mutex_unlock(&engine->lock);
    if (!error)
        pa_engine_wake(engine);   /* Whoever turns leaves it to the new thread. */
    return -error;
}

/* -- the engine -- */

static void open_locks(pa_engine *engine)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&engine->serving, NULL);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->free_to_turn, NULL);
    pthread_cond_init(&engine->backup_due, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pa_pool_open(&engine->pool);
    atomic_init(&engine->batch, PA_BATCH);
    atomic_init(&engine->pool.now, pa_now());
}

int pa_engine_new(const pa_uring_profile *profile, pa_engine **out)
{
    *out = NULL;
    pa_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return -ENOMEM;
    engine->driver = profile ? &pa_driver_uring : &pa_driver_epoll;
    int error = engine->driver->open(engine);
    if (!error && profile && (error = pa_uring_new(engine, profile)) < 0)
        engine->driver->close(engine);
    if (error) {
        free(engine);
        return error;
    }
    open_locks(engine);
    *out = engine;
    return 0;
}

static void stop_threads(pa_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    bool threaded = engine->threaded;
    pthread_mutex_unlock(&engine->lock);
    pa_engine_wake(engine);
    pa_backup_stop(engine);
    if (threaded)
        pthread_join(engine->thread, NULL);
}

void pa_engine_free(pa_engine *engine)
{
    if (!atomic_load(&engine->dead)) {
        stop_threads(engine);
        pa_drop_retired(engine);
        engine->driver->close(engine);
        pa_pool_close(&engine->pool);
        pthread_mutex_destroy(&engine->serving);
        pthread_mutex_destroy(&engine->lock);
        pthread_cond_destroy(&engine->free_to_turn);
        pthread_cond_destroy(&engine->backup_due);
    }
    free(engine);
}

void pa_engine_after_fork(pa_engine *engine)
{
    /* The locks may be held by threads that do not exist here: they are never taken again. */
    atomic_store(&engine->dead, true);
    engine->driver->close(engine);
    pa_registry_after_fork();
}

void pa_engine_set_default_port(pa_engine *engine, pa_port *port)
{
    atomic_store(&engine->default_port, port);
}

void pa_engine_allow_backup(pa_engine *engine)
{
    atomic_store(&engine->backup_allowed, true);
}

void pa_engine_statistics_get(pa_engine *engine, pa_engine_statistics *out)
{
    const pa_counters *from = &engine->counters;
#define COPY(field) out->field = atomic_load_explicit(&from->field, memory_order_relaxed)
    COPY(turns), COPY(waits), COPY(wakes_sent), COPY(wakes_saved), COPY(submitted);
    COPY(completed_at_once), COPY(completed_later), COPY(bytes_received), COPY(bytes_sent);
    COPY(rearms), COPY(short_sends), COPY(in_flight), COPY(sockets), COPY(backup_turns);
#undef COPY
    out->enters = out->ring_requests = out->completions = out->no_buffers = out->overflows = 0;
    pa_uring_statistics_get(engine, out);
}
