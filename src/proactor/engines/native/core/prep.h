/* How each operation is written into a request: one function an operation, no state.
 *
 * A request comes from ring_request, cleared. Every pointer that is passed here is kept by the
 * kernel until the completion without URING_CQE_F_MORE arrives; it stays the caller's, who must
 * keep what it points to alive and in place until then, whatever was cancelled or closed meanwhile.
 * `user_data` comes back in each completion and must be unique among the requests in flight, or a
 * cancel would not know which one is meant.
 */
#ifndef PROACTOR_PREP_H
#define PROACTOR_PREP_H

#include <sys/socket.h>

#include "kernel_abi.h"

static inline uint64_t prep_address(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

static inline void prep(struct uring_sqe *sqe, enum uring_op op, int fd, uint64_t user_data) {
    sqe->opcode = (uint8_t)op;
    sqe->fd = fd;
    sqe->user_data = user_data;
}

static inline void prep_nop(struct uring_sqe *sqe, uint64_t user_data) {
    prep(sqe, URING_OP_NOP, -1, user_data);
}

/* One connection. `peer` may be NULL; `flags` are those of accept4. */
static inline void prep_accept(struct uring_sqe *sqe, int fd, struct sockaddr *peer,
                               socklen_t *peer_bytes, int flags, uint64_t user_data) {
    prep(sqe, URING_OP_ACCEPT, fd, user_data);
    sqe->addr = prep_address(peer);
    sqe->off = prep_address(peer_bytes);
    sqe->op_flags = (uint32_t)flags;
}

/* One completion a connection, until one comes without URING_CQE_F_MORE. */
static inline void prep_accept_multishot(struct uring_sqe *sqe, int fd, int flags,
                                         uint64_t user_data) {
    prep_accept(sqe, fd, NULL, NULL, flags, user_data);
    sqe->ioprio |= URING_ACCEPT_MULTISHOT;
}

/* One receive into memory of the caller. */
static inline void prep_recv(struct uring_sqe *sqe, int fd, void *bytes, uint32_t size, int flags,
                             uint64_t user_data) {
    prep(sqe, URING_OP_RECV, fd, user_data);
    sqe->addr = prep_address(bytes);
    sqe->len = size;
    sqe->op_flags = (uint32_t)flags;
}

/* One receive into a buffer of `group`, chosen when the data is there. */
static inline void prep_recv_select(struct uring_sqe *sqe, int fd, uint16_t group,
                                    uint64_t user_data) {
    prep_recv(sqe, fd, NULL, 0, 0, user_data);
    sqe->flags |= URING_SQE_BUFFER_SELECT;
    sqe->buf_group = group;
}

/* One completion a piece of data, until one comes without URING_CQE_F_MORE. */
static inline void prep_recv_multishot(struct uring_sqe *sqe, int fd, uint16_t group,
                                       uint64_t user_data) {
    prep_recv_select(sqe, fd, group, user_data);
    sqe->ioprio |= URING_RECV_MULTISHOT;
}

/* Let a receive (or a send) wait for readiness before it tries. A receive on an empty group would
 * fail at once on an idle socket; so it waits for data first. */
static inline void prep_poll_first(struct uring_sqe *sqe) {
    sqe->ioprio |= URING_RECVSEND_POLL_FIRST;
}

/* One send. MSG_WAITALL | MSG_NOSIGNAL is always right for a stream: the kernel goes on after a
 * short send, but a cancel or an error still ends it with a partial count. */
static inline void prep_send(struct uring_sqe *sqe, int fd, const void *bytes, uint32_t size,
                             int flags, uint64_t user_data) {
    prep(sqe, URING_OP_SEND, fd, user_data);
    sqe->addr = prep_address(bytes);
    sqe->len = size;
    sqe->op_flags = (uint32_t)flags;
}

/* One gathered send. The vectors of `message` must stay, not only the message. */
static inline void prep_sendmsg(struct uring_sqe *sqe, int fd, const struct msghdr *message,
                                int flags, uint64_t user_data) {
    prep(sqe, URING_OP_SENDMSG, fd, user_data);
    sqe->addr = prep_address(message);
    sqe->len = 1;
    sqe->op_flags = (uint32_t)flags;
}

static inline void prep_recvmsg(struct uring_sqe *sqe, int fd, struct msghdr *message, int flags,
                                uint64_t user_data) {
    prep(sqe, URING_OP_RECVMSG, fd, user_data);
    sqe->addr = prep_address(message);
    sqe->len = 1;
    sqe->op_flags = (uint32_t)flags;
}

static inline void prep_connect(struct uring_sqe *sqe, int fd, const struct sockaddr *peer,
                                socklen_t peer_bytes, uint64_t user_data) {
    prep(sqe, URING_OP_CONNECT, fd, user_data);
    sqe->addr = prep_address(peer);
    sqe->off = peer_bytes;
}

static inline void prep_shutdown(struct uring_sqe *sqe, int fd, int how, uint64_t user_data) {
    prep(sqe, URING_OP_SHUTDOWN, fd, user_data);
    sqe->len = (uint32_t)how;
}

/* One poll; `events` are those of poll(2), and come back in `res`. */
static inline void prep_poll_add(struct uring_sqe *sqe, int fd, uint32_t events,
                                 uint64_t user_data) {
    prep(sqe, URING_OP_POLL_ADD, fd, user_data);
    sqe->op_flags = events; /* Both architectures are little-endian: no half-words to swap. */
}

/* One read, as of an eventfd: eight bytes that are the wake-up of another thread. */
static inline void prep_read(struct uring_sqe *sqe, int fd, void *bytes, uint32_t size,
                             uint64_t user_data) {
    prep(sqe, URING_OP_READ, fd, user_data);
    sqe->addr = prep_address(bytes);
    sqe->len = size;
    sqe->off = UINT64_MAX; /* From where the file stands. */
}

/* A completion with -ETIME after `span`, which must stay until the kernel has taken the request. */
static inline void prep_timeout(struct uring_sqe *sqe, const struct uring_timespec *span,
                                uint64_t user_data) {
    prep(sqe, URING_OP_TIMEOUT, -1, user_data);
    sqe->addr = prep_address(span);
    sqe->len = 1;
}

/* End the request with this user_data. Its own completion says 0, -ENOENT or -EALREADY; what
 * became of the other is in the completion of that one only. */
static inline void prep_cancel(struct uring_sqe *sqe, uint64_t target, uint64_t user_data) {
    prep(sqe, URING_OP_ASYNC_CANCEL, -1, user_data);
    sqe->addr = target;
}

/* End every request on `fd`; its own completion says how many. */
static inline void prep_cancel_fd(struct uring_sqe *sqe, int fd, uint64_t user_data) {
    prep(sqe, URING_OP_ASYNC_CANCEL, fd, user_data);
    sqe->op_flags = URING_ASYNC_CANCEL_FD | URING_ASYNC_CANCEL_ALL;
}

#endif
