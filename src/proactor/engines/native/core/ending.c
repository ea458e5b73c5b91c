/* How operations and sockets end before their time: cancel and close. */
#include "internal.h"

#include <unistd.h>

/* Which operations are meant: one, those of one issuer, or all of the user's. */
typedef struct {
    pa_op *one;
    void *issuer;
} chosen;

static bool is_chosen(const pa_op *op, const chosen *which)
{
    if (which->one)
        return op == which->one;
    return !op->internal && (!which->issuer || op->issuer == which->issuer);
}

static void end(pa_socket *socket, pa_op *op, pa_wakes *wakes)
{
    pa_finish(op, STATUS_CANCELLED, 0);
    pa_complete(socket, op, false, wakes);
}

static int end_queued(pa_socket *socket, pa_queue *queue, const chosen *which, pa_wakes *wakes)
{
    int count = 0;
    for (pa_op *op = queue->head, *next; op; op = next) {
        next = op->next;
        /* An accept that waits here for first data is its listener's to end. */
        if (op->home != socket || !is_chosen(op, which))
            continue;
        pa_remove(queue, op);
        end(socket, op, wakes);
        count++;
    }
    return count;
}

/* Take one chosen accept from the listener's list, with a reference to where it waits. */
static pa_op *take_awaiting(pa_socket *listener, const chosen *which, pa_socket **connection)
{
    pthread_mutex_lock(&listener->engine->lock);
    pa_op *op = listener->awaiting;
    while (op && !is_chosen(op, which))
        op = op->next_awaiting;
    if (op) {
        pa_await_no_longer(op);
        *connection = op->connection;
        pa_socket_hold(*connection);
    }
    pthread_mutex_unlock(&listener->engine->lock);
    return op;
}

static int end_awaiting(pa_socket *listener, const chosen *which, pa_wakes *wakes)
{
    int count = 0;
    pa_socket *connection;
    pa_op *doomed;
    while ((doomed = take_awaiting(listener, which, &connection))) {
        pthread_mutex_lock(&connection->lock);
        /* It may have completed meanwhile: looked for by its address only. */
        pa_op *op = connection->reads.head;
        while (op && op != doomed)
            op = op->next;
        if (op) {
            pa_remove(&connection->reads, op);
            end(connection, op, wakes);
            count++;
        }
        pthread_mutex_unlock(&connection->lock);
        pa_socket_release(connection);
    }
    return count;
}

static int end_all(pa_socket *socket, const chosen *which, pa_wakes *wakes)
{
    return end_queued(socket, &socket->reads, which, wakes)
           + end_queued(socket, &socket->writes, which, wakes)
           + end_awaiting(socket, which, wakes);
}

static int cancel(pa_socket *socket, chosen which)
{
    pa_wakes wakes = {0};
    pthread_mutex_lock(&socket->lock);
    int count = end_all(socket, &which, &wakes);
    pthread_mutex_unlock(&socket->lock);
    pa_wake_all(&wakes);
    return count;
}

int pa_cancel(pa_socket *socket, pa_op *op)
{
    return cancel(socket, (chosen){.one = op});
}

int pa_cancel_issued_by(pa_socket *socket, void *issuer)
{
    return cancel(socket, (chosen){.issuer = issuer});
}

/* -- closing -- */

/* An accept that has reserved this socket ends with it. */
static void end_reservation(pa_socket *socket)
{
    pa_socket *listener = NULL;
    pthread_mutex_lock(&socket->engine->lock);
    pa_op *accept = socket->reserved_by;
    if (accept) {
        listener = accept->home;   /* In flight: it holds a reference to its home. */
        pa_socket_hold(listener);
    }
    pthread_mutex_unlock(&socket->engine->lock);
    if (!listener)
        return;
    pa_cancel(listener, accept);
    pa_socket_release(listener);
}

static bool has_unread(pa_socket *socket)
{
    char one;
    return recv(socket->fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* What the engine took for later is lost: the connection is reset. */
static void drop_writes(pa_socket *socket, pa_wakes *wakes)
{
    while (socket->writes.head) {
        pa_op *op = socket->writes.head;
        pa_remove(&socket->writes, op);
        end(socket, op, wakes);
    }
}

static void close_locked(pa_socket *socket, bool reset, pa_wakes *wakes)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    pa_mark(socket, PA_CLOSED, 0);
    if (reset)
        setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    end_all(socket, &(chosen){0}, wakes);
    /* Windows resets a connection that is closed with data unread, and drops what is unsent. */
    if (reset || (socket->writes.head && has_unread(socket)))
        drop_writes(socket, wakes);
    pa_rearm(socket, 0);
    /* What a synchronous non-blocking send took is delivered before the descriptor goes. */
    if (!socket->writes.head)
        pa_close_descriptor(socket);
}

void pa_socket_close(pa_socket *socket, bool reset)
{
    pa_wakes wakes = {0};
    if (atomic_load(&socket->engine->dead)) {
        /* A child closes its copy and leaves the parent's queues alone. */
        int fd = atomic_exchange(&socket->fd, -1);
        pa_mark(socket, PA_CLOSED, 0);
        if (fd >= 0)
            close(fd);
        return;
    }
    end_reservation(socket);
    pthread_mutex_lock(&socket->lock);
    if (!pa_has(socket, PA_CLOSED))
        close_locked(socket, reset, &wakes);
    pthread_mutex_unlock(&socket->lock);
    pa_wake_all(&wakes);
}
