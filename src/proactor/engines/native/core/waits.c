/* Packets out: taking, and waiting for something to take. */
#include "internal.h"

/* Move packets out; the thread then holds a slot. The lock is held. */
static int fill(pa_port *port, pa_thread *self, pa_op **out, int limit, pa_wakes *wakes)
{
    int count = 0;
    pa_op *handed = self->handed;
    self->handed = NULL;
    if (handed) {
        out[count++] = handed;
        if (atomic_load(&self->slot) != port) {
            /* It came so late that it was counted as stalled: the slot, and what is queued, are for
             * another thread now, unless there is another slot. */
            if (pa_is_full(port) || port->closed)
                limit = 1;
            else
                pa_take_slot(port, self);
        }
    } else if (pa_may_take(port)) {
        out[count++] = pa_pop_packet(port);
        pa_take_slot(port, self);
    }
    while (count && port->head && count < limit)
        out[count++] = pa_pop_packet(port);
    port->counts.delivered += (uint64_t)count;
    if (out == self->hand && count)
        pa_hold_hand(port, self, count, wakes);
    pa_release_waiters(port, wakes);
    return count;
}

/* A thread that comes back, perhaps in the middle of its hand, gives that and its slot up, and takes
 * what is queued before an older waiter gets the slot. How many packets it took, or -EBADF. The lock
 * is held. */
static int enter(pa_port *port, pa_thread *self, pa_op **out, int limit, pa_wakes *wakes)
{
    if (atomic_load(&self->slot) == port) {
        pa_take_hand_back(port, self);
        pa_leave_slot(port, self);
    }
    return port->closed ? -EBADF : fill(port, self, out, limit, wakes);
}

/* A thread that goes to another port gives its slot at the last one back. */
static void leave_other_port(pa_port *port, pa_thread *self)
{
    pa_port *other = atomic_load(&self->slot);
    if (!other || other == port)
        return;
    other = pa_slot_of(self);
    if (!other)
        return;
    if (other != port)
        pa_give_slot_up(self, other);
    pa_port_release(other);
}

int pa_port_take(pa_port *port, pa_thread *self, pa_op **out, int limit)
{
    pa_wakes wakes = {0};
    leave_other_port(port, self);
    pthread_mutex_lock(&port->lock);
    int count = enter(port, self, out, limit, &wakes);
    pthread_mutex_unlock(&port->lock);
    pa_wake_all(&wakes);
    return count;
}

/* Run the reactor if nobody does, else sleep; return early at will. False: a signal came. */
static bool idle(pa_engine *engine, pa_thread *self, int64_t timeout_ns)
{
    int awake = PA_AWAKE, count = 0;
    if (!pa_turn_begin(engine, self))
        return pa_sleep(self, timeout_ns);
    atomic_store(&self->polls, engine);
    if (atomic_compare_exchange_strong(&self->gate, &awake, PA_POLLING))
        count = pa_turn(engine, timeout_ns, &self->gate);
    else
        atomic_exchange(&self->gate, PA_AWAKE);
    pa_turn_end(engine);
    pa_turn_yield(engine, self);
    return count != -EINTR;
}

/* What pa_port_wait waits for, and until when. */
typedef struct {
    int64_t deadline;        /* INT64_MAX: never */
    bool interrupted;
} wait_state;

static int64_t time_left(int64_t deadline)
{
    if (deadline == INT64_MAX)
        return -1;
    int64_t left = deadline - pa_now();
    return left > 0 ? left : 0;
}

/* Wait among the waiters until something is handed over, the port closes, an interrupt comes or the
 * time is up; the lock is held before and after. */
static void wait_in_line(pa_port *port, pa_thread *self, wait_state *state, pa_wakes *wakes)
{
    pa_push_waiter(port, self);
    self->wait_serial = atomic_fetch_add(&port->engine->waits_begun, 1);
    self->waits_at = port;
    if (port->head && port->stall_ns >= 0)
        pa_watch(port->engine, wakes);   /* The port is full: perhaps of a thread that stalls. */
    while (!self->handed && !port->closed && !state->interrupted) {
        if (atomic_exchange(&self->interrupted, false)) {
            state->interrupted = true;
            break;
        }
        int64_t left = time_left(state->deadline);
        if (left == 0)
            break;
        pthread_mutex_unlock(&port->lock);
        pa_wake_all(wakes);
        bool undisturbed = idle(port->engine, self, left);
        pthread_mutex_lock(&port->lock);
        state->interrupted = !undisturbed;
    }
    if (!self->handed)
        pa_remove_waiter(port, self);
    else
        state->interrupted = false;
}

static int poll_and_take(pa_port *port, pa_thread *self, pa_op **out, int limit, pa_wakes *wakes)
{
    pthread_mutex_unlock(&port->lock);
    pa_wake_all(wakes);
    pa_engine_poll_now(port->engine);
    pthread_mutex_lock(&port->lock);
    return port->closed ? -EBADF : fill(port, self, out, limit, wakes);
}

int pa_port_wait(pa_port *port, pa_thread *self, pa_op **out, int limit, int64_t timeout_ns,
                 bool *interrupted)
{
    pa_wakes wakes = {0};
    wait_state state = {INT64_MAX, false};
    leave_other_port(port, self);
    pthread_mutex_lock(&port->lock);
    int count = enter(port, self, out, limit, &wakes);
    if (count == 0 && timeout_ns == 0) {
        count = poll_and_take(port, self, out, limit, &wakes);
        state.interrupted = count == 0 && atomic_exchange(&self->interrupted, false);
    } else if (count == 0) {
        if (timeout_ns > 0)
            state.deadline = pa_now() + timeout_ns;
        wait_in_line(port, self, &state, &wakes);
        count = port->closed && !self->handed ? -ECANCELED
                                              : fill(port, self, out, limit, &wakes);
    }
    bool busy = count > 0 && pa_is_full(port);
    pthread_mutex_unlock(&port->lock);
    pa_wake_all(&wakes);
    pa_turn_pass_on(port->engine, self, busy ? port : NULL);
    *interrupted = count == 0 && state.interrupted;
    if (count > 0 && state.interrupted)
        atomic_store(&self->interrupted, true);   /* It is for the next wait. */
    return count;
}
