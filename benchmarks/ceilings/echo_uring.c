/* The io_uring ceiling: what an echo costs with completion and no interpreter.
 *
 *   echo_uring [BYTES]    prints its port; ends when its standard input does. BYTES is the size of
 *                         a receive buffer, 4096 if not given.
 *
 * One thread owns one ring. A multishot accept makes connections, a multishot receive for each puts
 * what comes into buffers that the kernel takes from a ring of them, and at most one send is in
 * flight a connection, straight out of the buffer that was received into.
 *
 * Ownership of a buffer: the kernel's while it is in the buffer ring; the connection's from the
 * completion that names it until its send is done; then `give_back` makes it the kernel's again.
 * Ownership of a descriptor: a connection's, until neither receive nor send is in flight. So no
 * completion can name a descriptor that means another connection by now. `connections` may move
 * when it grows: nobody keeps a pointer into it over an accept.
 *
 * A client that does not read can hold all the buffers, and the others then wait for it: this is a
 * ceiling, and no server for strangers.
 *
 * Exit code 3: the kernel refuses io_uring, or does not know what this needs (6.1 or newer has it).
 */
#define _GNU_SOURCE
#include "listening.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { SUBMISSIONS = 4096, COMPLETIONS = 16384, BUFFERS = 512, ENOUGH = BUFFERS / 8, NONE = -1 };
enum kind { ACCEPT, RECEIVE, SEND, STDIN };

struct connection {
    int first, last; /* The queue of received buffers, linked by `next_of`; NONE if empty. */
    uint32_t sent;   /* How much of the first has gone. */
    char receiving, sending, ended, starved;
};

static struct connection *connections; /* By descriptor. */
static size_t connections_size;
static size_t starving; /* How many connections wait for a buffer. */

static char *memory; /* BUFFERS times `buffer_size` bytes. */
static uint32_t buffer_size = 4096, length_of[BUFFERS];
static int next_of[BUFFERS];
static struct io_uring_buf_ring *pool;
static uint16_t pool_tail;
static int pool_count; /* How many buffers are the kernel's. */

static int ring, listener;
static struct io_uring_sqe *entries;
static struct io_uring_cqe *results;
static unsigned *entries_head, *entries_tail, *results_head, *results_tail;
static unsigned entries_mask, results_mask, prepared, submitted;

static int refused(const char *what)
{
    fprintf(stderr, "echo_uring: the kernel refuses %s: %s\n", what, strerror(errno));
    exit(3);
}

/* -- the ring -- */

static void enter(unsigned wait_for)
{
    __atomic_store_n(entries_tail, prepared, __ATOMIC_RELEASE);
    long taken = syscall(SYS_io_uring_enter, ring, prepared - submitted, wait_for,
                         IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING, NULL, 0);
    if (taken >= 0)
        submitted += (unsigned)taken;
    else if (errno != EINTR && errno != EBUSY && errno != EAGAIN)
        fail("io_uring_enter");
}

/* A cleared submission entry; the ring's, and filled in before the next call of this. */
static struct io_uring_sqe *entry(enum kind kind, int fd)
{
    while (prepared - __atomic_load_n(entries_head, __ATOMIC_ACQUIRE) == SUBMISSIONS)
        enter(0);
    struct io_uring_sqe *sqe = &entries[prepared++ & entries_mask];
    memset(sqe, 0, sizeof *sqe);
    sqe->fd = fd;
    sqe->user_data = (uint64_t)kind << 32 | (uint32_t)fd;
    return sqe;
}

static void *map(size_t size, off_t offset)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
    if (at == MAP_FAILED)
        fail("mmap the ring");
    return at;
}

static void open_ring(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int fd = ring = (int)syscall(SYS_io_uring_setup, SUBMISSIONS, &params);
    if (ring < 0)
        refused("io_uring_setup");
    size_t entries_size = params.sq_off.array + SUBMISSIONS * sizeof(unsigned);
    size_t results_size = params.cq_off.cqes + params.cq_entries * sizeof *results;
    size_t both_size = entries_size > results_size ? entries_size : results_size;
    char *rings = map(both_size, IORING_OFF_SQ_RING);
    entries = map(SUBMISSIONS * sizeof *entries, IORING_OFF_SQES);
    entries_head = (unsigned *)(rings + params.sq_off.head);
    entries_tail = (unsigned *)(rings + params.sq_off.tail);
    entries_mask = *(unsigned *)(rings + params.sq_off.ring_mask);
    results_head = (unsigned *)(rings + params.cq_off.head);
    results_tail = (unsigned *)(rings + params.cq_off.tail);
    results_mask = *(unsigned *)(rings + params.cq_off.ring_mask);
    results = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
    for (unsigned i = 0; i < SUBMISSIONS; i++)
        ((unsigned *)(rings + params.sq_off.array))[i] = i;
    struct io_uring_rsrc_update own = {.offset = UINT32_MAX, .data = (uint64_t)fd};
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_RING_FDS, &own, 1) != 1)
        refused("a registered ring");
    ring = (int)own.offset; /* From here on a number that only io_uring_enter knows. */
    pool = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct io_uring_buf_reg group = {.ring_addr = (uintptr_t)pool, .ring_entries = BUFFERS};
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_PBUF_RING, &group, 1) < 0)
        refused("a ring of buffers");
}

static void give_back(int buffer)
{
    struct io_uring_buf *slot = &pool->bufs[pool_tail++ & (BUFFERS - 1)];
    slot->addr = (uintptr_t)(memory + (size_t)buffer * buffer_size);
    slot->len = buffer_size;
    slot->bid = (uint16_t)buffer;
    pool_count++;
    __atomic_store_n(&pool->tail, pool_tail, __ATOMIC_RELEASE);
}

/* -- one connection -- */

static void receive(int fd)
{
    struct io_uring_sqe *sqe = entry(RECEIVE, fd);
    sqe->opcode = IORING_OP_RECV;
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT; /* Group 0, the only one. */
    connections[fd].receiving = 1;
}

static void send_first(int fd)
{
    struct connection *self = &connections[fd];
    struct io_uring_sqe *sqe = entry(SEND, fd);
    sqe->opcode = IORING_OP_SEND;
    sqe->addr = (uintptr_t)(memory + (size_t)self->first * buffer_size + self->sent);
    sqe->len = length_of[self->first] - self->sent;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    self->sending = 1;
}

static void drop_first(struct connection *self)
{
    give_back(self->first);
    self->first = next_of[self->first];
    self->sent = 0;
}

static void close_if_idle(int fd)
{
    struct connection *self = &connections[fd];
    if (self->ended && !self->sending && !self->receiving)
        close(fd); /* Its queue is empty: while it is not, a send is in flight. */
}

static void accepted(int fd)
{
    if ((size_t)fd >= connections_size) {
        size_t size = (size_t)fd * 2 + 64;
        connections = realloc(connections, size * sizeof *connections);
        if (connections == NULL)
            fail("realloc");
        memset(connections + connections_size, 0, (size - connections_size) * sizeof *connections);
        connections_size = size;
    }
    connections[fd] = (struct connection){.first = NONE, .last = NONE};
    receive(fd);
}

static void received(int fd, int count, unsigned flags)
{
    struct connection *self = &connections[fd];
    self->receiving = (flags & IORING_CQE_F_MORE) != 0;
    if (count > 0) {
        int buffer = (int)(flags >> IORING_CQE_BUFFER_SHIFT);
        pool_count--;
        length_of[buffer] = (uint32_t)count;
        next_of[buffer] = NONE;
        if (self->first == NONE)
            self->first = buffer;
        else
            next_of[self->last] = buffer;
        self->last = buffer;
        if (!self->sending)
            send_first(fd);
    } else if (count == -ENOBUFS) {
        /* A receive that is started while there is no buffer fails at once: it waits for some. */
        self->starved = 1;
        starving++;
        return;
    } else if (count != -EINTR && count != -EAGAIN) {
        self->ended = 1;
    }
    if (!self->receiving && !self->ended)
        receive(fd); /* The completion queue was full, say. Nothing is lost by it. */
    close_if_idle(fd);
}

static void sent(int fd, int count)
{
    struct connection *self = &connections[fd];
    self->sending = 0;
    if (count < 0) {
        while (self->first != NONE)
            drop_first(self);
        self->ended = 1;
        starving -= (size_t)self->starved;
        self->starved = 0;
        shutdown(fd, SHUT_RDWR); /* Which ends the receive. */
    } else {
        self->sent += (uint32_t)count;
        if (self->sent == length_of[self->first])
            drop_first(self);
        if (self->first != NONE)
            send_first(fd);
    }
    close_if_idle(fd);
}

static void feed_the_starved(void)
{
    for (size_t fd = 0; fd < connections_size; fd++)
        if (connections[fd].starved) {
            connections[fd].starved = 0;
            receive((int)fd);
        }
    starving = 0;
}

/* -- the loop -- */

static void accept_connections(void)
{
    struct io_uring_sqe *sqe = entry(ACCEPT, listener);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = SOCK_CLOEXEC;
}

static void indicate(const struct io_uring_cqe *cqe)
{
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum kind)(cqe->user_data >> 32)) {
    case ACCEPT:
        if (cqe->res >= 0)
            accepted(cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            accept_connections();
        break;
    case RECEIVE:
        received(fd, cqe->res, cqe->flags);
        break;
    case SEND:
        sent(fd, cqe->res);
        break;
    case STDIN:
        exit(0); /* Nothing is ever written to it: it has ended. The ring goes with the process. */
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        buffer_size = (uint32_t)strtoul(argv[1], NULL, 10);
    memory = calloc(BUFFERS, buffer_size);
    if (memory == NULL || buffer_size == 0)
        fail("echo_uring: BYTES");
    raise_descriptor_limit();
    open_ring();
    for (int i = 0; i < BUFFERS; i++)
        give_back(i);
    listener = listen_on_loopback();
    accept_connections();
    struct io_uring_sqe *sqe = entry(STDIN, STDIN_FILENO);
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->poll32_events = POLLIN;
    for (;;) {
        enter(1);
        unsigned head = *results_head;
        unsigned tail = __atomic_load_n(results_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++)
            indicate(&results[head & results_mask]);
        __atomic_store_n(results_head, head, __ATOMIC_RELEASE);
        if (starving != 0 && pool_count >= ENOUGH)
            feed_the_starved();
    }
}
