/* Framing: what is whole, what is not yet, what never will be; and nothing is read beyond the bytes. */
#include "framing.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const pa_framing PACKETS = {
    .kind = PA_PACKET_FRAMING, .max_frame = 65535, .length_bytes = 2, .id_bytes = 2,
    .includes_header = true,
};
static const pa_framing LENGTHS = {
    .kind = PA_LENGTH_FRAMING, .max_frame = 65536, .length_bytes = 2, .strip = 2,
};
static const pa_framing LINES = {
    .kind = PA_DELIMITER_FRAMING, .max_frame = 8, .delimiter = "\r\n", .delimiter_length = 2,
    .strip_delimiter = true,
};
static const pa_framing VARINTS = {.kind = PA_VARINT_FRAMING, .max_frame = 65536};

/* What pa_frame_next said of a copy of the bytes that ends where they end, so that the address
 * sanitizer sees a byte too many. */
struct answer {
    int found;
    pa_frame frame;
    uint64_t detail;
    size_t seen;
};

static struct answer ask_again(const pa_framing *framing, const void *bytes, size_t count,
                               size_t seen) {
    struct answer answer = {.seen = seen};
    uint8_t *copy = malloc(count ? count : 1);
    if (count) memcpy(copy, bytes, count);
    answer.found = pa_frame_next(framing, copy, count, &answer.seen, &answer.frame, &answer.detail);
    free(copy);
    return answer;
}

static struct answer ask(const pa_framing *framing, const void *bytes, size_t count) {
    return ask_again(framing, bytes, count, 0);
}

static bool is_unfinished(struct answer answer, size_t total) {
    return answer.found == 0 && answer.frame.total == total;
}

static bool is_whole(struct answer answer, size_t total, size_t body_offset, size_t body_length) {
    return answer.found == 1 && answer.seen == 0 && answer.frame.total == total &&
           answer.frame.body_offset == body_offset && answer.frame.body_length == body_length;
}

static bool is_fault(struct answer answer, pa_frame_fault fault, uint64_t detail) {
    return answer.found == (int)fault && answer.detail == detail;
}

static void raw_bytes_are_a_frame_as_they_come(void) {
    pa_framing raw = {.kind = PA_RAW_FRAMING, .max_frame = INT32_MAX};
    CHECK(is_unfinished(ask(&raw, "", 0), 0));
    CHECK(is_whole(ask(&raw, "abc", 3), 3, 0, 3));
}

static void a_fixed_frame_is_whole_at_its_size(void) {
    pa_framing fixed = {.kind = PA_FIXED_FRAMING, .max_frame = 4, .fixed_size = 4};
    CHECK(is_unfinished(ask(&fixed, "", 0), 0));
    CHECK(is_unfinished(ask(&fixed, "abc", 3), 4));
    CHECK(is_whole(ask(&fixed, "abcd", 4), 4, 0, 4));
    CHECK(is_whole(ask(&fixed, "abcdefghi", 9), 4, 0, 4));
}

static void a_packet_is_whole_at_its_last_byte_and_no_sooner(void) {
    const uint8_t bytes[] = {7, 0, 0x34, 0x12, 'a', 'b', 'c', 9, 0};
    CHECK(is_unfinished(ask(&PACKETS, bytes, 0), 0));
    CHECK(is_unfinished(ask(&PACKETS, bytes, 1), 0));
    for (size_t count = 2; count < 7; count++) CHECK(is_unfinished(ask(&PACKETS, bytes, count), 7));
    for (size_t count = 7; count <= sizeof bytes; count++) {
        struct answer answer = ask(&PACKETS, bytes, count);
        CHECK(is_whole(answer, 7, 4, 3) && answer.frame.id == 0x1234);
    }
}

static void a_packet_without_a_body_is_legal_and_a_shorter_one_is_not(void) {
    CHECK(is_whole(ask(&PACKETS, "\4\0\1\0", 4), 4, 4, 0));
    CHECK(is_fault(ask(&PACKETS, "\3\0", 2), PA_TOO_SHORT, 3));
    CHECK(is_fault(ask(&PACKETS, "\0\0\1\0", 4), PA_TOO_SHORT, 0));
}

static void a_packet_over_the_limit_is_a_fault_before_its_body_comes(void) {
    pa_framing small = PACKETS;
    small.max_frame = 10;
    CHECK(is_unfinished(ask(&small, "\12\0", 2), 10));
    CHECK(is_fault(ask(&small, "\13\0", 2), PA_TOO_LONG, 11));
}

static void a_packet_has_any_widths_and_either_order(void) {
    pa_framing wide = {
        .kind = PA_PACKET_FRAMING, .max_frame = 100, .length_bytes = 3, .id_bytes = 8,
        .big_endian = true,
    };
    const uint8_t bytes[] = {0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 'a', 'b'};
    struct answer answer = ask(&wide, bytes, sizeof bytes);
    CHECK(is_whole(answer, 13, 11, 2) && answer.frame.id == 0x0102030405060708);
    /* The size counts the body alone: 0 is an empty one. */
    CHECK(is_unfinished(ask(&wide, "\0\0\0", 3), 11));
    CHECK(is_fault(ask(&wide, "\0\0\132", 3), PA_TOO_LONG, 90));
}

static void a_length_counts_what_follows_it(void) {
    CHECK(is_unfinished(ask(&LENGTHS, "\3", 1), 0));
    CHECK(is_unfinished(ask(&LENGTHS, "\3\0ab", 4), 5));
    CHECK(is_whole(ask(&LENGTHS, "\3\0abcd", 6), 5, 2, 3));
    CHECK(is_whole(ask(&LENGTHS, "\0\0", 2), 2, 2, 0));
}

static void a_length_is_adjusted_and_what_comes_before_it_is_kept_or_stripped(void) {
    /* One byte, the length of the whole frame (2 bytes, big endian), one more byte, the body. */
    pa_framing framing = {
        .kind = PA_LENGTH_FRAMING, .max_frame = 100, .length_offset = 1, .length_bytes = 2,
        .length_adjustment = -3, .strip = 4, .big_endian = true,
    };
    CHECK(is_whole(ask(&framing, "x\0\6yab", 6), 6, 4, 2));
    CHECK(is_fault(ask(&framing, "x\0\2", 3), PA_TOO_SHORT, 2));
    CHECK(is_fault(ask(&framing, "x\0\0", 3), PA_TOO_SHORT, 0));
    CHECK(is_fault(ask(&framing, "x\0\3", 3), PA_STRIPPED_BEYOND, 3));
    CHECK(is_fault(ask(&framing, "x\0\145", 3), PA_TOO_LONG, 101));
    framing.strip = 0;
    CHECK(is_whole(ask(&framing, "x\0\3", 3), 3, 0, 3));
}

static void a_length_of_64_bits_does_not_overflow(void) {
    pa_framing framing = LENGTHS;
    uint8_t bytes[8];
    framing.length_bytes = framing.strip = 8;
    const uint64_t lengths[] = {65529, 1ull << 31, 1ull << 32, (1ull << 32) + 1, 1ull << 63,
                                UINT64_MAX - 7, UINT64_MAX};
    const int64_t adjustments[] = {0, INT32_MAX, -INT32_MAX};
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        for (size_t other = 0; other < 3; other++) {
            framing.length_adjustment = adjustments[other];
            memcpy(bytes, &lengths[index], 8);   /* Both architectures are little endian. */
            pa_frame_fault fault = PA_TOO_LONG;
            if (adjustments[other] < 0 && index == 0) fault = PA_TOO_SHORT;
            if (adjustments[other] < 0 && index == 1) {
                CHECK(is_unfinished(ask(&framing, bytes, 8), 9));
                continue;
            }
            CHECK(is_fault(ask(&framing, bytes, 8), fault, lengths[index]));
        }
    }
}

static void a_line_is_whole_with_all_of_its_delimiter(void) {
    CHECK(is_whole(ask(&LINES, "\r\n", 2), 2, 0, 0));
    CHECK(is_whole(ask(&LINES, "ab\r\ncd\r\n", 8), 4, 0, 2));
    CHECK(is_unfinished(ask(&LINES, "ab\r", 3), 0));
    pa_framing kept = LINES;
    kept.strip_delimiter = false;
    CHECK(is_whole(ask(&kept, "ab\r\n", 4), 4, 0, 4));
}

static void a_line_that_does_not_end_within_the_limit_is_a_fault(void) {
    CHECK(is_whole(ask(&LINES, "abcdef\r\n", 8), 8, 0, 6));
    CHECK(is_unfinished(ask(&LINES, "abcdefg", 7), 0));
    CHECK(is_fault(ask(&LINES, "abcdefgh", 8), PA_NO_DELIMITER, 8));
    CHECK(is_fault(ask(&LINES, "abcdefg\r\n", 9), PA_NO_DELIMITER, 8));
}

static void what_was_looked_through_is_not_looked_through_again(void) {
    struct answer answer = ask(&LINES, "abc\r", 4);
    CHECK(is_unfinished(answer, 0) && answer.seen == 3);
    /* Were it looked through again, the delimiter that is there now would be found. */
    answer = ask_again(&LINES, "\r\nc\r", 4, answer.seen);
    CHECK(is_unfinished(answer, 0) && answer.seen == 3);
    CHECK(is_whole(ask_again(&LINES, "abc\r\n", 5, answer.seen), 5, 0, 3));
    /* Whoever gives back fewer bytes than before gets an answer, too. */
    CHECK(is_unfinished(ask_again(&LINES, "ab", 2, 100), 0));
}

static void a_varint_gives_the_length_of_what_follows(void) {
    CHECK(is_whole(ask(&VARINTS, "\0", 1), 1, 1, 0));
    CHECK(is_whole(ask(&VARINTS, "\3abc", 4), 4, 1, 3));
    CHECK(is_unfinished(ask(&VARINTS, "\254", 1), 0));
    CHECK(is_unfinished(ask(&VARINTS, "\254\2", 2), 302));
    CHECK(is_whole(ask(&VARINTS, "\203\200\0abc", 6), 6, 3, 3));
}

static void a_varint_that_is_too_large_or_does_not_end_is_a_fault(void) {
    const char endless[] = "\200\200\200\200\200\200\200\200\200\200";
    const char largest[] = "\377\377\377\377\377\377\377\377\377\1";
    CHECK(is_unfinished(ask(&VARINTS, endless, 9), 0));
    CHECK(is_fault(ask(&VARINTS, endless, 10), PA_ENDLESS_VARINT, 0x80));
    CHECK(is_fault(ask(&VARINTS, largest, 10), PA_TOO_LONG, UINT64_MAX));
    CHECK(is_fault(ask(&VARINTS, "\377\377\377\377\377\377\377\377\377\2", 10),
                   PA_ENDLESS_VARINT, 2));
    /* 65536 bytes with their length are three too many. */
    CHECK(is_fault(ask(&VARINTS, "\200\200\4", 3), PA_TOO_LONG, 65536));
    CHECK(is_unfinished(ask(&VARINTS, "\375\377\3", 3), 65536));
}

/* xorshift64*: the same numbers in every run. */
static uint64_t state;

static uint32_t any(uint32_t below) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static pa_framing any_framing(void) {
    static const uint8_t widths[] = {1, 2, 3, 4, 8};
    pa_framing framing = {
        .kind = any(6), .max_frame = 16 + any(60), .length_bytes = widths[any(5)],
        .id_bytes = widths[any(5)], .big_endian = any(2), .includes_header = any(2),
        .length_offset = any(4), .length_adjustment = (int64_t)any(40) - 20, .strip = any(16),
        .fixed_size = 1 + any(20), .delimiter_length = (uint8_t)(1 + any(3)),
        .strip_delimiter = any(2),
    };
    for (unsigned index = 0; index < framing.delimiter_length; index++)
        framing.delimiter[index] = (uint8_t)any(2);
    if (framing.kind == PA_FIXED_FRAMING) framing.max_frame = framing.fixed_size;
    if (framing.kind == PA_RAW_FRAMING) framing.max_frame = INT32_MAX;
    return framing;
}

/* Say whether all answers for the growing beginnings of `bytes` are of one frame, or of one fault. */
static bool is_consistent(const pa_framing *framing, const uint8_t *bytes, size_t count) {
    struct answer last = ask(framing, bytes, count);
    size_t seen = 0, known = 0;
    for (size_t length = 0; length <= count; length++) {
        struct answer answer = ask_again(framing, bytes, length, seen);
        const pa_frame *frame = &answer.frame;
        if (answer.found < 0)
            return answer.found == last.found && answer.detail == last.detail;
        if (answer.found == 1)
            return frame->total <= length && frame->total > 0 &&
                   frame->total <= framing->max_frame && (!known || known == frame->total) &&
                   frame->body_offset + frame->body_length <= frame->total &&
                   (framing->kind == PA_RAW_FRAMING ||
                    (last.found == 1 && memcmp(&last.frame, frame, sizeof *frame) == 0));
        if (frame->total && (frame->total <= length || (known && known != frame->total)))
            return false;
        if (frame->total) known = frame->total;
        if (answer.seen > length || answer.seen < seen) return false;
        seen = answer.seen;
    }
    return last.found == 0;
}

static void any_bytes_in_any_framing_give_one_answer_however_they_come(void) {
    uint8_t bytes[100];
    unsigned answers[3] = {0};
    state = 0x9e3779b97f4a7c15ull;
    for (unsigned round = 0; round < 20000; round++) {
        pa_framing framing = any_framing();
        size_t count = any(sizeof bytes);
        /* Small numbers are likely, so that there are whole frames as well as faults. */
        uint32_t below = any(3) ? (any(2) ? 2 : 24) : 256;
        for (size_t index = 0; index < count; index++) bytes[index] = (uint8_t)any(below);
        CHECK(is_consistent(&framing, bytes, count));
        int found = ask(&framing, bytes, count).found;
        answers[found < 0 ? 2 : found]++;
    }
    for (unsigned kind = 0; kind < 3; kind++) CHECK(answers[kind] > 1000);
}

RUN_TESTS(TEST(raw_bytes_are_a_frame_as_they_come), TEST(a_fixed_frame_is_whole_at_its_size),
          TEST(a_packet_is_whole_at_its_last_byte_and_no_sooner),
          TEST(a_packet_without_a_body_is_legal_and_a_shorter_one_is_not),
          TEST(a_packet_over_the_limit_is_a_fault_before_its_body_comes),
          TEST(a_packet_has_any_widths_and_either_order), TEST(a_length_counts_what_follows_it),
          TEST(a_length_is_adjusted_and_what_comes_before_it_is_kept_or_stripped),
          TEST(a_length_of_64_bits_does_not_overflow),
          TEST(a_line_is_whole_with_all_of_its_delimiter),
          TEST(a_line_that_does_not_end_within_the_limit_is_a_fault),
          TEST(what_was_looked_through_is_not_looked_through_again),
          TEST(a_varint_gives_the_length_of_what_follows),
          TEST(a_varint_that_is_too_large_or_does_not_end_is_a_fault),
          TEST(any_bytes_in_any_framing_give_one_answer_however_they_come))
