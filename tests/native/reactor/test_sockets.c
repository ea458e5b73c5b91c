/* Streams and datagrams: order, short sends, refusals, reset, cancel, close. */
#include "harness.h"

static pa_socket *attached(world *w, int fd, uint32_t flags)
{
    pa_socket *socket = pa_socket_new(w->engine, fd, flags, NULL);
    MUST(pa_socket_attach(socket, w->port, (void *)0x1234) == 0);
    return socket;
}

static void drop(pa_socket *socket)
{
    pa_socket_close(socket, false);
    pa_socket_release(socket);
}

static void receives_are_filled_in_order(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        int client, server;
        tcp_pair(&client, &server);
        pa_socket *s = attached(&w, server, PA_CONNECTED);
        char into[3][4];
        pa_op ops[3];
        for (int i = 0; i < 3; i++) {
            ops[i] = make_op(PA_RECV, into[i], 4);
            CHECK(submit(s, &ops[i]) == PA_PENDING);
        }
        CHECK(send(client, "aaaabbbbcccc", 12, 0) == 12);
        for (int i = 0; i < 3; i++) {
            pa_op *op = take(&w);
            CHECK(op == &ops[i]);
            CHECK(op && op->status == 0 && op->transferred == 4);
            CHECK(op && pa_op_key(op) == (void *)0x1234);
        }
        CHECK(memcmp(into, "aaaabbbbcccc", 12) == 0);
        close(client);
        drop(s);
        close_world(&w);
    }
}

static void a_receive_at_once_is_done_and_queued_unless_skipped(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char byte;
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    CHECK(send(client, "xy", 2, 0) == 2);
    poll(&(struct pollfd){server, POLLIN, 0}, 1, 1000);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_DONE && op.transferred == 1 && !(op.result_flags & PA_NO_PACKET));
    CHECK(take(&w) == &op);
    pa_socket_set_skip_on_success(s);
    op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_DONE && op.result_flags & PA_NO_PACKET);
    CHECK(take_within(w.port, w.self, 20 * MS) == NULL);
    /* Without a port there is no packet either; later completions come out of the default port. */
    int other[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
    pa_socket *bare = pa_socket_new(w.engine, other[0], PA_CONNECTED, NULL);
    op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(bare, &op) == PA_PENDING);
    CHECK(send(other[1], "z", 1, 0) == 1);
    CHECK(take_within(w.fallback, w.self, SECOND) == &op && byte == 'z');
    /* Suppressed: not to the user's port. */
    op = make_op(PA_RECV, &byte, 1);
    op.suppress_packet = true;
    CHECK(submit(s, &op) == PA_PENDING);
    CHECK(send(client, "q", 1, 0) == 1);
    CHECK(take_within(w.fallback, w.self, SECOND) == &op && byte == 'q');
    close(other[1]);
    close(client);
    drop(bare);
    drop(s);
    close_world(&w);
}

static void a_zero_byte_receive_waits_and_leaves_the_data(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char byte, nothing;
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op op = make_op(PA_RECV, &nothing, 0);
    CHECK(submit(s, &op) == PA_PENDING);
    CHECK(send(client, "x", 1, 0) == 1);
    CHECK(take(&w) == &op && op.status == 0 && op.transferred == 0);
    pa_op again = make_op(PA_RECV, &byte, 1);
    CHECK(attempt_only(s, &again) == PA_DONE && byte == 'x');
    CHECK(attempt_only(s, &again) == PA_PENDING);
    close(client);
    drop(s);
    close_world(&w);
}

enum { BIG = 8 << 20 };

typedef struct {
    int fd;
    unsigned char *into;
} slow_reader;

static void *read_slowly(void *argument)
{
    slow_reader *reader = argument;
    for (size_t at = 0; at < 2 * (size_t)BIG;) {
        ssize_t count = recv(reader->fd, reader->into + at, 300000, 0);
        MUST(count > 0);
        at += (size_t)count;
        if (at % 13 == 0)
            usleep(100);
    }
    return NULL;
}

static void two_large_sends_do_not_interleave(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        int client, server, small = 65536;
        tcp_pair(&client, &server);
        setsockopt(server, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        pa_socket *s = attached(&w, server, PA_CONNECTED);
        unsigned char *sent = malloc(2 * (size_t)BIG), *got = malloc(2 * (size_t)BIG);
        for (size_t i = 0; i < 2 * (size_t)BIG; i++)
            sent[i] = (unsigned char)(i * 2654435761u >> 24);
        slow_reader reader = {client, got};
        pa_op first = make_op(PA_SEND, sent, BIG);
        pa_op second = make_op(PA_SEND, sent + BIG, BIG / 2);
        second.inline_iov[1] = (struct iovec){sent + BIG + BIG / 2, BIG / 4};
        second.inline_iov[2] = (struct iovec){sent, 0};
        second.inline_iov[3] = (struct iovec){sent + BIG + BIG / 2 + BIG / 4, BIG / 4};
        second.iov_count = 4;
        CHECK(submit(s, &first) == PA_PENDING);
        pthread_t thread = start_thread(read_slowly, &reader);
        /* There is room again, and nobody has sent on: the second must wait all the same. */
        poll(&(struct pollfd){server, POLLOUT, 0}, 1, threaded ? 0 : 5000);
        CHECK(submit(s, &second) == PA_PENDING);
        CHECK(take_within(w.port, w.self, 60 * SECOND) == &first);
        CHECK(take_within(w.port, w.self, 60 * SECOND) == &second);
        CHECK(first.transferred == BIG && second.transferred == BIG);
        pthread_join(thread, NULL);
        CHECK(memcmp(sent, got, 2 * (size_t)BIG) == 0);
        close(client);
        drop(s);
        close_world(&w);
        free(sent);
        free(got);
    }
}

static void a_tried_send_is_never_short_and_survives_the_close(void)
{
    world w = open_world(1, -1, false);
    int client, server, small = 65536;
    tcp_pair(&client, &server);
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    unsigned char *sent = malloc(BIG), *got = malloc(2 * (size_t)BIG);
    for (size_t i = 0; i < BIG; i++)
        sent[i] = (unsigned char)(i * 40503u >> 8);
    pa_op op = make_op(PA_SEND, sent, BIG);
    CHECK(attempt_only(s, &op) == PA_DONE && op.transferred == BIG);
    pa_op next = make_op(PA_SEND, sent, 1);
    CHECK(attempt_only(s, &next) == PA_PENDING);
    CHECK(pa_socket_flags(s) & PA_WRITES_QUEUED);
    memset(sent, 0, 1);
    CHECK(pa_socket_shutdown(s, SHUT_WR) == 0);
    drop(s);   /* The rest and the FIN follow all the same. */
    size_t at = 0;
    fcntl(client, F_SETFL, O_NONBLOCK);
    for (int64_t until = pa_now() + 20 * SECOND; pa_now() < until;) {
        pa_engine_turn(w.engine, MS);
        ssize_t count = recv(client, got + at, BIG, 0);
        if (count == 0)
            break;
        at += count > 0 ? (size_t)count : 0;
    }
    CHECK(at == BIG);
    sent[0] = got[0];
    CHECK(memcmp(sent, got, BIG) == 0);
    close(client);
    close_world(&w);
    free(sent);
    free(got);
}

static void a_reset_is_latched_and_fails_what_waits(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char into[2];
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op ops[2] = {make_op(PA_RECV, &into[0], 1), make_op(PA_RECV, &into[1], 1)};
    CHECK(submit(s, &ops[0]) == PA_PENDING && submit(s, &ops[1]) == PA_PENDING);
    reset_and_close(client);
    CHECK(take(&w) == &ops[0] && ops[0].status == STATUS_CONNECTION_RESET);
    CHECK(take(&w) == &ops[1] && ops[1].status == STATUS_CONNECTION_RESET);
    for (int i = 0; i < 3; i++) {
        pa_op again = make_op(i % 2 ? PA_SEND : PA_RECV, into, 1);
        CHECK(submit(s, &again) == PA_REFUSED && again.status == STATUS_CONNECTION_RESET);
    }
    CHECK(pa_socket_flags(s) & PA_RESET);
    drop(s);
    close_world(&w);
}

static void refusals_are_winsocks(void)
{
    world w = open_world(1, -1, false);
    char byte;
    struct sockaddr_in name = loopback(1);
    pa_socket *fresh = attached(&w, socket(AF_INET, SOCK_STREAM, 0), 0);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(fresh, &op) == PA_REFUSED && op.status == STATUS_INVALID_CONNECTION);
    op = make_op(PA_CONNECT, NULL, 0);
    set_address(&op, &name);
    CHECK(submit(fresh, &op) == PA_REFUSED && op.status == STATUS_INVALID_PARAMETER);
    op = make_op(PA_ACCEPT, NULL, 0);
    CHECK(submit(fresh, &op) == PA_REFUSED && op.status == STATUS_INVALID_PARAMETER);
    CHECK(pa_socket_shutdown(fresh, SHUT_WR) == -ENOTCONN);
    CHECK(pa_socket_attach(fresh, w.port, NULL) == -EEXIST);
    int client, server;
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    CHECK(pa_socket_shutdown(s, 7) == -EINVAL);
    CHECK(pa_socket_shutdown(s, SHUT_RDWR) == 0);
    op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_REFUSED && op.status == STATUS_PIPE_DISCONNECTED);
    op = make_op(PA_SEND, &byte, 1);
    CHECK(submit(s, &op) == PA_REFUSED && op.status == STATUS_PIPE_DISCONNECTED);
    pa_socket_close(s, false);
    pa_socket_close(s, false);
    op = make_op(PA_SEND, &byte, 1);
    CHECK(submit(s, &op) == PA_REFUSED && op.status == STATUS_INVALID_HANDLE);
    pa_socket *udp = attached(&w, socket(AF_INET, SOCK_DGRAM, 0), PA_DATAGRAM);
    op = make_op(PA_RECV_FROM, &byte, 1);
    CHECK(submit(udp, &op) == PA_REFUSED && op.status == STATUS_INVALID_PARAMETER);
    op = make_op(PA_SEND, &byte, 1);
    CHECK(submit(udp, &op) == PA_REFUSED && op.status == STATUS_INVALID_CONNECTION);
    close(client);
    pa_socket_release(s);
    drop(udp);
    drop(fresh);
    close_world(&w);
}

static void a_pending_receive_outlives_shutdown_of_receiving(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char byte;
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING);
    CHECK(pa_socket_shutdown(s, SHUT_RD) == 0);
    CHECK(take_within(w.port, w.self, 50 * MS) == NULL);
    CHECK(send(client, "x", 1, 0) == 1);
    CHECK(take(&w) == &op && op.transferred == 1);
    close(client);
    drop(s);
    close_world(&w);
}

static void cancel_and_close_hand_out_each_operation_once(void)
{
    for (int threaded = 0; threaded < 2; threaded++) {
        world w = open_world(1, -1, threaded);
        int client, server;
        char into[3];
        tcp_pair(&client, &server);
        pa_socket *s = attached(&w, server, PA_CONNECTED);
        pa_op ops[3];
        for (int i = 0; i < 3; i++) {
            ops[i] = make_op(PA_RECV, &into[i], 1);
            ops[i].issuer = &into[i];
            CHECK(submit(s, &ops[i]) == PA_PENDING);
        }
        CHECK(pa_cancel(s, &ops[1]) == 1);
        CHECK(take(&w) == &ops[1] && ops[1].status == STATUS_CANCELLED);
        CHECK(pa_cancel(s, &ops[1]) == 0);
        CHECK(pa_cancel_issued_by(s, &into[2]) == 1);
        CHECK(take(&w) == &ops[2] && ops[2].status == STATUS_CANCELLED);
        pa_socket_close(s, false);
        CHECK(take(&w) == &ops[0] && ops[0].status == STATUS_CANCELLED);
        CHECK(take_within(w.port, w.self, 20 * MS) == NULL);
        pa_socket_release(s);
        close(client);
        close_world(&w);
    }
}

static void datagrams_are_whole_and_truncation_is_a_warning(void)
{
    world w = open_world(1, -1, false);
    char into[4];
    int fd = bound_socket(SOCK_DGRAM), peer = bound_socket(SOCK_DGRAM);
    struct sockaddr_in name = address_of(fd), from = address_of(peer);
    pa_socket *s = attached(&w, fd, PA_DATAGRAM);
    pa_op op = make_op(PA_RECV_FROM, into, 4);
    CHECK(submit(s, &op) == PA_PENDING);
    sendto(peer, "abc", 3, 0, (struct sockaddr *)&name, sizeof name);
    CHECK(take(&w) == &op && op.transferred == 3);
    CHECK(((struct sockaddr_in *)&op.address)->sin_port == from.sin_port);
    sendto(peer, "abcdef", 6, 0, (struct sockaddr *)&name, sizeof name);
    poll(&(struct pollfd){fd, POLLIN, 0}, 1, 1000);
    op = make_op(PA_RECV_FROM, into, 4);
    CHECK(submit(s, &op) == PA_DONE && op.status == STATUS_BUFFER_OVERFLOW);
    CHECK(op.transferred == 4 && op.result_flags & PA_TRUNCATED);
    CHECK(take(&w) == &op);
    op = make_op(PA_SEND_TO, "hi", 2);
    set_address(&op, &from);
    CHECK(submit(s, &op) == PA_DONE && take(&w) == &op && op.transferred == 2);
    CHECK(recv(peer, into, 4, 0) == 2);
    close(peer);
    drop(s);
    close_world(&w);
}

static void an_unreachable_port_fails_the_next_receive_without_spinning(void)
{
    world w = open_world(1, -1, false);
    char into[4];
    int fd = bound_socket(SOCK_DGRAM), gone = bound_socket(SOCK_DGRAM);
    struct sockaddr_in name = address_of(gone);
    pa_engine_statistics before, after;
    close(gone);
    pa_socket *s = attached(&w, fd, PA_DATAGRAM);
    int living = bound_socket(SOCK_DGRAM);
    struct sockaddr_in its = address_of(living);
    for (int i = 0; i < 3; i++) {   /* The later sends meet the answers to the earlier ones. */
        pa_op op = make_op(PA_SEND_TO, "hi", 2);
        set_address(&op, i < 2 ? &name : &its);
        CHECK(submit(s, &op) == PA_DONE);
        CHECK(take(&w) == &op && op.status == 0);
    }
    pa_op op = make_op(PA_RECV_FROM, into, 4);
    pa_answer answer = submit(s, &op);
    if (answer == PA_PENDING)
        CHECK(take(&w) == &op);
    CHECK(op.status == STATUS_PORT_UNREACHABLE);
    close(living);
    op = make_op(PA_RECV_FROM, into, 4);
    CHECK(submit(s, &op) == PA_PENDING);
    pa_engine_statistics_get(w.engine, &before);
    CHECK(take_within(w.port, w.self, 50 * MS) == NULL);
    pa_engine_statistics_get(w.engine, &after);
    CHECK(after.turns - before.turns < 10);
    drop(s);
    CHECK(take(&w) == &op);
    close_world(&w);
}

static void data_that_nobody_receives_does_not_spin_the_reactor(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char byte;
    pa_engine_statistics before, after;
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING);
    CHECK(send(client, "xy", 2, 0) == 2);   /* More than is received. */
    CHECK(take(&w) == &op);
    pa_engine_statistics_get(w.engine, &before);
    CHECK(take_within(w.port, w.self, 50 * MS) == NULL);
    pa_engine_statistics_get(w.engine, &after);
    CHECK(after.turns - before.turns < 10);
    op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_DONE && byte == 'y' && take(&w) == &op);
    op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING && send(client, "z", 1, 0) == 1);
    CHECK(take(&w) == &op && byte == 'z');
    close(client);
    drop(s);
    close_world(&w);
}

static void a_file_goes_out_between_its_buffers(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char name[] = "/tmp/pa_file_XXXXXX", got[64] = {0};
    int file = mkstemp(name);
    unlink(name);
    CHECK(write(file, "0123456789", 10) == 10);
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op op = make_op(PA_TRANSMIT_FILE, "head:", 5);
    op.inline_iov[1] = (struct iovec){":tail", 5};
    op.iov_count = 2;
    op.head_count = 1;
    op.file = file;
    op.offset = 2;
    op.count = 6;
    CHECK(submit(s, &op) == PA_DONE && op.transferred == 16 && take(&w) == &op);
    read_exactly(client, got, 16);
    CHECK(strcmp(got, "head:234567:tail") == 0);
    op = make_op(PA_TRANSMIT_FILE, NULL, 0);
    op.file = file;
    CHECK(submit(s, &op) == PA_DONE && op.transferred == 10 && take(&w) == &op);
    close(file);
    close(client);
    drop(s);
    close_world(&w);
}

static void what_completes_on_a_closed_port_comes_out_of_the_default_port(void)
{
    world w = open_world(1, -1, false);
    int client, server;
    char byte;
    tcp_pair(&client, &server);
    pa_socket *s = attached(&w, server, PA_CONNECTED);
    pa_op op = make_op(PA_RECV, &byte, 1);
    CHECK(submit(s, &op) == PA_PENDING);
    pa_port_close(w.port, NULL, NULL);
    CHECK(send(client, "x", 1, 0) == 1);
    CHECK(take_within(w.fallback, w.self, SECOND) == &op && op.result_flags & PA_LOST);
    close(client);
    drop(s);
    close_world(&w);
}

static const test_case tests[] = {
    {"receives are filled in order", receives_are_filled_in_order},
    {"a receive at once is done and queued unless skipped",
     a_receive_at_once_is_done_and_queued_unless_skipped},
    {"a zero-byte receive waits and leaves the data", a_zero_byte_receive_waits_and_leaves_the_data},
    {"two large sends do not interleave", two_large_sends_do_not_interleave},
    {"a tried send is never short and survives the close",
     a_tried_send_is_never_short_and_survives_the_close},
    {"a reset is latched and fails what waits", a_reset_is_latched_and_fails_what_waits},
    {"refusals are Winsock's", refusals_are_winsocks},
    {"a pending receive outlives shutdown of receiving",
     a_pending_receive_outlives_shutdown_of_receiving},
    {"cancel and close hand out each operation once", cancel_and_close_hand_out_each_operation_once},
    {"datagrams are whole and truncation is a warning",
     datagrams_are_whole_and_truncation_is_a_warning},
    {"an unreachable port fails the next receive without spinning",
     an_unreachable_port_fails_the_next_receive_without_spinning},
    {"data that nobody receives does not spin the reactor",
     data_that_nobody_receives_does_not_spin_the_reactor},
    {"a file goes out between its buffers", a_file_goes_out_between_its_buffers},
    {"what completes on a closed port comes out of the default port",
     what_completes_on_a_closed_port_comes_out_of_the_default_port},
};

MAIN(tests)
