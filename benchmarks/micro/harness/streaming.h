/* Streams of the native core over connected pairs, on an engine of their own. */
#ifndef PROACTOR_STREAMING_H
#define PROACTOR_STREAMING_H

#include "pairs.h"
#include "streams.h"

struct streaming {
    pa_engine *engine;
    pa_port *port;
    struct pairs pairs; /* `near` is -1 where a stream has the descriptor */
    pa_stream **streams;
};

/* Packets as `PacketFraming()` has them. */
extern const pa_framing streaming_packets;

/* Open an engine on readiness, a port, and `count` pairs without a stream. */
void streaming_open(struct streaming *all, unsigned count);
/* Make a stream of the near end of pair `index`; it is not started. */
void streaming_make(struct streaming *all, unsigned index);
/* Close everything; nobody takes turns any more, and a thread of the core's is stopped. */
void streaming_close(struct streaming *all);

#endif
