/* What the io_uring of this kernel can do for the engine, found out by doing.
 *
 * Versions decide only what cannot be tried: bugs that show up under load. Everything else is asked
 * of the kernel or tried on a socket pair. The answer is a profile, and a sentence for each feature
 * that is used or refused.
 */
#ifndef PROACTOR_PROBE_H
#define PROACTOR_PROBE_H

#include <stdbool.h>

enum probe_profile {
    PROBE_NONE,      /* no io_uring: epoll is what is left */
    PROBE_BASIC,     /* one completion a request, into buffers of a group */
    PROBE_MULTISHOT, /* one request, many completions */
};

struct probe_finding {
    const char *name; /* static */
    bool is_used;
    char text[240];
};

enum { PROBE_FINDINGS = 16 };

struct probe_report {
    enum probe_profile profile;
    char kernel[65];
    unsigned count;
    struct probe_finding findings[PROBE_FINDINGS];
};

/* Fill `report`, the caller's. `release` is the kernel's version to decide by, NULL for the one
 * that runs. Takes less than a millisecond where all is well, at most 50 ms a step where something
 * does not answer, and at most 100 ms a step where memory is short. Opens and closes its own
 * descriptors; may be called from any thread, also from several at once. */
void probe_kernel(struct probe_report *report, const char *release);

#endif
