/* The numbers and the layouts that the kernel and this program share for io_uring.
 *
 * They are ours, and not those of <linux/io_uring.h>, because the header of the machine that builds
 * may be years older than the kernel that runs: Debian 12 builds with that of 6.1, which knows
 * neither incremental buffers nor ENTER_NO_IOWAIT. The kernel never changes a number that it has
 * given out. tests/native/core/test_abi.c compares all of them with the header that is there.
 */
#ifndef PROACTOR_KERNEL_ABI_H
#define PROACTOR_KERNEL_ABI_H

#include <stdint.h>

/* The same on x86-64 and aarch64, the two architectures that this is built for. */
enum {
    URING_SYS_SETUP = 425,
    URING_SYS_ENTER = 426,
    URING_SYS_REGISTER = 427,
};

/* One request. What a field means depends on the operation; see prep.h. */
struct uring_sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t ioprio;
    int32_t fd;
    uint64_t off; /* or the second address */
    uint64_t addr;
    uint32_t len;
    uint32_t op_flags;
    uint64_t user_data;
    uint16_t buf_group; /* or the index of a registered buffer */
    uint16_t personality;
    uint32_t file_index;
    uint64_t addr3;
    uint64_t pad;
};

/* One completion. */
struct uring_cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

struct uring_sq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, resv1;
    uint64_t user_addr;
};

struct uring_cq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1;
    uint64_t user_addr;
};

struct uring_params {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, resv[3];
    struct uring_sq_offsets sq_off;
    struct uring_cq_offsets cq_off;
};

struct uring_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

/* What URING_ENTER_EXT_ARG points to. */
struct uring_enter_arg {
    uint64_t sigmask;
    uint32_t sigmask_bytes;
    uint32_t min_wait_usec;
    uint64_t timeout; /* struct uring_timespec * */
};

/* One buffer of a buffer ring. The tail of the ring is kept where `resv` of the first one is. */
struct uring_buf {
    uint64_t addr;
    uint32_t len;
    uint16_t bid;
    uint16_t resv;
};

struct uring_buf_reg {
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t bgid;
    uint16_t flags;
    uint64_t resv[3];
};

struct uring_rsrc_update {
    uint32_t offset;
    uint32_t resv;
    uint64_t data;
};

struct uring_probe_op {
    uint8_t op;
    uint8_t resv;
    uint16_t flags;
    uint32_t resv2;
};

enum { URING_PROBE_OPS = 256 };

struct uring_probe {
    uint8_t last_op;
    uint8_t ops_len;
    uint16_t resv;
    uint32_t resv2[3];
    struct uring_probe_op ops[URING_PROBE_OPS];
};

_Static_assert(sizeof(struct uring_sqe) == 64, "a request has 64 bytes");
_Static_assert(sizeof(struct uring_cqe) == 16, "a completion has 16 bytes");
_Static_assert(sizeof(struct uring_params) == 120, "the kernel checks this size");
_Static_assert(sizeof(struct uring_buf) == 16, "a buffer entry has 16 bytes");
_Static_assert(sizeof(struct uring_buf_reg) == 40, "the kernel checks this size");
_Static_assert(sizeof(struct uring_enter_arg) == 24, "the kernel checks this size");

/* Where mmap finds the parts of a ring. */
#define URING_OFF_SQ_RING 0ULL
#define URING_OFF_SQES 0x10000000ULL

/* Flags of setup, with the kernel that brought each. */
#define URING_SETUP_CQSIZE (1U << 3)
#define URING_SETUP_CLAMP (1U << 4)
#define URING_SETUP_R_DISABLED (1U << 6)
#define URING_SETUP_SUBMIT_ALL (1U << 7)     /* 5.18 */
#define URING_SETUP_TASKRUN_FLAG (1U << 9)   /* 5.19 */
#define URING_SETUP_SINGLE_ISSUER (1U << 12) /* 6.0 */
#define URING_SETUP_DEFER_TASKRUN (1U << 13) /* 6.1 */
#define URING_SETUP_NO_SQARRAY (1U << 16)    /* 6.6 */

#define URING_FEAT_SINGLE_MMAP (1U << 0)
#define URING_FEAT_NODROP (1U << 1)
#define URING_FEAT_EXT_ARG (1U << 8)
#define URING_FEAT_CQE_SKIP (1U << 11)
#define URING_FEAT_REG_REG_RING (1U << 13)
#define URING_FEAT_RECVSEND_BUNDLE (1U << 14)
#define URING_FEAT_MIN_TIMEOUT (1U << 15)
#define URING_FEAT_NO_IOWAIT (1U << 17) /* 6.15 */

#define URING_ENTER_GETEVENTS (1U << 0)
#define URING_ENTER_EXT_ARG (1U << 3)
#define URING_ENTER_REGISTERED_RING (1U << 4)
#define URING_ENTER_NO_IOWAIT (1U << 7) /* 6.15 */

#define URING_SQ_CQ_OVERFLOW (1U << 1)
#define URING_SQ_TASKRUN (1U << 2)

#define URING_SQE_BUFFER_SELECT (1U << 5)
#define URING_SQE_IO_LINK (1U << 2)

#define URING_CQE_F_BUFFER (1U << 0)
#define URING_CQE_F_MORE (1U << 1)
#define URING_CQE_F_SOCK_NONEMPTY (1U << 2)
#define URING_CQE_F_BUF_MORE (1U << 4) /* 6.12 */
#define URING_CQE_BUFFER_SHIFT 16

#define URING_RECVSEND_POLL_FIRST (1U << 0)
#define URING_RECV_MULTISHOT (1U << 1)
#define URING_ACCEPT_MULTISHOT (1U << 0)
#define URING_POLL_ADD_MULTI (1U << 0)
#define URING_ASYNC_CANCEL_ALL (1U << 0)
#define URING_ASYNC_CANCEL_FD (1U << 1)
#define URING_ASYNC_CANCEL_ANY (1U << 2)
#define URING_PBUF_RING_INC 2U /* 6.12 */
#define URING_OP_SUPPORTED (1U << 0)

enum uring_register {
    URING_REGISTER_PROBE = 8,
    URING_REGISTER_ENABLE_RINGS = 12,
    URING_REGISTER_RING_FDS = 20,
    URING_UNREGISTER_RING_FDS = 21,
    URING_REGISTER_PBUF_RING = 22,
    URING_UNREGISTER_PBUF_RING = 23,
};

enum uring_op {
    URING_OP_NOP = 0,
    URING_OP_POLL_ADD = 6,
    URING_OP_SENDMSG = 9,
    URING_OP_RECVMSG = 10,
    URING_OP_TIMEOUT = 11,
    URING_OP_TIMEOUT_REMOVE = 12,
    URING_OP_ACCEPT = 13,
    URING_OP_ASYNC_CANCEL = 14,
    URING_OP_CONNECT = 16,
    URING_OP_READ = 22,
    URING_OP_SEND = 26,
    URING_OP_RECV = 27,
    URING_OP_SHUTDOWN = 34,
};

#endif
