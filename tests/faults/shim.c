/* Between a whole process and the C library (LD_PRELOAD): every few calls on a TCP socket are short,
 * interrupted, or find nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

static atomic_uint dice, dealt;

/* How many faults this process has met. */
unsigned proactor_faults(void);
unsigned proactor_faults(void) { return atomic_load(&dealt); }

static uint32_t roll(void)
{
    uint32_t x = atomic_fetch_add(&dice, 0x9E3779B9u) + 0x9E3779B9u;
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
}

/* 0: no fault; 1: short; or an errno. */
static int deal(int fd)
{
    int family = 0, kind = 0, before = errno;
    socklen_t length = sizeof family;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
    length = sizeof kind;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &length);
    errno = before;
    if ((family != AF_INET && family != AF_INET6) || kind != SOCK_STREAM || roll() % 4)
        return 0;
    atomic_fetch_add(&dealt, 1);
    switch (roll() % 4) {
    case 0: return EINTR;
    case 1: return EAGAIN;
    default: return 1;
    }
}

static size_t shorter(int fault, size_t length)
{
    return fault == 1 && length > 1 ? 1 + roll() % (length < 2048 ? length : 2048) : length;
}

static struct msghdr shortened(const struct msghdr *message, struct iovec *part, int fault)
{
    struct msghdr copy = *message;
    if (fault == 1 && copy.msg_iovlen && copy.msg_iov->iov_len) {
        *part = *copy.msg_iov;
        part->iov_len = shorter(fault, part->iov_len);
        copy.msg_iov = part;
        copy.msg_iovlen = 1;
    }
    return copy;
}

#define FAIL_IF_DEALT(fault)                                                               \
    if ((fault) > 1) {                                                                     \
        errno = (fault);                                                                   \
        return -1;                                                                         \
    }

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t recv(int fd, void *into, size_t length, int flags)
{
    int fault = deal(fd);
    FAIL_IF_DEALT(fault)
    return REAL(recv)(fd, into, shorter(fault, length), flags);
}

ssize_t send(int fd, const void *from, size_t length, int flags)
{
    int fault = deal(fd);
    FAIL_IF_DEALT(fault)
    return REAL(send)(fd, from, shorter(fault, length), flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct iovec part;
    int fault = deal(fd);
    FAIL_IF_DEALT(fault)
    struct msghdr copy = shortened(message, &part, fault);
    return REAL(recvmsg)(fd, &copy, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec part;
    int fault = deal(fd);
    FAIL_IF_DEALT(fault)
    struct msghdr copy = shortened(message, &part, fault);
    return REAL(sendmsg)(fd, &copy, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int fault = deal(fd);
    FAIL_IF_DEALT(fault)
    return REAL(accept4)(fd, address, length, flags);
}
