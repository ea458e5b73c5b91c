/* A closed loop of echo clients: keeps `depth` messages in flight on each connection and compares
 * every byte of every reply with what was sent.
 *
 *   load --port P [--connections N] [--size BYTES] [--depth N] [--seconds S] [--warmup S]
 *        [--patience S] [--watch PID]
 *
 * Prints one JSON object. With --watch it also tells the CPU time and the memory of that process,
 * for the measured time alone. Exit code: 0 every reply was right; 1 one was wrong or missing, or a
 * connection was refused or ended early; 2 misused.
 *
 * A message is a header (the connection's number, the message's number) and a slice of one table of
 * noise that begins elsewhere for each connection: nothing is generated for a message, and a reply
 * that belongs to another connection, or to another message, differs.
 *
 * Ownership: `clients` owns every connection and its `sent_at` until the process ends; `noise` and
 * `arrived` are everybody's. Events carry the index of the client.
 */
#define _GNU_SOURCE
#include "histogram.h"
#include "options.h"
#include "watching.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { STRIDES = 4096, BATCH = 512, MOST_IN_PROGRESS = 256, GATHERED = 16 };
enum { ARRIVED_SIZE = 256 * 1024, STAGED = 16 * 1024 };

struct client {
    int fd; /* -1 before it connects and once it is given up. */
    int connected;
    uint64_t sent, received; /* Bytes of the stream of messages, each way. */
    uint64_t *sent_at;       /* When message number `n` was begun, at `n % depth`. */
    int polls_out;
};

static struct client *clients;
static char *noise, arrived[ARRIVED_SIZE];
static int poller, to_connect, in_progress, alive;
static int beginning, measuring, ending;
static uint64_t messages, outstanding, wrong, dropped, last_news;

/* -- what a message consists of -- */

static void header_of(const struct client *self, uint64_t number, char *header)
{
    uint32_t words[2] = {(uint32_t)(self - clients), (uint32_t)number};
    memcpy(header, words, HEADER);
}

static const char *body_of(const struct client *self)
{
    return noise + (size_t)(self - clients) * 61 % STRIDES;
}

static void give_up(struct client *self, uint64_t *counter, const char *why)
{
    if (++*counter <= 5)
        fprintf(stderr, "load: connection %d, byte %llu: %s\n", (int)(self - clients),
                (unsigned long long)self->received, why);
    /* The replies that it owes will not come. */
    outstanding -= (self->sent + size - 1) / size - self->received / size;
    in_progress -= !self->connected;
    close(self->fd);
    self->fd = -1;
    alive--;
}

/* -- sending -- */

static void poll_out(struct client *self, int wanted)
{
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0),
                                .data.u32 = (uint32_t)(self - clients)};
    if (self->polls_out != wanted && epoll_ctl(poller, EPOLL_CTL_MOD, self->fd, &event) < 0)
        fail("epoll_ctl");
    self->polls_out = wanted;
}

/* Gather what may be sent now: the rest of a begun message, and whole ones up to the depth. */
static int gather(const struct client *self, struct iovec *parts, char (*headers)[HEADER])
{
    uint64_t limit = (self->received / size + (uint64_t)depth) * size;
    uint64_t begun = (self->sent + size - 1) / size * size;
    int count = 0;
    if (beginning)
        limit = size;
    if (ending && limit > begun)
        limit = begun; /* What was begun is finished, and nothing else begins. */
    for (uint64_t at = self->sent; at < limit && count < 2 * GATHERED;) {
        size_t inside = at % size;
        if (inside < HEADER) {
            header_of(self, at / size, headers[count / 2]);
            parts[count++] = (struct iovec){headers[count / 2] + inside, HEADER - inside};
            at += HEADER - inside;
            inside = HEADER;
        }
        if (inside < size)
            parts[count++] = (struct iovec){(char *)body_of(self) + inside, size - inside};
        at += size - inside;
    }
    return count;
}

static ssize_t send_parts(int fd, struct iovec *parts, int count)
{
    char staged[STAGED];
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    if (total > STAGED) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        return sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    /* What is small costs the kernel more to gather than it costs to copy here. */
    char *end = staged;
    for (int i = 0; i < count; end += parts[i++].iov_len)
        memcpy(end, parts[i].iov_base, parts[i].iov_len);
    return send(fd, staged, total, MSG_NOSIGNAL);
}

static void send_messages(struct client *self)
{
    for (;;) {
        struct iovec parts[2 * GATHERED + 2];
        char headers[GATHERED + 2][HEADER];
        int count = gather(self, parts, headers);
        if (count == 0) {
            poll_out(self, 0);
            return;
        }
        uint64_t began = now();
        ssize_t taken = send_parts(self->fd, parts, count);
        if (taken < 0) {
            if (errno == EAGAIN || errno == EINTR)
                poll_out(self, 1);
            else
                give_up(self, &dropped, strerror(errno));
            return;
        }
        uint64_t number = (self->sent + size - 1) / size;
        self->sent += (uint64_t)taken;
        for (; number * size < self->sent; number++, outstanding++)
            self->sent_at[number % (uint64_t)depth] = began;
    }
}

/* -- receiving -- */

static int is_right(const struct client *self, const char *data, size_t count)
{
    uint64_t at = self->received;
    if (count > self->sent - at)
        return 0; /* More than was sent. */
    while (count > 0) {
        size_t inside = at % size, part;
        if (inside < HEADER) {
            char header[HEADER];
            header_of(self, at / size, header);
            part = HEADER - inside < count ? HEADER - inside : count;
            if (memcmp(data, header + inside, part) != 0)
                return 0;
        } else {
            part = size - inside < count ? size - inside : count;
            if (memcmp(data, body_of(self) + inside, part) != 0)
                return 0;
        }
        at += part, data += part, count -= part;
    }
    return 1;
}

static void receive_replies(struct client *self)
{
    ssize_t count = recv(self->fd, arrived, sizeof arrived, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        give_up(self, &dropped, count == 0 ? "the server closed it" : strerror(errno));
        return;
    }
    if (!is_right(self, arrived, (size_t)count)) {
        give_up(self, &wrong, "a reply is not what was sent");
        return;
    }
    uint64_t number = self->received / size, at = now();
    self->received += (uint64_t)count;
    for (; (number + 1) * size <= self->received; number++, outstanding--)
        if (measuring) {
            messages++;
            record(at - self->sent_at[number % (uint64_t)depth]);
        }
    last_news = at;
    send_messages(self);
}

/* -- connecting -- */

static void connect_one(struct client *self)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)},
                                  .sin_port = htons((uint16_t)port)};
    int one = 1;
    /* Ends with a reset: ten thousand ports in TIME_WAIT would be missing in the next run. */
    struct linger at_once = {.l_onoff = 1};
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd < 0)
        fail("socket");
    setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    in_progress++;
    alive++;
    int failed = connect(self->fd, (struct sockaddr *)&address, sizeof address) < 0;
    if (failed && errno != EINPROGRESS) {
        give_up(self, &dropped, strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)(self - clients)};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, self->fd, &event) < 0)
        fail("epoll_ctl");
    self->polls_out = 1;
}

static void connect_more(void)
{
    while (to_connect < connections && in_progress < MOST_IN_PROGRESS)
        connect_one(&clients[to_connect++]);
}

static void finish_connecting(struct client *self)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        give_up(self, &dropped, strerror(error));
        return;
    }
    self->connected = 1;
    in_progress--;
    last_news = now();
    poll_out(self, 0);
}

/* -- the loop -- */

static void serve_events(int timeout)
{
    struct epoll_event events[BATCH];
    int count = epoll_wait(poller, events, BATCH, timeout);
    for (int i = 0; i < count; i++) {
        struct client *self = &clients[events[i].data.u32];
        if (self->fd < 0)
            continue;
        if (!self->connected) {
            finish_connecting(self);
            continue;
        }
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive_replies(self);
        else
            send_messages(self);
    }
}

static int is_stuck(void)
{
    return (double)(now() - last_news) > patience * 1e9;
}

static void run_for(double duration)
{
    uint64_t end = now() + (uint64_t)(duration * 1e9);
    while (now() < end && alive > 0 && !is_stuck())
        serve_events(20);
}

static void connect_all(void)
{
    last_news = now();
    connect_more();
    while (in_progress > 0 && !is_stuck()) {
        serve_events(100);
        connect_more();
    }
    dropped += (uint64_t)(in_progress + connections - to_connect);
}

static void send_to_all(void)
{
    for (int i = 0; i < connections; i++)
        if (clients[i].connected && clients[i].fd >= 0)
            send_messages(&clients[i]);
}

/* One message for each: what is connected need not be accepted yet, and one that waits for it while
 * others are served would be measured as a latency. */
static void begin(void)
{
    beginning = 1;
    last_news = now();
    send_to_all();
    while (outstanding > 0 && alive > 0 && !is_stuck())
        serve_events(20);
    beginning = 0;
    send_to_all();
}

/* Let what is in flight come back, so that every message is compared. */
static uint64_t take_the_rest(void)
{
    ending = 1;
    last_news = now();
    while (outstanding > 0 && alive > 0 && !is_stuck())
        serve_events(20);
    return outstanding;
}

static void prepare(void)
{
    uint32_t state = 2463534242;
    clients = calloc((size_t)connections, sizeof *clients);
    noise = malloc(size + STRIDES);
    if (clients == NULL || noise == NULL)
        fail("malloc");
    for (size_t i = 0; i < size + STRIDES; i++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        noise[i] = (char)state;
    }
    for (int i = 0; i < connections; i++) {
        clients[i].fd = -1;
        clients[i].sent_at = calloc((size_t)depth, sizeof(uint64_t));
        if (clients[i].sent_at == NULL)
            fail("calloc");
    }
    raise_descriptor_limit();
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        fail("epoll_create1");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    prepare();
    long memory_before = memory_of(watched);
    connect_all();
    begin();
    run_for(warmup);
    long memory_after = memory_of(watched);
    double own = cpu_of(getpid()), server = cpu_of(watched);
    uint64_t began = now();
    measuring = 1;
    run_for(seconds);
    measuring = 0;
    double took = (double)(now() - began) / 1e9;
    own = cpu_of(getpid()) - own;
    server = cpu_of(watched) - server;
    uint64_t missing = take_the_rest();
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"rate\": %.1f, "
           "\"p50\": %.9f, \"p90\": %.9f, \"p99\": %.9f, \"max\": %.9f, "
           "\"wrong\": %llu, \"dropped\": %llu, \"missing\": %llu, \"load_cpu_share\": %.4f, "
           "\"server_cpu\": %.6f, \"server_bytes_a_connection\": %ld}\n",
           (unsigned long long)messages, took, (double)messages / took, quantile(0.5),
           quantile(0.9), quantile(0.99), longest(), (unsigned long long)wrong,
           (unsigned long long)dropped, (unsigned long long)missing, own / took, server,
           (memory_after - memory_before) / connections);
    if (missing > 0)
        fprintf(stderr, "load: %llu replies are missing\n", (unsigned long long)missing);
    return wrong + dropped + missing > 0 || messages == 0;
}
