/* Slots and waiters of a port: the concurrency value and LIFO release.
 *
 * A thread that takes packets holds a slot until it comes back, exits, blocks (pa_thread_block),
 * goes to another port, or stalls. The functions are called with the port's lock held, but for those
 * of a thread at the end.
 */
#include "internal.h"

#include <stdlib.h>

/* -- slots; each holds a reference to its port -- */

bool pa_is_full(const pa_port *port)
{
    return port->counts.running >= (uint64_t)port->concurrency;
}

void pa_take_slot(pa_port *port, pa_thread *thread)
{
    thread->since = port->stall_ns >= 0 ? pa_now() : 0;
    thread->previous_runner = NULL;
    thread->next_runner = port->runners;
    if (port->runners)
        port->runners->previous_runner = thread;
    port->runners = thread;
    port->counts.running++;
    pa_port_hold(port);
    atomic_store(&thread->slot, port);
}

/* The caller has a reference of its own. */
void pa_leave_slot(pa_port *port, pa_thread *thread)
{
    if (thread->next_runner)
        thread->next_runner->previous_runner = thread->previous_runner;
    if (thread->previous_runner)
        thread->previous_runner->next_runner = thread->next_runner;
    else
        port->runners = thread->next_runner;
    port->counts.running--;
    atomic_store(&thread->slot, NULL);
    pa_port_release(port);
}

void pa_push_waiter(pa_port *port, pa_thread *thread)
{
    thread->newer = NULL;
    thread->older = port->newest;
    if (port->newest)
        port->newest->newer = thread;
    port->newest = thread;
    port->counts.waiting++;
}

void pa_remove_waiter(pa_port *port, pa_thread *thread)
{
    if (thread->older)
        thread->older->newer = thread->newer;
    if (thread->newer)
        thread->newer->older = thread->older;
    else
        port->newest = thread->older;
    port->counts.waiting--;
}

pa_op *pa_pop_packet(pa_port *port)
{
    pa_op *op = port->head;
    port->head = op->next;
    if (!port->head)
        port->tail = NULL;
    op->next = NULL;
    port->counts.queued--;
    return op;
}

void pa_hand(pa_port *port, pa_op *op, pa_wakes *wakes)
{
    pa_thread *thread = port->newest;
    pa_remove_waiter(port, thread);
    thread->handed = op;
    pa_take_slot(port, thread);
    pa_open_gate(thread, wakes);
}

/* -- what a thread holds in its hand: a thread without a slot holds nothing that it has not begun -- */

pa_op **pa_thread_hand(pa_thread *thread) { return thread->hand; }

void pa_hold_hand(pa_port *port, pa_thread *thread, int count, pa_wakes *wakes)
{
    thread->hand_count = count;
    atomic_store(&thread->hand_next, 0);
    if (port->stall_ns >= 0)
        pa_watch(port->engine, wakes);
}

/* Between the owner and a thief each number is given out once. */
pa_op *pa_hand_next(pa_thread *thread)
{
    int next = atomic_fetch_add(&thread->hand_next, 1);
    return next < thread->hand_count ? thread->hand[next] : NULL;
}

/* Put what `thread`, which has a slot here, has not begun back where it came from: before all that
 * came later. */
void pa_take_hand_back(pa_port *port, pa_thread *thread)
{
    if (atomic_load(&thread->hand_next) >= thread->hand_count)
        return;
    int next = atomic_exchange(&thread->hand_next, PA_HAND);
    for (int i = thread->hand_count - 1; i >= next; i--) {
        pa_op *op = thread->hand[i];
        op->next = port->head;
        port->head = op;
        if (!port->tail)
            port->tail = op;
        port->counts.queued++;
        port->counts.delivered--;
    }
}

bool pa_may_take(const pa_port *port)
{
    return port->head && !pa_is_full(port);
}

void pa_release_waiters(pa_port *port, pa_wakes *wakes)
{
    while (port->newest && pa_may_take(port))
        pa_hand(port, pa_pop_packet(port), wakes);
}

/* What its earlier turns have queued leaves, and what it has not begun is for others. */
bool pa_give_slot_up(pa_thread *thread, pa_port *port)
{
    pa_wakes wakes = {0};
    pa_stream *sealed = NULL;
    pthread_mutex_lock(&port->lock);
    bool held = atomic_load(&thread->slot) == port;
    if (held) {
        sealed = atomic_exchange(&thread->sealed, NULL);
        pa_take_hand_back(port, thread);
        pa_leave_slot(port, thread);
        pa_release_waiters(port, &wakes);
    }
    pthread_mutex_unlock(&port->lock);
    pa_wake_all(&wakes);
    pa_flush_streams(sealed);
    if (held)
        pa_turn_pass_on(port->engine, NULL, NULL);   /* Others may take packets now. */
    return held;
}

pa_port *pa_thread_block(pa_thread *thread)
{
    pa_port *port = pa_slot_of(thread);
    if (!port)
        return NULL;
    if (!atomic_load(&port->engine->dead) && pa_give_slot_up(thread, port))
        return port;
    pa_port_release(port);
    return NULL;
}

void pa_thread_resume(pa_thread *thread, pa_port *port)
{
    if (!port)
        return;
    if (!atomic_load(&port->engine->dead)) {
        pthread_mutex_lock(&port->lock);
        if (!port->closed && !atomic_load(&thread->slot))
            pa_take_slot(port, thread);
        pthread_mutex_unlock(&port->lock);
    }
    pa_port_release(port);
}

void pa_thread_free(pa_thread *thread)
{
    pa_batch_end(thread);
    pa_port *port = pa_thread_block(thread);
    if (port)
        pa_port_release(port);
    free(thread);
}
