"""Framing: the same stream gives the same, however it is cut, at the same cost a byte."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactor.framing import (
    DelimiterFraming,
    FixedFraming,
    FramingError,
    LengthFraming,
    Packet,
    PacketFraming,
    RawFraming,
    VarintFraming,
)
from tests.words.framing_streams import (
    CUTS,
    FRAMINGS,
    PACKETS,
    any_stream,
    bodies_of,
    byte_by_byte,
    cut_at,
    encodes,
    outcome,
    packets_of,
    streams,
    unhurried,
)

EACH = [
    LengthFraming(),
    LengthFraming(length_bytes=3, length_adjustment=-3, byteorder="big"),
    PacketFraming(),
    PacketFraming(size_bytes=4, id_bytes=1, byteorder="big", size_includes_header=False),
    DelimiterFraming(),
    DelimiterFraming(b"\r\n\r\n"),
    FixedFraming(4),
    VarintFraming(),
]


@unhurried
@given(streams(), CUTS)
def test_any_cut_of_any_stream_gives_the_same_items_and_the_same_end(case, cuts) -> None:
    framing, stream = case

    at_once = outcome(framing, [stream])

    assert outcome(framing, cut_at(stream, cuts)) == at_once
    assert outcome(framing, byte_by_byte(stream)) == at_once


@settings(unhurried, max_examples=300)
@given(any_stream(), CUTS)
def test_any_bytes_give_frames_or_a_framing_error_and_no_other(case, cuts) -> None:
    # Method: `outcome` lets every error through that is no FramingError.
    framing, stream = case

    at_once = outcome(framing, [stream])

    assert outcome(framing, cut_at(stream, cuts)) == at_once
    assert outcome(framing, byte_by_byte(stream)) == at_once
    assert not at_once.reason or at_once.pending == 0
    assert len(at_once.items) <= len(stream)  # No frame is made of nothing.


@pytest.mark.parametrize("framing", EACH, ids=repr)
def test_every_pair_of_cuts_of_three_frames_gives_the_three_items(framing) -> None:
    bodies = [b"abcdefgh", b"", b"ij"]  # What is remembered of the first is wrong for the others.
    if isinstance(framing, FixedFraming):
        bodies = [b"abcd", b"efgh", b"ijkl"]
    packets = [Packet(index, body) for index, body in enumerate(bodies)]
    items = packets if isinstance(framing, PacketFraming) else bodies
    stream = b"".join(map(framing.encode, items))

    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert outcome(framing, cut_at(stream, [first, second])) == (items, "", 0, "")


@unhurried
@given(streams())
def test_what_is_kept_is_less_than_a_frame_and_nothing_after_an_error(case) -> None:
    framing, stream = case
    decoder = framing.decoder()
    for piece in byte_by_byte(stream):
        try:
            decoder.feed(piece)
        except FramingError:
            assert decoder.pending == 0
            break
        assert decoder.pending < framing.max_frame


@unhurried
@given(st.data())
def test_what_is_encoded_comes_out_again(data) -> None:
    framing = data.draw(FRAMINGS.filter(encodes).filter(is_symmetric))
    one = packets_of(framing) if isinstance(framing, PacketFraming) else bodies_of(framing)
    sent = data.draw(st.lists(one, max_size=5))

    came = outcome(framing, cut_at(b"".join(map(framing.encode, sent)), data.draw(CUTS)))

    if isinstance(framing, DelimiterFraming) and not framing.strip:
        sent = [body + framing.delimiter for body in sent]
    assert came == (sent, "", 0, "")


def is_symmetric(framing) -> bool:
    return not isinstance(framing, LengthFraming) or framing.strip is None


@unhurried
@given(PACKETS, st.data())
def test_a_packet_that_came_goes_on_as_it_came(framing, data) -> None:
    packet = data.draw(packets_of(framing))
    frame = framing.encode(packet)

    [came] = framing.decoder().feed(frame)

    assert came == packet
    assert framing.encode(came) is came.frame
    assert came.frame == frame


@unhurried
@given(st.binary(), CUTS)
def test_raw_bytes_come_in_pieces_as_they_are_fed(stream, cuts) -> None:
    pieces = cut_at(stream, cuts)

    came = outcome(RawFraming(), pieces)

    assert came == ([piece for piece in pieces if piece], "", 0, "")


SIZE = 400_000
LONG_FRAMES = {
    "length": LengthFraming(SIZE, length_bytes=4),
    "packet": PacketFraming(SIZE, size_bytes=4),
    "delimiter": DelimiterFraming(b"\r\n", SIZE),
    "fixed": FixedFraming(SIZE),
    "varint": VarintFraming(SIZE),
}


@pytest.mark.parametrize("framing", LONG_FRAMES.values(), ids=LONG_FRAMES)
def test_a_long_frame_byte_by_byte_costs_a_bounded_work_a_byte(framing) -> None:
    # Method: linear work takes a quarter of a second of this thread, quadratic work ten and more.
    body = bytes(SIZE - (0 if isinstance(framing, FixedFraming) else 6))
    frame = framing.encode(Packet(7, body) if isinstance(framing, PacketFraming) else body)
    decoder = framing.decoder()
    started = time.thread_time()

    for piece in byte_by_byte(frame[:-1]):
        assert decoder.feed(piece) == []
    [item] = decoder.feed(frame[-1:])

    assert len(item) == len(body)
    assert time.thread_time() - started < 4


@pytest.mark.parametrize("framing", LONG_FRAMES.values(), ids=LONG_FRAMES)
def test_many_frames_come_out_of_one_read(framing) -> None:
    small = FixedFraming(3) if isinstance(framing, FixedFraming) else framing
    one = Packet(7, b"abc") if isinstance(framing, PacketFraming) else b"abc"

    items = small.decoder().feed(small.encode(one) * 10_000)

    assert items == [one] * 10_000
