/* One io_uring: its memory, its two queues and its buffer groups. It knows nothing of sockets.
 *
 * One thread owns a ring: the one that called ring_enable. With SINGLE_ISSUER | DEFER_TASKRUN the
 * kernel refuses every other thread (-EEXIST), and nothing completes unless the owner enters with
 * URING_ENTER_GETEVENTS. A ring may be opened in one thread and enabled in another.
 *
 * After fork the ring is the parent's. Its memory is not mapped in the child (MADV_DONTFORK), and
 * every function here returns RING_FORKED there, but for ring_close, which closes the descriptor
 * of the child and leaves the parent's ring alone.
 *
 * Functions return 0 or a count, or a negative errno. Structs belong to the caller, who must not
 * move them while they are open; what they point to belongs to them.
 */
#ifndef PROACTOR_RING_H
#define PROACTOR_RING_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel_abi.h"

/* What a function answers in a forked child. The kernel never answers an enter with this. */
#define RING_FORKED (-ECHILD)

struct ring_size {
    uint32_t sq_entries;
    uint32_t cq_entries;
};

/* What the kernel's answer was made of, for those who tell it to people. */
struct ring_choice {
    uint32_t setup_flags; /* in use */
    uint32_t given_up;    /* flags that this kernel does not know */
    uint32_t features;
    struct ring_size size;
    uint32_t steps_down; /* how often a smaller size was tried */
};

struct ring {
    int fd;               /* owned; -1 when closed */
    int enter_fd;         /* `fd`, or its index in the owner's registered rings */
    uint32_t enter_flags; /* in every enter: REGISTERED_RING, NO_IOWAIT */
    unsigned generation;  /* of the process, counted by forks */

    /* Requests. The head is the kernel's, the tail ours. */
    struct uring_sqe *sqes;
    _Atomic uint32_t *sq_head, *sq_tail, *sq_flags;
    uint32_t sq_mask, sq_entries;
    uint32_t sq_next; /* the tail with what is not published yet */

    /* Completions. The head is ours, the tail the kernel's. */
    struct uring_cqe *cqes;
    _Atomic uint32_t *cq_head, *cq_tail;
    uint32_t cq_mask, cq_entries;

    void *queues; /* owned mapping of both queues */
    size_t queues_bytes;
    size_t sqes_bytes; /* of the owned mapping `sqes` */

    struct ring_choice choice;
    uint64_t enters;    /* system calls made by ring_enter */
    uint64_t submitted; /* requests that the kernel took */
};

/* Every flag that this program makes use of. ring_open gives up those that the kernel does not
 * know, newest first, but none of `required`. */
#define RING_WANTED                                                                                \
    (URING_SETUP_SINGLE_ISSUER | URING_SETUP_DEFER_TASKRUN | URING_SETUP_SUBMIT_ALL |              \
     URING_SETUP_TASKRUN_FLAG | URING_SETUP_NO_SQARRAY)

/* A receive must end up with its owner, so this much is not given up. */
#define RING_REQUIRED (URING_SETUP_SINGLE_ISSUER | URING_SETUP_DEFER_TASKRUN)

/* The usual sizes, largest first, as many as RING_SIZES. */
extern const struct ring_size ring_sizes[];
enum { RING_SIZES = 3 };

/* Open a ring, disabled: nothing can be submitted before ring_enable. The sizes are tried in turn
 * while the kernel says -ENOMEM (RLIMIT_MEMLOCK); where it says so of all of them, again for up to
 * 100 ms. On failure `ring` is as after ring_close. */
int ring_open(struct ring *ring, const struct ring_size *sizes, unsigned count, uint32_t wanted,
              uint32_t required);

/* Make the calling thread the owner. Registers the ring's descriptor too, where the kernel can. */
int ring_enable(struct ring *ring);

/* The same without the registration, which keeps a ring alive until its owner ends: so another
 * thread may close this one, and all that its requests hold is free then. */
int ring_enable_unregistered(struct ring *ring);

/* Close the descriptor and unmap everything. In-flight requests end, in time, without a
 * completion: their memory must outlive that, so cancel and reap them first. Twice is fine. */
void ring_close(struct ring *ring);

/* Return a cleared request to be filled in, or NULL where the queue is full: enter, and ask again.
 * The request is the ring's, and is the kernel's from the next enter on. */
struct uring_sqe *ring_request(struct ring *ring);

/* Submit what was requested and let completions happen; wait for `wait` of them, at most `timeout`
 * nanoseconds (< 0: without end). Makes no system call where there is nothing to do.
 *
 * Returns how many requests were taken. -ETIME: the time is over. -EINTR: a signal came. -EBUSY,
 * -EAGAIN: reap completions, then enter again. Whatever it returns, completions may be there, and
 * requests that were not taken are still queued. */
int ring_enter(struct ring *ring, uint32_t wait, int64_t timeout);

/* Return how many requests wait to be submitted. */
uint32_t ring_unsubmitted(const struct ring *ring);

/* Return true where the kernel has work or completions that only an enter brings forth. */
bool ring_must_enter(const struct ring *ring);

/* Return true where completions did not fit and wait in the kernel; ring_enter brings them. */
bool ring_overflowed(const struct ring *ring);

/* Return how many completions can be looked at. */
uint32_t ring_ready(const struct ring *ring);

/* Return the completion at `index`, below ring_ready. It is the ring's until ring_advance. */
const struct uring_cqe *ring_completion(const struct ring *ring, uint32_t index);

/* Give the `count` oldest completions back to the kernel. */
void ring_advance(struct ring *ring, uint32_t count);

/* Fill `probe` with the operations that the kernel knows. */
int ring_probe(struct ring *ring, struct uring_probe *probe);

/* A group of buffers that the kernel chooses from when data comes, in memory of ours.
 *
 * Classic: a completion takes one whole buffer. Incremental: completions take a piece each, until
 * the buffer is full. Either way the buffer comes back by buffers_give, from the owner's thread. */
struct buffers {
    struct uring_buf *entries; /* owned mapping, read and written by the kernel */
    uint8_t *memory;           /* owned mapping of count * size bytes */
    uint32_t *offsets;         /* owned; how far each buffer is used up; NULL if classic */
    uint32_t count, size;
    uint16_t group;
    uint16_t tail; /* with what is not published yet */
    unsigned generation;
};

/* Make a group of `count` buffers (a power of two, at most 32768) of `size` bytes, all of them the
 * kernel's at once. Where it says -ENOMEM, tries again for up to 100 ms, as ring_open does. On
 * failure `buffers` is as after buffers_close. */
int buffers_open(struct buffers *buffers, struct ring *ring, uint16_t group, uint32_t count,
                 uint32_t size, bool incremental);

/* The same, but only the first `given` buffers are the kernel's; the others are the caller's. */
int buffers_open_some(struct buffers *buffers, struct ring *ring, uint16_t group, uint32_t count,
                      uint32_t size, bool incremental, uint32_t given);

/* Take the group away from the kernel, if `ring` is not NULL, and free it. No receive that uses it
 * may be in flight. A closed ring has no groups any more: pass NULL then. Twice is fine. */
void buffers_close(struct buffers *buffers, struct ring *ring);

/* Say where the bytes of `cqe`, which has URING_CQE_F_BUFFER, are. They are the caller's until the
 * buffer is given back. Returns true where the buffer is used up: its user must give it back when
 * it has read the bytes. False: the kernel goes on filling it. */
bool buffers_take(struct buffers *buffers, const struct uring_cqe *cqe, uint8_t **bytes,
                  uint16_t *id);

/* Let the kernel have buffer `id` again, from buffers_publish on. */
void buffers_give(struct buffers *buffers, uint16_t id);
void buffers_publish(struct buffers *buffers);

#endif
