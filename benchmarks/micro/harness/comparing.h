/* Arms side by side: each has connections of its own, and they take turns in random order. */
#ifndef PROACTOR_COMPARING_H
#define PROACTOR_COMPARING_H

#include "arms.h"

enum { ARMS_AT_MOST = 5 };

/* Measure the server's CPU time in microseconds a message, the median of many slices, for each of
 * `count` arms.
 *
 * In one thread: it sends for all active connections, lets the arm serve (this is measured), and
 * takes the replies. So no arm sleeps, and both meet the same batches. */
void compare_in_turns(const struct arm *const *arms, unsigned count, const struct work *work,
                      double scale, double *micros);

/* With the load in a thread of its own on the second CPU: the server is woken as in life. The
 * work is an echo. */
void compare_beside_load(const struct arm *const *arms, unsigned count, const struct work *work,
                         double scale, double *micros);

#endif
