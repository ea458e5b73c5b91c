/* The ring of an engine, as the files of its driver see it: who owns it (uring_owner.c), what it
 * receives (uring_receives.c), and when it is turned (driver_uring.c). */
#ifndef PA_URING_H
#define PA_URING_H

#include "stream_state.h"   /* Before any system header. */

#include "ring.h"

enum { PA_URING_GROUP = 7 };   /* of buffers: a ring has one */

struct pa_uring {
    pa_uring_profile profile;
    struct ring ring;
    struct buffers buffers, retired;
    uint32_t given;                    /* buffers that the kernel has, or that are being read */
    bool watches_epoll;                /* a poll of the epoll set is in the ring */
    bool epoll_is_ready;               /* and has said so */
    int64_t credit, credited;          /* see has_credit; nanoseconds */
    int64_t next_look;                 /* for missed ends; 0: nothing was received since the last */
    atomic_ullong owner;               /* `thread_serial` of a thread; 0: the ring is not open */
    pa_engine *engine;
    struct pa_uring *next;             /* of all */
    _Atomic(pa_stream *) asked;        /* streams whose wish to receive has changed; a reference each */
    atomic_bool is_broken;             /* no ring can be had any more: readiness serves the streams */
    atomic_bool is_wanted;             /* a stream has asked */
    atomic_ullong enters, submitted, completions, no_buffers, overflows;
};

#define URING_COUNT(uring, field, amount) \
    atomic_fetch_add_explicit(&(uring)->field, (amount), memory_order_relaxed)

/* uring_owner.c */
bool pa_uring_own(pa_engine *engine);   /* from now on; false: no ring, or another thread's to keep */
void pa_uring_close(pa_engine *engine);
/* uring_receives.c; in the owner's thread, or with no owner */
void pa_uring_enter(pa_engine *engine, uint32_t wait, int64_t timeout_ns, int *result);
void pa_uring_reap(pa_engine *engine);
bool pa_uring_serve_asked(pa_engine *engine);   /* whether there was something to do */
void pa_uring_watch_epoll(pa_engine *engine);
int64_t pa_uring_until_next_look(pa_engine *engine, int64_t timeout_ns);   /* how long to sleep at most */
void pa_uring_forget_requests(pa_engine *engine, bool ask_again);
void pa_uring_drop_asked(struct pa_uring *uring);
void pa_uring_give_up(pa_engine *engine);   /* no ring can be had: readiness serves who has asked */

#endif
