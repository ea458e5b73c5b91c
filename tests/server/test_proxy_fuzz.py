"""Any bytes, any cuts, at the parser of the PROXY header: a header, a wait, or a refusal."""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proactor import LengthFraming, RawFraming
from proactor.server.proxied import ProxiedFraming
from proactor.server.proxy_protocol import MAX_V2, ProxyHeader, ProxyParser, ProxyProtocolError
from tests.server.test_proxy_protocol import GOOD, SIGNATURE, v2
from tests.words.framing_streams import CUTS, byte_by_byte, cut_at, outcome, unhurried

WORDS = st.one_of(
    st.sampled_from(
        [b"PROXY", b"TCP4", b"TCP6", b"UNKNOWN", b"", b"\r", b"192.0.2.1", b"::1", b"0", b"65535"]
    ),
    st.from_regex(rb"[0-9a-f:.%+_-]{1,15}", fullmatch=True),
    st.binary(max_size=8),
)
LINES = st.lists(WORDS, max_size=8).map(lambda words: b" ".join([b"PROXY", *words]) + b"\r\n")
BYTE = st.integers(0, 255)
BODIES = st.binary(max_size=80)
BLOCKS = st.builds(lambda body, one, two: v2(body, command=one, family=two), BODIES, BYTE, BYTE)
LYING = st.builds(lambda head, body: SIGNATURE + head + body, st.binary(max_size=4), BODIES)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a good header of which a few bytes are others, more, or fewer."""
    wire = bytearray(draw(st.sampled_from(GOOD))[0])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(wire) - 1))
        wire[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(wire)


STREAMS = st.builds(
    bytes.__add__, st.one_of(st.binary(max_size=200), LINES, BLOCKS, LYING, damaged()), BODIES
)


class Parsed(NamedTuple):
    header: ProxyHeader | None
    rest: bytes
    is_refused: bool


def parsed(pieces: list[bytes]) -> Parsed:
    """Feed a parser until it has had all pieces, or has refused one."""
    parser, rest = ProxyParser(), b""
    for piece in pieces:
        try:
            rest += parser.feed(piece)
        except ProxyProtocolError as error:
            assert str(error) and parser.header is None
            return Parsed(None, b"", True)
        assert parser.pending <= MAX_V2
    return Parsed(parser.header, rest, False)


@settings(unhurried, max_examples=400)
@given(STREAMS, CUTS)
@example(b"PROXY TCP6 ::1%\x1b[2J ::1 1 1\r\n", [])
def test_any_bytes_make_a_header_a_wait_or_a_refusal_wherever_they_are_cut(stream, cuts):
    at_once = parsed([stream])

    assert parsed(cut_at(stream, cuts)) == at_once
    assert parsed(byte_by_byte(stream)) == at_once
    assert stream.endswith(at_once.rest)
    for end in (at_once.header.source, at_once.header.destination) if at_once.header else ():
        assert end is None or is_plain(*end)


def is_plain(host: str, port: int) -> bool:
    """Say whether this is an address as it may be believed, compared, and written to a log."""
    address = ipaddress.ip_address(host)
    return str(address) == host and host.isprintable() and "%" not in host and 0 <= port <= 65535


INNER = st.sampled_from([RawFraming(), LengthFraming(max_frame=50)])


@settings(unhurried, max_examples=200)
@given(STREAMS, CUTS, INNER)
def test_behind_it_any_bytes_are_those_of_the_inner_framing(stream, cuts, inner):
    # Method: `outcome` lets every error through that is no FramingError.
    came = outcome(ProxiedFraming(inner), cut_at(stream, cuts))

    header, rest, is_refused = parsed([stream])
    if header is None:
        assert (came.items, bool(came.reason)) == ([], is_refused)
        return
    expected: Any = outcome(inner, [rest])
    assert came.items[0] == header
    assert (came.reason, came.pending) == (expected.reason, expected.pending)
    if inner == RawFraming():
        assert b"".join(came.items[1:]) == rest
    else:
        assert came.items[1:] == expected.items
