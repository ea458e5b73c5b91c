/* Accept, connect, disconnect and re-use. */
#include "harness.h"

static pa_socket *attached(world *w, int fd, uint32_t flags)
{
    pa_socket *socket = pa_socket_new(w->engine, fd, flags, NULL);
    MUST(pa_socket_attach(socket, w->port, NULL) == 0);
    return socket;
}

static void drop(pa_socket *socket)
{
    pa_socket_close(socket, false);
    pa_socket_release(socket);
}

static int client_of(const struct sockaddr_in *name)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(connect(fd, (const struct sockaddr *)name, sizeof *name) == 0);
    return fd;
}

static pa_socket *listening(world *w, struct sockaddr_in *name)
{
    int fd = bound_socket(SOCK_STREAM);
    *name = address_of(fd);
    MUST(listen(fd, 16) == 0);
    return attached(w, fd, 0);
}

static void accepts_are_served_in_order(void)
{
    world w = open_world(1, -1, false);
    struct sockaddr_in name;
    pa_socket *listener = listening(&w, &name);
    pa_op ops[2] = {make_op(PA_ACCEPT, NULL, 0), make_op(PA_ACCEPT, NULL, 0)};
    CHECK(submit(listener, &ops[0]) == PA_PENDING && submit(listener, &ops[1]) == PA_PENDING);
    for (int i = 0; i < 2; i++) {
        int client = client_of(&name);
        struct sockaddr_in its = address_of(client);
        CHECK(take(&w) == &ops[i] && ops[i].status == 0 && ops[i].accepted >= 0);
        CHECK(((struct sockaddr_in *)&ops[i].address)->sin_port == its.sin_port);
        close(ops[i].accepted);
        close(client);
    }
    drop(listener);
    close_world(&w);
}

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
static atomic_int accepts_in_vain;

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int accepted = __real_accept4(fd, address, length, flags);
    if (accepted < 0)
        atomic_fetch_add(&accepts_in_vain, 1);
    return accepted;
}

static void after_a_lone_caller_no_accept_is_tried_in_vain_and_several_are_served_at_once(void)
{
    world w = open_world(1, -1, false);
    struct sockaddr_in name;
    pa_socket *listener = listening(&w, &name);
    pa_op ops[5];
    for (int i = 0; i < 5; i++) {
        ops[i] = make_op(PA_ACCEPT, NULL, 0);
        CHECK(submit(listener, &ops[i]) == PA_PENDING);
    }
    int before = atomic_load(&accepts_in_vain);
    int clients[4] = {client_of(&name)};
    CHECK(take(&w) == &ops[0]);
    CHECK(atomic_load(&accepts_in_vain) == before);
    for (int i = 1; i < 4; i++)
        clients[i] = client_of(&name);
    pa_engine_poll_now(w.engine);
    pa_port_statistics counts;
    pa_port_statistics_get(w.port, &counts);
    CHECK(counts.queued == 3);
    for (int i = 1; i < 4; i++)
        CHECK(take(&w) == &ops[i] && ops[i].accepted >= 0);
    for (int i = 0; i < 4; i++)
        close(clients[i]), close(ops[i].accepted);
    drop(listener);
    CHECK(take(&w) == &ops[4] && ops[4].status == STATUS_CANCELLED);
    close_world(&w);
}

static void an_acceptor_becomes_the_connection_under_its_own_descriptor(void)
{
    world w = open_world(1, -1, false);
    struct sockaddr_in name;
    char byte;
    pa_socket *listener = listening(&w, &name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    pa_socket *acceptor = attached(&w, fd, 0);
    pa_op op = make_op(PA_ACCEPT, NULL, 0), twice = op;
    op.acceptor = twice.acceptor = acceptor;
    CHECK(submit(listener, &op) == PA_PENDING);
    CHECK(submit(listener, &twice) == PA_REFUSED && twice.status == STATUS_INVALID_PARAMETER);
    CHECK(pa_socket_flags(acceptor) & PA_RESERVED);
    int client = client_of(&name);
    CHECK(take(&w) == &op && op.status == 0 && op.accepted == -1);
    CHECK(pa_socket_fd(acceptor) == fd);
    CHECK((pa_socket_flags(acceptor) & (PA_CONNECTED | PA_RESERVED)) == PA_CONNECTED);
    pa_op recv_op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(acceptor, &recv_op) == PA_PENDING);
    CHECK(send(client, "x", 1, 0) == 1);
    CHECK(take(&w) == &recv_op && byte == 'x');
    close(client);
    drop(acceptor);
    drop(listener);
    close_world(&w);
}

/* With an acceptor of the user's, and with one that the core makes. */
static void accept_with_first_data_waits_for_it_and_a_silent_client_delays_nobody(void)
{
    for (int round = 0; round < 4; round++) {
        world w = open_world(1, -1, round & 1);
        struct sockaddr_in name;
        char into[2][8];
        pa_op ops[2];
        pa_socket *acceptors[2] = {NULL, NULL};
        pa_socket *listener = listening(&w, &name);
        for (int i = 0; i < 2; i++) {
            ops[i] = make_op(PA_ACCEPT, into[i], 8);
            if (round & 2)
                acceptors[i] = attached(&w, socket(AF_INET, SOCK_STREAM, 0), 0);
            ops[i].acceptor = acceptors[i];
            CHECK(submit(listener, &ops[i]) == PA_PENDING);
        }
        int silent = client_of(&name);
        int eager = client_of(&name);
        CHECK(take_within(w.port, w.self, 30 * MS) == NULL);
        CHECK(send(eager, "hi", 2, 0) == 2);
        CHECK(take(&w) == &ops[1] && ops[1].transferred == 2 && memcmp(into[1], "hi", 2) == 0);
        if (round & 2)
            CHECK(pa_socket_flags(acceptors[1]) & PA_CONNECTED);
        else
            CHECK(ops[1].accepted >= 0 && send(ops[1].accepted, "x", 1, 0) == 1);
        CHECK(pa_cancel(listener, &ops[0]) == 1);
        CHECK(take(&w) == &ops[0] && ops[0].status == STATUS_CANCELLED && ops[0].accepted == -1);
        for (int i = 0; i < 2; i++)
            if (acceptors[i])
                drop(acceptors[i]);
        if (ops[1].accepted >= 0)
            close(ops[1].accepted);
        close(silent);
        close(eager);
        drop(listener);
        close_world(&w);
    }
}

static void first_data_may_be_there_already_or_be_a_fin_or_a_reset(void)
{
    world w = open_world(1, -1, false);
    struct sockaddr_in name;
    char into[8];
    pa_socket *listener = listening(&w, &name);
    int client = client_of(&name);
    CHECK(send(client, "abc", 3, 0) == 3);
    pa_op op = make_op(PA_ACCEPT, into, 8);
    pa_answer answer = submit(listener, &op);
    CHECK(answer == PA_DONE && take(&w) == &op && op.transferred == 3);
    close(client);
    close(op.accepted);
    client = client_of(&name);
    close(client);
    op = make_op(PA_ACCEPT, into, 8);
    CHECK(submit(listener, &op) != PA_REFUSED && take(&w) == &op);
    CHECK(op.status == 0 && op.transferred == 0);
    close(op.accepted);
    client = client_of(&name);
    op = make_op(PA_ACCEPT, into, 8);
    CHECK(submit(listener, &op) == PA_PENDING);
    reset_and_close(client);
    CHECK(take(&w) == &op && op.status == STATUS_CONNECTION_RESET && op.accepted == -1);
    CHECK(!(pa_socket_flags(listener) & PA_RESET));
    op = make_op(PA_ACCEPT, NULL, 0);   /* The listener lives on. */
    CHECK(submit(listener, &op) == PA_PENDING);
    client = client_of(&name);
    CHECK(take(&w) == &op && op.accepted >= 0);
    close(op.accepted);
    close(client);
    drop(listener);
    close_world(&w);
}

static void closing_a_listener_or_an_acceptor_ends_the_accept(void)
{
    for (int connected = 0; connected < 2; connected++)
        for (int which = 0; which < 2; which++) {
            world w = open_world(1, -1, false);
            struct sockaddr_in name;
            char into[8];
            int client = -1;
            pa_socket *listener = listening(&w, &name);
            pa_socket *acceptor = attached(&w, socket(AF_INET, SOCK_STREAM, 0), 0);
            pa_op op = make_op(PA_ACCEPT, into, 8);
            op.acceptor = acceptor;
            CHECK(submit(listener, &op) == PA_PENDING);
            if (connected) {
                client = client_of(&name);
                CHECK(take_within(w.port, w.self, 20 * MS) == NULL);
            }
            pa_socket_close(which ? listener : acceptor, false);
            CHECK(take(&w) == &op && op.status == STATUS_CANCELLED);
            CHECK(!(pa_socket_flags(acceptor) & PA_RESERVED));
            drop(acceptor);
            drop(listener);
            if (client >= 0)
                close(client);
            close_world(&w);
        }
}

static void a_refused_connect_may_be_tried_again(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        struct sockaddr_in name;
        char got[4];
        int other = bound_socket(SOCK_STREAM);
        name = address_of(other);   /* Bound, but it does not listen yet. */
        pa_socket *s = attached(&w, bound_socket(SOCK_STREAM), 0);
        for (int i = 0; i < 2; i++) {
            pa_op op = make_op(PA_CONNECT, NULL, 0);
            set_address(&op, &name);
            CHECK(submit(s, &op) == PA_PENDING);
            CHECK(take(&w) == &op && op.status == STATUS_CONNECTION_REFUSED);
            CHECK(pa_socket_connect_error(s) == ECONNREFUSED);
        }
        MUST(listen(other, 4) == 0);
        pa_op op = make_op(PA_CONNECT, "data", 4);
        set_address(&op, &name);
        CHECK(submit(s, &op) == PA_PENDING);
        CHECK(take(&w) == &op && op.status == 0 && op.transferred == 4);
        CHECK(pa_socket_flags(s) & PA_CONNECTED && pa_socket_connect_error(s) == 0);
        op = make_op(PA_CONNECT, NULL, 0);
        set_address(&op, &name);
        CHECK(submit(s, &op) == PA_REFUSED && op.status == STATUS_CONNECTION_ACTIVE);
        int peer = accept(other, NULL, NULL);
        read_exactly(peer, got, 4);
        CHECK(memcmp(got, "data", 4) == 0);
        close(peer);
        close(other);
        drop(s);
        close_world(&w);
    }
}

static void a_synchronous_connect_needs_no_bind(void)
{
    world w = open_world(1, -1, false);
    struct sockaddr_in name;
    pa_socket *listener = listening(&w, &name);
    pa_socket *s = attached(&w, socket(AF_INET, SOCK_STREAM, 0), 0);
    pa_op op = make_op(PA_CONNECT, NULL, 0);
    set_address(&op, &name);
    op.synchronous = true;
    CHECK(attempt_only(s, &op) == PA_PENDING);
    CHECK(pa_socket_flags(s) & (PA_CONNECTING | PA_CONNECTED));
    for (int i = 0; i < 1000 && pa_socket_flags(s) & PA_CONNECTING; i++)
        CHECK(pa_socket_connect_error(s) == 0);
    CHECK(pa_socket_flags(s) & PA_CONNECTED);
    int fd = bound_socket(SOCK_DGRAM);
    name = address_of(fd);
    pa_socket *udp = attached(&w, socket(AF_INET, SOCK_DGRAM, 0), PA_DATAGRAM);
    for (int i = 0; i < 2; i++) {
        op = make_op(PA_CONNECT, NULL, 0);
        set_address(&op, &name);
        op.synchronous = true;
        CHECK(attempt_only(udp, &op) == PA_DONE && op.status == 0);
    }
    op = make_op(PA_SEND, "x", 1);
    CHECK(attempt_only(udp, &op) == PA_DONE);
    close(fd);
    drop(udp);
    drop(s);
    drop(listener);
    close_world(&w);
}

static void a_disconnected_socket_is_fit_for_another_connection(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        struct sockaddr_in name;
        char got[8];
        int listener = bound_socket(SOCK_STREAM);
        name = address_of(listener);
        MUST(listen(listener, 4) == 0);
        int fd = bound_socket(SOCK_STREAM);
        pa_socket *s = attached(&w, fd, 0);
        for (int round = 0; round < 3; round++) {
            pa_op op = make_op(PA_CONNECT, NULL, 0);
            set_address(&op, &name);
            CHECK(submit(s, &op) == PA_PENDING && take(&w) == &op && op.status == 0);
            int peer = accept(listener, NULL, NULL);
            pa_op sent = make_op(PA_SEND, "bye", 3), end = make_op(PA_DISCONNECT, NULL, 0);
            CHECK(submit(s, &sent) == PA_DONE && take(&w) == &sent);
            end.flags = PA_REUSE;
            CHECK(submit(s, &end) == PA_PENDING);
            CHECK(take_within(w.port, w.self, 20 * MS) == NULL);   /* The peer's FIN is missing. */
            read_exactly(peer, got, 3);
            CHECK(recv(peer, got, 1, 0) == 0);
            CHECK(send(peer, "dropped", 7, 0) == 7);
            close(peer);
            CHECK(take(&w) == &end && end.status == 0);
            uint32_t flags = pa_socket_flags(s);
            CHECK(flags & PA_RENEWED && !(flags & (PA_CONNECTED | PA_SEND_SHUT)));
            CHECK(pa_socket_fd(s) == fd);
        }
        close(listener);
        drop(s);
        close_world(&w);
    }
}

static void a_plain_disconnect_sends_fin_after_what_is_queued(void)
{
    world w = open_world(1, -1, false);
    int client, server, small = 65536;
    size_t length = 16 << 20, at = 0;
    char *data = calloc(1, length), scrap[65536];
    tcp_pair(&client, &server);
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fcntl(client, F_SETFL, O_NONBLOCK);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op sent = make_op(PA_SEND, data, length), end = make_op(PA_DISCONNECT, NULL, 0);
    CHECK(submit(s, &sent) == PA_PENDING && submit(s, &end) == PA_PENDING);
    for (int64_t until = pa_now() + 30 * SECOND; pa_now() < until;) {
        pa_engine_turn(w.engine, MS);
        ssize_t count = recv(client, scrap, sizeof scrap, 0);
        if (count == 0)
            break;
        at += count > 0 ? (size_t)count : 0;
    }
    CHECK(at == length);
    CHECK(take(&w) == &sent && take(&w) == &end && end.status == 0);
    free(data);
    close(client);
    drop(s);
    close_world(&w);
}

static const test_case tests[] = {
    {"accepts are served in order", accepts_are_served_in_order},
    {"after a lone caller no accept is tried in vain and several are served at once",
     after_a_lone_caller_no_accept_is_tried_in_vain_and_several_are_served_at_once},
    {"an acceptor becomes the connection under its own descriptor",
     an_acceptor_becomes_the_connection_under_its_own_descriptor},
    {"accept with first data waits for it, and a silent client delays nobody",
     accept_with_first_data_waits_for_it_and_a_silent_client_delays_nobody},
    {"first data may be there already, or be a FIN, or a reset",
     first_data_may_be_there_already_or_be_a_fin_or_a_reset},
    {"closing a listener or an acceptor ends the accept",
     closing_a_listener_or_an_acceptor_ends_the_accept},
    {"a refused connect may be tried again", a_refused_connect_may_be_tried_again},
    {"a synchronous connect needs no bind", a_synchronous_connect_needs_no_bind},
    {"a disconnected socket is fit for another connection",
     a_disconnected_socket_is_fit_for_another_connection},
    {"a plain disconnect sends FIN after what is queued",
     a_plain_disconnect_sends_fin_after_what_is_queued},
};

MAIN(tests)
