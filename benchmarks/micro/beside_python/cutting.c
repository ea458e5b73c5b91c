/* Cut a run of bytes into frames as a stream does: into an inbox, marked, taken, and read. */
#include "framing.h"
#include "inbox.h"

#include <string.h>

#include "micro.h"

/* What becomes of the frames: they are looked at, and written down if there is room for that. */
struct reader {
    uint64_t frames, ids;
    size_t bytes;    /* of bodies */
    uint8_t *record; /* the caller's, or NULL: 8 bytes of id and of length, then the body */
};

static void read_frame(struct reader *reader, const uint8_t *frame, const pa_frame *where) {
    uint64_t words[2] = {where->id, where->body_length};
    reader->frames++;
    reader->ids += where->id;
    reader->bytes += where->body_length;
    if (!reader->record) return;
    memcpy(reader->record, words, sizeof words);
    memcpy(reader->record + sizeof words, frame + where->body_offset, where->body_length);
    reader->record += sizeof words + where->body_length;
}

/* As the reactor, in stream_receives.c. */
static uint32_t mark_whole(const pa_framing *framing, pa_inbox *inbox, size_t *seen) {
    pa_frame frame;
    uint64_t detail;
    while (inbox->whole < inbox->end) {
        int found = pa_frame_next(framing, inbox->bytes + inbox->whole, inbox->end - inbox->whole,
                                  seen, &frame, &detail);
        MUST(found >= 0);
        if (!found) return (uint32_t)frame.total;
        inbox->whole += (uint32_t)frame.total;
    }
    return 0;
}

/* As a turn, in streams.c. */
static void take(const pa_framing *framing, pa_inbox *inbox, pa_chunks *chunks,
                 struct reader *reader) {
    pa_inbox taken = {0};
    pa_frame frame;
    uint64_t detail;
    size_t seen = 0;
    MUST(pa_inbox_take(inbox, chunks, &taken));
    while (taken.begin < taken.whole) {
        const uint8_t *bytes = taken.bytes + taken.begin;
        MUST(pa_frame_next(framing, bytes, taken.whole - taken.begin, &seen, &frame, &detail) == 1);
        read_frame(reader, bytes, &frame);
        taken.begin += (uint32_t)frame.total;
    }
    pa_inbox_clear(&taken, chunks);
}

/* Cut `count` bytes that come in reads of `piece`; return how many frames there were. Every read is
 * copied into the inbox, though a stream receives large ones in place. `record`, unless it is NULL,
 * gets the frames and must have room for them. */
uint64_t cut_all(const uint8_t *bytes, size_t count, size_t piece, uint8_t *record) {
    const pa_framing framing = {.kind = PA_PACKET_FRAMING, .max_frame = 65535, .length_bytes = 2,
                                .id_bytes = 2, .includes_header = true};
    struct reader reader = {.record = record};
    pa_chunks chunks;
    pa_inbox inbox = {0};
    size_t seen = 0, need = 0;
    pa_chunks_open(&chunks);
    for (size_t start = 0; start < count; start += piece) {
        size_t came = count - start < piece ? count - start : piece;
        MUST(pa_inbox_append(&inbox, &chunks, bytes + start, came, need));
        need = mark_whole(&framing, &inbox, &seen);
        if (inbox.begin < inbox.whole) take(&framing, &inbox, &chunks, &reader);
    }
    pa_inbox_clear(&inbox, &chunks);
    pa_chunks_close(&chunks);
    return reader.frames;
}
