/* The core over a kernel that is interrupted, short, busy and out of memory, by a seeded schedule.
 *
 * The calls of the core come by here (ld --wrap). Faults are dealt only on descriptors that a test
 * has marked, so that the test's own ends are not troubled; the schedule is the same for a seed as
 * far as threads let it.
 */
#include "harness.h"

#include <sys/mman.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>

/* -- the schedule -- */

enum { NONE, INTERRUPTED, BUSY, SHORT, HARD };

static atomic_bool marked[4096];
static atomic_uint dealt[HARD + 1];
static atomic_uint dice;
static int one_in;        /* a fault at every one_in-th call or so; 0: none */
static int hard_error;    /* what HARD is: an errno, 0: never */

static uint32_t roll(void)
{
    uint32_t x = atomic_fetch_add(&dice, 0x9E3779B9u) + 0x9E3779B9u;
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
}

static int deal(int fd)
{
    if (!one_in || fd < 0 || fd >= 4096 || !atomic_load(&marked[fd]) || roll() % (uint32_t)one_in)
        return NONE;
    int fault = 1 + (int)(roll() % (hard_error ? HARD : SHORT));
    atomic_fetch_add(&dealt[fault], 1);
    return fault;
}

/* Fail with the errno of `fault`, or say that the call is to be made. */
static bool fails(int fault)
{
    static const int numbers[] = {0, EINTR, EAGAIN, 0, 0};
    int number = fault == HARD ? hard_error : numbers[fault];
    if (number)
        errno = number;
    return number != 0;
}

static size_t shorter(int fault, size_t length)
{
    return fault == SHORT && length > 1 ? 1 + roll() % (length < 4096 ? length : 4096) : length;
}

static void begin(uint32_t seed, int every, int hard)
{
    atomic_store(&dice, seed);
    one_in = every;
    hard_error = hard;
    for (int i = 0; i <= HARD; i++)
        atomic_store(&dealt[i], 0);
}

static void mark(int fd, bool on)
{
    MUST(fd >= 0 && fd < 4096);
    atomic_store(&marked[fd], on);
}

/* -- the calls -- */

ssize_t __real_recv(int fd, void *into, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *into, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *into, size_t length, int flags)
{
    int fault = deal(fd);
    return fails(fault) ? -1 : __real_recv(fd, into, shorter(fault, length), flags);
}

ssize_t __real_send(int fd, const void *from, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t length, int flags)
{
    int fault = deal(fd);
    return fails(fault) ? -1 : __real_send(fd, from, shorter(fault, length), flags);
}

/* A short vector: a part of its first buffer. */
static struct msghdr shortened(const struct msghdr *message, struct iovec *part, int fault)
{
    struct msghdr copy = *message;
    if (fault == SHORT && copy.msg_iovlen && copy.msg_iov->iov_len) {
        *part = *copy.msg_iov;
        part->iov_len = shorter(fault, part->iov_len);
        copy.msg_iov = part;
        copy.msg_iovlen = 1;
    }
    return copy;
}

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct iovec part;
    int fault = deal(fd);
    struct msghdr copy = shortened(message, &part, fault);
    return fails(fault) ? -1 : __real_recvmsg(fd, &copy, flags);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec part;
    int fault = deal(fd);
    struct msghdr copy = shortened(message, &part, fault);
    return fails(fault) ? -1 : __real_sendmsg(fd, &copy, flags);
}

ssize_t __real_sendfile(int to, int from, off_t *offset, size_t count);
ssize_t __wrap_sendfile(int to, int from, off_t *offset, size_t count);
ssize_t __wrap_sendfile(int to, int from, off_t *offset, size_t count)
{
    int fault = deal(to);
    return fails(fault) ? -1 : __real_sendfile(to, from, offset, shorter(fault, count));
}

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails(deal(fd)) ? -1 : __real_accept4(fd, address, length, flags);
}

/* Busy is no answer of these: an interruption is. */
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    int fault = deal(fd);
    if (fault == HARD || fault == INTERRUPTED)
        return fails(fault) ? -1 : 0;
    return __real_connect(fd, address, length);
}

int __real_epoll_ctl(int epoll, int change, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int change, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int change, int fd, struct epoll_event *event)
{
    /* Only what takes memory can be refused for want of it. */
    if (change == EPOLL_CTL_ADD && deal(fd) == HARD && fails(HARD))
        return -1;
    return __real_epoll_ctl(epoll, change, fd, event);
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int limit, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int limit, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int limit, int timeout)
{
    if (one_in && roll() % 5 == 0) {
        atomic_fetch_add(&dealt[INTERRUPTED], 1);
        errno = EINTR;
        return -1;
    }
    return __real_epoll_wait(epoll, events, one_in && limit > 2 ? 2 : limit, timeout);
}

/* -- an echo over such a kernel -- */

enum { PAIRS = 6, BYTES = 200000, PIECE = 3000 };

typedef struct {
    pa_socket *socket;
    pa_op op;
    char buffer[PIECE];
    struct iovec parts[3];
    bool sending;
} echo;

typedef struct {
    world *w;
    atomic_int ended;
} echo_server;

/* Receives are scattered over three buffers and sends gathered from them, every other time. */
static void go_on(echo_server *server, echo *e)
{
    if (!e->sending && (e->op.status || !e->op.transferred)) {
        CHECK(e->op.status == STATUS_SUCCESS);
        mark(pa_socket_fd(e->socket), false);
        pa_socket_close(e->socket, false);
        pa_socket_release(e->socket);
        if (atomic_fetch_add(&server->ended, 1) + 1 == PAIRS)
            pa_port_close(server->w->port, NULL, NULL);
        return;
    }
    size_t length = e->sending ? PIECE : e->op.transferred;
    e->sending = !e->sending;
    e->op = make_op(e->sending ? PA_SEND : PA_RECV, e->buffer, length);
    e->op.owner = e;
    e->op.iov = e->op.inline_iov;
    if (roll() % 2) {
        size_t third = length / 3;
        e->parts[0] = (struct iovec){e->buffer, third};
        e->parts[1] = (struct iovec){e->buffer + third, third};
        e->parts[2] = (struct iovec){e->buffer + 2 * third, length - 2 * third};
        e->op.iov = e->parts;
        e->op.iov_count = 3;
    }
    CHECK(pa_submit(e->socket, &e->op) != PA_REFUSED);
}

static void *serve_echoes(void *argument)
{
    echo_server *server = argument;
    pa_thread *self = pa_thread_new();
    pa_op *got[4];
    bool interrupted;
    int count;
    while ((count = pa_port_wait(server->w->port, self, got, 4, -1, &interrupted)) >= 0)
        for (int i = 0; i < count; i++)
            go_on(server, got[i]->owner);
    pa_thread_free(self);
    return NULL;
}

static char letter(int client, int at)
{
    return (char)(client * 31 + at % 251 + at / 4096);
}

static void *send_all(void *argument)
{
    int *client = argument;   /* its descriptor, then its number */
    char piece[5000];
    for (int at = 0; at < BYTES;) {
        int length = BYTES - at < (int)sizeof piece ? BYTES - at : (int)sizeof piece;
        for (int i = 0; i < length; i++)
            piece[i] = letter(client[1], at + i);
        for (int sent = 0; sent < length;) {
            ssize_t count = send(client[0], piece + sent, (size_t)(length - sent), MSG_NOSIGNAL);
            MUST(count > 0);
            sent += (int)count;
        }
        at += length;
    }
    return NULL;
}

static void *talk(void *argument)
{
    int *client = argument;
    char got[5000];
    pthread_t sender = start_thread(send_all, client);
    for (int at = 0; at < BYTES;) {
        ssize_t count = recv(client[0], got, sizeof got, 0);
        MUST(count > 0);
        for (int i = 0; i < count; i++)
            if (got[i] != letter(client[1], at + i)) {
                CHECK(!"a byte came back changed");
                break;
            }
        at += (int)count;
    }
    pthread_join(sender, NULL);
    close(client[0]);
    return NULL;
}

static void run_echo(uint32_t seed, int workers, bool threaded)
{
    static echo echoes[PAIRS];
    world w = open_world(workers, -1, threaded);
    echo_server server = {.w = &w};
    int clients[PAIRS][2];
    pthread_t talking[PAIRS], serving[4];
    memset(echoes, 0, sizeof echoes);
    begin(seed, 4, 0);
    for (int i = 0; i < PAIRS; i++) {
        int fd;
        tcp_pair(&clients[i][0], &fd);
        clients[i][1] = i;
        mark(fd, true);
        echoes[i].socket = pa_socket_new(w.engine, fd, PA_CONNECTED, NULL);
        CHECK(pa_socket_attach(echoes[i].socket, w.port, NULL) == 0);
        echoes[i].sending = true;   /* As if it had just sent: it receives now. */
        go_on(&server, &echoes[i]);
    }
    for (int i = 0; i < workers; i++)
        serving[i] = start_thread(serve_echoes, &server);
    for (int i = 0; i < PAIRS; i++)
        talking[i] = start_thread(talk, clients[i]);
    for (int i = 0; i < PAIRS; i++)
        pthread_join(talking[i], NULL);
    for (int i = 0; i < workers; i++)
        pthread_join(serving[i], NULL);
    one_in = 0;
    for (int fault = INTERRUPTED; fault < HARD; fault++)
        CHECK(atomic_load(&dealt[fault]) > 20);
    close_world(&w);
}

static void every_byte_comes_back_through_faults(void)
{
    for (uint32_t seed = 1; seed <= 3; seed++)
        run_echo(seed, 1, false);
    run_echo(4, 3, false);
    run_echo(5, 2, true);
}

/* -- a file -- */

static void *read_file_back(void *argument)
{
    int fd = *(int *)argument;
    static char got[BYTES + 6];
    read_exactly(fd, got, sizeof got);
    CHECK(memcmp(got, "abc", 3) == 0 && memcmp(got + 3 + BYTES, "xyz", 3) == 0);
    for (int i = 0; i < BYTES; i++)
        if (got[3 + i] != letter(7, i)) {
            CHECK(!"a byte of the file came changed");
            break;
        }
    return NULL;
}

static void a_file_goes_out_whole_through_faults(void)
{
    world w = open_world(1, -1, false);
    int client, fd, file = memfd_create("text", MFD_CLOEXEC);
    static char text[BYTES];
    for (int i = 0; i < BYTES; i++)
        text[i] = letter(7, i);
    MUST(write(file, text, BYTES) == BYTES);
    tcp_pair(&client, &fd);
    mark(fd, true);
    begin(11, 2, 0);
    pa_socket *socket = pa_socket_new(w.engine, fd, PA_CONNECTED, NULL);
    pa_socket_attach(socket, w.port, NULL);
    pa_op op = make_op(PA_TRANSMIT_FILE, "abc", 3);
    op.inline_iov[1] = (struct iovec){"xyz", 3};
    op.iov_count = 2;
    op.head_count = 1;
    op.file = file;
    pthread_t reading = start_thread(read_file_back, &client);
    CHECK(submit(socket, &op) != PA_REFUSED);
    CHECK(take(&w) == &op && op.status == STATUS_SUCCESS && op.transferred == BYTES + 6);
    pthread_join(reading, NULL);
    one_in = 0;
    mark(fd, false);
    pa_socket_close(socket, false);
    pa_socket_release(socket);
    close(client);
    close(file);
    close_world(&w);
}

/* -- connections -- */

static void accepts_and_connects_go_through_faults(void)
{
    world w = open_world(1, -1, false);
    int listening = bound_socket(SOCK_STREAM);
    struct sockaddr_in name = address_of(listening);
    MUST(listen(listening, 64) == 0);
    mark(listening, true);
    begin(21, 2, 0);
    pa_socket *listener = pa_socket_new(w.engine, listening, 0, NULL);
    pa_socket_attach(listener, w.port, NULL);
    for (int round = 0; round < 60; round++) {
        pa_op accept = make_op(PA_ACCEPT, NULL, 0), dial = make_op(PA_CONNECT, NULL, 0);
        int fd = bound_socket(SOCK_STREAM);
        mark(fd, true);
        pa_socket *client = pa_socket_new(w.engine, fd, 0, NULL);
        pa_socket_attach(client, w.port, NULL);
        set_address(&dial, &name);
        CHECK(submit(listener, &accept) != PA_REFUSED);
        CHECK(submit(client, &dial) != PA_REFUSED);
        pa_op *first = take(&w), *second = take(&w);
        CHECK(first && second && first != second);
        CHECK(accept.status == STATUS_SUCCESS && dial.status == STATUS_SUCCESS);
        close(accept.accepted);
        mark(fd, false);
        pa_socket_close(client, true);
        pa_socket_release(client);
    }
    one_in = 0;
    mark(listening, false);
    pa_socket_close(listener, false);
    pa_socket_release(listener);
    close_world(&w);
}

/* -- no memory -- */

/* Start `op`; say whether it will be handed out. */
static bool started(pa_socket *socket, pa_op *op)
{
    pa_answer answer = submit(socket, op);
    CHECK(answer != PA_REFUSED || op->status == STATUS_INSUFFICIENT_RESOURCES);
    return answer != PA_REFUSED;
}

static void out_of(int number)
{
    world w = open_world(1, -1, false);
    int refused = 0, failed = 0;
    for (int round = 0; round < 150; round++) {
        int client, fd;
        char in[8], out[8] = "message";
        tcp_pair(&client, &fd);
        mark(fd, true);
        begin(100 + (uint32_t)round, 2, number);
        pa_socket *socket = pa_socket_new(w.engine, fd, PA_CONNECTED, NULL);
        pa_socket_attach(socket, w.port, NULL);
        pa_op receive = make_op(PA_RECV, in, sizeof in), send_it = make_op(PA_SEND, out, sizeof out);
        int due = started(socket, &receive);
        due += started(socket, &send_it);
        refused += 2 - due;
        MUST(send(client, out, sizeof out, 0) == sizeof out);
        for (int i = 0; i < due; i++) {
            pa_op *done = take(&w);
            CHECK(done);
            if (!done)
                break;
            CHECK(!done->status || done->status == STATUS_INSUFFICIENT_RESOURCES);
            CHECK(!done->status || !done->transferred);
            failed += done->status != 0;
        }
        one_in = 0;
        mark(fd, false);
        CHECK(take_within(w.port, w.self, 0) == NULL);
        pa_socket_close(socket, true);
        pa_socket_release(socket);
        close(client);
    }
    CHECK(refused > 5 && failed > 5);
    close_world(&w);
}

static void without_memory_each_operation_is_refused_or_ends_once(void)
{
    out_of(ENOMEM);
    out_of(ENOBUFS);
}

static const test_case tests[] = {
    {"every byte comes back through faults", every_byte_comes_back_through_faults},
    {"a file goes out whole through faults", a_file_goes_out_whole_through_faults},
    {"accepts and connects go through faults", accepts_and_connects_go_through_faults},
    {"without memory each operation is refused or ends once",
     without_memory_each_operation_is_refused_or_ends_once},
};

MAIN(tests)
