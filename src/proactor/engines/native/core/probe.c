#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prep.h"
#include "ring.h"
#include "sys.h"

#define FLOOR VERSION(6, 1)           /* DEFER_TASKRUN */
#define FLOOR_MULTISHOT VERSION(6, 8) /* Before, multishot accept could return a wrong descriptor,
                                         and one flooding connection could starve the others. */
#define FLOOR_INCREMENTAL VERSION(6, 15) /* Since 6.12, and without known bugs only later. */

#define VERSION(major, minor) ((major) * 1000u + (minor))

enum { STEP_NS = 50 * 1000000, GROUP = 1, GROUP_INCREMENTAL = 2 };
enum { ON_RECV = 1, ON_WAKE, ON_CANCEL, ON_CANCEL_ALL };

__attribute__((format(printf, 4, 5))) static void
find(struct probe_report *report, bool is_used, const char *name, const char *format, ...) {
    if (report->count == PROBE_FINDINGS) return;
    struct probe_finding *finding = &report->findings[report->count++];
    finding->name = name;
    finding->is_used = is_used;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

static unsigned parse_version(const char *release) {
    unsigned major = 0, minor = 0;
    sscanf(release, "%u.%u", &major, &minor);
    return VERSION(major, minor);
}

/* -- why there is no ring -- */

static void find_why_forbidden(struct probe_report *report) {
    long disabled = sys_read_number("/proc/sys/kernel/io_uring_disabled");
    if (disabled == 2) {
        find(report, false, "io_uring",
             "EPERM: kernel.io_uring_disabled = 2 forbids it to every process; "
             "sysctl kernel.io_uring_disabled=0 allows it");
    } else if (disabled == 1 && geteuid() != 0) {
        find(report, false, "io_uring",
             "EPERM: kernel.io_uring_disabled = 1 allows it to CAP_SYS_ADMIN and to the group "
             "kernel.io_uring_group only; join that group");
    } else if (sys_seccomp_filtered()) {
        find(report, false, "io_uring",
             "EPERM: a seccomp filter forbids it, as the default profiles of Docker and Kubernetes "
             "do; proactor engine --seccomp prints what allows it");
    } else {
        find(report, false, "io_uring", "EPERM: a security policy of this system forbids it");
    }
}

static void find_why_no_ring(struct probe_report *report, int code) {
    uint64_t limit = sys_lock_limit();
    switch (-code) {
    case EPERM:
    case EACCES:
        find_why_forbidden(report);
        return;
    case ENOSYS:
        find(report, false, "io_uring",
             "ENOSYS: the kernel was built without it, or a sandbox hides it");
        return;
    case ENOMEM:
        if (limit == UINT64_MAX) {
            find(report, false, "io_uring", "ENOMEM: no memory even for its smallest queues");
            return;
        }
        find(report, false, "io_uring",
             "ENOMEM: even its smallest queues are more than RLIMIT_MEMLOCK = %llu KiB leaves to "
             "this user; raise it (ulimit -l)",
             (unsigned long long)(limit / 1024));
        return;
    case EINVAL:
        find(report, false, "io_uring", "EINVAL: this kernel does not know DEFER_TASKRUN");
        return;
    default:
        find(report, false, "io_uring", "%s", strerror(-code));
    }
}

/* -- the trial: receive, wake, cancel -- */

struct trial {
    struct ring ring;
    struct buffers buffers, incremental;
    int pair[2]; /* we receive on the first and write to the second */
    int wake;
    unsigned in_flight;
    unsigned size; /* which of ring_sizes the ring has */
};

enum outcome { FAILS, WORKS, TOO_LARGE };

/* The kernel may write here as long as a request is in flight, and one that does not end in time
 * outlives its trial. */
static uint64_t wake_count;

static struct uring_sqe *request(struct trial *trial) {
    struct uring_sqe *sqe = ring_request(&trial->ring);
    if (sqe) trial->in_flight++; /* Room for all of a trial's requests is there from the start. */
    return sqe;
}

/* Wait for `count` completions and copy them out. */
static bool collect(struct trial *trial, struct uring_cqe *cqes, unsigned count) {
    int64_t deadline = sys_now() + STEP_NS;
    unsigned got = 0;
    while (got < count) {
        if (!ring_ready(&trial->ring)) {
            int64_t left = deadline - sys_now();
            if (left <= 0) return false;
            int result = ring_enter(&trial->ring, 1, left);
            if (result < 0 && result != -EINTR && result != -ETIME) return false;
            continue;
        }
        cqes[got] = *ring_completion(&trial->ring, 0);
        ring_advance(&trial->ring, 1);
        if (!(cqes[got].flags & URING_CQE_F_MORE)) trial->in_flight--;
        got++;
    }
    return true;
}

static void prepare_recv(struct trial *trial, bool multishot, uint16_t group) {
    struct uring_sqe *sqe = request(trial);
    if (!sqe) return;
    if (multishot)
        prep_recv_multishot(sqe, trial->pair[0], group, ON_RECV);
    else
        prep_recv_select(sqe, trial->pair[0], group, ON_RECV);
}

/* Write `part` and look at what arrives. `used_up` is whether the buffer must be, too. */
static const char *receive(struct trial *trial, struct buffers *buffers, bool multishot,
                           const char *part, bool used_up) {
    struct uring_cqe cqe;
    if (ring_enter(&trial->ring, 0, 0) < 0) return "a receive could not be submitted";
    ssize_t size = (ssize_t)strlen(part);
    if (write(trial->pair[1], part, (size_t)size) != size) return "the socket pair takes no bytes";
    if (!collect(trial, &cqe, 1)) return "nothing was received within 50 ms";
    if (cqe.user_data != ON_RECV || cqe.res != size) return "another count was received than sent";
    if (!(cqe.flags & URING_CQE_F_BUFFER)) return "no buffer of the group was chosen";
    bool has_more = cqe.flags & URING_CQE_F_MORE;
    if (has_more != multishot) return "the request ended, or stayed, when it should not";
    uint8_t *bytes;
    uint16_t id;
    bool is_used_up = buffers_take(buffers, &cqe, &bytes, &id);
    if (memcmp(bytes, part, (size_t)size)) return "other bytes were received than sent";
    if (is_used_up != used_up) return "the buffer was not shared out as it should";
    if (is_used_up) buffers_give(buffers, id);
    buffers_publish(buffers);
    return NULL;
}

static const char *try_wake(struct trial *trial) {
    struct uring_cqe cqe;
    struct uring_sqe *sqe = request(trial);
    if (!sqe) return "the queue has no room";
    prep_read(sqe, trial->wake, &wake_count, sizeof wake_count, ON_WAKE);
    uint64_t one = 1;
    if (ring_enter(&trial->ring, 0, 0) < 0) return "the read of an eventfd could not be submitted";
    if (write(trial->wake, &one, sizeof one) != sizeof one) return "the eventfd takes no count";
    if (!collect(trial, &cqe, 1)) return "an eventfd did not wake within 50 ms";
    if (cqe.user_data != ON_WAKE || cqe.res != sizeof one) return "an eventfd was not read";
    return NULL;
}

static const char *try_cancel(struct trial *trial) {
    struct uring_cqe cqes[2];
    struct uring_sqe *sqe = request(trial);
    if (!sqe) return "the queue has no room";
    prep_cancel(sqe, ON_RECV, ON_CANCEL);
    if (!collect(trial, cqes, 2)) return "a cancel took more than 50 ms";
    unsigned target = cqes[0].user_data == ON_RECV ? 0 : 1;
    if (cqes[!target].user_data != ON_CANCEL || cqes[!target].res != 0)
        return "a cancel did not find its request";
    if (cqes[target].res != -ECANCELED || cqes[target].flags & URING_CQE_F_MORE)
        return "a cancelled receive did not end";
    return NULL;
}

/* Return NULL if all went well, else what did not. */
static const char *try_all(struct trial *trial, bool multishot) {
    const char *problem = NULL;
    prepare_recv(trial, multishot, GROUP);
    problem = receive(trial, &trial->buffers, multishot, "first", true);
    if (!problem && !multishot) prepare_recv(trial, multishot, GROUP);
    if (!problem) problem = receive(trial, &trial->buffers, multishot, "second one", true);
    if (!problem) problem = try_wake(trial);
    if (problem) return problem;
    if (!multishot) prepare_recv(trial, multishot, GROUP); /* Something to be cancelled. */
    return try_cancel(trial);
}

/* Two pieces must lie one behind the other in one buffer, which the kernel keeps. */
static const char *try_incremental(struct trial *trial) {
    prepare_recv(trial, true, GROUP_INCREMENTAL);
    const char *problem = receive(trial, &trial->incremental, true, "a piece", false);
    if (!problem) problem = receive(trial, &trial->incremental, true, "and one more", false);
    if (!problem) problem = try_cancel(trial);
    return problem;
}

/* -- opening and closing a trial -- */

/* `size` is the first of ring_sizes to be tried. */
static int open_trial(struct trial *trial, unsigned size) {
    memset(trial, 0, sizeof *trial);
    trial->pair[0] = trial->pair[1] = trial->wake = -1;
    int result = ring_open(&trial->ring, ring_sizes + size, RING_SIZES - size, RING_WANTED,
                           RING_REQUIRED);
    trial->size = size + trial->ring.choice.steps_down;
    if (result == 0) result = ring_enable(&trial->ring);
    if (result < 0) return result;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, trial->pair) < 0) return -errno;
    trial->wake = eventfd(0, EFD_CLOEXEC);
    return trial->wake < 0 ? -errno : 0;
}

static void close_trial(struct trial *trial) {
    bool is_quiet = trial->in_flight == 0;
    if (!is_quiet && trial->ring.fd >= 0) {
        struct uring_sqe *sqe = request(trial);
        struct uring_cqe ignored;
        if (sqe) {
            prep_cancel(sqe, 0, ON_CANCEL_ALL);
            sqe->op_flags = URING_ASYNC_CANCEL_ALL | URING_ASYNC_CANCEL_ANY;
        }
        while (trial->in_flight && collect(trial, &ignored, 1)) continue;
        is_quiet = trial->in_flight == 0;
    }
    /* A request that did not even end now may still be written to: its memory is given up. */
    if (is_quiet) {
        buffers_close(&trial->buffers, &trial->ring);
        buffers_close(&trial->incremental, &trial->ring);
    }
    ring_close(&trial->ring);
    if (trial->pair[0] >= 0) close(trial->pair[0]);
    if (trial->pair[1] >= 0) close(trial->pair[1]);
    if (trial->wake >= 0) close(trial->wake);
}

/* -- what is found out -- */

static const char *missing_operation(struct ring *ring) {
    static const struct {
        enum uring_op op;
        const char *name;
    } needed[] = {
        {URING_OP_ACCEPT, "ACCEPT"},   {URING_OP_RECV, "RECV"},       {URING_OP_SEND, "SEND"},
        {URING_OP_SENDMSG, "SENDMSG"}, {URING_OP_CONNECT, "CONNECT"}, {URING_OP_READ, "READ"},
        {URING_OP_POLL_ADD, "POLL_ADD"}, {URING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
    };
    struct uring_probe probe;
    if (ring_probe(ring, &probe) < 0) return "REGISTER_PROBE";
    for (unsigned index = 0; index < sizeof needed / sizeof *needed; index++)
        if (!(probe.ops[needed[index].op].flags & URING_OP_SUPPORTED)) return needed[index].name;
    return NULL;
}

static void find_ring(struct probe_report *report, const struct trial *trial) {
    const struct ring *ring = &trial->ring;
    const struct ring_choice *choice = &ring->choice;
    if (trial->size)
        find(report, true, "queues",
             "%u requests, %u completions: less than wanted, for RLIMIT_MEMLOCK = %llu KiB",
             choice->size.sq_entries, choice->size.cq_entries,
             (unsigned long long)(sys_lock_limit() / 1024));
    else
        find(report, true, "queues", "%u requests, %u completions", choice->size.sq_entries,
             choice->size.cq_entries);
    find(report, true, "DEFER_TASKRUN", "completions are made in the thread that waits for them");
    bool has_taskrun = choice->setup_flags & URING_SETUP_TASKRUN_FLAG;
    find(report, has_taskrun, "TASKRUN_FLAG",
         has_taskrun ? "no system call where nothing happened" : "this kernel does not know it");
    bool has_no_array = choice->setup_flags & URING_SETUP_NO_SQARRAY;
    find(report, has_no_array, "NO_SQARRAY",
         has_no_array ? "requests without a table of indices" : "kernels have it from 6.6 on");
    bool is_registered = ring->enter_flags & URING_ENTER_REGISTERED_RING;
    find(report, is_registered, "registered ring",
         is_registered ? "no look-up of the descriptor at a system call" : "the kernel refused it");
    bool has_no_iowait = choice->features & URING_FEAT_NO_IOWAIT;
    find(report, has_no_iowait, "NO_IOWAIT",
         has_no_iowait ? "a thread that waits does not count as one that waits for a disk"
                       : "kernels have it from 6.15 on: an idle server shows as iowait");
}

/* `code` is how opening the group went. */
static void find_incremental(struct probe_report *report, struct trial *trial, unsigned version,
                             int code) {
    if (version < FLOOR_INCREMENTAL) {
        find(report, false, "incremental buffers", "kernel %s is older than 6.15", report->kernel);
        return;
    }
    const char *problem = code < 0 ? strerror(-code) : try_incremental(trial);
    find(report, !problem, "incremental buffers", "%s",
         problem ? problem : "a large buffer is used up piece by piece");
}

/* Try one profile on a ring of its own. */
static enum outcome find_profile(struct probe_report *report, struct trial *trial, bool multishot,
                                 unsigned version) {
    const char *name = multishot ? "multishot" : "basic";
    struct ring *ring = &trial->ring;
    const char *missing = missing_operation(ring);
    if (missing) {
        find(report, false, name, "the kernel does not offer %s", missing);
        return FAILS;
    }
    int code_inc = 0;
    int code = buffers_open(&trial->buffers, ring, GROUP, 8, 2048, false);
    if (code == 0 && multishot && version >= FLOOR_INCREMENTAL)
        code_inc = buffers_open(&trial->incremental, ring, GROUP_INCREMENTAL, 1, 4096, true);
    /* Groups count against the same limit as the queues, and are worth more than long queues. */
    if ((code == -ENOMEM || code_inc == -ENOMEM) && trial->size + 1 < RING_SIZES) return TOO_LARGE;
    if (code < 0) {
        find(report, false, name, "no group of buffers: %s", strerror(-code));
        return FAILS;
    }
    const char *problem = try_all(trial, multishot);
    if (problem) {
        find(report, false, name, "it was tried on a socket pair: %s", problem);
        return FAILS;
    }
    find_ring(report, trial);
    find(report, true, "buffer group", "the kernel chooses a buffer when data is there");
    find(report, true, "eventfd", "another thread wakes the one that waits");
    if (multishot) {
        find(report, true, "multishot", "one request accepts, or receives, many times");
        find_incremental(report, trial, version, code_inc);
    }
    return WORKS;
}

void probe_kernel(struct probe_report *report, const char *release) {
    memset(report, 0, sizeof *report);
    if (release)
        snprintf(report->kernel, sizeof report->kernel, "%s", release);
    else
        sys_release(report->kernel, sizeof report->kernel);
    unsigned version = parse_version(report->kernel);
    if (version < FLOOR) {
        find(report, false, "io_uring", "kernel %s is older than 6.1", report->kernel);
        return;
    }
    bool multishot = version >= FLOOR_MULTISHOT;
    if (!multishot) find(report, false, "multishot", "kernel %s is older than 6.8", report->kernel);
    unsigned size = 0;
    for (;;) {
        struct trial trial;
        int result = open_trial(&trial, size);
        if (result < 0) find_why_no_ring(report, result);
        enum outcome outcome =
            result < 0 ? FAILS : find_profile(report, &trial, multishot, version);
        close_trial(&trial);
        if (outcome == WORKS) report->profile = multishot ? PROBE_MULTISHOT : PROBE_BASIC;
        if (outcome == TOO_LARGE) {
            size = trial.size + 1;
            continue;
        }
        /* Where multishot fails, what does without may work: it gets a ring of its own. */
        if (outcome == WORKS || result < 0 || !multishot) return;
        multishot = false;
    }
}
