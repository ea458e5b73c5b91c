"""Streams for the tests of framing: any framing, any bytes, any cut; and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from proactor.framing import (
    DelimiterFraming,
    FixedFraming,
    Framing,
    FramingError,
    LengthFraming,
    Packet,
    PacketFraming,
    VarintFraming,
    broken_off,
)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No test fails because the machine has something else to do."""

WIDTHS = st.sampled_from([1, 2, 3, 4, 8])
ORDERS = st.sampled_from(["little", "big"])
FRAMES_OF = 24
"""`max_frame` is at least this, which is more than any header here."""


class Outcome(NamedTuple):
    """What came of a stream, all its pieces taken together."""

    items: list[Any]
    reason: str
    pending: int
    broken_off: str


def outcome(framing: Framing, pieces: Iterable[bytes]) -> Outcome:
    """Feed a fresh decoder until it has had all pieces or is dead."""
    decoder = framing.decoder()
    items: list[Any] = []
    for piece in pieces:
        try:
            items += decoder.feed(piece)
        except FramingError as error:
            return Outcome(items + error.items, error.reason, decoder.pending, broken_off(decoder))
    return Outcome(items, "", decoder.pending, broken_off(decoder))


def byte_by_byte(stream: bytes) -> list[bytes]:
    """Cut wherever there is a cut to make."""
    return [stream[position : position + 1] for position in range(len(stream))]


def cut_at(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut at these places, as far as the stream has them; there may be empty pieces."""
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


CUTS = st.lists(st.integers(0, 150), max_size=12)
LIMITS = st.integers(FRAMES_OF, 90)
PACKETS = st.builds(
    PacketFraming,
    LIMITS,
    size_bytes=WIDTHS,
    id_bytes=WIDTHS,
    byteorder=ORDERS,
    size_includes_header=st.booleans(),
)
LINES = st.builds(
    DelimiterFraming,
    st.lists(st.integers(0, 1), min_size=1, max_size=4).map(bytes),
    LIMITS,
    strip=st.booleans(),
)
FRAMINGS = st.one_of(
    PACKETS,
    LINES,
    st.builds(
        LengthFraming,
        LIMITS,
        length_offset=st.integers(0, 4),
        length_bytes=WIDTHS,
        length_adjustment=st.integers(-20, 20),
        strip=st.none() | st.integers(0, 20),
        byteorder=ORDERS,
    ),
    st.builds(FixedFraming, st.integers(1, 20)),
    st.builds(VarintFraming, LIMITS),
)


DEFAULTS = st.sampled_from(
    [
        PacketFraming(),
        PacketFraming(2**31 - 1, size_bytes=8, id_bytes=8),
        LengthFraming(),
        LengthFraming(2**31 - 1, length_bytes=8, length_adjustment=-(2**31) + 1),
        DelimiterFraming(),
        DelimiterFraming(bytes(range(16)), 1 << 20),
        VarintFraming(),
        VarintFraming(2**31 - 1),
    ]
)
"""As they are without options, and at the edges of what the options allow."""


ENDLESS = (st.sampled_from([128, 255]), st.integers(8, 95))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Framing, bytes]:
    """Return a framing and bytes that may or may not be frames of it."""
    framing = draw(FRAMINGS)
    # Low numbers, so that many lengths are possible ones, and delimiters are found.
    bytes_of = st.sampled_from([0, 0, 1, 1, 2, 5, 9, 30, 128, 255])
    noise = st.lists(bytes_of, max_size=60).map(bytes)
    # What has no end: no delimiter is in it, and no varint ends.
    endless = st.builds(lambda byte, count: bytes([byte]) * count, *ENDLESS)
    frames = frames_of(framing)
    pieces = st.one_of(frames, frames, frames, noise, endless)
    return framing, b"".join(draw(st.lists(pieces, max_size=6)))


def any_stream() -> st.SearchStrategy[tuple[Framing, bytes]]:
    """Return a framing and bytes of any kind, or the frames of another one: nothing is tame."""
    several = st.tuples(FRAMINGS, st.lists(st.binary(max_size=200), max_size=3).map(b"".join))
    foreign = st.tuples(FRAMINGS, streams().map(lambda case: case[1]))
    default = st.tuples(DEFAULTS, st.binary(max_size=300))
    return st.one_of(several, foreign, default)


def encodes(framing: Framing) -> bool:
    """Say whether bodies can be encoded without knowing more."""
    return not isinstance(framing, LengthFraming) or (
        framing.length_offset == 0 and framing.length_adjustment <= 0
    )


def bodies_of(framing: Framing) -> st.SearchStrategy[bytes]:
    """Return bodies that `framing` can encode."""
    if isinstance(framing, FixedFraming):
        return st.binary(min_size=framing.size, max_size=framing.size)
    if isinstance(framing, DelimiterFraming):  # Its delimiters are of 0 and 1.
        return st.lists(st.integers(2, 255), max_size=framing.max_frame - 4).map(bytes)
    return st.binary(max_size=FRAMES_OF - 16)


def frames_of(framing: Framing) -> st.SearchStrategy[bytes]:
    """Return whole frames of `framing`."""
    if isinstance(framing, PacketFraming):
        return packets_of(framing).map(framing.encode)
    if isinstance(framing, LengthFraming):
        return lengthy_frames_of(framing)
    return bodies_of(framing).map(framing.encode)


@st.composite
def lengthy_frames_of(draw: st.DrawFn, framing: LengthFraming) -> bytes:
    """Return whole frames of any parameters; faulty where these allow of no frame so short."""
    plus = framing.header_bytes + framing.length_adjustment
    total = draw(st.integers(framing.header_bytes, framing.max_frame))
    length = min(max(total - plus, 0), 255)
    before, rest = bytes(framing.length_offset), bytes(max(plus + length - framing.header_bytes, 0))
    return before + length.to_bytes(framing.length_bytes, framing.byteorder) + rest


def packets_of(framing: PacketFraming) -> st.SearchStrategy[Packet]:
    """Return packets that are not encoded yet."""
    return st.builds(Packet, st.integers(0, 256**framing.id_bytes - 1), bodies_of(framing))
