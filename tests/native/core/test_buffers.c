/* Groups of buffers: what a multishot receive does when they run out, and when they are shared. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "prep.h"
#include "sys.h"

enum { ON_RECV = 1, ON_CANCEL, GROUP = 3, COUNT = 8, SIZE = 16 };

struct desk {
    struct ring ring;
    struct buffers buffers;
    int pair[2];
};

static bool open_desk(struct desk *desk, uint32_t count, uint32_t size) {
    if (!open_ring(&desk->ring, 8, 64)) return false;
    if (buffers_open(&desk->buffers, &desk->ring, GROUP, count, size, false) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, desk->pair) < 0) {
        tell(FAILED, __FILE__, __LINE__, "no buffers or no socket pair");
        return false;
    }
    return true;
}

static void close_desk(struct desk *desk) {
    struct uring_cqe cqe;
    prep_cancel_fd(ring_request(&desk->ring), desk->pair[0], ON_CANCEL);
    do {
        if (!reap(&desk->ring, &cqe, 1)) break;
    } while (cqe.user_data != ON_CANCEL);
    buffers_close(&desk->buffers, &desk->ring);
    close(desk->pair[0]);
    close(desk->pair[1]);
    ring_close(&desk->ring);
}

static bool say(struct desk *desk, const void *bytes, size_t count) {
    return write(desk->pair[1], bytes, count) == (ssize_t)count;
}

static void arm(struct desk *desk, bool poll_first) {
    struct uring_sqe *sqe = ring_request(&desk->ring);
    prep_recv_multishot(sqe, desk->pair[0], GROUP, ON_RECV);
    if (poll_first) prep_poll_first(sqe);
}

static void a_buffer_is_chosen_when_the_data_is_there(void) {
    struct desk desk;
    struct uring_cqe cqe;
    uint8_t *bytes;
    uint16_t id;
    if (!open_desk(&desk, COUNT, SIZE)) return;
    prep_recv_select(ring_request(&desk.ring), desk.pair[0], GROUP, ON_RECV);
    CHECK(stays_quiet(&desk.ring));

    CHECK(say(&desk, "hello", 5) && reap(&desk.ring, &cqe, 1));

    CHECK(cqe.res == 5 && cqe.flags & URING_CQE_F_BUFFER && !(cqe.flags & URING_CQE_F_MORE));
    CHECK(buffers_take(&desk.buffers, &cqe, &bytes, &id));
    CHECK(id < COUNT && memcmp(bytes, "hello", 5) == 0);
    close_desk(&desk);
}

static void a_group_that_runs_out_ends_the_receive_and_no_byte_is_lost(void) {
    /* Method: 20 buffers full of bytes for 8 buffers; re-armed with POLL_FIRST each time. */
    struct desk desk;
    struct uring_cqe cqe;
    uint8_t sent[20 * SIZE], received[sizeof sent], *bytes;
    uint16_t ids[COUNT], id;
    unsigned held = 0, ends = 0;
    size_t got = 0;
    if (!open_desk(&desk, COUNT, SIZE)) return;
    for (unsigned index = 0; index < sizeof sent; index++) sent[index] = (uint8_t)(index * 7);
    arm(&desk, false);
    CHECK(say(&desk, sent, sizeof sent));
    while (got < sizeof sent) {
        CHECK(reap(&desk.ring, &cqe, 1));
        if (cqe.res > 0) {
            CHECK(held < COUNT && buffers_take(&desk.buffers, &cqe, &bytes, &id));
            CHECK(got + (size_t)cqe.res <= sizeof received);
            memcpy(received + got, bytes, (size_t)cqe.res);
            got += (size_t)cqe.res;
            ids[held++] = id;
        } else {
            CHECK(cqe.res == -ENOBUFS && held == COUNT);
            ends++;
        }
        if (!(cqe.flags & URING_CQE_F_MORE)) {
            while (held) buffers_give(&desk.buffers, ids[--held]);
            buffers_publish(&desk.buffers);
            arm(&desk, true);
        }
    }
    CHECK(ends >= 2);
    CHECK(memcmp(sent, received, sizeof sent) == 0);
    close_desk(&desk);
}

static void on_an_empty_group_poll_first_waits_for_data_and_without_it_fails_at_once(void) {
    struct desk desk;
    struct uring_cqe cqe;
    uint8_t *bytes;
    uint16_t id;
    if (!open_desk(&desk, 1, SIZE)) return;
    prep_recv_select(ring_request(&desk.ring), desk.pair[0], GROUP, ON_RECV);
    CHECK(say(&desk, "a", 1) && reap(&desk.ring, &cqe, 1));
    CHECK(buffers_take(&desk.buffers, &cqe, &bytes, &id));

    arm(&desk, true);
    CHECK(stays_quiet(&desk.ring));
    buffers_give(&desk.buffers, id);
    buffers_publish(&desk.buffers);
    CHECK(say(&desk, "b", 1) && reap(&desk.ring, &cqe, 1));
    CHECK(cqe.res == 1 && buffers_take(&desk.buffers, &cqe, &bytes, &id) && *bytes == 'b');

    close_desk(&desk);
}

static void the_end_of_the_stream_ends_the_receive(void) {
    struct desk desk;
    struct uring_cqe cqe;
    if (!open_desk(&desk, COUNT, SIZE)) return;
    arm(&desk, false);
    CHECK(stays_quiet(&desk.ring));

    CHECK(shutdown(desk.pair[1], SHUT_WR) == 0 && reap(&desk.ring, &cqe, 1));

    CHECK(cqe.res == 0 && !(cqe.flags & URING_CQE_F_MORE));
    close_desk(&desk);
}

static void an_overflow_of_completions_ends_the_receive_and_no_byte_is_lost(void) {
    /* Method: a queue of 8 completions, 64 buffers, and nobody who looks while 64 pieces come. */
    struct desk desk;
    struct uring_cqe cqe;
    uint8_t *bytes;
    uint16_t id;
    unsigned got = 0;
    if (!open_ring(&desk.ring, 4, 8)) return;
    CHECK(buffers_open(&desk.buffers, &desk.ring, GROUP, 64, 1, false) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, desk.pair) == 0);
    uint8_t sent[64];
    for (unsigned index = 0; index < 64; index++) sent[index] = (uint8_t)index;
    CHECK(say(&desk, sent, sizeof sent));
    arm(&desk, false);
    for (unsigned index = 0; index < 10; index++) CHECK(ring_enter(&desk.ring, 0, 0) >= 0);
    unsigned arms = 1;
    while (got < sizeof sent) {
        CHECK(reap(&desk.ring, &cqe, 1));
        CHECK(cqe.res == 1 && buffers_take(&desk.buffers, &cqe, &bytes, &id));
        CHECK(*bytes == sent[got]);
        got++;
        if (!(cqe.flags & URING_CQE_F_MORE)) {
            arms++;
            arm(&desk, false);
        }
    }
    CHECK(arms > 1);
    close_desk(&desk);
}

static void an_incremental_buffer_is_used_up_piece_by_piece(void) {
    struct desk desk;
    struct uring_cqe cqe;
    uint8_t *first, *bytes;
    uint16_t id;
    if (!open_ring(&desk.ring, 8, 64)) return;
    int result = buffers_open(&desk.buffers, &desk.ring, GROUP, 2, 64, true);
    if (result == -EINVAL && kernel_version() < 6012) {
        ring_close(&desk.ring);
        SKIP("kernels have incremental buffers from 6.12 on");
    }
    CHECK(result == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, desk.pair) == 0);
    arm(&desk, false);

    CHECK(say(&desk, "0123456789", 10) && reap(&desk.ring, &cqe, 1) && cqe.res == 10);
    CHECK(!buffers_take(&desk.buffers, &cqe, &first, &id) && id == 0);
    CHECK(say(&desk, "abc", 3) && reap(&desk.ring, &cqe, 1) && cqe.res == 3);
    CHECK(!buffers_take(&desk.buffers, &cqe, &bytes, &id) && id == 0);
    CHECK(bytes == first + 10 && memcmp(first, "0123456789abc", 13) == 0);

    /* More than is left: the rest of this one, then the start of the next. */
    char many[60];
    memset(many, 'x', sizeof many);
    CHECK(say(&desk, many, sizeof many) && reap(&desk.ring, &cqe, 1) && cqe.res == 51);
    CHECK(buffers_take(&desk.buffers, &cqe, &bytes, &id) && id == 0 && bytes == first + 13);
    CHECK(reap(&desk.ring, &cqe, 1) && cqe.res == 9);
    CHECK(!buffers_take(&desk.buffers, &cqe, &bytes, &id) && id == 1);

    /* The first comes back whole, and is used from its start. */
    buffers_give(&desk.buffers, 0);
    buffers_publish(&desk.buffers);
    CHECK(say(&desk, many, 55) && reap(&desk.ring, &cqe, 1) && cqe.res == 55);
    CHECK(buffers_take(&desk.buffers, &cqe, &bytes, &id) && id == 1);
    CHECK(say(&desk, "again", 5) && reap(&desk.ring, &cqe, 1) && cqe.res == 5);
    CHECK(!buffers_take(&desk.buffers, &cqe, &bytes, &id) && bytes == first);
    close_desk(&desk);
}

static void counts_that_a_group_cannot_have_are_refused(void) {
    struct ring ring;
    struct buffers buffers;
    if (!open_ring(&ring, 4, 8)) return;

    CHECK(buffers_open(&buffers, &ring, GROUP, 0, SIZE, false) == -EINVAL);
    CHECK(buffers_open(&buffers, &ring, GROUP, 3, SIZE, false) == -EINVAL);
    CHECK(buffers_open(&buffers, &ring, GROUP, 65536, SIZE, false) == -EINVAL);
    CHECK(buffers_open(&buffers, &ring, GROUP, 8, 0, false) == -EINVAL);

    buffers_close(&buffers, &ring);
    ring_close(&ring);
}

static void a_group_that_the_kernel_refuses_leaves_nothing_behind(void) {
    struct ring ring;
    struct buffers buffers;
    if (!open_ring(&ring, 4, 8)) return;
    faults.register_opcode = URING_REGISTER_PBUF_RING;
    faults.register_result = -ENOMEM;

    CHECK(buffers_open(&buffers, &ring, GROUP, 8, SIZE, true) == -ENOMEM);

    CHECK(!buffers.entries && !buffers.memory && !buffers.offsets);
    buffers_close(&buffers, &ring);
    ring_close(&ring);
}

static void the_largest_group_wraps_its_indices(void) {
    /* Goal: the 16-bit tail goes round; 32768 buffers given three times over. */
    struct desk desk;
    struct uring_cqe cqe;
    uint8_t *bytes;
    uint16_t id;
    if (sys_lock_limit() < 1 << 20 && geteuid() != 0) SKIP("there is no memory for a large group");
    if (!open_desk(&desk, 32768, 1)) return;
    uint8_t *block = calloc(1, 32768);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned done = 0; done < 32768; done += 32) {
            memset(block, (int)(done / 32 + round), 32);
            CHECK(say(&desk, block, 32));
            for (unsigned index = 0; index < 32; index++) {
                prep_recv_select(ring_request(&desk.ring), desk.pair[0], GROUP, ON_RECV);
                CHECK(reap(&desk.ring, &cqe, 1) && cqe.res == 1);
                CHECK(buffers_take(&desk.buffers, &cqe, &bytes, &id));
                CHECK(id == done + index && *bytes == (uint8_t)(done / 32 + round));
                buffers_give(&desk.buffers, id);
            }
            buffers_publish(&desk.buffers);
        }
    }
    free(block);
    close_desk(&desk);
}

RUN_TESTS(TEST(a_buffer_is_chosen_when_the_data_is_there),
          TEST(a_group_that_runs_out_ends_the_receive_and_no_byte_is_lost),
          TEST(on_an_empty_group_poll_first_waits_for_data_and_without_it_fails_at_once),
          TEST(the_end_of_the_stream_ends_the_receive),
          TEST(an_overflow_of_completions_ends_the_receive_and_no_byte_is_lost),
          TEST(an_incremental_buffer_is_used_up_piece_by_piece),
          TEST(counts_that_a_group_cannot_have_are_refused),
          TEST(a_group_that_the_kernel_refuses_leaves_nothing_behind),
          TEST(the_largest_group_wraps_its_indices))
