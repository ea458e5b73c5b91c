/* One attempt at each kind of operation that touches one descriptor: do what can be done without
 * blocking.
 *
 * Called with the socket's lock held, for the operation at the head of its queue only: that keeps
 * receives in order and sends from interleaving. An attempt never waits and never completes an
 * operation; it sets the status and says PA_FINISHED.
 */
#include "internal.h"

#include <sys/sendfile.h>
#include <sys/stat.h>

pa_outcome pa_finish(pa_op *op, uint32_t status, uint64_t transferred)
{
    op->status = status;
    op->transferred = transferred;
    return PA_FINISHED;
}

pa_outcome pa_fail(pa_op *op, int number)
{
    op->status = pa_status_of(number);
    op->transferred = 0;   /* All or an error: what a failed send has moved is nobody's to count. */
    op->result_flags |= PA_ATTEMPTED;
    return PA_FINISHED;
}

static bool would_block(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK;
}

static int limited(int count)
{
    return count < PA_IOV_MAX ? count : PA_IOV_MAX;
}

uint64_t pa_total(const pa_op *op)
{
    uint64_t total = 0;
    for (int i = 0; i < op->iov_count; i++)
        total += op->iov[i].iov_len;
    return total;
}

/* -- receiving -- */

static ssize_t receive(int fd, pa_op *op)
{
    char one;
    if (op->iov_count == 1 && op->iov[0].iov_len)
        return recv(fd, op->iov[0].iov_base, op->iov[0].iov_len, op->flags);
    if (!pa_total(op)) {
        ssize_t count = recv(fd, &one, 1, MSG_PEEK);   /* Only learn that there is something. */
        return count > 0 ? 0 : count;
    }
    struct msghdr message = {.msg_iov = op->iov, .msg_iovlen = (size_t)limited(op->iov_count)};
    return recvmsg(fd, &message, op->flags);
}

pa_outcome pa_attempt_recv(pa_socket *socket, pa_op *op)
{
    ssize_t count;
    do
        count = receive(socket->fd, op);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return would_block(errno) ? PA_BLOCKED : pa_fail(op, errno);
    PA_COUNT(socket->engine, bytes_received, (uint64_t)count);
    return pa_finish(op, STATUS_SUCCESS, (uint64_t)count);
}

/* The error queue holds the ICMP answer too: empty it, or the descriptor stays ready for ever. */
static void drain_error_queue(pa_socket *socket)
{
    char byte, control[512];
    struct iovec iov = {&byte, 1};
    for (;;) {
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                                 .msg_controllen = sizeof control};
        if (recvmsg(socket->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
    }
}

static pa_outcome datagram_failed(pa_socket *socket, pa_op *op, int number)
{
    if (would_block(number)) {
        if (!socket->unreachable)
            return PA_BLOCKED;
        number = ECONNREFUSED;   /* A send has met it; Windows reports it to a receive. */
    }
    socket->unreachable = false;
    drain_error_queue(socket);
    if (number == ECONNREFUSED)
        return pa_finish(op, STATUS_PORT_UNREACHABLE, 0);
    return pa_fail(op, number);
}

pa_outcome pa_attempt_recv_from(pa_socket *socket, pa_op *op)
{
    struct msghdr message;
    ssize_t count;
    do {
        message = (struct msghdr){.msg_name = &op->address, .msg_namelen = sizeof op->address,
                                  .msg_iov = op->iov, .msg_iovlen = (size_t)limited(op->iov_count)};
        count = recvmsg(socket->fd, &message, op->flags);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        return datagram_failed(socket, op, errno);
    op->address_length = message.msg_namelen;
    PA_COUNT(socket->engine, bytes_received, (uint64_t)count);
    if (!(message.msg_flags & MSG_TRUNC))
        return pa_finish(op, STATUS_SUCCESS, (uint64_t)count);
    op->result_flags |= PA_TRUNCATED;
    return pa_finish(op, STATUS_BUFFER_OVERFLOW, (uint64_t)count);
}

/* -- sending -- */

static ssize_t send_rest(int fd, pa_op *op)
{
    int flags = op->kind == PA_SEND || op->kind == PA_SEND_TO ? op->flags : 0;
    struct iovec part[PA_IOV_MAX];
    int count = limited(op->rest_count);
    if (count == 1)
        return send(fd, (char *)op->rest->iov_base + op->rest_offset,
                    op->rest->iov_len - op->rest_offset, flags | MSG_NOSIGNAL);
    for (int i = 0; i < count; i++)
        part[i] = op->rest[i];
    if (count) {
        part[0].iov_base = (char *)part[0].iov_base + op->rest_offset;
        part[0].iov_len -= op->rest_offset;
    }
    struct msghdr message = {.msg_iov = part, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, flags | MSG_NOSIGNAL);
}

static void advance(pa_op *op, size_t count)
{
    op->transferred += count;
    count += op->rest_offset;
    while (op->rest_count && count >= op->rest->iov_len) {
        count -= op->rest->iov_len;
        op->rest++;
        op->rest_count--;
    }
    op->rest_offset = count;
}

static void begin_rest(pa_op *op, int first, int count)
{
    op->rest = op->iov + first;
    op->rest_count = count;
    op->rest_offset = 0;
}

/* Say PA_BLOCKED or PA_FINISHED for a send that has moved `moved` bytes in this turn. */
static pa_outcome send_failed(pa_socket *socket, pa_op *op, int number)
{
    if (!would_block(number))
        return pa_fail(op, number);
    if (op->transferred)
        PA_COUNT(socket->engine, short_sends, 1);
    return PA_BLOCKED;
}

pa_outcome pa_attempt_send(pa_socket *socket, pa_op *op)
{
    if (!op->rest)
        begin_rest(op, 0, op->iov_count);
    for (size_t moved = 0; moved < PA_TURN_BYTES;) {
        ssize_t count = send_rest(socket->fd, op);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return send_failed(socket, op, errno);
        PA_COUNT(socket->engine, bytes_sent, (uint64_t)count);
        moved += (size_t)count;
        advance(op, (size_t)count);
        if (!op->rest_count) {
            op->status = STATUS_SUCCESS;
            return PA_FINISHED;
        }
    }
    return PA_BLOCKED;
}

pa_outcome pa_attempt_send_to(pa_socket *socket, pa_op *op)
{
    struct msghdr message = {.msg_name = op->address_length ? &op->address : NULL,
                             .msg_namelen = op->address_length,
                             .msg_iov = op->iov, .msg_iovlen = (size_t)op->iov_count};
    for (int tries = 0; tries < 2;) {
        ssize_t count = sendmsg(socket->fd, &message, op->flags | MSG_NOSIGNAL);
        if (count >= 0) {
            PA_COUNT(socket->engine, bytes_sent, (uint64_t)count);
            return pa_finish(op, STATUS_SUCCESS, (uint64_t)count);
        }
        if (errno == EINTR)
            continue;
        if (errno != ECONNREFUSED)
            return would_block(errno) ? PA_BLOCKED : pa_fail(op, errno);
        /* It belongs to an earlier datagram; Windows reports it to a receive. Try once more. */
        socket->unreachable = true;
        tries++;
    }
    return pa_finish(op, STATUS_SUCCESS, pa_total(op));
}

/* -- files: buffers, the file, buffers -- */

/* Find out how much of the file there is to send: op->count, from then on what is left. */
int pa_prepare_transmission(pa_op *op)
{
    struct stat about;
    begin_rest(op, 0, op->head_count);
    advance(op, 0);
    if (op->file < 0) {
        op->count = 0;
        return 0;
    }
    if (fstat(op->file, &about) < 0)
        return errno;
    uint64_t size = (uint64_t)about.st_size;
    uint64_t left = size > op->offset ? size - op->offset : 0;
    op->count = op->count && op->count < left ? op->count : left;
    return 0;
}

static ssize_t send_file_part(pa_socket *socket, pa_op *op)
{
    off_t offset = (off_t)op->offset;
    ssize_t count = sendfile(socket->fd, op->file, &offset, op->count);
    if (count == 0)
        op->count = 0;   /* The file was cut short meanwhile: nothing more. */
    if (count > 0) {
        op->offset += (uint64_t)count;
        op->count -= (uint64_t)count;
        op->transferred += (uint64_t)count;
    }
    return count;
}

/* Go on to the next part if this one is empty; false when there is none. */
static bool something_to_transmit(pa_op *op)
{
    if (op->stage == PA_FRESH && !op->rest_count)
        op->stage = PA_FILE;
    if (op->stage == PA_FILE && !op->count) {
        op->stage = PA_TAILS;
        begin_rest(op, op->head_count, op->iov_count - op->head_count);
        advance(op, 0);   /* An empty send, behind the last byte, could only meet a reset. */
    }
    return op->stage != PA_TAILS || op->rest_count;
}

pa_outcome pa_attempt_transmit_file(pa_socket *socket, pa_op *op)
{
    size_t moved = 0;
    while (something_to_transmit(op)) {
        if (moved >= PA_TURN_BYTES)
            return PA_BLOCKED;
        bool in_file = op->stage == PA_FILE;
        ssize_t count = in_file ? send_file_part(socket, op) : send_rest(socket->fd, op);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return send_failed(socket, op, errno);
        if (!in_file)
            advance(op, (size_t)count);
        PA_COUNT(socket->engine, bytes_sent, (uint64_t)count);
        moved += (size_t)count;
    }
    op->status = STATUS_SUCCESS;
    return PA_FINISHED;
}
