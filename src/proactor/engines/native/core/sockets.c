/* A socket: starts operations, cancels them, shuts down, closes. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* -- making and counting -- */

static void report_unreachable(int fd)
{
    int on = 1;   /* IP_RECVERR, IPV6_RECVERR: an ICMP answer reaches the next receive. */
    setsockopt(fd, IPPROTO_IP, 11, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, 25, &on, sizeof on);
}

pa_socket *pa_socket_new(pa_engine *engine, int fd, uint32_t flags, void *owner)
{
    pa_socket *socket = calloc(1, sizeof *socket);
    int on = 1;
    if (!socket)
        return NULL;
    atomic_init(&socket->references, 1);
    atomic_init(&socket->fd, fd);
    atomic_init(&socket->flags, flags & (PA_DATAGRAM | PA_CONNECTED));
    atomic_init(&socket->bound, (flags & PA_CONNECTED) != 0);
    socket->engine = engine;
    socket->owner = owner;
    pthread_mutex_init(&socket->lock, NULL);
    ioctl(fd, FIONBIO, &on);
    ioctl(fd, FIOCLEX);
    if (flags & PA_DATAGRAM)
        report_unreachable(fd);
    PA_COUNT(engine, sockets, 1);
    return socket;
}

void pa_socket_hold(pa_socket *socket)
{
    atomic_fetch_add_explicit(&socket->references, 1, memory_order_relaxed);
}

void pa_socket_release(pa_socket *socket)
{
    if (atomic_fetch_sub_explicit(&socket->references, 1, memory_order_acq_rel) != 1)
        return;
    pa_engine *engine = socket->engine;
    int fd = atomic_load(&socket->fd);
    if (fd >= 0)
        close(fd);
    pa_port *port = atomic_load(&socket->port);
    if (port && !atomic_load(&engine->dead))
        pa_port_release(port);
    pthread_mutex_destroy(&socket->lock);
    atomic_fetch_sub_explicit(&engine->counters.sockets, 1, memory_order_relaxed);
    free(socket);
}

int pa_socket_fd(const pa_socket *socket)
{
    return atomic_load(&((pa_socket *)socket)->fd);
}

int pa_socket_detach(pa_socket *socket)
{
    int answer;
    pthread_mutex_lock(&socket->lock);
    if (pa_has(socket, PA_CLOSED) || socket->fd < 0) {
        answer = -EBADF;
    } else if (socket->reads.head || socket->writes.head || atomic_load(&socket->port)) {
        answer = -EBUSY;
    } else if (pa_has(socket, PA_DATAGRAM) || !pa_has(socket, PA_CONNECTED)) {
        answer = -ENOTCONN;
    } else {
        pa_set_interest(socket, 0);
        pa_mark(socket, PA_CLOSED, 0);
        answer = atomic_exchange(&socket->fd, -1);
    }
    pthread_mutex_unlock(&socket->lock);
    return answer;
}

uint32_t pa_socket_flags(const pa_socket *constant)
{
    pa_socket *socket = (pa_socket *)constant;
    uint32_t flags = atomic_load(&socket->flags);
    if (atomic_load(&socket->engine->dead))
        return flags;
    pthread_mutex_lock(&socket->lock);
    flags = atomic_load(&socket->flags);
    flags |= (socket->reads.head ? PA_READS_QUEUED : 0) | (socket->writes.head ? PA_WRITES_QUEUED : 0);
    pthread_mutex_lock(&socket->engine->lock);
    flags |= socket->reserved_by ? PA_RESERVED : 0;
    pthread_mutex_unlock(&socket->engine->lock);
    pthread_mutex_unlock(&socket->lock);
    return flags;
}

int pa_socket_connect_error(pa_socket *socket)
{
    pthread_mutex_lock(&socket->lock);
    if (pa_has(socket, PA_CONNECTING) && socket->fd >= 0)
        pa_refresh_connecting(socket);
    int number = socket->connect_errno;
    pthread_mutex_unlock(&socket->lock);
    return number;
}

void pa_socket_set_skip_on_success(pa_socket *socket)
{
    pa_mark(socket, PA_SKIP_ON_SUCCESS, 0);
}

int pa_socket_attach(pa_socket *socket, pa_port *port, void *key)
{
    int answer = 0;
    pthread_mutex_lock(&port->lock);
    bool closed = port->closed;
    pthread_mutex_unlock(&port->lock);
    if (closed)
        return -EINVAL;
    pthread_mutex_lock(&socket->lock);
    if (pa_has(socket, PA_CLOSED)) {
        answer = -EBADF;
    } else if (atomic_load(&socket->port)) {
        answer = -EEXIST;
    } else {
        pa_port_hold(port);
        socket->key = key;
        atomic_store(&socket->port, port);
    }
    pthread_mutex_unlock(&socket->lock);
    return answer;
}

void *pa_op_key(const pa_op *op)
{
    return op->key;
}

/* -- starting -- */

static uint32_t prepare(pa_socket *socket, pa_op *op)
{
    op->home = socket;
    op->key = NULL;
    op->connection = NULL;
    op->rest = NULL;
    op->stage = PA_FRESH;
    op->is_awaiting = false;
    op->status = STATUS_PENDING;
    op->result_flags = 0;
    op->transferred = 0;
    op->accepted = -1;
    uint32_t status = pa_refuse(socket, op);
    int error = !status && op->kind == PA_TRANSMIT_FILE ? pa_prepare_transmission(op) : 0;
    if (error)
        status = pa_status_of(error);
    if (!status && op->kind == PA_DISCONNECT)
        pa_mark(socket, PA_SEND_SHUT, 0);
    return status;
}

static pa_answer refused(pa_op *op, uint32_t status)
{
    op->status = status;
    return PA_REFUSED;
}

/* It failed at once: nothing is indicated. */
static pa_answer failed_at_once(pa_socket *socket, pa_op *op, pa_wakes *wakes)
{
    pa_give_back(op);
    if (pa_has(socket, PA_RESET))
        pa_fail_outstanding(socket, wakes);
    return PA_REFUSED;
}

static void count_in_flight(pa_socket *socket, pa_op *op)
{
    pa_socket_hold(socket);
    if (op->acceptor)
        pa_socket_hold(op->acceptor);
    PA_COUNT(socket->engine, in_flight, 1);
}

static void uncount(pa_socket *socket, pa_op *op)
{
    atomic_fetch_sub_explicit(&socket->engine->counters.in_flight, 1, memory_order_relaxed);
    if (op->acceptor)
        pa_socket_release(op->acceptor);
    pa_socket_release(socket);
}

static pa_answer ended_at_once(pa_socket *socket, pa_op *op, pa_wakes *wakes)
{
    bool always_pends = op->kind == PA_CONNECT || op->kind == PA_DISCONNECT;
    if (always_pends && !op->synchronous) {
        pa_complete(socket, op, false, wakes);
        return PA_PENDING;
    }
    if (pa_is_error(op->status)) {
        pa_answer answer = failed_at_once(socket, op, wakes);
        uncount(socket, op);
        return answer;
    }
    atomic_fetch_sub_explicit(&socket->engine->counters.in_flight, 1, memory_order_relaxed);
    pa_complete(socket, op, true, wakes);
    return PA_DONE;
}

static pa_answer park_new(pa_socket *socket, pa_op *op)
{
    int error = pa_park(socket, op, pa_reads(op));
    if (!error)
        return PA_PENDING;
    pa_remove(pa_reads(op) ? &socket->reads : &socket->writes, op);
    pa_give_back(op);
    uncount(socket, op);
    return refused(op, pa_status_of(-error));
}

static pa_answer start(pa_socket *socket, pa_op *op, pa_wakes *wakes)
{
    uint32_t status = prepare(socket, op);
    if (status)
        return refused(op, status);
    PA_COUNT(socket->engine, submitted, 1);
    count_in_flight(socket, op);
    /* Only behind an empty queue: an attempt out of turn would take another one's bytes. */
    bool waits = pa_reads(op) ? socket->reads.head || op->poll_first : socket->writes.head != NULL;
    pa_outcome outcome = waits ? PA_BLOCKED : pa_attempt(socket, op);
    if (outcome == PA_FINISHED)
        return ended_at_once(socket, op, wakes);
    return outcome == PA_MOVED ? PA_PENDING : park_new(socket, op);
}

pa_answer pa_submit(pa_socket *socket, pa_op *op)
{
    pa_wakes wakes = {0};
    pa_engine *engine = socket->engine;
    pthread_mutex_lock(&socket->lock);
    pa_answer answer = start(socket, op, &wakes);
    pthread_mutex_unlock(&socket->lock);
    pa_wake_all(&wakes);
    if (answer == PA_PENDING)
        pa_backup_note(engine);
    return answer;
}

/* -- only trying -- */

/* Copy what the kernel did not take and send it later, as Windows' buffering does. */
static bool take_the_rest(pa_socket *socket, pa_op *op)
{
    size_t left = 0, at = 0;
    for (int i = 0; i < op->rest_count; i++)
        left += op->rest[i].iov_len;
    left -= op->rest_offset;
    pa_op *tail = calloc(1, sizeof *tail + left);
    if (!tail)
        return false;
    char *copy = (char *)(tail + 1);
    for (int i = 0; i < op->rest_count; i++) {
        size_t skip = i ? 0 : op->rest_offset;
        memcpy(copy + at, (char *)op->rest[i].iov_base + skip, op->rest[i].iov_len - skip);
        at += op->rest[i].iov_len - skip;
    }
    tail->kind = PA_SEND;
    tail->internal = true;
    tail->home = socket;
    tail->iov = tail->inline_iov;
    tail->inline_iov[0] = (struct iovec){copy, left};
    tail->iov_count = 1;
    count_in_flight(socket, tail);
    pa_park(socket, tail, false);
    op->transferred += left;
    op->status = STATUS_SUCCESS;
    return true;
}

/* A disconnect that goes on by itself: a FIN behind what is queued, or the draining for a re-use. */
static void disconnect_alone(pa_socket *socket, int flags)
{
    pa_op *alone = calloc(1, sizeof *alone);
    if (!alone)
        return;
    alone->kind = PA_DISCONNECT;
    alone->flags = flags;
    alone->internal = true;
    alone->home = socket;
    count_in_flight(socket, alone);
    pa_outcome outcome = socket->writes.head ? PA_BLOCKED : pa_attempt(socket, alone);
    if (outcome == PA_BLOCKED)
        pa_park(socket, alone, false);
    if (outcome == PA_FINISHED)
        pa_complete(socket, alone, false, NULL);   /* Internal: it wakes nobody. */
}

static pa_answer would_block(pa_socket *socket, pa_op *op)
{
    if (op->kind == PA_SEND && op->transferred && take_the_rest(socket, op)) {
        op->result_flags |= PA_NO_PACKET;
        return PA_DONE;
    }
    pa_give_back(op);
    return PA_PENDING;
}

static pa_answer try(pa_socket *socket, pa_op *op, pa_wakes *wakes)
{
    uint32_t status = prepare(socket, op);
    if (!status && op->kind == PA_ACCEPT && op->iov_count) {
        pa_give_back(op);
        status = STATUS_INVALID_PARAMETER;   /* First data belongs to overlapped accepts. */
    }
    if (status)
        return refused(op, status);
    if (op->kind == PA_DISCONNECT && op->flags & PA_REUSE) {
        disconnect_alone(socket, PA_REUSE);
        return PA_PENDING;
    }
    bool waits = pa_reads(op) ? socket->reads.head != NULL : socket->writes.head != NULL;
    if (waits || pa_attempt(socket, op) != PA_FINISHED)
        return would_block(socket, op);
    /* Winsock never tells the outcome of a connect at once, so neither is it told here. */
    if (op->kind == PA_CONNECT && !pa_has(socket, PA_DATAGRAM))
        return PA_PENDING;
    if (pa_is_error(op->status))
        return failed_at_once(socket, op, wakes);
    pa_give_back(op);
    op->result_flags |= PA_NO_PACKET;
    return PA_DONE;
}

pa_answer pa_try(pa_socket *socket, pa_op *op)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&socket->lock);
    pa_answer answer = try(socket, op, &wakes);
    pthread_mutex_unlock(&socket->lock);
    pa_wake_all(&wakes);
    return answer;
}

int pa_socket_shutdown(pa_socket *socket, int how)
{
    int answer = 0;
    pthread_mutex_lock(&socket->lock);
    if (pa_has(socket, PA_CLOSED)) {
        answer = -EBADF;
    } else if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) {
        answer = -EINVAL;
    } else if (!pa_has(socket, PA_CONNECTED | PA_DATAGRAM)) {
        answer = -ENOTCONN;
    } else {
        /* Only a flag: Linux would end a receive that is pending, Windows lets it be. */
        if (how != SHUT_WR)
            pa_mark(socket, PA_RECEIVE_SHUT, 0);
        if (how != SHUT_RD && !pa_has(socket, PA_SEND_SHUT)) {
            pa_mark(socket, PA_SEND_SHUT, 0);
            disconnect_alone(socket, 0);
        }
    }
    pthread_mutex_unlock(&socket->lock);
    return answer;
}

void pa_socket_note_reset(pa_socket *socket)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&socket->lock);
    pa_mark(socket, PA_RESET, 0);
    pa_fail_outstanding(socket, &wakes);
    pthread_mutex_unlock(&socket->lock);
    pa_wake_all(&wakes);
}
