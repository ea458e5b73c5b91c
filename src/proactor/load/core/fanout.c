/* Frames that every member gets: who awaits what, and in which order it must come.
 *
 * `awaited[n]` of a sender counts the members that message `n` has not reached, `next[s]` of a
 * member is the number that is due from sender `s`. A member that is given up awaits nothing.
 */
#include "internal.h"

#include <endian.h>
#include <string.h>

/* -- the sender's account -- */

/* How many numbers a sender has begun, greetings left out. */
static uint64_t numbers_of(const struct load *self, const struct client *sender)
{
    return self->holds ? 0 : sender->begun - sender->hellos;
}

static void be_ready(struct load *self, struct client *sender)
{
    if (sender->is_ready || sender->state == CLIENT_GONE)
        return;
    sender->is_ready = true;
    self->ready[(self->ready_first + self->ready_count++) % self->plan.connections] =
        index_of(self, sender);
}

/* One member less awaits message `message`, which is the oldest that it awaited of this sender. */
static void reach(struct load *self, struct client *sender, uint64_t message, uint64_t at)
{
    if (--sender->awaited[message % self->plan.depth] > 0)
        return;
    sender->done = message + 1;
    sender->news = at;
    be_ready(self, sender);
}

void fan_out_begun(struct load *self, struct client *client, uint64_t message)
{
    uint32_t members = self->counts.alive - self->plan.others_only;
    client->awaited[message % self->plan.depth] = members;
    self->counts.outstanding += members;
}

/* The deliveries that `client` awaited do not count any more; how many there were. Nor do those
 * of what it sent: part of it may never have left. */
uint64_t leave_fan_out(struct load *self, struct client *client)
{
    uint64_t owed = 0, at = now();
    for (uint32_t i = 0; i < self->plan.connections; i++) {
        struct client *sender = &self->clients[i];
        if (sender->state != CLIENT_RUNS)
            continue; /* Nor is the client itself, any more. */
        for (uint64_t n = client->next[i]; n < numbers_of(self, sender); n++, owed++)
            reach(self, sender, n + sender->hellos, at);
    }
    self->counts.outstanding -= owed;
    if (self->holds)
        return owed;
    for (uint64_t message = client->done; message < client->begun; message++) {
        self->counts.outstanding -= client->awaited[message % self->plan.depth];
        owed += !self->plan.others_only &&
                client->next[index_of(self, client)] <= message - client->hellos;
    }
    client->done = client->begun;
    return owed;
}

/* Senders that may go on: after the batch, so that what they may send leaves together. One whose send
 * fails leaves, and that may make those ready again that have been served. */
void serve_ready(struct load *self)
{
    while (self->ready_count > 0) {
        struct client *sender = &self->clients[self->ready[self->ready_first]];
        self->ready_first = (self->ready_first + 1) % self->plan.connections;
        self->ready_count--;
        sender->is_ready = false;
        if (sender->state == CLIENT_RUNS)
            send_messages(self, sender);
    }
}

/* -- the greetings -- */

/* A member that came first, or that must speak to be let in, has been seen by nobody. */
void repeat_hellos(struct load *self)
{
    for (uint32_t i = 0; i < self->to_open; i++) {
        struct client *client = &self->clients[i];
        bool greets = client->state == CLIENT_GREETS;
        if (self->plan.senders > 0) /* As long as there are others to be reached. */
            greets = !listens(self, client) && (greets || client->state == CLIENT_RUNS);
        if (!greets || client->sent < client->hellos * self->plan.size)
            continue;
        client->hellos++;
        send_messages(self, client);
    }
}

void begin_fan_out(struct load *self)
{
    for (uint32_t i = 0; i < self->plan.connections; i++)
        self->clients[i].hellos = self->clients[i].done = self->clients[i].begun;
}

/* -- the member's account -- */

static void wrong_byte(struct load *self, struct client *client, uint32_t at, unsigned expected,
                       unsigned got)
{
    client->received += at;
    give_up(self, client,
            (struct load_failure){.kind = LOAD_WRONG, .expected = expected, .got = got});
}

/* The prefix is not that of `number` of `sender`: say which byte is the first that differs. */
static bool wrong_prefix(struct load *self, struct client *client, uint32_t sender, uint32_t number)
{
    unsigned char wanted[PREFIX];
    uint32_t at = 0;
    build_prefix(self, sender, number, wanted);
    while (at < PREFIX - 1 && wanted[at] == client->prefix[at])
        at++;
    wrong_byte(self, client, at, wanted[at], client->prefix[at]);
    return false;
}

/* There is no such sender: the byte that makes the number too large is wrong. */
static bool wrong_sender(struct load *self, struct client *client, uint32_t sender)
{
    uint32_t last = self->plan.connections - 1, byte = 3;
    while ((sender >> 8 * byte & 0xff) == (last >> 8 * byte & 0xff))
        byte--;
    wrong_byte(self, client, FRAME + STAMP / 2 + byte, last >> 8 * byte & 0xff,
               client->prefix[FRAME + STAMP / 2 + byte]);
    return false;
}

/* Judge a frame by its prefix; false: it was wrong, and the client is given up. */
static bool is_due(struct load *self, struct client *client)
{
    unsigned char wanted[PREFIX];
    uint32_t stamp[2];
    memcpy(stamp, client->prefix + FRAME, STAMP);
    uint32_t number = le32toh(stamp[0]), from = le32toh(stamp[1]);
    build_prefix(self, from, number, wanted);
    if (memcmp(wanted, client->prefix, FRAME) != 0)
        return wrong_prefix(self, client, from, number);
    if (from >= self->plan.connections)
        return wrong_sender(self, client, from);
    const struct client *sender = &self->clients[from];
    uint32_t due = client->next[from];
    if (self->plan.others_only && sender == client) {
        give_up(self, client, (struct load_failure){.kind = LOAD_SURPLUS});
        return false;
    }
    if (number == HELLO || (number == due && due < numbers_of(self, sender)))
        return true;
    if (number >= numbers_of(self, sender) && number != due)
        return wrong_prefix(self, client, from, due); /* It was never sent. */
    if (number == due) {
        give_up(self, client, (struct load_failure){.kind = LOAD_SURPLUS});
        return false;
    }
    give_up(self, client, (struct load_failure){
        .kind = number < due ? LOAD_REPEATED : LOAD_SKIPPED, .sender = from, .expected = due,
        .got = number});
    return false;
}

static void deliver(struct load *self, struct client *client, uint64_t at)
{
    uint32_t stamp[2];
    memcpy(stamp, client->prefix + FRAME, STAMP);
    uint32_t number = le32toh(stamp[0]);
    struct client *sender = &self->clients[le32toh(stamp[1])];
    client->received += self->plan.size;
    client->inside = 0;
    if (number == HELLO) {
        struct client *known = self->plan.senders > 0 ? client : sender;
        if (known->state == CLIENT_GREETS) {
            known->state = CLIENT_RUNS;
            self->counts.greeted++;
        }
        return;
    }
    client->next[index_of(self, sender)]++;
    if (sender->state == CLIENT_GONE)
        return;
    uint64_t message = number + sender->hellos;
    count_reply(self, sender->begun_at[message % self->plan.depth], at);
    reach(self, sender, message, at);
}

/* Take frames that are cut anywhere. */
void fan_in(struct load *self, struct client *client, const unsigned char *bytes, size_t count,
            uint64_t at)
{
    uint32_t size = self->plan.size;
    while (count > 0) {
        uint32_t inside = client->inside, end = inside < PREFIX ? PREFIX : size;
        uint32_t part = end - inside < count ? end - inside : (uint32_t)count;
        if (inside < PREFIX) {
            memcpy(client->prefix + inside, bytes, part);
        } else {
            uint32_t sender;
            memcpy(&sender, client->prefix + FRAME + STAMP / 2, sizeof sender);
            const unsigned char *wanted = body_of(self, le32toh(sender)) + inside;
            if (memcmp(bytes, wanted, part) != 0) {
                uint32_t right = 0;
                while (bytes[right] == wanted[right])
                    right++;
                wrong_byte(self, client, inside + right, wanted[right], bytes[right]);
                return;
            }
        }
        client->inside += part, bytes += part, count -= part;
        if (inside < PREFIX && client->inside == PREFIX && !is_due(self, client))
            return;
        if (client->inside == size)
            deliver(self, client, at);
    }
}

/* `sender` waits too long: the members that its oldest message has not reached are at fault. */
void blame_receivers(struct load *self, struct client *sender)
{
    uint32_t number = (uint32_t)(sender->done - sender->hellos), from = index_of(self, sender);
    for (uint32_t i = 0; i < self->plan.connections; i++) {
        struct client *client = &self->clients[i];
        if (client->state != CLIENT_RUNS || (self->plan.others_only && client == sender))
            continue;
        if (client->next[from] <= number)
            give_up(self, client, (struct load_failure){.kind = LOAD_SILENT, .sender = from,
                                                        .number = number});
    }
}
