/* The two queues of a ring: requests, completions, waiting, and who may do so. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "prep.h"
#include "sys.h"

static void nop(struct ring *ring, uint64_t user_data) {
    prep_nop(ring_request(ring), user_data);
}

static void a_request_completes_once_with_its_user_data(void) {
    struct ring ring;
    struct uring_cqe cqe;
    if (!open_ring(&ring, 8, 16)) return;
    nop(&ring, 0xdeadbeefcafe);

    CHECK(ring_unsubmitted(&ring) == 1);
    CHECK(ring_enter(&ring, 1, -1) == 1);

    CHECK(ring_unsubmitted(&ring) == 0 && ring_ready(&ring) == 1);
    CHECK(reap(&ring, &cqe, 1));
    CHECK(cqe.user_data == 0xdeadbeefcafe && cqe.res == 0 && !(cqe.flags & URING_CQE_F_MORE));
    CHECK(ring.submitted == 1 && ring.enters == 1);
    ring_close(&ring);
}

static void nothing_to_do_makes_no_system_call(void) {
    struct ring ring;
    if (!open_ring(&ring, 8, 16)) return;
    if (!(ring.choice.setup_flags & URING_SETUP_TASKRUN_FLAG)) SKIP("no TASKRUN_FLAG here");

    CHECK(ring_enter(&ring, 0, 0) == 0);

    CHECK(ring.enters == 0);
    ring_close(&ring);
}

static void a_full_queue_gives_no_request_until_it_is_submitted(void) {
    struct ring ring;
    struct uring_cqe cqes[8];
    if (!open_ring(&ring, 4, 16)) return;
    for (unsigned index = 0; index < 4; index++) nop(&ring, index);

    CHECK(ring_request(&ring) == NULL);
    CHECK(ring_request(&ring) == NULL);
    CHECK(ring_unsubmitted(&ring) == 4);
    CHECK(ring_enter(&ring, 4, -1) == 4);

    for (unsigned index = 4; index < 8; index++) nop(&ring, index);
    CHECK(ring_request(&ring) == NULL);
    CHECK(reap(&ring, cqes, 8));
    for (unsigned index = 0; index < 8; index++) CHECK(cqes[index].user_data == index);
    ring_close(&ring);
}

static void a_request_is_given_out_cleared(void) {
    struct ring ring;
    struct uring_cqe cqes[4];
    static const struct uring_sqe cleared;
    if (!open_ring(&ring, 4, 8)) return;
    for (uint64_t round = 0; round < 2; round++) {
        for (unsigned index = 0; index < 4; index++) {
            struct uring_sqe *sqe = ring_request(&ring);
            CHECK(memcmp(sqe, &cleared, sizeof cleared) == 0);
            prep_nop(sqe, UINT64_MAX);
        }
        CHECK(reap(&ring, cqes, 4));
    }
    ring_close(&ring);
}

static void indices_wrap_around_many_times(void) {
    struct ring ring;
    struct uring_cqe cqes[3];
    if (!open_ring(&ring, 4, 8)) return;
    for (uint64_t round = 0; round < 1000; round++) {
        for (unsigned index = 0; index < 3; index++) nop(&ring, 3 * round + index);
        CHECK(reap(&ring, cqes, 3));
        for (unsigned index = 0; index < 3; index++)
            CHECK(cqes[index].user_data == 3 * round + index);
    }
    CHECK(ring.submitted == 3000);
    ring_close(&ring);
}

static void an_overflow_of_the_completion_queue_loses_nothing(void) {
    /* Method: 40 requests complete at once into a queue of 8, and nobody looks meanwhile. */
    struct ring ring;
    struct uring_cqe cqes[40];
    if (!open_ring(&ring, 4, 8)) return;
    CHECK(ring.cq_entries == 8);
    unsigned requested = 0, reaped = 0;
    while (requested < 40) {
        for (unsigned index = 0; index < 4; index++) nop(&ring, requested++);
        while (ring_unsubmitted(&ring)) {
            int result = ring_enter(&ring, 0, 0);
            CHECK(result >= 0 || result == -EBUSY);
            if (result == -EBUSY) CHECK(reap(&ring, cqes + reaped++, 1));
        }
    }
    CHECK(ring_overflowed(&ring) && ring_must_enter(&ring));
    while (ring_ready(&ring)) CHECK(reap(&ring, cqes + reaped++, 1));
    CHECK(ring_enter(&ring, 0, 0) >= 0 && ring_ready(&ring));

    CHECK(reap(&ring, cqes + reaped, 40 - reaped));

    bool seen[40] = {false};
    for (unsigned index = 0; index < 40; index++) {
        CHECK(cqes[index].user_data < 40 && !seen[cqes[index].user_data]);
        seen[cqes[index].user_data] = true;
    }
    CHECK(!ring_overflowed(&ring) && stays_quiet(&ring));
    ring_close(&ring);
}

static void a_wait_ends_when_its_time_is_over_and_not_before(void) {
    struct ring ring;
    if (!open_ring(&ring, 4, 8)) return;
    int64_t start = sys_now();

    CHECK(ring_enter(&ring, 1, 20000000) == -ETIME);

    CHECK(sys_now() - start >= 20000000);
    CHECK(ring_ready(&ring) == 0);
    ring_close(&ring);
}

static void a_timeout_request_completes_with_etime(void) {
    struct ring ring;
    struct uring_cqe cqe;
    struct uring_timespec span = {0, 5000000};
    if (!open_ring(&ring, 4, 8)) return;
    prep_timeout(ring_request(&ring), &span, 7);

    CHECK(reap(&ring, &cqe, 1));

    CHECK(cqe.user_data == 7 && cqe.res == -ETIME);
    ring_close(&ring);
}

static void an_interrupted_enter_keeps_its_requests(void) {
    struct ring ring;
    struct uring_cqe cqe;
    if (!open_ring(&ring, 4, 8)) return;
    nop(&ring, 3);
    faults.enter = -EINTR;
    faults.enters = 2;

    CHECK(ring_enter(&ring, 1, -1) == -EINTR);
    CHECK(ring_unsubmitted(&ring) == 1);
    CHECK(ring_enter(&ring, 1, -1) == -EINTR);

    CHECK(ring_enter(&ring, 1, -1) == 1 && reap(&ring, &cqe, 1) && cqe.user_data == 3);
    CHECK(ring.submitted == 1);
    ring_close(&ring);
}

static void a_cancel_ends_its_target_and_says_so_on_both(void) {
    struct ring ring;
    struct uring_cqe cqes[2];
    uint64_t count;
    if (!open_ring(&ring, 8, 16)) return;
    int wake = eventfd(0, EFD_CLOEXEC);
    prep_read(ring_request(&ring), wake, &count, sizeof count, 1);
    CHECK(stays_quiet(&ring));
    prep_cancel(ring_request(&ring), 1, 2);

    CHECK(reap(&ring, cqes, 2));

    CHECK(of(cqes, 2, 1).res == -ECANCELED && of(cqes, 2, 2).res == 0);
    prep_cancel(ring_request(&ring), 1, 3);
    CHECK(reap(&ring, cqes, 1) && cqes[0].user_data == 3 && cqes[0].res == -ENOENT);
    close(wake);
    ring_close(&ring);
}

static void a_cancel_by_descriptor_ends_all_on_it_and_nothing_else(void) {
    struct ring ring;
    struct uring_cqe cqes[3];
    uint64_t counts[3], one = 1;
    if (!open_ring(&ring, 8, 16)) return;
    int ours = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC);
    prep_read(ring_request(&ring), ours, &counts[0], 8, 1);
    prep_read(ring_request(&ring), ours, &counts[1], 8, 2);
    prep_read(ring_request(&ring), other, &counts[2], 8, 3);
    CHECK(stays_quiet(&ring));
    prep_cancel_fd(ring_request(&ring), ours, 4);

    CHECK(reap(&ring, cqes, 3));

    CHECK(of(cqes, 3, 4).res == 2);
    CHECK(of(cqes, 3, 1).res == -ECANCELED && of(cqes, 3, 2).res == -ECANCELED);
    CHECK(stays_quiet(&ring));
    CHECK(write(other, &one, 8) == 8);
    CHECK(reap(&ring, cqes, 1) && cqes[0].user_data == 3 && cqes[0].res == 8);
    close(ours);
    close(other);
    ring_close(&ring);
}

static void *write_one(void *argument) {
    uint64_t one = 1;
    return write(*(int *)argument, &one, sizeof one) == sizeof one ? argument : NULL;
}

static void an_eventfd_wakes_the_owner_from_another_thread(void) {
    struct ring ring;
    struct uring_cqe cqe;
    uint64_t count = 0;
    pthread_t thread;
    if (!open_ring(&ring, 4, 8)) return;
    int wake = eventfd(0, EFD_CLOEXEC);
    for (unsigned round = 0; round < 20; round++) {
        prep_read(ring_request(&ring), wake, &count, sizeof count, round);
        CHECK(ring_enter(&ring, 0, 0) == 1);
        CHECK(pthread_create(&thread, NULL, write_one, &wake) == 0);

        CHECK(reap(&ring, &cqe, 1));

        CHECK(cqe.user_data == round && cqe.res == 8 && count == 1);
        void *written;
        CHECK(pthread_join(thread, &written) == 0 && written == &wake);
    }
    close(wake);
    ring_close(&ring);
}

static void *enter_as_a_stranger(void *argument) {
    static int result;
    nop(argument, 1);
    result = ring_enter(argument, 0, 0);
    return &result;
}

static void another_thread_is_refused(void) {
    struct ring ring;
    pthread_t thread;
    void *result;
    if (!open_ring(&ring, 4, 8)) return;

    CHECK(pthread_create(&thread, NULL, enter_as_a_stranger, &ring) == 0);
    CHECK(pthread_join(thread, &result) == 0);

    /* By way of the registered descriptor the kernel does not even find the ring. */
    CHECK(*(int *)result == -EEXIST || *(int *)result == -EINVAL || *(int *)result == -EBADF);
    CHECK(ring.submitted == 0);
    ring_close(&ring);
}

static void *own_for_a_while(void *argument) {
    struct ring *ring = argument;
    struct uring_cqe cqe;
    if (ring_enable(ring) < 0) return NULL;
    nop(ring, 9);
    return reap(ring, &cqe, 1) && cqe.user_data == 9 ? argument : NULL;
}

static void a_ring_is_opened_here_and_owned_there_and_others_stay_as_they_are(void) {
    struct ring mine, theirs;
    struct ring_size size = {4, 8};
    struct uring_cqe cqe;
    pthread_t thread;
    void *result;
    if (!open_ring(&mine, 4, 8)) return;
    CHECK(ring_open(&theirs, &size, 1, RING_WANTED, RING_REQUIRED) == 0);
    nop(&theirs, 1);
    CHECK(ring_enter(&theirs, 0, 0) == -EBADFD);
    theirs.sq_next = 0; /* Take the request back. */

    CHECK(pthread_create(&thread, NULL, own_for_a_while, &theirs) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == &theirs);
    ring_close(&theirs);

    nop(&mine, 2);
    CHECK(reap(&mine, &cqe, 1) && cqe.user_data == 2);
    ring_close(&mine);
}

static void closing_twice_is_fine_and_leaves_nothing(void) {
    struct ring ring;
    if (!open_ring(&ring, 4, 8)) return;
    int fd = ring.fd;
    void *queues = ring.queues, *sqes = ring.sqes;
    unsigned char resident;
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);

    ring_close(&ring);
    ring_close(&ring);

    CHECK(fcntl(fd, F_GETFD) == -1);
    /* mincore fails where nothing is mapped. */
    CHECK(mincore(queues, 1, &resident) == -1 && errno == ENOMEM);
    CHECK(mincore(sqes, 1, &resident) == -1 && errno == ENOMEM);
}

static void a_closed_ring_gives_its_place_among_the_registered_ones_back(void) {
    /* Goal: a thread has 16 places for registered rings, and one that is kept keeps the ring. */
    struct ring ring;
    for (unsigned round = 0; round < 40; round++) {
        if (!open_ring(&ring, 4, 8)) return;
        bool is_registered = ring.enter_flags & URING_ENTER_REGISTERED_RING;
        ring_close(&ring);
        CHECK(is_registered);
    }
}

RUN_TESTS(TEST(a_request_completes_once_with_its_user_data),
          TEST(nothing_to_do_makes_no_system_call),
          TEST(a_full_queue_gives_no_request_until_it_is_submitted),
          TEST(a_request_is_given_out_cleared), TEST(indices_wrap_around_many_times),
          TEST(an_overflow_of_the_completion_queue_loses_nothing),
          TEST(a_wait_ends_when_its_time_is_over_and_not_before),
          TEST(a_timeout_request_completes_with_etime),
          TEST(an_interrupted_enter_keeps_its_requests),
          TEST(a_cancel_ends_its_target_and_says_so_on_both),
          TEST(a_cancel_by_descriptor_ends_all_on_it_and_nothing_else),
          TEST(an_eventfd_wakes_the_owner_from_another_thread), TEST(another_thread_is_refused),
          TEST(a_ring_is_opened_here_and_owned_there_and_others_stay_as_they_are),
          TEST(closing_twice_is_fine_and_leaves_nothing),
          TEST(a_closed_ring_gives_its_place_among_the_registered_ones_back))
