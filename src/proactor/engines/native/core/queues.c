/* The two queues of a socket: who is attempted when, and what follows.
 *
 * Receives wait in one queue, sends in the other; only the head of a queue is attempted, which keeps
 * receives in posting order and sends from interleaving. An operation completes under the socket's
 * lock, so its indication enters the port in the order of completion.
 */
#include "internal.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

void pa_append(pa_queue *queue, pa_op *op)
{
    op->next = NULL;
    op->previous = queue->tail;
    if (queue->tail)
        queue->tail->next = op;
    else
        queue->head = op;
    queue->tail = op;
}

static void put_in_front(pa_queue *queue, pa_op *op)
{
    op->previous = NULL;
    op->next = queue->head;
    if (queue->head)
        queue->head->previous = op;
    else
        queue->tail = op;
    queue->head = op;
}

void pa_remove(pa_queue *queue, pa_op *op)
{
    if (op->next)
        op->next->previous = op->previous;
    else
        queue->tail = op->previous;
    if (op->previous)
        op->previous->next = op->next;
    else
        queue->head = op->next;
    op->next = op->previous = NULL;
}

/* The kinds that wait for something to read; the others wait for room to write. */
bool pa_reads(const pa_op *op)
{
    return op->kind == PA_RECV || op->kind == PA_RECV_FROM || op->kind == PA_ACCEPT;
}

/* Let `op` wait its turn, behind those of its direction; 0, or -errno if the kernel refuses to watch
 * the descriptor: `op` is in the queue all the same. */
int pa_park(pa_socket *socket, pa_op *op, bool for_reading)
{
    uint32_t interest = for_reading ? PA_READ : PA_WRITE;
    pa_append(for_reading ? &socket->reads : &socket->writes, op);
    return interest & ~socket->armed ? pa_set_interest(socket, socket->armed | interest) : 0;
}

static pa_outcome attempt(pa_socket *socket, pa_op *op)
{
    if (op->stage == PA_DRAINING)
        return pa_attempt_drain(socket, op);
    switch (op->kind) {
    case PA_RECV:
        return pa_has(socket, PA_DATAGRAM) ? pa_attempt_recv_from(socket, op)
                                           : pa_attempt_recv(socket, op);
    case PA_RECV_FROM:
        return pa_has(socket, PA_DATAGRAM) ? pa_attempt_recv_from(socket, op)
                                           : pa_attempt_recv(socket, op);
    case PA_SEND: case PA_SEND_TO:
        return pa_has(socket, PA_DATAGRAM) ? pa_attempt_send_to(socket, op)
                                           : pa_attempt_send(socket, op);
    case PA_ACCEPT:
        return op->stage == PA_FIRST_DATA ? pa_attempt_recv(socket, op)
                                          : pa_attempt_accept(socket, op);
    case PA_CONNECT: return pa_attempt_connect(socket, op);
    case PA_DISCONNECT: return pa_attempt_disconnect(socket, op);
    case PA_TRANSMIT_FILE: return pa_attempt_transmit_file(socket, op);
    default: return pa_fail(op, EINVAL);
    }
}

/* Attempt `op`, which is at the head of its queue; latch the peer's reset, which is told once. */
pa_outcome pa_attempt(pa_socket *socket, pa_op *op)
{
    bool accepting = op->kind == PA_ACCEPT && op->stage != PA_FIRST_DATA;
    pa_outcome outcome = attempt(socket, op);
    if (outcome == PA_FINISHED && op->status == STATUS_CONNECTION_RESET && !accepting
        && !pa_has(socket, PA_DATAGRAM))
        pa_mark(socket, PA_RESET, 0);
    return outcome;
}

/* -- completing -- */

/* An accept has ended: nothing waits for it any more, and its acceptor is free, or connected. */
void pa_give_back(pa_op *op)
{
    pa_engine *engine = op->home->engine;
    if (op->kind != PA_ACCEPT)
        return;
    pthread_mutex_lock(&engine->lock);
    pa_await_no_longer(op);
    if (op->acceptor && op->acceptor->reserved_by == op)
        op->acceptor->reserved_by = NULL;
    pthread_mutex_unlock(&engine->lock);
    pa_end_connection_of(op);
}

static void hand_out(pa_op *op, pa_port *port, pa_wakes *wakes)
{
    pa_port *default_port = atomic_load(&op->home->engine->default_port);
    pa_socket *home = op->home;
    pa_socket *acceptor = op->acceptor;
    if (default_port && atomic_load(&home->port) && (!port || atomic_load(&home->detours))) {
        atomic_fetch_add(&home->detours, 1);
        op->result_flags |= PA_DETOUR;
        port = NULL;
    }
    if (!port || !pa_port_push(port, op, false, wakes)) {
        if (port)
            op->result_flags |= PA_LOST;
        if (default_port)
            pa_port_push(default_port, op, false, wakes);
    }
    /* From here on the op may be somebody else's already. */
    if (acceptor)
        pa_socket_release(acceptor);
    pa_socket_release(home);
}

void pa_socket_end_detour(pa_socket *socket)
{
    atomic_fetch_sub(&socket->detours, 1);
}

bool pa_op_follow(pa_op *op)
{
    pa_wakes wakes = {0};
    pa_socket *home = op->home;
    pa_port *default_port = atomic_load(&home->engine->default_port);
    pthread_mutex_lock(&home->lock);
    bool follows = default_port && atomic_load(&home->detours);
    if (follows) {
        atomic_fetch_add(&home->detours, 1);
        op->result_flags |= PA_DETOUR;
        pa_port_push(default_port, op, false, &wakes);
    }
    pthread_mutex_unlock(&home->lock);
    pa_wake_all(&wakes);
    return follows;
}

static void end_internal(pa_op *op)
{
    pa_socket *home = op->home;
    free(op);
    pa_socket_release(home);
}

/* Indicate `op` exactly once; its status is set and it is in no queue. */
void pa_complete(pa_socket *socket, pa_op *op, bool at_once, pa_wakes *wakes)
{
    pa_socket *home = op->home;
    pa_engine *engine = socket->engine;
    if (!at_once) {
        PA_COUNT(engine, completed_later, 1);
        atomic_fetch_sub_explicit(&engine->counters.in_flight, 1, memory_order_relaxed);
    }
    if (op->internal) {
        end_internal(op);
        return;
    }
    pa_give_back(op);
    pa_port *port = op->suppress_packet ? NULL : atomic_load(&home->port);
    op->key = home->key;
    if (!at_once) {
        hand_out(op, port, wakes);
        return;
    }
    PA_COUNT(engine, completed_at_once, 1);
    bool skipped = pa_has(home, PA_SKIP_ON_SUCCESS) && op->status == STATUS_SUCCESS;
    if (port && !skipped) {
        hand_out(op, port, wakes);
        return;
    }
    op->result_flags |= PA_NO_PACKET;
    if (op->acceptor)
        pa_socket_release(op->acceptor);
    pa_socket_release(home);
}

static void fail_all(pa_socket *socket, pa_queue *queue, pa_wakes *wakes)
{
    pa_op *op = queue->head;
    queue->head = queue->tail = NULL;
    while (op) {
        pa_op *next = op->next;
        op->next = op->previous = NULL;
        pa_finish(op, STATUS_CONNECTION_RESET, 0);
        pa_complete(socket, op, false, wakes);
        op = next;
    }
}

/* The peer has reset, which is known by a flag: every operation that waits fails too. */
void pa_fail_outstanding(pa_socket *socket, pa_wakes *wakes)
{
    fail_all(socket, &socket->reads, wakes);
    fail_all(socket, &socket->writes, wakes);
}

/* -- serving -- */

/* An accept that finds nobody costs the kernel a file all the same, seven times as much as the
 * question whether somebody calls. So that is asked, once, after the first caller; whoever comes later is
 * told of by the next look, since readiness of sockets is told by levels. */
static bool is_last_caller(pa_socket *socket, const pa_op *next, int served)
{
    struct pollfd listener = {.fd = socket->fd, .events = POLLIN};
    return served == 1 && next->kind == PA_ACCEPT && next->stage != PA_FIRST_DATA
           && poll(&listener, 1, 0) == 0;
}

static void run(pa_socket *socket, pa_queue *queue, pa_wakes *wakes)
{
    for (int served = 0; queue->head; served++) {
        pa_op *op = queue->head;
        if (is_last_caller(socket, op, served))
            return;
        /* Out of the queue first: an operation that moves on enters another one. */
        pa_remove(queue, op);
        pa_outcome outcome = pa_attempt(socket, op);
        if (outcome == PA_BLOCKED) {
            put_in_front(queue, op);
            return;
        }
        if (outcome == PA_FINISHED)
            pa_complete(socket, op, false, wakes);
        if (pa_has(socket, PA_RESET))
            pa_fail_outstanding(socket, wakes);
    }
}

/* The descriptor is ready: go on with what waits, then watch for what still does. */
void pa_serve(pa_socket *socket, uint32_t ready, pa_wakes *wakes)
{
    pthread_mutex_lock(&socket->lock);
    if (socket->stream) {
        if (socket->armed)
            pa_stream_serve(socket->stream, ready, wakes);
    } else if (socket->armed) {   /* Else closed or disarmed since the driver looked. */
        bool idle_reader = !socket->reads.head;
        if (ready & PA_READ)
            run(socket, &socket->reads, wakes);
        if (ready & PA_WRITE)
            run(socket, &socket->writes, wakes);
        /* READ stays armed a little longer than it is needed: the next receive is usually posted
         * before the next look, and a change costs a system call. WRITE would be ready at once
         * again, so it goes as soon as nothing waits. */
        pa_rearm(socket, ready & PA_READ && idle_reader ? 0 : PA_READ);
        if (pa_has(socket, PA_CLOSED) && !socket->writes.head)
            pa_close_descriptor(socket);
    }
    pthread_mutex_unlock(&socket->lock);
}

/* -- arming -- */

/* The socket is watched no longer. Batches that are under way may name it still, so the reactor's
 * reference is given up when they have ended; if there are none, now: the caller has its own. */
static void retire(pa_socket *socket)
{
    pa_engine *engine = socket->engine;
    pthread_mutex_lock(&engine->lock);
    bool at_once = !atomic_load(&engine->active) && !socket->is_retired;
    if (!at_once && !socket->is_retired) {
        socket->is_retired = true;
        socket->next_retired = engine->retired;
        engine->retired = socket;
    }
    pthread_mutex_unlock(&engine->lock);
    if (at_once) {
        socket->watched = false;
        pa_socket_release(socket);
    }
}

/* Give up the references of sockets that are still unwatched; no batch that began before runs. */
void pa_drop_retired(pa_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    pa_socket *socket = atomic_load(&engine->active) ? NULL : atomic_load(&engine->retired);
    if (socket)
        engine->retired = NULL;
    pthread_mutex_unlock(&engine->lock);
    while (socket) {
        pa_socket *next = socket->next_retired;
        pthread_mutex_lock(&socket->lock);
        bool gone = socket->armed == 0;
        socket->is_retired = false;
        if (gone)
            socket->watched = false;
        pthread_mutex_unlock(&socket->lock);
        if (gone)
            pa_socket_release(socket);
        socket = next;
    }
}

int pa_set_interest(pa_socket *socket, uint32_t interest)
{
    pa_engine *engine = socket->engine;
    uint32_t old = socket->armed;
    if (interest == old)
        return 0;
    int error = engine->driver->arm(engine, socket->fd, old, interest, socket);
    if (error)
        return error;
    PA_COUNT(engine, rearms, 1);
    socket->armed = interest;
    if (!old) {
        atomic_fetch_add_explicit(&engine->armed, 1, memory_order_relaxed);
        if (!socket->watched)
            pa_socket_hold(socket);
        socket->watched = true;
    } else if (!interest) {
        atomic_fetch_sub_explicit(&engine->armed, 1, memory_order_relaxed);
        retire(socket);
    }
    return 0;
}

void pa_rearm(pa_socket *socket, uint32_t keep)
{
    uint32_t wanted = (socket->reads.head ? PA_READ : 0) | (socket->writes.head ? PA_WRITE : 0);
    pa_set_interest(socket, wanted | (socket->armed & keep));
}

void pa_close_descriptor(pa_socket *socket)
{
    pa_set_interest(socket, 0);
    int fd = atomic_exchange(&socket->fd, -1);
    if (fd >= 0)
        close(fd);
}
