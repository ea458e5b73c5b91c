"""The PROXY header: every form, cut anywhere, and everything that is none."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactor.server.proxy_protocol import (
    MAX_V1,
    MAX_V2,
    ProxyHeader,
    ProxyParser,
    ProxyProtocolError,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31


def v2(body: bytes = b"", *, command: int = 0x21, family: int = TCP4) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(source: str, destination: str, *ports: int) -> bytes:
    packed = b"".join(ipaddress.ip_address(host).packed for host in (source, destination))
    return packed + struct.pack("!HH", *ports)


V4 = addresses("192.0.2.1", "198.51.100.7", 5000, 7777)
V6 = addresses("2001:db8::1", "2001:db8::7", 5000, 7777)
TLV = b"\x04\x00\x03abc"

HEADERS = [
    (
        b"PROXY TCP4 192.0.2.1 198.51.100.7 5000 7777\r\n",
        ProxyHeader(1, ("192.0.2.1", 5000), ("198.51.100.7", 7777)),
    ),
    (
        b"PROXY TCP6 2001:db8::1 2001:db8::7 0 65535\r\n",
        ProxyHeader(1, ("2001:db8::1", 0), ("2001:db8::7", 65535)),
    ),
    (b"PROXY UNKNOWN\r\n", ProxyHeader(1)),
    (b"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n", ProxyHeader(1)),
    (v2(V4), ProxyHeader(2, ("192.0.2.1", 5000), ("198.51.100.7", 7777))),
    (v2(V6, family=TCP6), ProxyHeader(2, ("2001:db8::1", 5000), ("2001:db8::7", 7777))),
    (v2(V4 + TLV), ProxyHeader(2, ("192.0.2.1", 5000), ("198.51.100.7", 7777))),
    (v2(TLV, command=0x20, family=0), ProxyHeader(2)),
    (v2(), None),  # PROXY over TCP4 without addresses.
    (v2(bytes(216), family=UNIX), ProxyHeader(2)),
    (v2(family=0), ProxyHeader(2)),
]
GOOD = [(wire, header) for wire, header in HEADERS if header is not None]


@given(st.sampled_from(GOOD), st.binary(max_size=40), st.lists(st.integers(1, 30)))
def test_a_header_is_the_same_wherever_it_is_cut(case, after, cuts):
    wire, header = case
    parser, rest, stream = ProxyParser(), b"", wire + after
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        rest += parser.feed(piece)

    assert parser.header == header
    assert rest == after
    assert parser.pending == 0


@pytest.mark.parametrize(("wire", "header"), GOOD)
def test_an_unfinished_header_is_waited_for(wire, header):
    parser = ProxyParser()
    for byte in wire[:-1]:
        assert parser.feed(bytes([byte])) == b""
        assert parser.header is None
    assert parser.pending == len(wire) - 1
    parser.feed(wire[-1:])
    assert parser.header == header


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "no PROXY header"),
        (b"PROXY", None),
        (b"PROXY\r\n", "no PROXY header"),
        (b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "no PROXY header"),
        (b"PROXY \r\n", "not TCP4"),
        (b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n", "not TCP4"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "not TCP4"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", "not TCP4"),
        (b"PROXY TCP4 ::1 1.1.1.1 1 1\r\n", "no IPv4"),
        (b"PROXY TCP6 1.1.1.1 ::1 1 1\r\n", "no IPv6"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "no IPv6"),
        (b"PROXY TCP6 ::1%\x1b[2J\r::1 ::1 1 1\r\n", "no IPv6"),
        (b"PROXY TCP4 1.1.1.999 1.1.1.1 1 1\r\n", "no IPv4"),
        (b"PROXY TCP4 1.1.1.\xb2 1.1.1.1 1 1\r\n", "no IPv4"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "no port"),
        (b"PROXY TCP4 " + b"1" * MAX_V1, "no end within 107"),
        (v2(command=0x11), "version 1"),
        (v2(command=0x22), "command 2"),
        (v2(), "0 bytes of addresses; 12"),
        (v2(V6[:35], family=TCP6), "35 bytes of addresses; 36"),
        (v2(V4, family=0x41), "family 4"),
        (v2(V4, family=0x13), "transport 3"),
        (v2(bytes(MAX_V2 - 15)), f"limit is {MAX_V2}"),
    ],
)
def test_what_is_no_header_is_refused_with_the_reason(wire, words):
    parser = ProxyParser()
    if words is None:
        assert parser.feed(wire) == b"" and parser.header is None
        return
    with pytest.raises(ProxyProtocolError, match=words):
        parser.feed(wire)
