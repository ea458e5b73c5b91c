/* The life of one connection: opened, greeted, kept busy, given up. */
#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

static void reset_at_close(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void give_up(struct load *self, struct client *client, struct load_failure failure)
{
    uint64_t total = 0;
    failure.connection = index_of(self, client);
    failure.position = client->received;
    for (int kind = 0; kind < LOAD_FAILURES; kind++)
        total += self->counts.failed[kind];
    if (total < LOAD_FIRST_FAILURES)
        self->counts.first[total] = failure;
    self->counts.failed[failure.kind]++;
    /* What came due for it and was not sent is not sent by another. */
    if (self->plan.messages && client->due && client->state == CLIENT_RUNS)
        self->budget -= client->due + client->hellos - client->begun;
    self->in_progress -= client->state == CLIENT_CONNECTS;
    self->counts.greeted -= client->state == CLIENT_RUNS;
    client->state = CLIENT_GONE;
    self->counts.alive--;
    uint64_t owed = client->begun - client->done;
    if (self->plan.kind == LOAD_FANOUT)
        owed = leave_fan_out(self, client);
    else
        self->counts.outstanding -= owed;
    if (failure.kind == LOAD_CLOSED || failure.kind == LOAD_SILENT)
        self->counts.missing += owed;
    if (client->fd >= 0) {
        reset_at_close(client->fd); /* Nothing of what it still does is of use. */
        close(client->fd);
    }
    client->fd = -1;
}

void poll_out(struct load *self, struct client *client, bool wanted)
{
    if (client->polls_out == wanted)
        return;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0),
                                .data.u32 = index_of(self, client)};
    epoll_ctl(self->poller, EPOLL_CTL_MOD, client->fd, &event); /* It is there: cannot fail. */
    client->polls_out = wanted;
}

/* -- opening -- */

static void refuse(struct load *self, struct client *client, int error)
{
    give_up(self, client, (struct load_failure){.kind = LOAD_REFUSED, .number = (uint64_t)error});
}

void open_client(struct load *self, struct client *client)
{
    const struct load_plan *plan = &self->plan;
    int one = 1;
    client->state = CLIENT_CONNECTS;
    client->news = now();
    self->in_progress++;
    self->counts.alive++;
    client->fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        refuse(self, client, errno);
        return;
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (plan->resets)
        reset_at_close(client->fd);
    const struct sockaddr *address = (const struct sockaddr *)&plan->address;
    if (connect(client->fd, address, plan->address_length) < 0 && errno != EINPROGRESS) {
        refuse(self, client, errno);
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = index_of(self, client)};
    if (epoll_ctl(self->poller, EPOLL_CTL_ADD, client->fd, &event) < 0) {
        refuse(self, client, errno);
        return;
    }
    client->polls_out = true;
}

void finish_opening(struct load *self, struct client *client)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        refuse(self, client, error);
        return;
    }
    client->state = CLIENT_GREETS;
    client->hellos = !listens(self, client);
    client->news = now();
    self->in_progress--;
    self->counts.opened++;
    poll_out(self, client, false);
    send_messages(self, client);
}

/* -- sending -- */

/* The number of messages that may have been begun by now. */
static uint64_t limit_of(const struct load *self, const struct client *client)
{
    const struct load_plan *plan = &self->plan;
    if (self->is_stopped || listens(self, client))
        return client->begun;
    if (self->holds || client->state == CLIENT_GREETS)
        return client->hellos;
    if (too_few(self))
        return client->begun; /* Nobody is there to get it. */
    uint64_t limit = client->done + plan->depth;
    if (plan->rate > 0 && client->due + client->hellos < limit)
        limit = client->due + client->hellos;
    if (plan->messages && client->begun + self->budget < limit)
        limit = client->begun + self->budget;
    return limit;
}

/* Keep account of the messages whose first byte has gone. */
static void count_begun(struct load *self, struct client *client, uint64_t at)
{
    const struct load_plan *plan = &self->plan;
    for (; client->begun * plan->size < client->sent; client->begun++) {
        uint64_t message = client->begun, begun_at = at;
        bool greets = message < client->hellos;
        if (client->begun == client->done)
            client->news = at;
        if (!greets) {
            if (plan->rate > 0)
                begun_at = intended_at(self, (message - client->hellos) * plan->connections +
                                                 index_of(self, client));
            self->budget -= plan->messages > 0;
            self->counts.sent += self->phase == LOAD_MEASURE;
        }
        client->begun_at[message % plan->depth] = begun_at;
        if (plan->kind != LOAD_FANOUT)
            self->counts.outstanding++;
        else if (!greets)
            fan_out_begun(self, client, message);
    }
}

void send_messages(struct load *self, struct client *client)
{
    for (;;) {
        uint64_t limit = limit_of(self, client);
        uint64_t whole = (limit > client->begun ? limit : client->begun) * self->plan.size;
        if (client->sent >= whole) {
            poll_out(self, client, false);
            return;
        }
        uint64_t at = now();
        ssize_t taken = send_stream(self, client, whole);
        if (taken < 0) {
            int error = errno;
            if (error == EAGAIN || error == EINTR)
                poll_out(self, client, true);
            else
                give_up(self, client, (struct load_failure){.kind = LOAD_CLOSED,
                                                            .number = (uint64_t)error});
            return;
        }
        client->sent += (uint64_t)taken;
        count_begun(self, client, at);
    }
}

/* -- receiving -- */

/* One reply, or delivery, is whole. Its latency counts if it was begun in the measured time. */
void count_reply(struct load *self, uint64_t begun_at, uint64_t at)
{
    struct load_counts *counts = &self->counts;
    counts->replies++;
    counts->outstanding--;
    counts->messages += self->phase == LOAD_MEASURE;
    if (counts->began && begun_at >= counts->began && (!counts->ended || begun_at < counts->ended))
        load_record(&self->latencies, at - begun_at);
}

/* Compare what came with what was sent; false: the client was given up. */
static bool take_echo(struct load *self, struct client *client, size_t count, uint64_t at)
{
    const unsigned char *bytes = self->arrived;
    uint64_t due = client->sent - client->received;
    size_t compared = count < due ? count : (size_t)due;
    uint64_t right = matching(self, client, bytes, compared);
    client->received += right;
    for (; (client->done + 1) * self->plan.size <= client->received; client->done++)
        count_reply(self, client->begun_at[client->done % self->plan.depth], at);
    if (right < compared) {
        give_up(self, client, (struct load_failure){
            .kind = LOAD_WRONG, .expected = byte_at(self, client, client->received),
            .got = bytes[right]});
        return false;
    }
    if (compared < count) {
        give_up(self, client, (struct load_failure){.kind = LOAD_SURPLUS});
        return false;
    }
    if (client->state == CLIENT_GREETS && client->done > 0) {
        client->state = CLIENT_RUNS;
        self->counts.greeted++;
    }
    return true;
}

void receive_replies(struct load *self, struct client *client)
{
    ssize_t count = recv(client->fd, self->arrived, ARRIVED_SIZE, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        uint64_t error = count < 0 ? (uint64_t)errno : 0;
        give_up(self, client, (struct load_failure){.kind = LOAD_CLOSED, .number = error});
        return;
    }
    uint64_t at = now();
    if (self->plan.kind == LOAD_FANOUT) {
        fan_in(self, client, self->arrived, (size_t)count, at);
        return;
    }
    client->news = at;
    if (take_echo(self, client, (size_t)count, at))
        send_messages(self, client);
}
