/* The smallest harness: a test is a function, CHECK ends it, SKIP says why it cannot run here.
 *
 * A file has one RUN_TESTS with its tests; it prints a line for each that did not pass, and a
 * closing line with the three counts. Its status is 1 if one failed.
 */
#ifndef PROACTOR_HARNESS_H
#define PROACTOR_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "ring.h"

struct test {
    const char *name;
    void (*run)(void);
};

enum { PASSED, FAILED, SKIPPED };

extern int outcome; /* of the test that runs */

void tell(int what, const char *file, int line, const char *text);
int run_tests(const char *file, const struct test *tests, unsigned count);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            tell(FAILED, __FILE__, __LINE__, #condition);                                          \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define SKIP(reason)                                                                               \
    do {                                                                                           \
        tell(SKIPPED, __FILE__, __LINE__, reason);                                                 \
        return;                                                                                    \
    } while (0)

#define TEST(function) {#function, function}
#define RUN_TESTS(...)                                                                             \
    int main(void) {                                                                               \
        static const struct test tests[] = {__VA_ARGS__};                                          \
        return run_tests(__FILE__, tests, sizeof tests / sizeof *tests);                           \
    }

/* What every test of a ring needs. */

/* Open a ring of this size and make the calling thread its owner; skips the test where the system
 * forbids io_uring, and fails it otherwise. Returns false where the test is to return. */
bool open_ring(struct ring *ring, uint32_t sq_entries, uint32_t cq_entries);

/* Enter until `count` completions are there, and copy them; false after 5 seconds. */
bool reap(struct ring *ring, struct uring_cqe *cqes, uint32_t count);

/* Say whether no completion comes within 100 ms. */
bool stays_quiet(struct ring *ring);

/* Return the completion of `user_data` among `count`, or one with res INT32_MIN. */
struct uring_cqe of(const struct uring_cqe *cqes, uint32_t count, uint64_t user_data);

/* Return how many descriptors this process has. */
unsigned open_descriptors(void);

/* Run `function` in a forked child, and return what it returns (0 to 100); -1 if it crashed. */
int in_child(int (*function)(void));

/* Return the running kernel as 1000 * major + minor. */
unsigned kernel_version(void);

/* Forbid io_uring_setup to this process for good, as the default profile of a container does. */
bool forbid_uring(void);

/* What the kernel is made to answer; cleared before each test. The functions of sys.h come by here
 * first (ld --wrap), and are the real ones where nothing is set. */
struct faults {
    int setup;                 /* an -errno for every setup */
    uint32_t unknown_flags;    /* setup flags that this kernel does not know */
    uint32_t missing_features; /* features that this kernel has not */
    uint32_t memory_for;       /* the largest number of requests that there is memory for; 0: any */
    int enter;                 /* an -errno for the next enters ... */
    int enters;                /* ... so many of them */
    int register_opcode;       /* this registration ... */
    int register_result;       /* ... ends with this -errno, if it is not 0 ... */
    int registers;             /* ... so many times; -1: always */
    int missing_op;            /* an operation that the probe does not know, if it is not 0 */
    long disabled;             /* kernel.io_uring_disabled; -2: the real one */
    int filtered;              /* a seccomp filter is there; -1: the real answer */
};
extern struct faults faults;

#endif
