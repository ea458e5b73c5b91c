/* What both ceilings do before their loop: raise the limit of descriptors, listen on a free port of
 * the loopback address, print that port. Owns nothing afterwards: the descriptor is the caller's.
 */
#ifndef LISTENING_H
#define LISTENING_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *tried)
{
    perror(tried);
    exit(1);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Listen and print the port, which is how whoever started the server learns of it. */
static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 ||
        listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        fail("listen on 127.0.0.1");
    /* Accepted sockets inherit it: a message is answered when it has come. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

#endif
