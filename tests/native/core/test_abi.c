/* Goal: our numbers are the kernel's. Method: the compiler compares them with the header of this
 * machine, as far as that knows them; a test that compiles has passed. */
#include "harness.h"
#include "kernel_abi.h"

#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>

#define SAME(ours, theirs) _Static_assert((ours) == (theirs), #ours)
#define SAME_SIZE(ours, theirs) SAME(sizeof(struct ours), sizeof(struct theirs))
#define SAME_PLACE(ours, our_field, theirs, their_field)                                           \
    SAME(offsetof(struct ours, our_field), offsetof(struct theirs, their_field))

SAME_SIZE(uring_sqe, io_uring_sqe);
SAME_SIZE(uring_cqe, io_uring_cqe);
SAME_SIZE(uring_params, io_uring_params);
SAME_SIZE(uring_enter_arg, io_uring_getevents_arg);
SAME_SIZE(uring_buf, io_uring_buf);
SAME_SIZE(uring_buf_reg, io_uring_buf_reg);
SAME_SIZE(uring_rsrc_update, io_uring_rsrc_update);
SAME_SIZE(uring_probe_op, io_uring_probe_op);

SAME_PLACE(uring_sqe, ioprio, io_uring_sqe, ioprio);
SAME_PLACE(uring_sqe, fd, io_uring_sqe, fd);
SAME_PLACE(uring_sqe, off, io_uring_sqe, addr2);
SAME_PLACE(uring_sqe, addr, io_uring_sqe, addr);
SAME_PLACE(uring_sqe, len, io_uring_sqe, len);
SAME_PLACE(uring_sqe, op_flags, io_uring_sqe, msg_flags);
SAME_PLACE(uring_sqe, op_flags, io_uring_sqe, accept_flags);
SAME_PLACE(uring_sqe, op_flags, io_uring_sqe, poll32_events);
SAME_PLACE(uring_sqe, op_flags, io_uring_sqe, cancel_flags);
SAME_PLACE(uring_sqe, user_data, io_uring_sqe, user_data);
SAME_PLACE(uring_sqe, buf_group, io_uring_sqe, buf_group);
SAME_PLACE(uring_sqe, file_index, io_uring_sqe, file_index);
SAME_PLACE(uring_sqe, addr3, io_uring_sqe, addr3);
SAME_PLACE(uring_cqe, res, io_uring_cqe, res);
SAME_PLACE(uring_cqe, flags, io_uring_cqe, flags);
SAME_PLACE(uring_params, features, io_uring_params, features);
SAME_PLACE(uring_params, sq_off, io_uring_params, sq_off);
SAME_PLACE(uring_params, cq_off, io_uring_params, cq_off);
SAME_PLACE(uring_sq_offsets, array, io_sqring_offsets, array);
SAME_PLACE(uring_sq_offsets, flags, io_sqring_offsets, flags);
SAME_PLACE(uring_cq_offsets, cqes, io_cqring_offsets, cqes);
SAME_PLACE(uring_enter_arg, timeout, io_uring_getevents_arg, ts);
SAME_PLACE(uring_buf, resv, io_uring_buf_ring, tail);
SAME_PLACE(uring_buf_reg, bgid, io_uring_buf_reg, bgid);
SAME_PLACE(uring_probe, ops, io_uring_probe, ops);

SAME(URING_OFF_SQ_RING, IORING_OFF_SQ_RING);
SAME(URING_OFF_SQES, IORING_OFF_SQES);
SAME(URING_SETUP_CQSIZE, IORING_SETUP_CQSIZE);
SAME(URING_SETUP_CLAMP, IORING_SETUP_CLAMP);
SAME(URING_SETUP_R_DISABLED, IORING_SETUP_R_DISABLED);
SAME(URING_SETUP_SUBMIT_ALL, IORING_SETUP_SUBMIT_ALL);
SAME(URING_SETUP_TASKRUN_FLAG, IORING_SETUP_TASKRUN_FLAG);
SAME(URING_SETUP_SINGLE_ISSUER, IORING_SETUP_SINGLE_ISSUER);
SAME(URING_SETUP_DEFER_TASKRUN, IORING_SETUP_DEFER_TASKRUN);
SAME(URING_FEAT_SINGLE_MMAP, IORING_FEAT_SINGLE_MMAP);
SAME(URING_FEAT_NODROP, IORING_FEAT_NODROP);
SAME(URING_FEAT_EXT_ARG, IORING_FEAT_EXT_ARG);
SAME(URING_FEAT_CQE_SKIP, IORING_FEAT_CQE_SKIP);
SAME(URING_ENTER_GETEVENTS, IORING_ENTER_GETEVENTS);
SAME(URING_ENTER_EXT_ARG, IORING_ENTER_EXT_ARG);
SAME(URING_ENTER_REGISTERED_RING, IORING_ENTER_REGISTERED_RING);
SAME(URING_SQ_CQ_OVERFLOW, IORING_SQ_CQ_OVERFLOW);
SAME(URING_SQ_TASKRUN, IORING_SQ_TASKRUN);
SAME(URING_SQE_BUFFER_SELECT, IOSQE_BUFFER_SELECT);
SAME(URING_SQE_IO_LINK, IOSQE_IO_LINK);
SAME(URING_CQE_F_BUFFER, IORING_CQE_F_BUFFER);
SAME(URING_CQE_F_MORE, IORING_CQE_F_MORE);
SAME(URING_CQE_F_SOCK_NONEMPTY, IORING_CQE_F_SOCK_NONEMPTY);
SAME(URING_CQE_BUFFER_SHIFT, IORING_CQE_BUFFER_SHIFT);
SAME(URING_RECVSEND_POLL_FIRST, IORING_RECVSEND_POLL_FIRST);
SAME(URING_RECV_MULTISHOT, IORING_RECV_MULTISHOT);
SAME(URING_ACCEPT_MULTISHOT, IORING_ACCEPT_MULTISHOT);
SAME(URING_POLL_ADD_MULTI, IORING_POLL_ADD_MULTI);
SAME(URING_ASYNC_CANCEL_ALL, IORING_ASYNC_CANCEL_ALL);
SAME(URING_ASYNC_CANCEL_FD, IORING_ASYNC_CANCEL_FD);
SAME(URING_ASYNC_CANCEL_ANY, IORING_ASYNC_CANCEL_ANY);
SAME((int)URING_REGISTER_PROBE, (int)IORING_REGISTER_PROBE);
SAME((int)URING_REGISTER_ENABLE_RINGS, (int)IORING_REGISTER_ENABLE_RINGS);
SAME((int)URING_REGISTER_RING_FDS, (int)IORING_REGISTER_RING_FDS);
SAME((int)URING_UNREGISTER_RING_FDS, (int)IORING_UNREGISTER_RING_FDS);
SAME((int)URING_REGISTER_PBUF_RING, (int)IORING_REGISTER_PBUF_RING);
SAME((int)URING_UNREGISTER_PBUF_RING, (int)IORING_UNREGISTER_PBUF_RING);
SAME((int)URING_OP_NOP, (int)IORING_OP_NOP);
SAME((int)URING_OP_POLL_ADD, (int)IORING_OP_POLL_ADD);
SAME((int)URING_OP_SENDMSG, (int)IORING_OP_SENDMSG);
SAME((int)URING_OP_RECVMSG, (int)IORING_OP_RECVMSG);
SAME((int)URING_OP_TIMEOUT, (int)IORING_OP_TIMEOUT);
SAME((int)URING_OP_TIMEOUT_REMOVE, (int)IORING_OP_TIMEOUT_REMOVE);
SAME((int)URING_OP_ACCEPT, (int)IORING_OP_ACCEPT);
SAME((int)URING_OP_ASYNC_CANCEL, (int)IORING_OP_ASYNC_CANCEL);
SAME((int)URING_OP_CONNECT, (int)IORING_OP_CONNECT);
SAME((int)URING_OP_READ, (int)IORING_OP_READ);
SAME((int)URING_OP_SEND, (int)IORING_OP_SEND);
SAME((int)URING_OP_RECV, (int)IORING_OP_RECV);
SAME((int)URING_OP_SHUTDOWN, (int)IORING_OP_SHUTDOWN);

static void our_numbers_are_those_of_the_header_here(void) {}
#else
static void our_numbers_are_those_of_the_header_here(void) {
    SKIP("this machine has no <linux/io_uring.h> to compare with");
}
#endif

RUN_TESTS(TEST(our_numbers_are_those_of_the_header_here))
