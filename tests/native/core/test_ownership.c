/* Giving a ring up: how an owner ends its receives with no byte lost, and what is left of them when
 * it ends without having done so. On these answers rests how streams change their owner. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "prep.h"
#include "sys.h"

enum { ON_RECV = 100, ON_ACCEPT = 200, ON_CANCEL = 300 };
enum { GROUP = 5, COUNT = 64, SIZE = 64, PAIRS = 4 };

struct desk {
    struct ring ring;
    struct buffers buffers;
    int near[PAIRS], far[PAIRS]; /* connections: the ring receives on `near` */
};

static int listener(struct sockaddr_in *address) {
    socklen_t bytes = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)address, sizeof *address) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &bytes) < 0)
        tell(FAILED, __FILE__, __LINE__, "no listener on the loopback");
    return fd;
}

static bool caller(const struct sockaddr_in *address, int *fd) {
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(*fd, (const struct sockaddr *)address, sizeof *address) == 0;
}

static bool open_pairs(struct desk *desk) {
    struct sockaddr_in address;
    int server = listener(&address);
    bool is_good = true;
    for (unsigned index = 0; index < PAIRS; index++) {
        is_good &= caller(&address, &desk->far[index]);
        desk->near[index] = accept4(server, NULL, NULL, SOCK_CLOEXEC);
        is_good &= desk->near[index] >= 0;
    }
    close(server);
    if (!is_good) tell(FAILED, __FILE__, __LINE__, "no connections over the loopback");
    return is_good;
}

static bool open_queues(struct desk *desk, bool incremental) {
    if (!open_ring(&desk->ring, 32, 256)) return false;
    int result = buffers_open(&desk->buffers, &desk->ring, GROUP, COUNT, SIZE, incremental);
    if (result < 0) tell(incremental ? SKIPPED : FAILED, __FILE__, __LINE__, strerror(-result));
    return result == 0;
}

static bool open_desk(struct desk *desk, bool incremental) {
    return open_queues(desk, incremental) && open_pairs(desk);
}

static void close_pairs(struct desk *desk) {
    for (unsigned index = 0; index < PAIRS; index++) {
        close(desk->near[index]);
        close(desk->far[index]);
    }
}

static void close_desk(struct desk *desk) {
    close_pairs(desk);
    buffers_close(&desk->buffers, &desk->ring);
    ring_close(&desk->ring);
}

/* Arm a multishot receive on each connection; they are waiting in the kernel when this returns. */
static bool arm(struct desk *desk) {
    for (unsigned index = 0; index < PAIRS; index++)
        prep_recv_multishot(ring_request(&desk->ring), desk->near[index], GROUP, ON_RECV + index);
    return ring_enter(&desk->ring, 0, 0) == PAIRS && !ring_ready(&desk->ring);
}

/* Wait up to 5 s until `fd` can be read, without reading it. */
static bool is_readable(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 5000) == 1 && entry.revents & POLLIN;
}

/* Send five bytes on each connection; they have come, and the ring knows, when this returns. */
static bool bytes_come(struct desk *desk) {
    for (unsigned index = 0; index < PAIRS; index++)
        if (write(desk->far[index], "bytes", 5) != 5 || !is_readable(desk->near[index]))
            return false;
    if (!(desk->ring.choice.setup_flags & URING_SETUP_TASKRUN_FLAG)) return true;
    int64_t deadline = sys_now() + 5000000000;
    while (!ring_must_enter(&desk->ring))
        if (sys_now() > deadline) return false;
    return true;
}

static bool bytes_are_in_the_socket(int fd) {
    char room[16];
    return recv(fd, room, sizeof room, MSG_DONTWAIT) == 5 && memcmp(room, "bytes", 5) == 0;
}

static bool all_bytes_are_in_the_sockets(const struct desk *desk) {
    for (unsigned index = 0; index < PAIRS; index++)
        if (!bytes_are_in_the_socket(desk->near[index])) return false;
    return true;
}

/* End every request of the ring by an enter that submits only; with `flags` 0 nothing is received
 * meanwhile. Returns what the kernel answers. */
static int cancel_all(struct ring *ring, uint32_t flags) {
    struct uring_sqe *sqe = ring_request(ring);
    prep_cancel(sqe, 0, ON_CANCEL);
    sqe->op_flags = URING_ASYNC_CANCEL_ANY | URING_ASYNC_CANCEL_ALL;
    atomic_store_explicit(ring->sq_tail, ring->sq_next, memory_order_release);
    return sys_uring_enter(ring->enter_fd, 1, 0, ring->enter_flags | flags, NULL, 0);
}

/* Say whether the ring's next completions are the end of each receive, and how many were ended. */
static bool every_receive_was_cancelled(struct desk *desk) {
    struct uring_cqe cqes[PAIRS + 1];
    if (!reap(&desk->ring, cqes, PAIRS + 1)) return false;
    for (unsigned index = 0; index < PAIRS; index++) {
        struct uring_cqe cqe = of(cqes, PAIRS + 1, ON_RECV + index);
        if (cqe.res != -ECANCELED || cqe.flags & (URING_CQE_F_MORE | URING_CQE_F_BUFFER))
            return false;
    }
    return of(cqes, PAIRS + 1, ON_CANCEL).res == PAIRS;
}

/* -- an owner that gives up in good order -- */

static void check_cancel(bool incremental, uint32_t flags) {
    struct desk desk;
    if (!open_desk(&desk, incremental)) return;
    CHECK(arm(&desk) && bytes_come(&desk));

    CHECK(cancel_all(&desk.ring, flags) == 1);

    CHECK(every_receive_was_cancelled(&desk));
    CHECK(stays_quiet(&desk.ring));
    CHECK(all_bytes_are_in_the_sockets(&desk));
    close_desk(&desk);
}

static void a_cancel_without_getevents_ends_receives_and_leaves_bytes_that_have_come(void) {
    check_cancel(false, 0);
}

static void the_same_of_buffers_that_are_used_up_in_pieces(void) { check_cancel(true, 0); }

static void the_same_in_an_enter_with_getevents_since_requests_go_first(void) {
    check_cancel(false, URING_ENTER_GETEVENTS);
}

static void an_enter_before_the_cancel_receives_what_has_come(void) {
    /* Goal: the counterpart, which shows that the bytes above were there to be taken. */
    struct desk desk;
    struct uring_cqe cqes[PAIRS];
    char byte;
    if (!open_desk(&desk, false)) return;
    CHECK(arm(&desk) && bytes_come(&desk));

    CHECK(reap(&desk.ring, cqes, PAIRS));

    for (unsigned index = 0; index < PAIRS; index++) {
        CHECK(of(cqes, PAIRS, ON_RECV + index).res == 5);
        CHECK(recv(desk.near[index], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    }
    CHECK(cancel_all(&desk.ring, 0) == 1 && every_receive_was_cancelled(&desk));
    close_desk(&desk);
}

static void the_completions_of_a_cancel_need_an_enter_with_getevents(void) {
    struct desk desk;
    if (!open_desk(&desk, false)) return;
    CHECK(arm(&desk) && bytes_come(&desk));

    CHECK(cancel_all(&desk.ring, 0) == 1);

    CHECK(ring_ready(&desk.ring) == 1); /* The cancel's own: it says how many. */
    CHECK(ring_completion(&desk.ring, 0)->user_data == ON_CANCEL);
    CHECK(every_receive_was_cancelled(&desk));
    close_desk(&desk);
}

static void received_before_the_cancel_and_left_after_it_are_all_of_the_bytes_in_order(void) {
    /* Method: more pieces than one turn of the kernel takes (it stops after some 32 receives and
     * goes on by itself), so that the cancel meets a receive in the middle of its work. */
    enum { BYTES = COUNT * SIZE };
    struct desk desk;
    static uint8_t sent[BYTES], got[BYTES];
    size_t count = 0;
    bool has_ended = false;
    if (!open_desk(&desk, false)) return;
    for (unsigned index = 0; index < BYTES; index++)
        sent[index] = (uint8_t)(index * 13 + index / 256);
    CHECK(arm(&desk));
    CHECK(write(desk.far[0], sent, BYTES) == BYTES && is_readable(desk.near[0]));

    CHECK(ring_enter(&desk.ring, 0, 0) == 0);
    CHECK(cancel_all(&desk.ring, 0) == 1);

    while (!has_ended) {
        struct uring_cqe cqe;
        uint8_t *bytes;
        uint16_t id;
        CHECK(reap(&desk.ring, &cqe, 1));
        if (cqe.user_data != ON_RECV) continue;
        has_ended = !(cqe.flags & URING_CQE_F_MORE);
        if (cqe.res <= 0) continue;
        buffers_take(&desk.buffers, &cqe, &bytes, &id);
        memcpy(got + count, bytes, (size_t)cqe.res);
        count += (size_t)cqe.res;
    }
    CHECK(count > 0);
    while (count < BYTES && is_readable(desk.near[0]))
        count += (size_t)recv(desk.near[0], got + count, BYTES - count, MSG_DONTWAIT);
    CHECK(count == BYTES && memcmp(got, sent, BYTES) == 0);
    close_desk(&desk);
}

static void a_cancelled_accept_leaves_the_connection_in_the_backlog(void) {
    struct ring ring;
    struct sockaddr_in address;
    struct uring_cqe cqes[2];
    int far;
    if (!open_ring(&ring, 8, 16)) return;
    int server = listener(&address);
    prep_accept_multishot(ring_request(&ring), server, SOCK_CLOEXEC, ON_ACCEPT);
    CHECK(ring_enter(&ring, 0, 0) == 1);
    CHECK(caller(&address, &far) && is_readable(server));

    CHECK(cancel_all(&ring, 0) == 1 && reap(&ring, cqes, 2));

    CHECK(of(cqes, 2, ON_ACCEPT).res == -ECANCELED);
    int near = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(near >= 0);
    close(near);
    close(far);
    close(server);
    ring_close(&ring);
}

/* -- an owner that ends -- */

static void *own_and_end(void *argument) {
    struct desk *desk = argument;
    return open_queues(desk, false) && arm(desk) ? desk : NULL;
}

static void *own_and_end_with_bytes_there(void *argument) {
    struct desk *desk = argument;
    return open_queues(desk, false) && arm(desk) && bytes_come(desk) ? desk : NULL;
}

static void *own_and_cancel_and_end(void *argument) {
    struct desk *desk = argument;
    bool is_good = open_queues(desk, false) && arm(desk) && bytes_come(desk);
    return is_good && cancel_all(&desk->ring, 0) == 1 ? desk : NULL;
}

/* Let a thread own the ring of `desk` and end; false where the test is to return. */
static bool owner_ends(struct desk *desk, void *(*owner)(void *)) {
    pthread_t thread;
    void *result = NULL;
    if (!open_pairs(desk)) return false;
    if (pthread_create(&thread, NULL, owner, desk) || pthread_join(thread, &result)) return false;
    if (!result && outcome == PASSED) tell(FAILED, __FILE__, __LINE__, "the owner came not far");
    return result != NULL;
}

static void an_owner_that_ends_leaves_bytes_that_had_come_in_their_sockets(void) {
    struct desk desk;
    if (!owner_ends(&desk, own_and_end_with_bytes_there)) return;

    CHECK(all_bytes_are_in_the_sockets(&desk));
    CHECK(ring_ready(&desk.ring) == 0); /* No completion has come of them, not even an end. */
    /* Nobody can ask for them: the ring is of its owner for good, ended or not. */
    CHECK(sys_uring_enter(desk.ring.fd, 0, 1, URING_ENTER_GETEVENTS, NULL, 0) == -EEXIST);
    close_desk(&desk);
}

static void bytes_that_come_after_the_owner_has_ended_stay_in_their_sockets(void) {
    struct desk desk;
    if (!owner_ends(&desk, own_and_end)) return;

    CHECK(bytes_come(&desk));

    CHECK(ring_ready(&desk.ring) == 0);
    CHECK(all_bytes_are_in_the_sockets(&desk));
    close_desk(&desk);
}

static void closing_the_ring_of_an_ended_owner_takes_no_bytes(void) {
    struct desk desk;
    if (!owner_ends(&desk, own_and_end_with_bytes_there)) return;

    ring_close(&desk.ring);

    CHECK(all_bytes_are_in_the_sockets(&desk));
    close_desk(&desk);
}

static void an_owner_that_cancels_and_ends_leaves_the_bytes_too(void) {
    struct desk desk;
    if (!owner_ends(&desk, own_and_cancel_and_end)) return;

    CHECK(all_bytes_are_in_the_sockets(&desk));
    close_desk(&desk);
}

static void a_connection_stays_open_until_the_ring_of_an_ended_owner_is_closed(void) {
    /* Goal: the armed receive holds the file, and nobody can take it back but by closing the ring:
     * a close of the descriptor alone sends no FIN. */
    struct desk desk;
    char byte;
    if (!owner_ends(&desk, own_and_end)) return;
    struct pollfd entry = {.fd = desk.far[0], .events = POLLIN};
    int holder = dup(desk.far[1]); /* A number that `near` cannot get again. */

    close(desk.near[0]);

    CHECK(poll(&entry, 1, 100) == 0);
    ring_close(&desk.ring);
    CHECK(is_readable(desk.far[0]) && recv(desk.far[0], &byte, 1, MSG_DONTWAIT) == 0);
    desk.near[0] = holder;
    close_desk(&desk);
}

RUN_TESTS(TEST(a_cancel_without_getevents_ends_receives_and_leaves_bytes_that_have_come),
          TEST(the_same_of_buffers_that_are_used_up_in_pieces),
          TEST(the_same_in_an_enter_with_getevents_since_requests_go_first),
          TEST(an_enter_before_the_cancel_receives_what_has_come),
          TEST(the_completions_of_a_cancel_need_an_enter_with_getevents),
          TEST(received_before_the_cancel_and_left_after_it_are_all_of_the_bytes_in_order),
          TEST(a_cancelled_accept_leaves_the_connection_in_the_backlog),
          TEST(an_owner_that_ends_leaves_bytes_that_had_come_in_their_sockets),
          TEST(bytes_that_come_after_the_owner_has_ended_stay_in_their_sockets),
          TEST(closing_the_ring_of_an_ended_owner_takes_no_bytes),
          TEST(an_owner_that_cancels_and_ends_leaves_the_bytes_too),
          TEST(a_connection_stays_open_until_the_ring_of_an_ended_owner_is_closed))
