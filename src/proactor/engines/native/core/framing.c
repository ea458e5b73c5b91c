/* Where a frame ends; one function for each kind of framing. */
#define _GNU_SOURCE   /* memmem */
#include "framing.h"

#include <string.h>

static int unfinished(pa_frame *frame, size_t total)
{
    *frame = (pa_frame){.total = total};
    return 0;
}

static int whole(pa_frame *frame, size_t total, size_t body_offset, size_t body_length)
{
    *frame = (pa_frame){.total = total, .body_offset = body_offset, .body_length = body_length};
    return 1;
}

static int faulty(pa_frame_fault fault, uint64_t *detail, uint64_t number)
{
    *detail = number;
    return fault;
}

static uint64_t number_at(const uint8_t *bytes, unsigned width, bool big_endian)
{
    uint64_t number = 0;
    for (unsigned index = 0; index < width; index++)
        number = number << 8 | bytes[big_endian ? index : width - 1 - index];
    return number;
}

/* Return header + length + adjustment. A length of more than 2**32 is over every limit, whatever is
 * added: it is cut, so that the sum is one of 64 bits. */
static int64_t total_of(uint64_t length, size_t header, int64_t adjustment)
{
    if (length > (uint64_t)1 << 32)
        length = (uint64_t)1 << 33;
    return (int64_t)length + (int64_t)header + adjustment;
}

static int next_of_length(const pa_framing *framing, const uint8_t *bytes, size_t count,
                          pa_frame *frame, uint64_t *detail)
{
    size_t header = (size_t)framing->length_offset + framing->length_bytes;
    if (count < header)
        return unfinished(frame, 0);
    uint64_t length = number_at(bytes + framing->length_offset, framing->length_bytes,
                                framing->big_endian);
    int64_t total = total_of(length, header, framing->length_adjustment);
    if (total > (int64_t)framing->max_frame)
        return faulty(PA_TOO_LONG, detail, length);
    if (total < (int64_t)header)
        return faulty(PA_TOO_SHORT, detail, length);
    if ((int64_t)framing->strip > total)
        return faulty(PA_STRIPPED_BEYOND, detail, length);
    if (count < (size_t)total)
        return unfinished(frame, (size_t)total);
    return whole(frame, (size_t)total, framing->strip, (size_t)total - framing->strip);
}

static int next_packet(const pa_framing *framing, const uint8_t *bytes, size_t count,
                       pa_frame *frame, uint64_t *detail)
{
    if (count < framing->length_bytes)
        return unfinished(frame, 0);
    size_t header = (size_t)framing->length_bytes + framing->id_bytes;
    uint64_t size = number_at(bytes, framing->length_bytes, framing->big_endian);
    int64_t total = total_of(size, framing->includes_header ? 0 : header, 0);
    if (total > (int64_t)framing->max_frame)
        return faulty(PA_TOO_LONG, detail, size);
    if (total < (int64_t)header)
        return faulty(PA_TOO_SHORT, detail, size);
    if (count < (size_t)total)
        return unfinished(frame, (size_t)total);
    whole(frame, (size_t)total, header, (size_t)total - header);
    frame->id = number_at(bytes + framing->length_bytes, framing->id_bytes, framing->big_endian);
    return 1;
}

static int next_delimited(const pa_framing *framing, const uint8_t *bytes, size_t count,
                          size_t *seen, pa_frame *frame, uint64_t *detail)
{
    size_t length = framing->delimiter_length;
    size_t end = count < framing->max_frame ? count : framing->max_frame;
    size_t start = *seen < end ? *seen : end;
    const uint8_t *found = memmem(bytes + start, end - start, framing->delimiter, length);
    if (found) {
        size_t body = (size_t)(found - bytes);
        return whole(frame, body + length, 0, framing->strip_delimiter ? body : body + length);
    }
    if (count >= framing->max_frame)
        return faulty(PA_NO_DELIMITER, detail, framing->max_frame);
    /* The last bytes may be the beginning of a delimiter. */
    *seen = end < length ? 0 : end - length + 1;
    return unfinished(frame, 0);
}

static int next_fixed(const pa_framing *framing, size_t count, pa_frame *frame)
{
    size_t size = framing->fixed_size;
    return count < size ? unfinished(frame, count ? size : 0) : whole(frame, size, 0, size);
}

static int next_of_varint(const pa_framing *framing, const uint8_t *bytes, size_t count,
                          pa_frame *frame, uint64_t *detail)
{
    uint64_t length = 0;
    size_t header = 0;
    for (;;) {
        if (header == count)
            return unfinished(frame, 0);
        uint8_t byte = bytes[header];
        if (header == PA_LONGEST_VARINT - 1 && byte > 1)
            return faulty(PA_ENDLESS_VARINT, detail, byte);
        length |= (uint64_t)(byte & 0x7f) << 7 * header;
        header++;
        if (byte < 0x80)
            break;
    }
    int64_t total = total_of(length, header, 0);
    if (total > (int64_t)framing->max_frame)
        return faulty(PA_TOO_LONG, detail, length);
    if (count < (size_t)total)
        return unfinished(frame, (size_t)total);
    return whole(frame, (size_t)total, header, (size_t)length);
}

int pa_frame_next(const pa_framing *framing, const uint8_t *bytes, size_t count, size_t *seen,
                  pa_frame *frame, uint64_t *detail)
{
    int found;
    switch (framing->kind) {
    case PA_LENGTH_FRAMING: found = next_of_length(framing, bytes, count, frame, detail); break;
    case PA_PACKET_FRAMING: found = next_packet(framing, bytes, count, frame, detail); break;
    case PA_DELIMITER_FRAMING:
        found = next_delimited(framing, bytes, count, seen, frame, detail);
        break;
    case PA_FIXED_FRAMING: found = next_fixed(framing, count, frame); break;
    case PA_VARINT_FRAMING: found = next_of_varint(framing, bytes, count, frame, detail); break;
    case PA_RAW_FRAMING:
    default: found = count ? whole(frame, count, 0, count) : unfinished(frame, 0); break;
    }
    if (found == 1)
        *seen = 0;
    return found;
}
