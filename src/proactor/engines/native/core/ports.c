/* The completion port: its life, its FIFO queue of packets, stalls, and its end.
 *
 * The rules are those of NT's kernel queue. A packet is handed to the newest waiter at once if a
 * slot is free, else it is queued; so while packets are queued, either nobody waits or no slot is
 * free. Everything of a port is guarded by its lock.
 */
#include "internal.h"

#include <stdlib.h>

/* All ports, for the stall watch, and the moment at which a port is freed. A leaf. */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pa_port *all_ports;

void pa_registry_after_fork(void)
{
    registry = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    all_ports = NULL;
}

/* -- life -- */

static void open_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t adaptive;   /* Held for moments only: a contender spins first. */
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
}

pa_port *pa_port_new(pa_engine *engine, int concurrency, int64_t stall_ns)
{
    pa_port *port = calloc(1, sizeof *port);
    if (!port)
        return NULL;
    atomic_init(&port->references, 1);
    port->engine = engine;
    port->concurrency = concurrency;
    port->stall_ns = stall_ns;
    open_lock(&port->lock);
    pthread_mutex_lock(&registry);
    port->next_port = all_ports;
    if (all_ports)
        all_ports->previous_port = port;
    all_ports = port;
    pthread_mutex_unlock(&registry);
    return port;
}

void pa_port_hold(pa_port *port)
{
    atomic_fetch_add_explicit(&port->references, 1, memory_order_relaxed);
}

/* Hold a port that may be about to be freed; the registry's lock is held. */
static bool hold_if_alive(pa_port *port)
{
    int count = atomic_load(&port->references);
    while (count > 0)
        if (atomic_compare_exchange_weak(&port->references, &count, count + 1))
            return true;
    return false;
}

void pa_port_release(pa_port *port)
{
    if (atomic_fetch_sub_explicit(&port->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_lock(&registry);
    if (port->next_port)
        port->next_port->previous_port = port->previous_port;
    if (port->previous_port)
        port->previous_port->next_port = port->next_port;
    else if (all_ports == port)
        all_ports = port->next_port;
    pthread_mutex_unlock(&registry);
    pthread_mutex_destroy(&port->lock);
    free(port);
}

/* Return the port where `thread` has its slot, with a reference, or NULL. */
pa_port *pa_slot_of(pa_thread *thread)
{
    pa_port *port;
    if (!atomic_load(&thread->slot))
        return NULL;
    pthread_mutex_lock(&registry);
    /* It may be freed right now only if the slot was given up meanwhile: then look again. */
    while ((port = atomic_load(&thread->slot)) && !hold_if_alive(port))
        continue;
    pthread_mutex_unlock(&registry);
    return port;
}

/* -- packets in -- */

bool pa_port_push(pa_port *port, pa_op *op, bool posted, pa_wakes *wakes)
{
    pthread_mutex_lock(&port->lock);
    if (port->closed) {
        pthread_mutex_unlock(&port->lock);
        return false;
    }
    if (posted)
        port->counts.posted++;
    else
        port->counts.completed++;
    op->next = NULL;
    if (port->newest && !pa_is_full(port)) {
        pa_hand(port, op, wakes);
    } else {
        if (port->tail)
            port->tail->next = op;
        else
            port->head = op;
        port->tail = op;
        port->counts.queued++;
        if (port->newest && port->stall_ns >= 0)
            pa_watch(port->engine, wakes);
    }
    pthread_mutex_unlock(&port->lock);
    return true;
}

int pa_port_post(pa_port *port, pa_op *op)
{
    pa_wakes wakes = {0};
    bool pushed = pa_port_push(port, op, true, &wakes);
    pa_wake_all(&wakes);
    return pushed ? 0 : -EBADF;
}

int pa_port_forward(pa_port *port, pa_op *op)
{
    pa_wakes wakes = {0};
    bool pushed = pa_port_push(port, op, false, &wakes);
    pa_wake_all(&wakes);
    return pushed ? 0 : -EBADF;
}

/* -- stalls -- */

/* What earlier turns of the runner queued, and what it has taken and not begun, need not wait for it.
 * The port's lock is held. Adds to `dirty`, which is flushed when it is not. */
static void relieve(pa_port *port, pa_thread *runner, pa_stream **dirty)
{
    if (port->newest)
        pa_take_hand_back(port, runner);
    if (!*dirty)
        *dirty = atomic_exchange(&runner->sealed, NULL);
    if (!*dirty && !atomic_load(&runner->in_turn))
        *dirty = atomic_exchange(&runner->dirty, NULL);
}

static bool has_hand(const pa_thread *runner)
{
    return atomic_load(&runner->sealed)
           || (atomic_load(&runner->dirty) && !atomic_load(&runner->in_turn))
           || atomic_load(&runner->hand_next) < runner->hand_count;
}

static bool release_stalled_of(pa_port *port, int64_t now, pa_wakes *wakes)
{
    pa_stream *dirty = NULL;
    pthread_mutex_lock(&port->lock);
    bool holds = false;
    pa_thread *next;
    for (pa_thread *runner = port->runners; port->stall_ns >= 0 && runner; runner = next) {
        next = runner->next_runner;
        bool waits = has_hand(runner);
        holds = holds || waits;
        if (now - runner->since < port->stall_ns || !(waits || (port->head && port->newest)))
            continue;
        relieve(port, runner, &dirty);
        if (!port->newest || !port->head)
            continue;
        port->counts.stalls++;
        pa_leave_slot(port, runner);
    }
    pa_release_waiters(port, wakes);
    bool starves = holds || (port->stall_ns >= 0 && port->head && port->newest);
    pthread_mutex_unlock(&port->lock);
    pa_flush_streams(dirty);
    return starves;
}

/* Return the first port of `engine` from `port` on that is alive, with a reference. */
static pa_port *first_alive(pa_engine *engine, pa_port *port)
{
    while (port && (port->engine != engine || !hold_if_alive(port)))
        port = port->next_port;
    return port;
}

/* Count threads that have not come back as blocked; say whether packets wait for a thread. */
bool pa_release_stalled(pa_engine *engine, int64_t now)
{
    bool starved = false;
    pthread_mutex_lock(&registry);
    pa_port *port = first_alive(engine, all_ports);
    pthread_mutex_unlock(&registry);
    while (port) {
        pa_wakes wakes = {0};
        starved = release_stalled_of(port, now, &wakes) || starved;
        pa_wake_all(&wakes);
        pthread_mutex_lock(&registry);
        pa_port *next = first_alive(engine, port->next_port);
        pthread_mutex_unlock(&registry);
        pa_port_release(port);
        port = next;
    }
    return starved;
}

/* -- the end -- */

void pa_port_close(pa_port *port, void (*lost)(pa_op *op, void *context), void *context)
{
    pa_wakes wakes = {0};
    if (atomic_load(&port->engine->dead)) {   /* A child: the lock may be held for ever. */
        port->closed = true;
        return;
    }
    pthread_mutex_lock(&port->lock);
    pa_op *op = port->head;
    port->head = port->tail = NULL;
    port->counts.queued = 0;
    port->closed = true;
    for (pa_thread *thread = port->newest; thread; thread = thread->older)
        pa_open_gate(thread, &wakes);
    while (port->runners)
        pa_leave_slot(port, port->runners);
    pthread_mutex_unlock(&port->lock);
    pa_wake_all(&wakes);
    pa_streams_lose_port(port->engine, port);
    while (op) {
        pa_op *next = op->next;
        op->next = NULL;
        if (op->kind == PA_TURN)
            pa_turn_lost(op);
        else if (lost)
            lost(op, context);
        op = next;
    }
}

void pa_port_statistics_get(pa_port *port, pa_port_statistics *out)
{
    pthread_mutex_lock(&port->lock);
    *out = port->counts;
    pthread_mutex_unlock(&port->lock);
}
