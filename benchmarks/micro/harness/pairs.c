#define _GNU_SOURCE
#include "pairs.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "micro.h"

static uint8_t room[1 << 20]; /* what the client sends, and where it takes; nobody looks */

static int listener(struct sockaddr_in *address) {
    socklen_t bytes = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof *address) == 0);
    MUST(listen(fd, 64) == 0);
    MUST(getsockname(fd, (struct sockaddr *)address, &bytes) == 0);
    return fd;
}

static void set_up(int fd) {
    int one = 1;
    struct linger reset = {.l_onoff = 1};
    MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
}

static void open_pair(int server, const struct sockaddr_in *address, int *near, int *far) {
    *far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(*far >= 0 && connect(*far, (const struct sockaddr *)address, sizeof *address) == 0);
    *near = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    MUST(*near >= 0);
    set_up(*far);
    set_up(*near);
}

void pairs_open_alike(struct pairs *const *sets, unsigned number, unsigned count) {
    struct sockaddr_in address;
    int server = listener(&address);
    for (unsigned set = 0; set < number; set++) {
        *sets[set] = (struct pairs){count, calloc(count, sizeof(int)), calloc(count, sizeof(int))};
        MUST(sets[set]->near && sets[set]->far);
    }
    for (unsigned index = 0; index < count; index++)
        for (unsigned set = 0; set < number; set++)
            open_pair(server, &address, &sets[set]->near[index], &sets[set]->far[index]);
    close(server);
}

void pairs_open(struct pairs *pairs, unsigned count) { pairs_open_alike(&pairs, 1, count); }

void pairs_close(struct pairs *pairs) {
    for (unsigned index = 0; index < pairs->count; index++) {
        close(pairs->near[index]);
        close(pairs->far[index]);
    }
    free(pairs->near);
    free(pairs->far);
    *pairs = (struct pairs){0};
}

void pairs_send(const struct pairs *pairs, unsigned first, unsigned active, size_t size) {
    for (unsigned index = 0; index < active; index++) {
        int fd = pairs->far[(first + index) % pairs->count];
        MUST(send(fd, room, size, MSG_NOSIGNAL) == (ssize_t)size);
    }
}

void pairs_take(const struct pairs *pairs, unsigned first, unsigned active, size_t size) {
    for (unsigned index = 0; index < active; index++) {
        int fd = pairs->far[(first + index) % pairs->count];
        MUST(recv(fd, room, size, MSG_WAITALL) == (ssize_t)size);
    }
}

void pairs_answer(const struct pairs *pairs, unsigned first, unsigned active) {
    for (unsigned index = 0; index < active; index++)
        MUST(send(pairs->near[(first + index) % pairs->count], room, 1, MSG_NOSIGNAL) == 1);
    pairs_take(pairs, first, active, 1);
}
