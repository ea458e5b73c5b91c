/* Each operation of prep.h does what its name says, on real sockets of this machine. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"
#include "prep.h"

enum { ON_ACCEPT = 1, ON_CONNECT, ON_SEND, ON_RECV, ON_POLL, ON_SHUTDOWN, ON_CANCEL };

/* A listener on the loopback at a free port, with its address. */
static int listener(struct sockaddr_in *address) {
    socklen_t bytes = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd, (struct sockaddr *)address, sizeof *address);
    listen(fd, 16);
    getsockname(fd, (struct sockaddr *)address, &bytes);
    return fd;
}

static int client(void) { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }

static void an_accept_meets_a_connect_and_tells_the_peer(void) {
    struct ring ring;
    struct uring_cqe cqes[2];
    struct sockaddr_in address, peer = {0}, own;
    socklen_t peer_bytes = sizeof peer, own_bytes = sizeof own;
    if (!open_ring(&ring, 8, 16)) return;
    int server = listener(&address), caller = client();
    prep_accept(ring_request(&ring), server, (struct sockaddr *)&peer, &peer_bytes, SOCK_CLOEXEC,
                ON_ACCEPT);
    prep_connect(ring_request(&ring), caller, (struct sockaddr *)&address, sizeof address,
                 ON_CONNECT);

    CHECK(reap(&ring, cqes, 2));

    int accepted = of(cqes, 2, ON_ACCEPT).res;
    CHECK(accepted >= 0 && of(cqes, 2, ON_CONNECT).res == 0);
    CHECK(getsockname(caller, (struct sockaddr *)&own, &own_bytes) == 0);
    CHECK(peer_bytes == sizeof peer && peer.sin_port == own.sin_port);
    close(accepted);
    close(caller);
    close(server);
    ring_close(&ring);
}

static void one_multishot_accept_takes_many_until_it_is_cancelled(void) {
    struct ring ring;
    struct uring_cqe cqes[2];
    struct sockaddr_in address;
    if (!open_ring(&ring, 8, 16)) return;
    int server = listener(&address);
    prep_accept_multishot(ring_request(&ring), server, SOCK_CLOEXEC, ON_ACCEPT);
    for (unsigned index = 0; index < 3; index++) {
        int caller = client();
        prep_connect(ring_request(&ring), caller, (struct sockaddr *)&address, sizeof address,
                     ON_CONNECT);
        CHECK(reap(&ring, cqes, 2));
        struct uring_cqe accepted = of(cqes, 2, ON_ACCEPT);
        CHECK(accepted.res >= 0 && accepted.flags & URING_CQE_F_MORE);
        close(accepted.res);
        close(caller);
    }
    prep_cancel(ring_request(&ring), ON_ACCEPT, ON_CANCEL);

    CHECK(reap(&ring, cqes, 2));

    CHECK(of(cqes, 2, ON_ACCEPT).res == -ECANCELED);
    CHECK(!(of(cqes, 2, ON_ACCEPT).flags & URING_CQE_F_MORE));
    close(server);
    ring_close(&ring);
}

static void a_refused_connect_says_so(void) {
    struct ring ring;
    struct uring_cqe cqe;
    struct sockaddr_in address;
    if (!open_ring(&ring, 8, 16)) return;
    int server = listener(&address), caller = client();
    close(server);
    prep_connect(ring_request(&ring), caller, (struct sockaddr *)&address, sizeof address,
                 ON_CONNECT);

    CHECK(reap(&ring, &cqe, 1));

    CHECK(cqe.res == -ECONNREFUSED);
    close(caller);
    ring_close(&ring);
}

static void bytes_that_are_sent_are_received(void) {
    struct ring ring;
    struct uring_cqe cqes[2];
    char room[16] = "";
    int pair[2];
    if (!open_ring(&ring, 8, 16)) return;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    prep_recv(ring_request(&ring), pair[0], room, sizeof room, 0, ON_RECV);
    prep_send(ring_request(&ring), pair[1], "hello", 5, MSG_WAITALL | MSG_NOSIGNAL, ON_SEND);

    CHECK(reap(&ring, cqes, 2));

    CHECK(of(cqes, 2, ON_SEND).res == 5 && of(cqes, 2, ON_RECV).res == 5);
    CHECK(memcmp(room, "hello", 6) == 0);
    close(pair[0]);
    close(pair[1]);
    ring_close(&ring);
}

static void messages_are_gathered_and_scattered(void) {
    struct ring ring;
    struct uring_cqe cqes[2];
    char first[4], second[8];
    int pair[2];
    struct iovec parts[] = {{"ab", 2}, {"cdefg", 5}};
    struct iovec rooms[] = {{first, sizeof first}, {second, sizeof second}};
    struct msghdr outgoing = {.msg_iov = parts, .msg_iovlen = 2};
    struct msghdr incoming = {.msg_iov = rooms, .msg_iovlen = 2};
    if (!open_ring(&ring, 8, 16)) return;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    prep_recvmsg(ring_request(&ring), pair[0], &incoming, 0, ON_RECV);
    prep_sendmsg(ring_request(&ring), pair[1], &outgoing, MSG_WAITALL | MSG_NOSIGNAL, ON_SEND);

    CHECK(reap(&ring, cqes, 2));

    CHECK(of(cqes, 2, ON_SEND).res == 7 && of(cqes, 2, ON_RECV).res == 7);
    CHECK(memcmp(first, "abcd", 4) == 0 && memcmp(second, "efg", 3) == 0);
    close(pair[0]);
    close(pair[1]);
    ring_close(&ring);
}

static void a_poll_completes_when_data_comes(void) {
    struct ring ring;
    struct uring_cqe cqe;
    int pair[2];
    if (!open_ring(&ring, 8, 16)) return;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    prep_poll_add(ring_request(&ring), pair[0], POLLIN, ON_POLL);
    CHECK(stays_quiet(&ring));

    CHECK(write(pair[1], "x", 1) == 1);

    CHECK(reap(&ring, &cqe, 1) && cqe.user_data == ON_POLL && cqe.res & POLLIN);
    close(pair[0]);
    close(pair[1]);
    ring_close(&ring);
}

static void a_shutdown_ends_a_receive_with_nothing_and_a_close_does_not(void) {
    /* Goal: the fact on which closing rests. An armed receive holds the socket: close alone ends
     * nothing, and the peer is not told. */
    struct ring ring;
    struct uring_cqe cqes[2];
    char room[4];
    int pair[2];
    if (!open_ring(&ring, 8, 16)) return;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    int same = dup(pair[0]);
    prep_recv(ring_request(&ring), pair[0], room, sizeof room, 0, ON_RECV);
    CHECK(stays_quiet(&ring));
    close(pair[0]);
    CHECK(stays_quiet(&ring));
    prep_shutdown(ring_request(&ring), same, SHUT_RDWR, ON_SHUTDOWN);

    CHECK(reap(&ring, cqes, 2));

    CHECK(of(cqes, 2, ON_SHUTDOWN).res == 0 && of(cqes, 2, ON_RECV).res == 0);
    CHECK(recv(pair[1], room, sizeof room, MSG_DONTWAIT) == 0);
    close(same);
    close(pair[1]);
    ring_close(&ring);
}

RUN_TESTS(TEST(an_accept_meets_a_connect_and_tells_the_peer),
          TEST(one_multishot_accept_takes_many_until_it_is_cancelled),
          TEST(a_refused_connect_says_so), TEST(bytes_that_are_sent_are_received),
          TEST(messages_are_gathered_and_scattered), TEST(a_poll_completes_when_data_comes),
          TEST(a_shutdown_ends_a_receive_with_nothing_and_a_close_does_not))
