"""Framing: what is a frame, what is none and why, and what can be encoded."""

import array
import dataclasses

import pytest

from proactor import errors
from proactor.framing import (
    DelimiterFraming,
    FixedFraming,
    Framing,
    FramingError,
    LengthFraming,
    PacketFraming,
    RawFraming,
    VarintFraming,
    broken_off,
)
from tests.words.framing_streams import outcome

ENDLESS = b"\xff" * 10
BODIED = LengthFraming(20, length_offset=1, length_adjustment=-3, strip=4, byteorder="big")

# framing, stream, the items before the fault, the reason.
FAULTS = [
    (
        PacketFraming(10),
        b"\4\0\1\0\13\0",
        1,
        "the size says 11 bytes for the whole frame: the limit of a whole frame is 10",
    ),
    (
        PacketFraming(10, size_includes_header=False),
        b"\0\0\1\0\7\0",
        1,
        "the size says 7 bytes for the body alone: the limit of a whole frame is 10",
    ),
    (
        PacketFraming(),
        b"\3\0\1\0",
        0,
        "the size says 3 bytes for the whole frame: its header alone has 4",
    ),
    (
        PacketFraming(),
        b"\0\0",
        0,
        "the size says 0 bytes for the whole frame: its header alone has 4",
    ),
    (
        LengthFraming(10),
        b"\0\0\1\0a\11\0",
        2,
        "the length field says 9, which makes a frame of 11 bytes: the limit is 10",
    ),
    (
        LengthFraming(length_bytes=8),
        ENDLESS,
        0,
        "the length field says 18446744073709551615, which makes a frame of 18446744073709551623"
        " bytes: the limit is 65536",
    ),
    (
        LengthFraming(length_adjustment=-2),
        b"\1\0",
        0,
        "the length field says 1, which makes a frame of 1 bytes: its header alone has 2",
    ),
    (
        LengthFraming(length_adjustment=-9),
        b"\1\0",
        0,
        "the length field says 1, which makes a frame of -6 bytes: its header alone has 2",
    ),
    (
        BODIED,
        b"x\0\5yzx\0\3",
        1,
        "the length field says 3, which makes a frame of 3 bytes: 4 are to be stripped",
    ),
    (
        DelimiterFraming(b"\r\n", 4),
        b"\r\nab\r\nabc\r\n",
        2,
        "no delimiter b'\\r\\n' in 4 bytes: the limit of a frame is 4",
    ),
    (
        VarintFraming(4),
        b"\3abc\4",
        1,
        "the length says 4 bytes, which makes a longer frame than the limit of 4 bytes",
    ),
    (
        VarintFraming(),
        ENDLESS,
        0,
        "the length is a varint that does not end within 10 bytes and 64 bits: its byte 10 is 255,"
        " which may be 1 at most",
    ),
    (
        VarintFraming(),
        b"\xff" * 9 + b"\2",
        0,
        "the length is a varint that does not end within 10 bytes and 64 bits: its byte 10 is 2,"
        " which may be 1 at most",
    ),
]
FAULT_IDS = [f"{type(row[0]).__name__} {row[1][:8]!r}" for row in FAULTS]


@pytest.mark.parametrize(("framing", "stream", "before", "reason"), FAULTS, ids=FAULT_IDS)
def test_what_is_no_frame_is_an_error_with_number_and_limit(
    framing, stream, before, reason
) -> None:
    with pytest.raises(FramingError) as caught:
        framing.decoder().feed(stream)

    assert caught.value.reason == reason
    assert len(caught.value.items) == before
    assert str(caught.value) == f"[winerror 13] {reason}"


@pytest.mark.parametrize(("framing", "stream", "before", "reason"), FAULTS, ids=FAULT_IDS)
def test_a_decoder_is_dead_after_an_error(framing, stream, before, reason) -> None:
    decoder = framing.decoder()
    with pytest.raises(FramingError):
        decoder.feed(stream)

    for later in (b"", b"\4\0\1\0", stream):
        with pytest.raises(FramingError) as caught:
            decoder.feed(later)

        assert caught.value.reason == reason
        assert caught.value.items == []
    assert decoder.pending == 0


@pytest.mark.parametrize(("framing", "stream", "before", "reason"), FAULTS, ids=FAULT_IDS)
def test_an_error_comes_with_the_byte_that_decides_and_no_sooner(
    framing, stream, before, reason
) -> None:
    shortest = next(
        length for length in range(len(stream) + 1) if outcome(framing, [stream[:length]]).reason
    )

    for length in range(shortest, len(stream) + 1):
        assert outcome(framing, [stream[:length]]).reason == reason
    # Not more was waited for than the header, or the limit.
    if not isinstance(framing, DelimiterFraming):
        assert len(stream) - shortest <= 2


def test_an_error_of_one_connection_leaves_the_others_alone() -> None:
    framing = PacketFraming()
    broken, sound = framing.decoder(), framing.decoder()
    with pytest.raises(FramingError):
        broken.feed(b"\0\0")

    assert len(sound.feed(b"\4\0\1\0")) == 1


EMPTY = [
    (PacketFraming(), b"\4\0\1\0"),
    (PacketFraming(size_includes_header=False), b"\0\0\1\0"),
    (LengthFraming(), b"\0\0"),
    (LengthFraming(length_adjustment=-2), b"\2\0"),
    (DelimiterFraming(), b"\n"),
    (VarintFraming(), b"\0"),
]


@pytest.mark.parametrize(("framing", "frame"), EMPTY, ids=[repr(row[0]) for row in EMPTY])
def test_a_frame_without_a_body_is_legal(framing, frame) -> None:
    items = framing.decoder().feed(frame * 2)

    assert [len(item) for item in items] == [0, 0]


@pytest.mark.parametrize(
    ("framing", "stream", "items"),
    [
        (LengthFraming(strip=0), b"\2\0ab", [b"\2\0ab"]),
        (LengthFraming(strip=3), b"\2\0ab", [b"b"]),
        (LengthFraming(length_bytes=3, byteorder="big"), b"\0\0\1a", [b"a"]),
        (LengthFraming(length_offset=2, length_bytes=1), b"hh\2ab", [b"ab"]),
        (LengthFraming(length_bytes=1, length_adjustment=2), b"\1ida", [b"ida"]),
        (BODIED, b"x\0\6yab", [b"ab"]),
        (DelimiterFraming(b"\r\n"), b"a\rb\n\r\r\n\n\r\n", [b"a\rb\n\r", b"\n"]),
        (DelimiterFraming(strip=False), b"a\n\n", [b"a\n", b"\n"]),
        (DelimiterFraming(b"aa"), b"aaaab", [b"", b""]),
        (VarintFraming(), b"\x83\x80\0abc", [b"abc"]),
    ],
    ids=repr,
)
def test_each_parameter_has_its_meaning(framing, stream, items) -> None:
    assert outcome(framing, [stream]).items == items


@pytest.mark.parametrize(
    ("framing", "length"),
    [
        (LengthFraming(10), 8),
        (DelimiterFraming(b"\r\n", 10), 8),
        (VarintFraming(10), 9),
        (VarintFraming(300), 298),
    ],
    ids=repr,
)
def test_the_longest_frame_passes_and_one_byte_more_cannot_be_encoded(framing, length) -> None:
    assert len(framing.encode(b"x" * length)) == framing.max_frame
    assert framing.decoder().feed(framing.encode(b"x" * length)) == [b"x" * length]
    with pytest.raises(errors.InvalidParameter, match=f"max_frame is {framing.max_frame}"):
        framing.encode(b"x" * (length + 1))


@pytest.mark.parametrize(
    ("framing", "body", "words"),
    [
        (LengthFraming(length_offset=2), b"a", "2 bytes come before the length"),
        (LengthFraming(length_bytes=1), b"x" * 256, "length is 256, and the field of 1 bytes"),
        (LengthFraming(length_adjustment=5), b"abc", "length is -2"),
        (FixedFraming(4), b"abc", "cannot encode 3 bytes: each frame has 4"),
        (FixedFraming(4), b"abcde", "cannot encode 5 bytes: each frame has 4"),
        (DelimiterFraming(), b"a\nb", "at byte 1 of them"),
        (DelimiterFraming(strip=False), b"a\nb\n", "at byte 1 of them"),
        (DelimiterFraming(b"aa"), b"ba", "at byte 1 of them"),
    ],
    ids=repr,
)
def test_what_the_peer_would_read_otherwise_is_not_encoded(framing, body, words) -> None:
    with pytest.raises(errors.InvalidParameter, match=words) as caught:
        framing.encode(body)

    assert caught.value.winerror == 87


@pytest.mark.parametrize(
    "framing",
    [RawFraming(), LengthFraming(), FixedFraming(4), DelimiterFraming(), VarintFraming()],
    ids=repr,
)
@pytest.mark.parametrize(
    "kind",
    [bytes, bytearray, memoryview, lambda body: array.array("H", body)],
    ids=["bytes", "bytearray", "memoryview", "array"],
)
def test_any_buffer_is_fed_and_encoded_and_not_referred_to_later(framing, kind) -> None:
    frame = framing.encode(kind(b"abcd"))
    assert frame == framing.encode(b"abcd")
    head, rest = bytearray(frame[:2]), bytearray(frame[2:])
    decoder = framing.decoder()

    items = decoder.feed(head)
    head[:] = b"\xff" * 50
    items += decoder.feed(kind(rest) if len(rest) % 2 == 0 else rest)
    rest[:] = b"\xff" * 50

    assert b"".join(items) == b"abcd"


@pytest.mark.parametrize(
    "framing",
    [RawFraming(), LengthFraming(), FixedFraming(4), DelimiterFraming(), VarintFraming()],
    ids=repr,
)
@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]], ids=repr)
def test_what_is_no_buffer_is_a_type_error_and_the_decoder_lives_on(framing, wrong) -> None:
    decoder = framing.decoder()
    items = decoder.feed(framing.encode(b"abcd")[:3])
    with pytest.raises(TypeError):
        decoder.feed(wrong)
    with pytest.raises(TypeError):
        framing.encode(wrong)

    assert b"".join(items + decoder.feed(framing.encode(b"abcd")[3:])) == b"abcd"


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (FixedFraming, {"size": 0}, "size is 0"),
        (FixedFraming, {"size": 2**31}, "size is 2147483648"),
        (LengthFraming, {"max_frame": 1}, "max_frame is 1: give 2 to 2147483647"),
        (LengthFraming, {"max_frame": 2**31}, "max_frame is 2147483648"),
        (LengthFraming, {"length_bytes": 5}, "length_bytes is 5"),
        (LengthFraming, {"length_offset": -1}, "length_offset is -1"),
        (LengthFraming, {"length_offset": 65535}, "max_frame is 65536: give 65537"),
        (LengthFraming, {"length_adjustment": -(2**31)}, "length_adjustment is -2147483648"),
        (LengthFraming, {"length_adjustment": 2**31}, "length_adjustment is 2147483648"),
        (LengthFraming, {"strip": -1}, "strip is -1"),
        (LengthFraming, {"strip": 65537}, "strip is 65537"),
        (LengthFraming, {"byteorder": "native"}, "byteorder is 'native'"),
        (PacketFraming, {"size_bytes": 0}, "size_bytes is 0"),
        (PacketFraming, {"id_bytes": 9}, "id_bytes is 9"),
        (PacketFraming, {"byteorder": "be"}, "byteorder is 'be'"),
        (PacketFraming, {"max_frame": 3}, "max_frame is 3: give 4"),
        (DelimiterFraming, {"delimiter": b""}, "the delimiter has 0 bytes"),
        (DelimiterFraming, {"delimiter": b"x" * 17}, "the delimiter has 17 bytes"),
        (DelimiterFraming, {"delimiter": b"\r\n", "max_frame": 1}, "max_frame is 1"),
        (VarintFraming, {"max_frame": 0}, "max_frame is 0"),
    ],
    ids=repr,
)
def test_a_framing_that_cannot_be_is_refused(kind, arguments, words) -> None:
    with pytest.raises(errors.InvalidParameter, match=words) as caught:
        kind(**arguments)

    assert caught.value.winerror == 87


ALL = [
    RawFraming(),
    LengthFraming(),
    PacketFraming(),
    DelimiterFraming(),
    FixedFraming(4),
    VarintFraming(),
]


@pytest.mark.parametrize("framing", ALL, ids=repr)
def test_a_framing_is_a_value_that_does_not_change(framing) -> None:
    assert framing == dataclasses.replace(framing)
    assert hash(framing) == hash(dataclasses.replace(framing))
    with pytest.raises(dataclasses.FrozenInstanceError):
        framing.max_frame = 1


@pytest.mark.parametrize(
    ("framing", "stream", "text"),
    [
        (PacketFraming(), b"\4\0\1\0", ""),
        (PacketFraming(), b"\4", "the last frame broke off after 1 bytes"),
        (PacketFraming(), b"\7\0\1\0a", "the last frame broke off: 5 of its 7 bytes came"),
        (LengthFraming(), b"\7\0a", "the last frame broke off: 3 of its 9 bytes came"),
        (VarintFraming(), b"\7a", "the last frame broke off: 2 of its 8 bytes came"),
        (FixedFraming(4), b"abcdef", "the last frame broke off: 2 of its 4 bytes came"),
        (DelimiterFraming(), b"a\nbcd", "the last frame broke off after 3 bytes"),
        (RawFraming(), b"abc", ""),
    ],
    ids=repr,
)
def test_a_frame_that_broke_off_can_say_what_is_missing(framing, stream, text) -> None:
    decoder = framing.decoder()
    decoder.feed(stream)

    assert broken_off(decoder) == text


class Numbers(Framing):
    """A framing of a user: digits, each its own frame; items are int."""

    max_frame = 1

    def decoder(self):
        return NumbersDecoder()

    def encode(self, item):
        return b"%d" % item


class NumbersDecoder:
    pending = 0

    def feed(self, data):
        items = []
        for byte in data:
            if not 48 <= byte <= 57:
                raise FramingError(f"{byte} is no digit", items)
            items.append(byte - 48)
        return items


def test_a_framing_of_ones_own_needs_a_decoder_and_encode_only() -> None:
    framing = Numbers()

    assert outcome(framing, [framing.encode(1), b"23", b"4x"]) == (
        [1, 2, 3, 4],
        "120 is no digit",
        0,
        "",
    )
    assert framing.native_parameters() is None


def test_a_framing_that_lacks_one_of_them_cannot_be_made() -> None:
    class Half(Framing):
        max_frame = 1

        def decoder(self):
            return NumbersDecoder()

    with pytest.raises(TypeError, match="encode"):
        Half()


def test_a_framing_error_keeps_its_own_list_of_items() -> None:
    items = [1]
    error = FramingError("wrong", items)
    items.append(2)

    assert error.items == [1]
    assert (error.winerror, error.wsaerror, error.status) == (13, 10053, 0)
    assert isinstance(error, errors.ProactorError)
