/* The content of a stream of messages, as a function of sender and position. */
#include "internal.h"

#include <endian.h>
#include <string.h>
#include <sys/uio.h>

/* The frame header, if there is one, and the stamp. `prefix` has PREFIX bytes. */
void build_prefix(const struct load *self, uint32_t sender, uint32_t number, unsigned char *prefix)
{
    if (self->framing) {
        uint16_t size = (uint16_t)self->plan.size, id = self->plan.id;
        uint16_t words[2] = {self->plan.big_endian ? htobe16(size) : htole16(size),
                             self->plan.big_endian ? htobe16(id) : htole16(id)};
        memcpy(prefix, words, FRAME);
    }
    uint32_t stamp[2] = {htole32(number), htole32(sender)};
    memcpy(prefix + self->framing, stamp, STAMP);
}

static uint32_t number_of(const struct load *self, const struct client *client, uint64_t message)
{
    if (self->plan.kind != LOAD_FANOUT)
        return (uint32_t)message;
    if (self->holds || message < client->hellos)
        return HELLO;
    return (uint32_t)(message - client->hellos);
}

/* Write the bytes from `at` on to `out`. */
static void write_stream(const struct load *self, const struct client *client, uint64_t at,
                         size_t count, unsigned char *out)
{
    uint32_t size = self->plan.size, sender = index_of(self, client);
    const unsigned char *body = body_of(self, sender);
    uint64_t message = at / size;
    for (size_t inside = at % size; count > 0; inside = 0, message++) {
        size_t part = size - inside < count ? size - inside : count;
        if (inside + part > self->head)
            memcpy(out, body + inside, part);
        if (inside < self->head) {
            unsigned char prefix[PREFIX];
            size_t stamped = self->head - inside < part ? self->head - inside : part;
            build_prefix(self, sender, number_of(self, client, message), prefix);
            memcpy(out, prefix + inside, stamped);
        }
        out += part, count -= part;
    }
}

/* Large messages leave from where they are. */
static ssize_t send_gathered(const struct load *self, const struct client *client, uint64_t limit)
{
    uint32_t size = self->plan.size, head = self->head, sender = index_of(self, client);
    struct iovec parts[2 * GATHERED];
    unsigned char prefixes[GATHERED][PREFIX];
    size_t count = 0, messages = 0;
    for (uint64_t at = client->sent; at < limit && messages < GATHERED; messages++) {
        size_t inside = at % size;
        at += size - inside;
        if (inside < head) {
            unsigned char *prefix = prefixes[messages];
            build_prefix(self, sender, number_of(self, client, at / size - 1), prefix);
            parts[count++] = (struct iovec){prefix + inside, head - inside};
            inside = head;
        }
        parts[count++] = (struct iovec){(void *)(body_of(self, sender) + inside), size - inside};
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return sendmsg(client->fd, &message, MSG_NOSIGNAL);
}

/* Send of the stream up to `limit`, which is the end of a message; as `send`. */
ssize_t send_stream(struct load *self, struct client *client, uint64_t limit)
{
    /* What is small costs the kernel more to gather than it costs to copy here. */
    if (self->plan.size > STAGED_SIZE / 2)
        return send_gathered(self, client, limit);
    uint64_t left = limit - client->sent;
    size_t count = left < STAGED_SIZE ? left : STAGED_SIZE;
    write_stream(self, client, client->sent, count, self->staged);
    return send(client->fd, self->staged, count, MSG_NOSIGNAL);
}

unsigned char byte_at(const struct load *self, const struct client *client, uint64_t position)
{
    unsigned char byte;
    write_stream(self, client, position, 1, &byte);
    return byte;
}

static size_t first_difference(const unsigned char *one, const unsigned char *other, size_t count)
{
    size_t at = 0;
    while (at < count && one[at] == other[at])
        at++;
    return at;
}

/* How many of `count` bytes are what the client sent and has not had back yet. */
uint64_t matching(const struct load *self, const struct client *client, const unsigned char *bytes,
                  size_t count)
{
    uint32_t size = self->plan.size, sender = index_of(self, client);
    const unsigned char *body = body_of(self, sender), *from = bytes;
    uint64_t message = client->received / size;
    size_t inside = client->received % size;
    while (count > 0) {
        unsigned char prefix[PREFIX];
        const unsigned char *wanted = body + inside;
        size_t part = size - inside;
        if (inside < self->head) {
            build_prefix(self, sender, (uint32_t)message, prefix);
            wanted = prefix + inside;
            part = self->head - inside;
        }
        if (part > count)
            part = count;
        if (memcmp(bytes, wanted, part) != 0)
            return (uint64_t)(bytes - from) + first_difference(bytes, wanted, part);
        bytes += part, count -= part, inside += part;
        if (inside == size)
            inside = 0, message++;
    }
    return (uint64_t)(bytes - from);
}
