/* What a call is refused with at once, before anything is started.
 *
 * The kernel would refuse most of these too, but later, with other numbers, or not at all; Winsock's
 * answers are given here, from the socket's own flags.
 */
#include "internal.h"

static uint32_t stream_is_usable(pa_socket *socket)
{
    if (pa_has(socket, PA_RESET))
        return STATUS_CONNECTION_RESET;
    if (pa_has(socket, PA_CONNECTED))
        return STATUS_SUCCESS;
    if (pa_has(socket, PA_CONNECTING) && pa_refresh_connecting(socket)
        && pa_has(socket, PA_CONNECTED))
        return STATUS_SUCCESS;
    return STATUS_INVALID_CONNECTION;
}

static uint32_t check_recv_stream(pa_socket *socket)
{
    uint32_t status = stream_is_usable(socket);
    if (status)
        return status;
    return pa_has(socket, PA_RECEIVE_SHUT) ? STATUS_PIPE_DISCONNECTED : STATUS_SUCCESS;
}

static uint32_t check_recv(pa_socket *socket)
{
    if (!pa_has(socket, PA_DATAGRAM))
        return check_recv_stream(socket);
    if (pa_has(socket, PA_RECEIVE_SHUT))
        return STATUS_PIPE_DISCONNECTED;
    return pa_is_bound(socket) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static uint32_t check_send(pa_socket *socket)
{
    if (pa_has(socket, PA_DATAGRAM))
        return pa_has(socket, PA_CONNECTED) ? STATUS_SUCCESS : STATUS_INVALID_CONNECTION;
    uint32_t status = stream_is_usable(socket);
    if (status)
        return status;
    return pa_has(socket, PA_SEND_SHUT) ? STATUS_PIPE_DISCONNECTED : STATUS_SUCCESS;
}

static uint32_t check_send_to(pa_socket *socket)
{
    if (!pa_has(socket, PA_DATAGRAM))
        return check_send(socket);
    return pa_has(socket, PA_SEND_SHUT) ? STATUS_PIPE_DISCONNECTED : STATUS_SUCCESS;
}

/* An acceptor is an open, fresh stream socket that no other accept has reserved. Its own lock is
 * not taken: whoever binds or connects it meanwhile meets the reservation. */
static uint32_t reserve_acceptor(pa_socket *acceptor, pa_op *op)
{
    if (pa_has(acceptor, PA_CLOSED))
        return STATUS_INVALID_HANDLE;
    if (pa_has(acceptor, PA_CONNECTED | PA_CONNECTING | PA_DATAGRAM) || pa_is_bound(acceptor))
        return STATUS_INVALID_PARAMETER;
    pthread_mutex_lock(&acceptor->engine->lock);
    bool free = !acceptor->reserved_by;
    if (free)
        acceptor->reserved_by = op;
    pthread_mutex_unlock(&acceptor->engine->lock);
    return free ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static uint32_t check_accept(pa_socket *socket, pa_op *op)
{
    if (!pa_is_listening(socket))
        return STATUS_INVALID_PARAMETER;
    return op->acceptor ? reserve_acceptor(op->acceptor, op) : STATUS_SUCCESS;
}

static bool is_reserved(pa_socket *socket)
{
    pthread_mutex_lock(&socket->engine->lock);
    bool reserved = socket->reserved_by != NULL;
    pthread_mutex_unlock(&socket->engine->lock);
    return reserved;
}

static uint32_t check_connect(pa_socket *socket, pa_op *op)
{
    if (op->synchronous && pa_has(socket, PA_DATAGRAM))
        return STATUS_SUCCESS;   /* It sets the peer, as often as you like. */
    if (pa_has(socket, PA_CONNECTING) && !pa_refresh_connecting(socket))
        /* One that is overlapped is not this call's to wait for. */
        return op->synchronous && !socket->writes.head ? WSAEALREADY_STATUS
                                                       : STATUS_INVALID_PARAMETER;
    if (pa_has(socket, PA_CONNECTED))
        return STATUS_CONNECTION_ACTIVE;
    if (is_reserved(socket) || pa_is_listening(socket))
        return STATUS_INVALID_PARAMETER;
    if (!op->synchronous && !pa_has(socket, PA_RENEWED) && !pa_is_bound(socket))
        return STATUS_INVALID_PARAMETER;
    return STATUS_SUCCESS;
}

static uint32_t check_disconnect(pa_socket *socket)
{
    bool usable = !pa_has(socket, PA_DATAGRAM) && pa_has(socket, PA_CONNECTED);
    return usable ? STATUS_SUCCESS : STATUS_INVALID_CONNECTION;
}

uint32_t pa_refuse(pa_socket *socket, pa_op *op)
{
    if (pa_has(socket, PA_CLOSED))
        return STATUS_INVALID_HANDLE;
    switch (op->kind) {
    case PA_RECV: case PA_RECV_FROM: return check_recv(socket);
    case PA_SEND: return check_send(socket);
    case PA_SEND_TO: return check_send_to(socket);
    case PA_ACCEPT: return check_accept(socket, op);
    case PA_CONNECT: return check_connect(socket, op);
    case PA_DISCONNECT: return check_disconnect(socket);
    case PA_TRANSMIT_FILE:
        return pa_has(socket, PA_DATAGRAM) ? STATUS_INVALID_CONNECTION : check_send(socket);
    default: return STATUS_INVALID_PARAMETER;
    }
}
