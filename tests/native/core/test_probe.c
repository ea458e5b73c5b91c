/* The probe: a profile and a reason in words, whatever the kernel answers. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "sys.h"

static struct probe_report report;

/* Return the words about `name`; NULL where there are none. */
static const char *words(const char *name, bool is_used) {
    for (unsigned index = 0; index < report.count; index++)
        if (!strcmp(report.findings[index].name, name) && report.findings[index].is_used == is_used)
            return report.findings[index].text;
    return NULL;
}

static bool refused(const char *name, const char *part) {
    const char *text = words(name, false);
    return text && strstr(text, part);
}

static bool has_uring(void) {
    struct ring ring;
    if (!open_ring(&ring, 4, 8)) return false;
    ring_close(&ring);
    return true;
}

/* Say whether locked memory counts here, and whether there is too little for many rings. */
static bool has_little_memory(void) { return geteuid() != 0 && sys_lock_limit() < 8u << 20; }

static void here_it_finds_a_profile_and_leaves_no_descriptor(void) {
    if (!has_uring()) return;
    unsigned before = open_descriptors();

    probe_kernel(&report, NULL);

    CHECK(open_descriptors() == before);
    CHECK(report.profile == (kernel_version() >= 6008 ? PROBE_MULTISHOT : PROBE_BASIC));
    CHECK(words("DEFER_TASKRUN", true) && words("eventfd", true) && words("buffer group", true));
    CHECK(kernel_version() < 6015 || words("incremental buffers", true));
}

static void it_takes_some_milliseconds_at_most(void) {
    /* Method: the best of five, for the machine may be busy. */
    if (!has_uring()) return;
    if (has_little_memory()) SKIP("with little memory it has to wait for some");
    int64_t best = INT64_MAX;
    for (unsigned round = 0; round < 5; round++) {
        int64_t start = sys_now();
        probe_kernel(&report, NULL);
        int64_t span = sys_now() - start;
        if (span < best) best = span;
    }
    CHECK(best < 20000000);
}

static void an_old_kernel_is_told_by_its_version(void) {
    probe_kernel(&report, "5.15.0-91-generic");
    CHECK(report.profile == PROBE_NONE);
    CHECK(refused("io_uring", "5.15.0-91-generic is older than 6.1"));
    probe_kernel(&report, "nonsense");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", "nonsense"));
    if (!has_uring()) return;
    probe_kernel(&report, "6.1.0-18-amd64");
    CHECK(report.profile == PROBE_BASIC && refused("multishot", "older than 6.8"));
    CHECK(!words("incremental buffers", true));
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_MULTISHOT && refused("incremental buffers", "older than 6.15"));
    CHECK(!words("multishot", false));
}

static void eperm_is_explained_by_what_causes_it(void) {
    faults.setup = -EPERM;
    faults.disabled = 2;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", "io_uring_disabled = 2"));
    faults.disabled = 0;
    faults.filtered = 1;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", "proactor engine --seccomp"));
    faults.filtered = 0;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", "security policy"));
    if (geteuid() == 0) return;
    faults.disabled = 1;
    probe_kernel(&report, "6.12.1");
    CHECK(refused("io_uring", "io_uring_group"));
}

static void other_refusals_are_explained_too(void) {
    faults.setup = -ENOSYS;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", "built without it"));
    faults.setup = -ENOMEM;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", "ENOMEM"));
    faults.setup = -EMFILE;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("io_uring", strerror(EMFILE)));
}

static void smaller_queues_are_told_with_the_limit(void) {
    if (!has_uring()) return;
    faults.memory_for = 256;

    probe_kernel(&report, NULL);

    CHECK(report.profile != PROBE_NONE);
    CHECK(words("queues", true));
    CHECK(strstr(words("queues", true), "256 requests") || has_little_memory());
    CHECK(strstr(words("queues", true), "RLIMIT_MEMLOCK"));
}

static void queues_get_shorter_to_leave_memory_for_buffers(void) {
    if (!has_uring()) return;
    faults.register_opcode = URING_REGISTER_PBUF_RING;
    faults.register_result = -ENOMEM;
    faults.registers = 20; /* As often as one group is tried for. */

    probe_kernel(&report, NULL);

    CHECK(report.profile != PROBE_NONE);
    CHECK(strstr(words("queues", true), "256 requests") || has_little_memory());
    CHECK(!words("incremental buffers", false) || kernel_version() < 6015);

    faults.registers = -1;
    probe_kernel(&report, NULL);
    CHECK(report.profile == PROBE_NONE && refused("basic", "no group of buffers"));
}

static void a_missing_operation_or_buffer_group_means_none(void) {
    if (!has_uring()) return;
    faults.missing_op = URING_OP_SENDMSG;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("basic", "SENDMSG"));
    CHECK(refused("multishot", "SENDMSG"));
    faults.missing_op = 0;
    faults.register_opcode = URING_REGISTER_PBUF_RING;
    faults.register_result = -EINVAL;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("basic", "no group of buffers"));
}

static void a_trial_that_fails_says_what_failed(void) {
    /* Method: the first enter is refused, so multishot fails its trial; basic gets its own. */
    if (!has_uring()) return;
    faults.enter = -EINVAL;
    faults.enters = 1;
    unsigned before = open_descriptors();

    probe_kernel(&report, "6.12.1");

    CHECK(report.profile == PROBE_BASIC);
    CHECK(refused("multishot", "could not be submitted"));
    CHECK(open_descriptors() == before);
    faults.enters = 1000;
    probe_kernel(&report, "6.12.1");
    CHECK(report.profile == PROBE_NONE && refused("basic", "could not be submitted"));
}

static int probe_where_it_is_forbidden(void) {
    if (!forbid_uring()) return 90;
    faults.disabled = 0;
    probe_kernel(&report, "6.12.1");
    return report.profile == PROBE_NONE && refused("io_uring", "seccomp") ? 0 : 1;
}

static void under_a_seccomp_filter_it_names_the_filter(void) {
    int result = in_child(probe_where_it_is_forbidden);

    if (result == 90) SKIP("no seccomp filter can be set here");
    CHECK(result == 0);
}

static void *probe_beside(void *argument) {
    struct probe_report own;
    for (unsigned round = 0; round < 10; round++) probe_kernel(&own, NULL);
    *(enum probe_profile *)argument = own.profile;
    return NULL;
}

static void several_threads_may_probe_at_once(void) {
    if (!has_uring()) return;
    if (has_little_memory()) SKIP("there is no memory for several rings");
    pthread_t threads[4];
    enum probe_profile profiles[4];
    for (unsigned index = 0; index < 4; index++)
        CHECK(pthread_create(&threads[index], NULL, probe_beside, &profiles[index]) == 0);
    for (unsigned index = 0; index < 4; index++) CHECK(pthread_join(threads[index], NULL) == 0);

    probe_kernel(&report, NULL);

    for (unsigned index = 0; index < 4; index++) CHECK(profiles[index] == report.profile);
}

RUN_TESTS(TEST(here_it_finds_a_profile_and_leaves_no_descriptor),
          TEST(it_takes_some_milliseconds_at_most), TEST(an_old_kernel_is_told_by_its_version),
          TEST(eperm_is_explained_by_what_causes_it), TEST(other_refusals_are_explained_too),
          TEST(smaller_queues_are_told_with_the_limit),
          TEST(queues_get_shorter_to_leave_memory_for_buffers),
          TEST(a_missing_operation_or_buffer_group_means_none),
          TEST(a_trial_that_fails_says_what_failed),
          TEST(under_a_seccomp_filter_it_names_the_filter), TEST(several_threads_may_probe_at_once))
