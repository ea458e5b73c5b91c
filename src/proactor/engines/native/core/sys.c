#define _GNU_SOURCE
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int answer(long result) { return result < 0 ? -errno : (int)result; }

int sys_uring_setup(uint32_t entries, struct uring_params *params) {
    return answer(syscall(URING_SYS_SETUP, entries, params));
}

int sys_uring_enter(int fd, uint32_t submit, uint32_t wait, uint32_t flags, const void *arg,
                    size_t arg_bytes) {
    return answer(syscall(URING_SYS_ENTER, fd, submit, wait, flags, arg, arg_bytes));
}

int sys_uring_register(int fd, uint32_t opcode, const void *arg, uint32_t count) {
    return answer(syscall(URING_SYS_REGISTER, fd, opcode, arg, count));
}

long sys_read_number(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    char text[32];
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return -1;
    text[length] = '\0';
    char *end;
    long number = strtol(text, &end, 10);
    return end == text ? -1 : number;
}

int sys_seccomp_filtered(void) {
    /* Mode 2 is a filter. A filter that forbids even this question ends the process only in mode
     * 1, in which nothing of this would run at all. */
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}

uint64_t sys_lock_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    return limit.rlim_cur;
}

int64_t sys_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sys_pause(int64_t span) {
    struct timespec pause = {.tv_nsec = span};
    nanosleep(&pause, NULL);
}

void sys_release(char *text, size_t bytes) {
    struct utsname names;
    snprintf(text, bytes, "%s", uname(&names) < 0 ? "unknown" : names.release);
}
