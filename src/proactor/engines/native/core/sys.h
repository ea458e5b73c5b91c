/* The system calls of io_uring, and the questions to the system that explain a refusal.
 *
 * Each is a function of its own, in a file of its own, so that a test can put another one in its
 * place at link time (ld --wrap) and have the kernel refuse, interrupt or shorten at will.
 * Calls return a negative errno on failure and never set errno for their caller to read.
 */
#ifndef PROACTOR_SYS_H
#define PROACTOR_SYS_H

#include <stddef.h>
#include <stdint.h>

#include "kernel_abi.h"

/* Return the descriptor of a new ring, which the caller owns and closes, or -errno. */
int sys_uring_setup(uint32_t entries, struct uring_params *params);

/* Return how many requests were taken, or -errno. `arg` is read during the call only. */
int sys_uring_enter(int fd, uint32_t submit, uint32_t wait, uint32_t flags, const void *arg,
                    size_t arg_bytes);

/* Return what the operation returns, 0 or more, or -errno. `arg` stays the caller's. */
int sys_uring_register(int fd, uint32_t opcode, const void *arg, uint32_t count);

/* Return the number in the file, as those below /proc/sys have it; -1 where there is none. */
long sys_read_number(const char *path);

/* Return 1 where a seccomp filter watches this thread, else 0. */
int sys_seccomp_filtered(void);

/* Return the bytes that this process may lock in memory; UINT64_MAX for no limit. */
uint64_t sys_lock_limit(void);

/* Return the nanoseconds of the monotonic clock. */
int64_t sys_now(void);

/* Let some nanoseconds, less than a second, go by. */
void sys_pause(int64_t span);

/* Write the kernel's release ("6.12.1-amd64") to `text`, which has `bytes` of room. */
void sys_release(char *text, size_t bytes);

#endif
