/* What opening a ring does when the kernel is old, poor or forbidding, and after a fork. */
#define _GNU_SOURCE
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "prep.h"

static bool works(struct ring *ring) {
    struct uring_cqe cqes[3];
    for (uint64_t user_data = 0; user_data < 3; user_data++)
        prep_nop(ring_request(ring), user_data);
    return reap(ring, cqes, 3) && cqes[0].user_data == 0 && cqes[2].user_data == 2;
}

/* Open and enable with faults in place; skips where there is no io_uring at all. */
static int open_usual(struct ring *ring, uint32_t required) {
    int result = ring_open(ring, ring_sizes, RING_SIZES, RING_WANTED, required);
    return result < 0 ? result : ring_enable(ring);
}

static bool has_uring(void) {
    struct ring ring;
    if (!open_ring(&ring, 4, 8)) return false;
    ring_close(&ring);
    return true;
}

static void a_flag_that_the_kernel_does_not_know_is_given_up_alone(void) {
    struct ring ring;
    if (!has_uring()) return;
    faults.unknown_flags = URING_SETUP_NO_SQARRAY;

    CHECK(open_usual(&ring, RING_REQUIRED) == 0);

    CHECK(ring.choice.given_up == URING_SETUP_NO_SQARRAY);
    CHECK(!(ring.choice.setup_flags & URING_SETUP_NO_SQARRAY));
    CHECK(ring.choice.setup_flags & URING_SETUP_TASKRUN_FLAG);
    CHECK(works(&ring));
    ring_close(&ring);
}

static void flags_are_given_up_one_by_one_until_the_kernel_agrees(void) {
    struct ring ring;
    if (!has_uring()) return;
    faults.unknown_flags = RING_WANTED;

    CHECK(open_usual(&ring, 0) == 0);

    CHECK(ring.choice.given_up == RING_WANTED);
    CHECK(!(ring.choice.setup_flags & RING_WANTED));
    CHECK(works(&ring));
    ring_close(&ring);
}

static void a_required_flag_is_never_given_up(void) {
    struct ring ring;
    if (!has_uring()) return;
    faults.unknown_flags = URING_SETUP_DEFER_TASKRUN;

    CHECK(open_usual(&ring, RING_REQUIRED) == -EINVAL);

    CHECK(ring.fd == -1);
    ring_close(&ring);
}

static void sizes_step_down_while_there_is_no_memory(void) {
    struct ring ring;
    if (!has_uring()) return;
    faults.memory_for = 100;

    CHECK(open_usual(&ring, RING_REQUIRED) == 0);

    CHECK(ring.choice.steps_down == 2);
    CHECK(ring.choice.size.sq_entries == 64 && ring.choice.size.cq_entries == 512);
    CHECK(works(&ring));
    ring_close(&ring);
    faults.memory_for = 1;
    CHECK(open_usual(&ring, RING_REQUIRED) == -ENOMEM && ring.fd == -1);
}

/* Become somebody whose locked memory counts, and who may lock 64 KiB. */
static bool become_poor(void) {
    struct rlimit limit = {65536, 65536};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0) return false;
    enum { NOBODY = 65534 };
    return geteuid() != 0 || (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
                              setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

static int open_as_a_poor_process(void) {
    struct ring ring;
    if (!become_poor()) return 90;
    if (open_usual(&ring, RING_REQUIRED) < 0) return 91;
    if (!works(&ring)) return 92;
    return (int)ring.choice.steps_down;
}

static void a_memory_limit_of_64_kib_still_gives_a_ring(void) {
    if (!has_uring()) return;

    int steps = in_child(open_as_a_poor_process);

    if (steps == 90) SKIP("cannot become another user");
    CHECK(steps >= 0 && steps < RING_SIZES);
    /* Rings count against the limit again since 6.14. */
    if (kernel_version() >= 6014) CHECK(steps > 0);
}

static int open_again_and_again_as_a_poor_process(void) {
    if (!become_poor()) return 90;
    for (unsigned round = 0; round < 6; round++) {
        struct ring ring;
        if (open_usual(&ring, RING_REQUIRED) < 0) return 91;
        ring_close(&ring);
    }
    return 0;
}

static void the_memory_of_a_closed_ring_is_waited_for(void) {
    /* Goal: the probe opens and closes a ring, and the engine opens its own right after. */
    if (!has_uring()) return;

    int code = in_child(open_again_and_again_as_a_poor_process);

    if (code == 90) SKIP("cannot become another user");
    CHECK(code == 0);
}

static int open_where_it_is_forbidden(void) {
    struct ring ring;
    if (!forbid_uring()) return 90;
    return -ring_open(&ring, ring_sizes, RING_SIZES, RING_WANTED, RING_REQUIRED);
}

static void a_seccomp_filter_is_reported_as_eperm(void) {
    int code = in_child(open_where_it_is_forbidden);

    if (code == 90) SKIP("no seccomp filter can be set here");
    CHECK(code == EPERM);
}

static void a_refusal_of_any_step_of_opening_leaves_no_descriptor(void) {
    if (!has_uring()) return;
    struct ring ring;
    unsigned before = open_descriptors();
    faults.register_opcode = URING_REGISTER_ENABLE_RINGS;
    faults.register_result = -EBUSY;
    CHECK(open_usual(&ring, RING_REQUIRED) == -EBUSY);
    ring_close(&ring);
    faults.setup = -EMFILE;
    CHECK(open_usual(&ring, RING_REQUIRED) == -EMFILE);
    ring_close(&ring);
    faults.setup = 0;
    faults.missing_features = URING_FEAT_EXT_ARG;
    CHECK(open_usual(&ring, RING_REQUIRED) == -ENOSYS);
    faults.missing_features = URING_FEAT_SINGLE_MMAP;
    CHECK(open_usual(&ring, RING_REQUIRED) == -ENOSYS);

    CHECK(open_descriptors() == before);
}

static void without_a_registered_descriptor_the_plain_one_does(void) {
    struct ring ring;
    if (!has_uring()) return;
    faults.register_opcode = URING_REGISTER_RING_FDS;
    faults.register_result = -EINVAL;

    CHECK(open_usual(&ring, RING_REQUIRED) == 0);

    CHECK(ring.enter_fd == ring.fd && works(&ring));
    ring_close(&ring);
}

static struct ring parents_ring;
static struct buffers parents_buffers;

static int use_what_is_the_parents(void) {
    struct ring *ring = &parents_ring;
    struct buffers other;
    struct uring_probe probe;
    unsigned char resident;
    if (ring_request(ring)) return 1;
    if (ring_enter(ring, 1, -1) != RING_FORKED) return 2;
    if (ring_enable(ring) != RING_FORKED) return 3;
    if (ring_ready(ring) || ring_unsubmitted(ring) || ring_must_enter(ring)) return 4;
    if (ring_overflowed(ring)) return 5;
    if (buffers_open(&other, ring, 9, 8, 16, false) != RING_FORKED) return 6;
    if (ring_probe(ring, &probe) != RING_FORKED) return 7;
    /* mincore fails where nothing is mapped. */
    if (mincore(ring->sqes, 1, &resident) == 0 || errno != ENOMEM) return 8;
    if (mincore(parents_buffers.memory, 1, &resident) == 0 || errno != ENOMEM) return 9;
    buffers_close(&parents_buffers, ring);
    ring_close(ring);
    if (ring->fd != -1) return 10;
    /* A ring of its own is not forbidden. */
    if (open_usual(ring, RING_REQUIRED) < 0 || !works(ring)) return 11;
    ring_close(ring);
    return 0;
}

static void a_forked_child_is_refused_and_the_parents_ring_goes_on(void) {
    if (!open_ring(&parents_ring, 4, 8)) return;
    CHECK(buffers_open(&parents_buffers, &parents_ring, 1, 8, 16, false) == 0);

    CHECK(in_child(use_what_is_the_parents) == 0);

    CHECK(works(&parents_ring));
    buffers_close(&parents_buffers, &parents_ring);
    ring_close(&parents_ring);
}

RUN_TESTS(TEST(a_flag_that_the_kernel_does_not_know_is_given_up_alone),
          TEST(flags_are_given_up_one_by_one_until_the_kernel_agrees),
          TEST(a_required_flag_is_never_given_up), TEST(sizes_step_down_while_there_is_no_memory),
          TEST(a_memory_limit_of_64_kib_still_gives_a_ring),
          TEST(the_memory_of_a_closed_ring_is_waited_for),
          TEST(a_seccomp_filter_is_reported_as_eperm),
          TEST(a_refusal_of_any_step_of_opening_leaves_no_descriptor),
          TEST(without_a_registered_descriptor_the_plain_one_does),
          TEST(a_forked_child_is_refused_and_the_parents_ring_goes_on))
