/* The load generator beside a server that takes its turns in the same thread: right traffic of each
 * kind, a send that fails at the worst moment, and servers that do anything. What is asked of the
 * replies is asked in Python (tests/load); here it is that the memory holds, under the sanitizers. */
#include "../checking.h"
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>

enum { MOST = 8, CHUNK = 65536 };

/* -- sends that fail -- */

static int sends_left = -1; /* The send after so many fails as on a reset connection; -1: none. */

ssize_t __real_send(int fd, const void *bytes, size_t count, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags);

ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags)
{
    if (sends_left == 0) {
        sends_left = -1;
        errno = ECONNRESET;
        return -1;
    }
    sends_left -= sends_left > 0;
    return __real_send(fd, bytes, count, flags);
}

/* -- the server -- */

typedef struct {
    int fd; /* -1: gone */
    bool is_member;
    uint8_t *in, *out;
    size_t in_count, out_count;
} peer;

typedef struct {
    int listener;
    struct sockaddr_in address;
    peer peers[MOST];
    int count;
    size_t size;           /* of a frame of a fan-out; 0: it is an echo */
    bool others_only;
    unsigned mischief;     /* one turn of a peer in so many does wrong; 0: none does */
    uint32_t dice;
} server;

static uint32_t roll(server *s, uint32_t sides)
{
    s->dice ^= s->dice << 13, s->dice ^= s->dice >> 17, s->dice ^= s->dice << 5;
    return s->dice % sides;
}

static void open_server(server *s)
{
    socklen_t length = sizeof s->address;
    s->address.sin_family = AF_INET;
    s->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    MUST(bind(s->listener, (struct sockaddr *)&s->address, length) == 0);
    MUST(listen(s->listener, MOST) == 0);
    MUST(getsockname(s->listener, (struct sockaddr *)&s->address, &length) == 0);
}

static void drop(peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->is_member = false;
}

static void close_server(server *s)
{
    close(s->listener);
    for (int i = 0; i < s->count; i++) {
        drop(&s->peers[i]);
        free(s->peers[i].in);
        free(s->peers[i].out);
    }
}

static void append(uint8_t **bytes, size_t *count, const void *more, size_t more_count)
{
    *bytes = realloc(*bytes, *count + more_count + 1);
    MUST(*bytes);
    memcpy(*bytes + *count, more, more_count);
    *count += more_count;
}

static void pass_on(server *s, peer *from, const uint8_t *bytes, size_t count)
{
    for (int i = 0; i < s->count; i++) {
        peer *to = &s->peers[i];
        if (s->size ? to->is_member && !(s->others_only && to == from) : to == from)
            append(&to->out, &to->out_count, bytes, count);
    }
}

/* One thing that a server should not do. */
static void do_wrong(server *s, peer *p)
{
    switch (roll(s, 6)) {
    case 0:
        drop(p);
        break;
    case 1: /* with a reset */
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
        drop(p);
        break;
    case 2: /* a wrong bit */
        if (p->out_count)
            p->out[roll(s, (uint32_t)p->out_count)] ^= (uint8_t)(1 << roll(s, 8));
        break;
    case 3: /* something is left out */
        p->out_count -= p->out_count ? roll(s, (uint32_t)p->out_count + 1) : 0;
        break;
    case 4: /* all of it twice */
        if (p->out_count && p->out_count < CHUNK) {
            uint8_t copy[CHUNK];
            memcpy(copy, p->out, p->out_count);
            append(&p->out, &p->out_count, copy, p->out_count);
        }
        break;
    default: /* the next send of the load fails */
        sends_left = 0;
    }
}

static void read_all(server *s, peer *p)
{
    static uint8_t chunk[CHUNK];
    ssize_t got;
    while (p->fd >= 0 && (got = read(p->fd, chunk, sizeof chunk)) != -1) {
        if (got == 0)
            drop(p);
        else
            append(&p->in, &p->in_count, chunk, (size_t)got);
    }
    if (p->fd >= 0 && errno != EAGAIN)
        drop(p);
    size_t whole = s->size ? p->in_count / s->size * s->size : p->in_count;
    p->is_member |= p->fd >= 0 && s->size && whole;
    if (whole)
        pass_on(s, p, p->in, whole);
    p->in_count -= whole;
    if (p->in_count)
        memmove(p->in, p->in + whole, p->in_count);
}

/* Take what all have sent; then write, so that all is there when the load takes its turn. */
static void take_turn(server *s)
{
    int fd;
    while (s->count < MOST && (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        s->peers[s->count++] = (peer){.fd = fd};
    for (int i = 0; i < s->count; i++)
        read_all(s, &s->peers[i]);
    for (int i = 0; i < s->count; i++) {
        peer *p = &s->peers[i];
        if (p->fd >= 0 && s->mischief && roll(s, s->mischief) == 0)
            do_wrong(s, p);
        ssize_t put = p->fd >= 0 ? write(p->fd, p->out, p->out_count) : (ssize_t)p->out_count;
        if (put > 0) {
            p->out_count -= (size_t)put;
            memmove(p->out, p->out + put, p->out_count);
        }
    }
}

/* -- a run -- */

static struct load *open_load(server *s, struct load_plan plan)
{
    s->size = plan.kind == LOAD_FANOUT ? plan.size : 0;
    s->others_only = plan.others_only;
    sends_left = -1;
    open_server(s);
    plan.holds = true;
    if (!plan.duration)
        plan.duration = plan.timeout = 20 * 1000000000ull;
    memcpy(&plan.address, &s->address, sizeof s->address);
    plan.address_length = sizeof s->address;
    struct load *load = load_open(&plan);
    MUST(load);
    return load;
}

static void run_until(struct load *load, server *s, int phase)
{
    while (load_phase(load) < phase) {
        load_run(load, 200 * 1000);
        take_turn(s);
    }
}

static uint64_t failures_of(const struct load *load)
{
    uint64_t count = 0;
    for (int kind = 0; kind < LOAD_FAILURES; kind++)
        count += load_counts(load)->failed[kind];
    return count;
}

static void run_rightly(struct load_plan plan, uint64_t deliveries)
{
    server s = {.dice = 1};
    struct load *load = open_load(&s, plan);
    run_until(load, &s, LOAD_DONE);
    CHECK(failures_of(load) == 0);
    CHECK(load_counts(load)->sent == plan.messages);
    CHECK(load_counts(load)->messages == deliveries);
    CHECK(load_counts(load)->outstanding == 0);
    load_close(load);
    close_server(&s);
}

static void every_byte_of_an_echo_comes_back(void)
{
    static const uint32_t sizes[] = {1, 7, 13, 1024, 16384, 16385, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t depth = 1; depth <= 9; depth += 4)
            run_rightly((struct load_plan){.kind = LOAD_ECHO, .connections = 3, .depth = depth,
                                           .size = sizes[i], .messages = 60}, 60);
}

static void every_frame_comes_back_in_either_order_of_bytes(void)
{
    for (int order = 0; order < 2; order++)
        run_rightly((struct load_plan){.kind = LOAD_FRAMED, .connections = 3, .depth = 4, .size = 600,
                                       .id = 7, .big_endian = order, .messages = 200}, 200);
}

static void every_member_of_a_fan_out_gets_every_frame(void)
{
    for (int others = 0; others < 2; others++)
        for (uint32_t depth = 1; depth <= 9; depth += 4)
            run_rightly((struct load_plan){.kind = LOAD_FANOUT, .connections = 5, .depth = depth,
                                           .size = 40, .others_only = others, .messages = 100},
                        others ? 400 : 500);
}

static void an_open_loop_sends_at_its_rate(void)
{
    run_rightly((struct load_plan){.kind = LOAD_ECHO, .connections = 3, .depth = 4, .size = 64,
                                   .rate = 5000, .messages = 100}, 100);
}

/* Both may go on; the send of the second fails, which makes the first ready again: its message is
 * awaited by nobody any more. */
static void a_failed_send_makes_those_ready_that_were_served_just_before(void)
{
    server s = {.dice = 1};
    struct load *load = open_load(&s, (struct load_plan){
        .kind = LOAD_FANOUT, .connections = 2, .depth = 1, .size = 40, .others_only = true,
        .messages = 100});
    run_until(load, &s, LOAD_MEASURE);
    sends_left = 1;
    run_until(load, &s, LOAD_DONE);
    CHECK(sends_left == -1);
    CHECK(load_counts(load)->failed[LOAD_CLOSED] == 1);
    CHECK(load_counts(load)->alive == 1);
    CHECK(load_counts(load)->outstanding == 0);
    load_close(load);
    close_server(&s);
}

/* Whatever the server does, the run ends, and each connection is alive or has failed once. */
static void a_run_ends_whatever_the_server_does(void)
{
    uint32_t seeds = 120, troubled = 0;
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        server s = {.dice = seed * 2654435761u, .mischief = 20};
        struct load_plan plan = {
            .kind = (int)(seed % 3), .connections = 2 + seed % 5, .depth = 1 + seed % 8,
            .size = seed % 3 == LOAD_FANOUT ? 12 + seed % 60 : 5 + seed * 37 % 3000,
            .others_only = seed % 2, .messages = 200, .timeout = 20 * 1000 * 1000,
            .duration = 300 * 1000 * 1000};
        struct load *load = open_load(&s, plan);
        run_until(load, &s, LOAD_DONE);
        CHECK(failures_of(load) + load_counts(load)->alive == plan.connections);
        troubled += failures_of(load) > 0;
        if (atomic_load(&failures_here))
            printf("  with seed %u\n", seed);
        load_close(load);
        close_server(&s);
    }
    CHECK(troubled > seeds / 2);
}

static const test_case tests[] = {
    {"every byte of an echo comes back", every_byte_of_an_echo_comes_back},
    {"every frame comes back, in either order of bytes",
     every_frame_comes_back_in_either_order_of_bytes},
    {"every member of a fan-out gets every frame", every_member_of_a_fan_out_gets_every_frame},
    {"an open loop sends at its rate", an_open_loop_sends_at_its_rate},
    {"a failed send makes those ready that were served just before",
     a_failed_send_makes_those_ready_that_were_served_just_before},
    {"a run ends whatever the server does", a_run_ends_whatever_the_server_does},
};

MAIN_WHERE(tests, true)
