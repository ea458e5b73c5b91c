/* Attempts that change the socket itself: accept, connect, disconnect and re-use.
 *
 * An operation may move on here: an accept that asks for first data becomes a receive on the new
 * connection, a connect becomes a send, a disconnect for re-use waits for the peer's FIN. The lock
 * of a listener comes before the lock of its connection.
 */
#include "internal.h"

#include <fcntl.h>
#include <unistd.h>

/* -- what is true of a socket -- */

void pa_begin_connection(pa_socket *socket, bool connected)
{
    pa_mark(socket, connected ? PA_CONNECTED : 0,
            PA_CONNECTING | PA_RESET | PA_RECEIVE_SHUT | PA_SEND_SHUT
                | (connected ? 0 : PA_CONNECTED));
    socket->connect_errno = 0;
    socket->bound = connected;
    socket->listening = false;
}

static void note_connected(pa_socket *socket, int number)
{
    bool connected = number == 0 || number == EISCONN;
    pa_mark(socket, connected ? PA_CONNECTED : 0, PA_CONNECTING | (connected ? 0 : PA_CONNECTED));
    socket->connect_errno = connected ? 0 : number;
    socket->bound = true;
}

static bool has_peer(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

bool pa_refresh_connecting(pa_socket *socket)
{
    int number = 0;
    socklen_t length = sizeof number;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &number, &length) < 0)
        number = errno;
    if (number == 0 && !has_peer(socket->fd))
        return false;
    note_connected(socket, number);
    return true;
}

bool pa_is_bound(pa_socket *socket)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if (socket->bound)
        return true;
    if (getsockname(socket->fd, (struct sockaddr *)&name, &length) < 0)
        return false;
    if (name.ss_family == AF_INET)
        socket->bound = ((struct sockaddr_in *)&name)->sin_port != 0;
    else if (name.ss_family == AF_INET6)
        socket->bound = ((struct sockaddr_in6 *)&name)->sin6_port != 0;
    else
        socket->bound = true;
    return socket->bound;
}

bool pa_is_listening(pa_socket *socket)
{
    int listening = 0;
    socklen_t length = sizeof listening;
    if (pa_has(socket, PA_DATAGRAM | PA_CONNECTED))
        return false;
    if (!socket->listening
        && getsockopt(socket->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0)
        socket->listening = listening != 0;
    return socket->listening;
}

/* -- accepts -- */

/* `op` waits for first data on `connection`: its listener can find it there. */
void pa_await(pa_op *op, pa_socket *connection)
{
    pa_engine *engine = connection->engine;
    pthread_mutex_lock(&engine->lock);
    op->connection = connection;
    op->is_awaiting = true;
    op->previous_awaiting = NULL;
    op->next_awaiting = op->home->awaiting;
    if (op->next_awaiting)
        op->next_awaiting->previous_awaiting = op;
    op->home->awaiting = op;
    pthread_mutex_unlock(&engine->lock);
}

/* The engine's lock is held. */
void pa_await_no_longer(pa_op *op)
{
    if (!op->is_awaiting)
        return;
    op->is_awaiting = false;
    if (op->next_awaiting)
        op->next_awaiting->previous_awaiting = op->previous_awaiting;
    if (op->previous_awaiting)
        op->previous_awaiting->next_awaiting = op->next_awaiting;
    else
        op->home->awaiting = op->next_awaiting;
}

/* An accept without an acceptor has waited on a socket of the core's own: it becomes a bare
 * descriptor again, or goes with the accept if that failed. */
void pa_end_connection_of(pa_op *op)
{
    pa_socket *connection = op->connection;
    op->connection = NULL;
    if (!connection || op->acceptor)
        return;
    pa_set_interest(connection, 0);
    int fd = atomic_exchange(&connection->fd, -1);
    pa_mark(connection, PA_CLOSED, 0);
    if (op->status == STATUS_SUCCESS)
        op->accepted = fd;
    else
        close(fd);
    pa_socket_release(connection);
}

static pa_outcome await_first_data(pa_socket *connection, pa_op *op)
{
    op->stage = PA_FIRST_DATA;
    pa_outcome outcome = pa_attempt_recv(connection, op);
    if (outcome == PA_FINISHED) {
        if (op->status == STATUS_CONNECTION_RESET)
            pa_mark(connection, PA_RESET, 0);
        return outcome;
    }
    pa_await(op, connection);
    int error = pa_park(connection, op, true);
    if (!error)
        return PA_MOVED;
    pa_remove(&connection->reads, op);
    pthread_mutex_lock(&connection->engine->lock);
    pa_await_no_longer(op);
    pthread_mutex_unlock(&connection->engine->lock);
    return pa_fail(op, -error);
}

/* Stand for the connection `fd` from now on, under the acceptor's own descriptor. */
static pa_outcome become(pa_socket *acceptor, int fd, pa_op *op)
{
    pa_outcome outcome = PA_FINISHED;
    pthread_mutex_lock(&acceptor->lock);
    if (pa_has(acceptor, PA_CLOSED)) {
        op->status = STATUS_CANCELLED;   /* Its close asks for the end of this accept as well. */
    } else if (pa_set_interest(acceptor, 0), dup3(fd, acceptor->fd, O_CLOEXEC) < 0) {
        pa_fail(op, errno);
    } else {
        pa_begin_connection(acceptor, true);
        pa_finish(op, STATUS_SUCCESS, 0);
        if (op->iov_count)
            outcome = await_first_data(acceptor, op);
    }
    pthread_mutex_unlock(&acceptor->lock);
    close(fd);
    return outcome;
}

static pa_outcome make_connection(pa_socket *listener, int fd, pa_op *op)
{
    pa_outcome outcome;
    if (!op->iov_count) {
        op->accepted = fd;
        return pa_finish(op, STATUS_SUCCESS, 0);
    }
    pa_socket *connection = pa_socket_new(listener->engine, fd, PA_CONNECTED, NULL);
    if (!connection) {
        close(fd);
        return pa_fail(op, ENOMEM);
    }
    pthread_mutex_lock(&connection->lock);
    outcome = await_first_data(connection, op);
    if (outcome == PA_FINISHED) {
        pa_socket_hold(connection);
        op->connection = connection;
        pa_end_connection_of(op);
    }
    pthread_mutex_unlock(&connection->lock);
    if (outcome == PA_FINISHED)
        pa_socket_release(connection);
    return outcome;
}

/* The client is gone already: nothing that the accept should tell. */
static bool client_is_gone(int number)
{
    return number == ECONNABORTED || number == EPROTO || number == EPERM || number == EINTR;
}

pa_outcome pa_attempt_accept(pa_socket *socket, pa_op *op)
{
    int fd;
    do {
        op->address_length = sizeof op->address;
        fd = accept4(socket->fd, (struct sockaddr *)&op->address, &op->address_length,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && client_is_gone(errno));
    if (fd < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? PA_BLOCKED : pa_fail(op, errno);
    return op->acceptor ? become(op->acceptor, fd, op) : make_connection(socket, fd, op);
}

/* -- connects -- */

static int begin_connect(pa_socket *socket, pa_op *op)
{
    const struct sockaddr *address = (const struct sockaddr *)&op->address;
    for (int tries = 0;; tries++) {
        if (connect(socket->fd, address, op->address_length) == 0)
            return 0;
        /* Linux says ECONNABORTED once, after an attempt that was refused. */
        if (errno != EINTR && (errno != ECONNABORTED || tries))
            return errno;
    }
}

pa_outcome pa_attempt_connect(pa_socket *socket, pa_op *op)
{
    if (op->stage == PA_SENDING)
        return pa_attempt_send(socket, op);
    if (op->stage == PA_FRESH) {
        op->stage = PA_BEGUN;
        int number = begin_connect(socket, op);
        if (number == EINPROGRESS || number == EAGAIN) {
            pa_mark(socket, PA_CONNECTING, 0);
            return PA_BLOCKED;
        }
        note_connected(socket, number);
    } else if (pa_has(socket, PA_CONNECTING) && !pa_refresh_connecting(socket)) {
        return PA_BLOCKED;
    }
    if (!pa_has(socket, PA_CONNECTED))
        return pa_fail(op, socket->connect_errno);
    if (!pa_total(op))
        return pa_finish(op, STATUS_SUCCESS, 0);
    op->stage = PA_SENDING;
    return pa_attempt_send(socket, op);
}

/* -- disconnects -- */

pa_outcome pa_attempt_disconnect(pa_socket *socket, pa_op *op)
{
    /* ENOTCONN: the peer has closed as well, nothing is left to end. */
    if (shutdown(socket->fd, SHUT_WR) < 0 && errno != ENOTCONN)
        return pa_fail(op, errno);
    if (!(op->flags & PA_REUSE))
        return pa_finish(op, STATUS_SUCCESS, 0);
    op->stage = PA_DRAINING;
    int error = pa_park(socket, op, true);
    if (!error)
        return PA_MOVED;
    pa_remove(&socket->reads, op);
    return pa_fail(op, -error);
}

static int option_of(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? 0 : value;
}

/* Stand for a fresh socket from now on, attached to the same port; 0 or the errno. */
static int renew(pa_socket *owner)
{
    int old = owner->fd;
    int fresh = socket(option_of(old, SO_DOMAIN),
                       option_of(old, SO_TYPE) | SOCK_NONBLOCK | SOCK_CLOEXEC,
                       option_of(old, SO_PROTOCOL));
    if (fresh < 0)
        return errno;   /* The old connection stays in place. */
    pa_set_interest(owner, 0);
    int error = dup3(fresh, old, O_CLOEXEC) < 0 ? errno : 0;
    close(fresh);
    if (error)
        return error;
    pa_begin_connection(owner, false);
    pa_mark(owner, PA_RENEWED, 0);
    return 0;
}

/* Read and drop what the peer still sends, until its FIN; then put a fresh socket in place. */
pa_outcome pa_attempt_drain(pa_socket *socket, pa_op *op)
{
    char scrap[16384];
    ssize_t count = 1;
    for (int round = 0; round < 64 && count > 0; round++)
        do
            count = recv(socket->fd, scrap, sizeof scrap, 0);
        while (count < 0 && errno == EINTR);
    if (count > 0 || (count < 0 && errno == EAGAIN))
        return PA_BLOCKED;
    int error = renew(socket);
    return error ? pa_fail(op, error) : pa_finish(op, STATUS_SUCCESS, 0);
}
