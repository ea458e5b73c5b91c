#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

int outcome;
struct faults faults;

static const char *running;

void tell(int what, const char *file, int line, const char *text) {
    if (outcome != FAILED) outcome = what;
    const char *base = strrchr(file, '/');
    printf("%s %s (%s:%d): %s\n", what == FAILED ? "FAILED " : "skipped", running,
           base ? base + 1 : file, line, text);
}

static void clear_faults(void) {
    memset(&faults, 0, sizeof faults);
    faults.disabled = -2;
    faults.filtered = -1;
    faults.registers = -1;
}

int run_tests(const char *file, const struct test *tests, unsigned count) {
    unsigned counts[3] = {0};
    /* A child that is forked must not print again what waits here. */
    setvbuf(stdout, NULL, _IONBF, 0);
    for (unsigned index = 0; index < count; index++) {
        running = tests[index].name;
        outcome = PASSED;
        clear_faults();
        tests[index].run();
        counts[outcome]++;
    }
    const char *base = strrchr(file, '/');
    printf("%s: %u passed, %u failed, %u skipped\n", base ? base + 1 : file, counts[PASSED],
           counts[FAILED], counts[SKIPPED]);
    return counts[FAILED] ? EXIT_FAILURE : EXIT_SUCCESS;
}

bool open_ring(struct ring *ring, uint32_t sq_entries, uint32_t cq_entries) {
    struct ring_size size = {sq_entries, cq_entries};
    int result = ring_open(ring, &size, 1, RING_WANTED, RING_REQUIRED);
    if (result == -EPERM || result == -ENOSYS || result == -EINVAL) {
        tell(SKIPPED, __FILE__, __LINE__, "this system has no io_uring for us");
        return false;
    }
    if (result == 0) result = ring_enable(ring);
    if (result < 0) tell(FAILED, __FILE__, __LINE__, strerror(-result));
    return result == 0;
}

bool reap(struct ring *ring, struct uring_cqe *cqes, uint32_t count) {
    int64_t deadline = sys_now() + 5000000000;
    for (uint32_t got = 0; got < count;) {
        if (!ring_ready(ring)) {
            int result = ring_enter(ring, 1, deadline - sys_now());
            if (result < 0 && result != -EINTR && result != -EBUSY) return false;
            continue;
        }
        cqes[got++] = *ring_completion(ring, 0);
        ring_advance(ring, 1);
    }
    return true;
}

bool stays_quiet(struct ring *ring) {
    if (ring_ready(ring)) return false;
    int result = ring_enter(ring, 1, 100000000);
    return (result == -ETIME || result >= 0) && !ring_ready(ring);
}

struct uring_cqe of(const struct uring_cqe *cqes, uint32_t count, uint64_t user_data) {
    for (uint32_t index = 0; index < count; index++)
        if (cqes[index].user_data == user_data) return cqes[index];
    return (struct uring_cqe){.res = INT32_MIN};
}

unsigned open_descriptors(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) != -1;
    return count;
}

int in_child(int (*function)(void)) {
    pid_t child = fork();
    if (child < 0) return -1;
    /* Without the endings of a process: the sanitizers' own would look at the parent's memory. */
    if (child == 0) _exit(function());
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

unsigned kernel_version(void) {
    char release[65];
    unsigned major = 0, minor = 0;
    sys_release(release, sizeof release);
    sscanf(release, "%u.%u", &major, &minor);
    return 1000 * major + minor;
}

bool forbid_uring(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, URING_SYS_SETUP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

/* -- between ring.c or probe.c and the kernel -- */

int __real_sys_uring_setup(uint32_t entries, struct uring_params *params);
int __real_sys_uring_enter(int fd, uint32_t submit, uint32_t wait, uint32_t flags, const void *arg,
                           size_t arg_bytes);
int __real_sys_uring_register(int fd, uint32_t opcode, const void *arg, uint32_t count);
long __real_sys_read_number(const char *path);
int __real_sys_seccomp_filtered(void);

int __wrap_sys_uring_setup(uint32_t entries, struct uring_params *params);
int __wrap_sys_uring_enter(int fd, uint32_t submit, uint32_t wait, uint32_t flags, const void *arg,
                           size_t arg_bytes);
int __wrap_sys_uring_register(int fd, uint32_t opcode, const void *arg, uint32_t count);
long __wrap_sys_read_number(const char *path);
int __wrap_sys_seccomp_filtered(void);

int __wrap_sys_uring_setup(uint32_t entries, struct uring_params *params) {
    if (faults.setup) return faults.setup;
    if (params->flags & faults.unknown_flags) return -EINVAL;
    if (faults.memory_for && entries > faults.memory_for) return -ENOMEM;
    int result = __real_sys_uring_setup(entries, params);
    params->features &= ~faults.missing_features;
    return result;
}

int __wrap_sys_uring_enter(int fd, uint32_t submit, uint32_t wait, uint32_t flags, const void *arg,
                           size_t arg_bytes) {
    if (faults.enters > 0 && faults.enters--) return faults.enter;
    return __real_sys_uring_enter(fd, submit, wait, flags, arg, arg_bytes);
}

int __wrap_sys_uring_register(int fd, uint32_t opcode, const void *arg, uint32_t count) {
    if (faults.register_result && (int)opcode == faults.register_opcode && faults.registers) {
        if (faults.registers > 0) faults.registers--;
        return faults.register_result;
    }
    int result = __real_sys_uring_register(fd, opcode, arg, count);
    if (opcode == URING_REGISTER_PROBE && faults.missing_op && result >= 0)
        ((struct uring_probe *)(uintptr_t)arg)->ops[faults.missing_op].flags = 0;
    return result;
}

long __wrap_sys_read_number(const char *path) {
    return faults.disabled == -2 ? __real_sys_read_number(path) : faults.disabled;
}

int __wrap_sys_seccomp_filtered(void) {
    return faults.filtered < 0 ? __real_sys_seccomp_filtered() : faults.filtered;
}
