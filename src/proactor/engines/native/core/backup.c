/* The thread that stands in when nobody runs the reactor.
 *
 * Without an I/O thread the kernel's news waits while every thread is in user code. This one looks
 * every few milliseconds, while there is something to look at, whether somebody polls; if nobody
 * does, it polls itself and gives way to whoever comes, and it looks for threads that stall and for
 * turns that are due. When nothing happens it sleeps.
 */
#include "internal.h"

#include <signal.h>
#include <time.h>

static bool is_over(pa_engine *engine)
{
    return engine->stopping || engine->threaded;
}

/* Run the reactor until somebody else wants to; the engine's lock is held before and after. */
static void stand_in(pa_engine *engine)
{
    engine->turning = engine->backup_turning = true;
    while (!is_over(engine) && !engine->candidates && atomic_load(&engine->armed)) {
        pthread_mutex_unlock(&engine->lock);
        PA_COUNT(engine, backup_turns, 1);
        pa_turn(engine, -1, NULL);
        pthread_mutex_lock(&engine->lock);
    }
    engine->turning = engine->backup_turning = false;
    if (engine->threaded)
        pthread_cond_broadcast(&engine->free_to_turn);
    pthread_mutex_unlock(&engine->lock);
    pa_turn_pass_on(engine, NULL, NULL);
    pthread_mutex_lock(&engine->lock);
}

/* Nobody runs the reactor, so nobody looks; the engine's lock is held before and after. */
static void look(pa_engine *engine)
{
    pthread_mutex_unlock(&engine->lock);
    pa_look(engine, pa_now());
    pthread_mutex_lock(&engine->lock);
}

static void sleep_a_tick(pa_engine *engine)
{
    int64_t until = pa_now() + PA_TICK_NS;
    struct timespec deadline = {until / 1000000000, until % 1000000000};
    pthread_cond_timedwait(&engine->backup_due, &engine->lock, &deadline);
}

/* Who has run the reactor and leaves it looks whether this one sleeps, after it has counted its turn.
 * So either it sees that, or this one sees the turn and goes on. */
static void sleep_until_due(pa_engine *engine, unsigned long long seen)
{
    atomic_store(&engine->backup_sleeps, true);
    if (atomic_load(&engine->counters.turns) == seen)
        pthread_cond_wait(&engine->backup_due, &engine->lock);
    atomic_store(&engine->backup_sleeps, false);
}

static void *look_after(void *argument)
{
    pa_engine *engine = argument;
    unsigned long long seen = 0;
    int idle = 0;
    pthread_mutex_lock(&engine->lock);
    while (!is_over(engine)) {
        unsigned long long turns = atomic_load(&engine->counters.turns);
        idle = turns == seen ? idle + 1 : 0;
        if (turns == seen && !engine->turning && pa_is_looked_for(engine))
            stand_in(engine);
        if (!engine->turning && atomic_load(&engine->watching))
            look(engine);
        seen = atomic_load(&engine->counters.turns);
        if (is_over(engine))
            break;
        if (idle > PA_IDLE_TICKS) {
            sleep_until_due(engine, seen);
            idle = 0;
        } else {
            sleep_a_tick(engine);
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void start_backup(pa_engine *engine)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    engine->backup_started = pthread_create(&engine->backup, NULL, look_after, engine) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void pa_backup_note(pa_engine *engine)
{
    if (!atomic_load_explicit(&engine->backup_allowed, memory_order_relaxed))
        return;
    if (atomic_load(&engine->backup_known) && !atomic_load(&engine->backup_sleeps))
        return;
    pthread_mutex_lock(&engine->lock);
    if (!engine->backup_started && !is_over(engine))
        start_backup(engine);
    atomic_store(&engine->backup_known, true);
    pthread_cond_signal(&engine->backup_due);
    pthread_mutex_unlock(&engine->lock);
}

void pa_backup_stop(pa_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool started = engine->backup_started;
    pthread_cond_signal(&engine->backup_due);
    pthread_mutex_unlock(&engine->lock);
    if (started)
        pthread_join(engine->backup, NULL);
}
