/* Connected TCP sockets over the loopback: `near` is the server's, `far` the client's.
 *
 * The client's part is done by whoever calls, so one thread can be client and server in turns, and
 * only the server's turn is measured: no wake-up, no batch that chance has made, on either side.
 */
#ifndef PROACTOR_PAIRS_H
#define PROACTOR_PAIRS_H

#include <stddef.h>
#include <stdint.h>

struct pairs {
    unsigned count;
    int *near, *far; /* owned; the descriptors too */
};

/* Open `count` connections with TCP_NODELAY; `near` does not block. */
void pairs_open(struct pairs *pairs, unsigned count);

/* Open `count` connections for each of `sets`, one for each set in turn: so the kernel's memory for
 * them lies alike, and no set is faster by chance. */
void pairs_open_alike(struct pairs *const *sets, unsigned number, unsigned count);

/* Reset and close both ends, so that no port is left waiting. */
void pairs_close(struct pairs *pairs);

/* The client's part: send `size` bytes on the `active` connections from number `first` on, around
 * the end; take as many from each. */
void pairs_send(const struct pairs *pairs, unsigned first, unsigned active, size_t size);
void pairs_take(const struct pairs *pairs, unsigned first, unsigned active, size_t size);

/* Answer with one byte each, and take it. Without any answer TCP acknowledges now from the server's
 * recv and now from the client's send, as the moment has it, and a figure is twice another. */
void pairs_answer(const struct pairs *pairs, unsigned first, unsigned active);

#endif
