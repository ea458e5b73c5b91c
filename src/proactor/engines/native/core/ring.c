#define _GNU_SOURCE
#include "ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys.h"

const struct ring_size ring_sizes[RING_SIZES] = {{1024, 8192}, {256, 2048}, {64, 512}};

/* What an older kernel does not know, newest first. DEFER_TASKRUN needs SINGLE_ISSUER, and
 * TASKRUN_FLAG needs DEFER_TASKRUN, so in this order what is left is always a legal set. */
static const uint32_t given_up_in_order[] = {
    URING_SETUP_NO_SQARRAY,    URING_SETUP_TASKRUN_FLAG, URING_SETUP_DEFER_TASKRUN,
    URING_SETUP_SINGLE_ISSUER, URING_SETUP_SUBMIT_ALL,
};

/* How often this process is the child of a fork. A counter, since asking for the process id at
 * every enter would cost a system call. (A child made by a raw clone is not seen.) */
static _Atomic unsigned fork_generation;
static pthread_once_t fork_watched = PTHREAD_ONCE_INIT;

static void count_fork(void) { atomic_fetch_add(&fork_generation, 1); }

static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

static unsigned current_generation(void) {
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

static bool is_forked(const struct ring *ring) { return ring->generation != current_generation(); }

/* Memory shared with the kernel must not be in a child: a write there would be a write here. */
static void *map_shared(int fd, size_t bytes, uint64_t offset) {
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
    if (memory == MAP_FAILED) return NULL;
    if (madvise(memory, bytes, MADV_DONTFORK) < 0) {
        int code = errno;
        munmap(memory, bytes);
        errno = code;
        return NULL;
    }
    return memory;
}

/* The locked memory of a closed ring comes back some 30 ms later, and nothing tells when. Without
 * patience a process with a low limit could not open a ring soon after it has closed one.
 *
 * Says whether to try again after `result`, having waited; `tries` counts, from 0. */
static bool is_patient(int result, unsigned *tries) {
    enum { TRIES = 20, PAUSE_NS = 5000000 };
    if (result != -ENOMEM || ++*tries == TRIES) return false;
    sys_pause(PAUSE_NS);
    return true;
}

/* -- opening -- */

static int setup_with_flags(struct uring_params *params, struct ring_size size, uint32_t wanted,
                            uint32_t required, uint32_t *given_up) {
    unsigned next = 0;
    uint32_t flags = wanted | required | URING_SETUP_CQSIZE | URING_SETUP_CLAMP |
                     URING_SETUP_R_DISABLED;
    *given_up = 0;
    for (;;) {
        memset(params, 0, sizeof *params);
        params->flags = flags;
        params->cq_entries = size.cq_entries;
        int fd = sys_uring_setup(size.sq_entries, params);
        if (fd != -EINVAL) return fd;
        for (;;) {
            if (next == sizeof given_up_in_order / sizeof *given_up_in_order) return -EINVAL;
            uint32_t flag = given_up_in_order[next++];
            if (flag & required) return -EINVAL;
            if (!(flag & flags)) continue;
            flags &= ~flag;
            *given_up |= flag;
            break;
        }
    }
}

static int setup(struct ring *ring, struct uring_params *params, const struct ring_size *sizes,
                 unsigned count, uint32_t wanted, uint32_t required) {
    int fd = -EINVAL;
    for (unsigned step = 0; step < count; step++) {
        ring->choice.steps_down = step;
        fd = setup_with_flags(params, sizes[step], wanted, required, &ring->choice.given_up);
        if (fd != -ENOMEM) break;
    }
    return fd;
}


static void *at(const struct ring *ring, uint32_t offset) {
    return (uint8_t *)ring->queues + offset;
}

static int map_queues(struct ring *ring, const struct uring_params *params) {
    /* Both queues are one mapping since 5.4, far below what this engine asks for. */
    if (!(params->features & URING_FEAT_SINGLE_MMAP)) return -ENOSYS;
    size_t sq_bytes = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    size_t cq_bytes = params->cq_off.cqes + params->cq_entries * sizeof(struct uring_cqe);
    if (params->flags & URING_SETUP_NO_SQARRAY) sq_bytes = 0;
    ring->queues_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
    ring->queues = map_shared(ring->fd, ring->queues_bytes, URING_OFF_SQ_RING);
    if (!ring->queues) return -errno;
    ring->sqes_bytes = params->sq_entries * sizeof(struct uring_sqe);
    ring->sqes = map_shared(ring->fd, ring->sqes_bytes, URING_OFF_SQES);
    if (!ring->sqes) return -errno;

    ring->sq_head = at(ring, params->sq_off.head);
    ring->sq_tail = at(ring, params->sq_off.tail);
    ring->sq_flags = at(ring, params->sq_off.flags);
    ring->sq_mask = *(uint32_t *)at(ring, params->sq_off.ring_mask);
    ring->sq_entries = params->sq_entries;
    ring->sq_next = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
    ring->cq_head = at(ring, params->cq_off.head);
    ring->cq_tail = at(ring, params->cq_off.tail);
    ring->cqes = at(ring, params->cq_off.cqes);
    ring->cq_mask = *(uint32_t *)at(ring, params->cq_off.ring_mask);
    ring->cq_entries = params->cq_entries;
    if (!(params->flags & URING_SETUP_NO_SQARRAY)) {
        /* An older kernel takes requests by way of a table of indices: here each is its own. */
        uint32_t *indices = at(ring, params->sq_off.array);
        for (uint32_t index = 0; index < params->sq_entries; index++) indices[index] = index;
    }
    return 0;
}

int ring_open(struct ring *ring, const struct ring_size *sizes, unsigned count, uint32_t wanted,
              uint32_t required) {
    memset(ring, 0, sizeof *ring);
    ring->fd = ring->enter_fd = -1;
    pthread_once(&fork_watched, watch_forks);
    ring->generation = current_generation();

    struct uring_params params;
    unsigned tries = 0;
    int result;
    do {
        result = setup(ring, &params, sizes, count, wanted, required);
    } while (is_patient(result, &tries));
    if (result < 0) return result;
    ring->fd = ring->enter_fd = result; /* The kernel opens it close-on-exec. */
    ring->choice.setup_flags = params.flags;
    ring->choice.features = params.features;
    ring->choice.size = (struct ring_size){params.sq_entries, params.cq_entries};
    /* Time-outs of an enter, and no lost completion: all kernels from 5.11 on have both. */
    uint32_t needed = URING_FEAT_EXT_ARG | URING_FEAT_NODROP;
    result = (params.features & needed) == needed ? map_queues(ring, &params) : -ENOSYS;
    if (result < 0) {
        ring_close(ring);
        return result;
    }
    if (params.features & URING_FEAT_NO_IOWAIT) ring->enter_flags |= URING_ENTER_NO_IOWAIT;
    return 0;
}

static void register_descriptor(struct ring *ring) {
    struct uring_rsrc_update update = {.offset = UINT32_MAX, .data = (uint64_t)ring->fd};
    if (sys_uring_register(ring->fd, URING_REGISTER_RING_FDS, &update, 1) != 1) return;
    /* It only saves a look-up: a kernel that refuses is no loss. */
    ring->enter_fd = (int)update.offset;
    ring->enter_flags |= URING_ENTER_REGISTERED_RING;
}

int ring_enable_unregistered(struct ring *ring) {
    if (is_forked(ring)) return RING_FORKED;
    return sys_uring_register(ring->fd, URING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int ring_enable(struct ring *ring) {
    int result = ring_enable_unregistered(ring);
    if (result < 0) return result;
    register_descriptor(ring);
    return 0;
}

void ring_close(struct ring *ring) {
    /* In a child nothing is mapped, and at these addresses there may be something else by now. */
    bool is_ours = !is_forked(ring);
    if (is_ours && ring->fd >= 0 && ring->enter_flags & URING_ENTER_REGISTERED_RING) {
        /* A registered descriptor would keep the ring alive until the owner's thread ends. */
        struct uring_rsrc_update update = {.offset = (uint32_t)ring->enter_fd};
        sys_uring_register(ring->fd, URING_UNREGISTER_RING_FDS, &update, 1);
    }
    if (is_ours && ring->sqes) munmap(ring->sqes, ring->sqes_bytes);
    if (is_ours && ring->queues) munmap(ring->queues, ring->queues_bytes);
    if (ring->fd >= 0) close(ring->fd);
    ring->fd = ring->enter_fd = -1;
    ring->enter_flags = 0;
    ring->sqes = NULL;
    ring->queues = NULL;
}

/* -- requests -- */

struct uring_sqe *ring_request(struct ring *ring) {
    if (is_forked(ring)) return NULL;
    /* Acquire: the kernel has read a request before its head has passed it. */
    uint32_t head = atomic_load_explicit(ring->sq_head, memory_order_acquire);
    if (ring->sq_next - head >= ring->sq_entries) return NULL;
    struct uring_sqe *sqe = &ring->sqes[ring->sq_next++ & ring->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

uint32_t ring_unsubmitted(const struct ring *ring) {
    if (is_forked(ring)) return 0;
    return ring->sq_next - atomic_load_explicit(ring->sq_head, memory_order_relaxed);
}

static uint32_t kernel_flags(const struct ring *ring) {
    /* An old value does no harm: whoever is about to sleep enters, and the kernel looks again. */
    return atomic_load_explicit(ring->sq_flags, memory_order_acquire);
}

bool ring_overflowed(const struct ring *ring) {
    return !is_forked(ring) && kernel_flags(ring) & URING_SQ_CQ_OVERFLOW;
}

bool ring_must_enter(const struct ring *ring) {
    if (is_forked(ring)) return false;
    /* Without TASKRUN_FLAG nobody tells, and an enter is the only way to know. */
    if (!(ring->choice.setup_flags & URING_SETUP_TASKRUN_FLAG)) return true;
    return kernel_flags(ring) & (URING_SQ_CQ_OVERFLOW | URING_SQ_TASKRUN);
}

int ring_enter(struct ring *ring, uint32_t wait, int64_t timeout) {
    if (is_forked(ring)) return RING_FORKED;
    /* Release: a request is whole before the kernel sees the tail that includes it. */
    atomic_store_explicit(ring->sq_tail, ring->sq_next, memory_order_release);
    uint32_t submit = ring_unsubmitted(ring);
    if (!submit && !wait && !ring_must_enter(ring)) return 0;

    uint32_t flags = ring->enter_flags | URING_ENTER_GETEVENTS;
    struct uring_timespec span = {timeout / 1000000000, timeout % 1000000000};
    struct uring_enter_arg arg = {.timeout = (uint64_t)(uintptr_t)&span};
    bool is_limited = wait && timeout >= 0;
    if (is_limited) flags |= URING_ENTER_EXT_ARG;
    int result = sys_uring_enter(ring->enter_fd, submit, wait, flags, is_limited ? &arg : NULL,
                                 is_limited ? sizeof arg : 0);
    ring->enters++;
    if (result > 0) ring->submitted += (uint32_t)result;
    return result;
}

/* -- completions -- */

uint32_t ring_ready(const struct ring *ring) {
    if (is_forked(ring)) return 0;
    /* Acquire: a completion is whole before the tail passes it. The head is only written by us. */
    uint32_t tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
    return tail - atomic_load_explicit(ring->cq_head, memory_order_relaxed);
}

const struct uring_cqe *ring_completion(const struct ring *ring, uint32_t index) {
    uint32_t head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    return &ring->cqes[(head + index) & ring->cq_mask];
}

void ring_advance(struct ring *ring, uint32_t count) {
    uint32_t head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    /* Release: we have read the completions before the kernel writes over them. */
    atomic_store_explicit(ring->cq_head, head + count, memory_order_release);
}

int ring_probe(struct ring *ring, struct uring_probe *probe) {
    if (is_forked(ring)) return RING_FORKED;
    memset(probe, 0, sizeof *probe);
    return sys_uring_register(ring->fd, URING_REGISTER_PROBE, probe, URING_PROBE_OPS);
}

/* -- buffers -- */

static _Atomic uint16_t *shared_tail(struct buffers *buffers) {
    return (_Atomic uint16_t *)&buffers->entries[0].resv;
}

int buffers_open(struct buffers *buffers, struct ring *ring, uint16_t group, uint32_t count,
                 uint32_t size, bool incremental) {
    return buffers_open_some(buffers, ring, group, count, size, incremental, count);
}

int buffers_open_some(struct buffers *buffers, struct ring *ring, uint16_t group, uint32_t count,
                      uint32_t size, bool incremental, uint32_t given) {
    memset(buffers, 0, sizeof *buffers);
    buffers->generation = current_generation();
    if (is_forked(ring)) return RING_FORKED;
    if (!count || count > 32768 || count & (count - 1) || !size) return -EINVAL;
    buffers->count = count;
    buffers->size = size;
    buffers->group = group;
    buffers->entries = map_shared(-1, count * sizeof(struct uring_buf), 0);
    buffers->memory = map_shared(-1, (size_t)count * size, 0);
    if (incremental) buffers->offsets = calloc(count, sizeof(uint32_t));
    int result = -ENOMEM;
    if (buffers->entries && buffers->memory && (buffers->offsets || !incremental)) {
        struct uring_buf_reg registration = {
            .ring_addr = (uint64_t)(uintptr_t)buffers->entries,
            .ring_entries = count,
            .bgid = group,
            .flags = incremental ? URING_PBUF_RING_INC : 0,
        };
        unsigned tries = 0;
        do {
            result = sys_uring_register(ring->fd, URING_REGISTER_PBUF_RING, &registration, 1);
        } while (is_patient(result, &tries));
    }
    if (result < 0) {
        buffers_close(buffers, NULL);
        return result;
    }
    for (uint32_t id = 0; id < given; id++) buffers_give(buffers, (uint16_t)id);
    buffers_publish(buffers);
    return 0;
}

void buffers_close(struct buffers *buffers, struct ring *ring) {
    /* As with the ring: in a child there is nothing at these addresses that is ours. */
    bool is_ours = buffers->generation == current_generation();
    if (is_ours && ring && ring->fd >= 0 && buffers->entries) {
        struct uring_buf_reg registration = {.bgid = buffers->group};
        sys_uring_register(ring->fd, URING_UNREGISTER_PBUF_RING, &registration, 1);
    }
    if (is_ours && buffers->entries)
        munmap(buffers->entries, buffers->count * sizeof(struct uring_buf));
    if (is_ours && buffers->memory) munmap(buffers->memory, (size_t)buffers->count * buffers->size);
    free(buffers->offsets);
    buffers->entries = NULL;
    buffers->memory = NULL;
    buffers->offsets = NULL;
}

bool buffers_take(struct buffers *buffers, const struct uring_cqe *cqe, uint8_t **bytes,
                  uint16_t *id) {
    *id = (uint16_t)(cqe->flags >> URING_CQE_BUFFER_SHIFT);
    uint8_t *start = buffers->memory + (size_t)*id * buffers->size;
    if (!buffers->offsets) {
        *bytes = start;
        return true;
    }
    uint32_t *offset = &buffers->offsets[*id];
    *bytes = start + *offset;
    if (cqe->res > 0) *offset += (uint32_t)cqe->res;
    return !(cqe->flags & URING_CQE_F_BUF_MORE);
}

void buffers_give(struct buffers *buffers, uint16_t id) {
    struct uring_buf *entry = &buffers->entries[buffers->tail++ & (buffers->count - 1)];
    /* Field by field: `resv` of the first entry is the shared tail. */
    entry->addr = (uint64_t)(uintptr_t)(buffers->memory + (size_t)id * buffers->size);
    entry->len = buffers->size;
    entry->bid = id;
    if (buffers->offsets) buffers->offsets[id] = 0;
}

void buffers_publish(struct buffers *buffers) {
    /* Release: the kernel sees whole entries below the tail. */
    atomic_store_explicit(shared_tail(buffers), buffers->tail, memory_order_release);
}
