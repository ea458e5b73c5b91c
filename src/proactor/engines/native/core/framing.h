/* Where a frame ends in a stream of bytes: the twin of proactor/framing.
 *
 * It keeps nothing, allocates nothing and reads nothing beyond `count`: the caller owns the bytes, and
 * what is remembered of an unfinished frame is one number, *seen. The same bytes give the same frames
 * and the same fault as the decoders in Python do. A fault's text is made there
 * (Framing.error_of), from the fault's number and `detail`, so that both say the same.
 *
 * Threads: a pa_framing does not change; any number of threads may use one at a time.
 */
#ifndef PA_FRAMING_H
#define PA_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PA_LONGEST_DELIMITER = 16, PA_LONGEST_VARINT = 10 };

typedef enum {
    PA_RAW_FRAMING = 0,
    PA_LENGTH_FRAMING = 1,
    PA_PACKET_FRAMING = 2,
    PA_DELIMITER_FRAMING = 3,
    PA_FIXED_FRAMING = 4,
    PA_VARINT_FRAMING = 5,
} pa_framing_kind;

/* FrameFault in proactor/framing/base.py: what is wrong, and what `detail` is then. */
typedef enum {
    PA_TOO_LONG = -1,           /* over max_frame; the length that its header gives */
    PA_TOO_SHORT = -2,          /* it would end within its header; likewise */
    PA_STRIPPED_BEYOND = -3,    /* more to strip than it has; likewise */
    PA_NO_DELIMITER = -4,       /* no end within max_frame; the bytes that were looked through */
    PA_ENDLESS_VARINT = -5,     /* a length without an end in 64 bits; its tenth byte */
} pa_frame_fault;

/* Plain values, as Framing.native_parameters() gives them by these names, and checked there; what a
 * kind does not use is 0. Every size is at most 2**31 - 1. */
typedef struct {
    pa_framing_kind kind;
    uint32_t max_frame;         /* bytes of the longest frame, header included */
    uint32_t length_offset;     /* length: bytes before the length field */
    uint8_t length_bytes;       /* length, packet: bytes of the field, 1 to 8 */
    uint8_t id_bytes;           /* packet: bytes of the id, 1 to 8 */
    bool big_endian;            /* length, packet */
    bool includes_header;       /* packet: the size counts the header, too */
    int64_t length_adjustment;  /* length: what is added to it, -(2**31 - 1) to 2**31 - 1 */
    uint32_t strip;             /* length: bytes before the body */
    uint32_t fixed_size;        /* fixed: 1 or more */
    uint8_t delimiter[PA_LONGEST_DELIMITER];
    uint8_t delimiter_length;   /* delimiter: 1 to PA_LONGEST_DELIMITER */
    bool strip_delimiter;       /* delimiter: it is no part of the body */
} pa_framing;

typedef struct {
    size_t total;               /* bytes of the whole frame, header and delimiter included */
    size_t body_offset;         /* where the item lies in it: of a packet what follows the header */
    size_t body_length;
    uint64_t id;                /* of a packet; else 0 */
} pa_frame;

/* Look for one frame at the beginning of `bytes`.
 *
 *   1     it is whole, and described in `frame`; *seen is 0 again.
 *   0     it is unfinished; frame->total is the bytes that it will have, 0 while that is not known.
 *   < 0   a pa_frame_fault; *detail is the offending number. The stream is of no more use.
 *
 * *seen is 0 at the beginning of a frame and given back as it is with more bytes of that frame, so
 * that no byte is looked through twice. `frame` and `*detail` are written where they are promised. */
int pa_frame_next(const pa_framing *framing, const uint8_t *bytes, size_t count, size_t *seen,
                  pa_frame *frame, uint64_t *detail);

#endif
