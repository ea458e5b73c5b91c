"""The PROXY protocol, versions 1 and 2: who the client behind a load balancer is.

A proxy that speaks it sends one header at the start of each connection, before the client's own
bytes. This module owns the parser: incremental, without I/O, and strict, since what comes first on
a connection decides whose address is believed. A header can be cut anywhere.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

MAX_V1 = 107
"""The longest line of version 1, its CR LF included."""

MAX_V2 = 16 + 4096
"""The longest header of version 2 that is accepted; the protocol itself allows 16 + 65535."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_ADDRESSES = {1: ("4s", 4), 2: ("16s", 16)}  # By address family: INET, INET6.
_V2_UNIX = 3


class ProxyProtocolError(ValueError):
    """The connection does not begin with a PROXY header, or with a broken one."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What the proxy said about the connection.

    Attributes:
        version: 1 or 2.
        source: The client's (host, port), or None: the proxy speaks for itself (LOCAL, a health
            check) or does not know (UNKNOWN, UNSPEC, a Unix socket).
        destination: The (host, port) that the client had connected to, or None.
    """

    version: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None


class ProxyParser:
    """Takes the first bytes of a connection until they make a header.

    Attributes:
        header: The header, once it is complete; None before.
    """

    def __init__(self) -> None:
        """Begin at the start of a connection."""
        self.header: ProxyHeader | None = None
        self._held = bytearray()

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished header are kept."""
        return len(self._held)

    def feed(self, received: bytes | bytearray | memoryview) -> bytes:
        """Take the next bytes; return those behind the header (b"" until it is complete).

        Raises:
            ProxyProtocolError: This is no header, or it is too long; close the connection.
        """
        if self.header is not None:
            return bytes(received)
        self._held += received
        held = self._held
        if held[: len(_SIGNATURE)] == _SIGNATURE[: len(held)]:
            end = self._parse_v2()
        elif held[:6] == b"PROXY "[: len(held)]:
            end = self._parse_v1()
        else:
            raise ProxyProtocolError(
                f"the connection begins with {bytes(held[:16])!r}, which is no PROXY header: "
                "something connects without the proxy, or the proxy does not send the header"
            )
        if end == 0:
            return b""
        rest = bytes(held[end:])
        held.clear()
        return rest

    def _parse_v1(self) -> int:
        end = self._held.find(b"\r\n", 0, MAX_V1)
        if end < 0:
            if len(self._held) >= MAX_V1:
                raise ProxyProtocolError(f"a PROXY line has no end within {MAX_V1} bytes")
            return 0
        words = bytes(self._held[:end]).split(b" ")
        if words[1] == b"UNKNOWN":
            self.header = ProxyHeader(1)
        elif words[1] in (b"TCP4", b"TCP6") and len(words) == 6:
            family = 4 if words[1] == b"TCP4" else 6
            source = (_host(words[2], family), _port(words[4]))
            self.header = ProxyHeader(1, source, (_host(words[3], family), _port(words[5])))
        else:
            raise ProxyProtocolError(
                f"PROXY line {bytes(self._held[:end])!r}: not TCP4, TCP6 or UNKNOWN with two "
                "addresses and two ports"
            )
        return end + 2

    def _parse_v2(self) -> int:
        held = self._held
        if len(held) < 16:
            return 0
        version_command, family_transport = held[12], held[13]
        length = int.from_bytes(held[14:16], "big")
        version, command = version_command >> 4, version_command & 15
        if version != 2 or command > 1:
            raise ProxyProtocolError(
                f"PROXY header of version {version}, command {command}: only version 2 with LOCAL "
                "(0) or PROXY (1) is understood"
            )
        if 16 + length > MAX_V2:
            raise ProxyProtocolError(
                f"a PROXY header of {16 + length} bytes; the limit is {MAX_V2} bytes"
            )
        if len(held) < 16 + length:
            return 0
        if command == 0:  # LOCAL: whatever follows is to be skipped.
            self.header = ProxyHeader(2)
        else:
            self.header = _v2_header(family_transport, bytes(held[16 : 16 + length]))
        return 16 + length


def _v2_header(family_transport: int, body: bytes) -> ProxyHeader:
    """Return the header of a PROXY command; what follows the addresses (TLVs) is skipped."""
    family, transport = family_transport >> 4, family_transport & 15
    if family > _V2_UNIX or transport > 2:
        raise ProxyProtocolError(
            f"PROXY header with address family {family} and transport {transport}, which the "
            "protocol does not know"
        )
    if family not in _V2_ADDRESSES:  # UNSPEC, or a Unix socket.
        return ProxyHeader(2)
    layout, size = _V2_ADDRESSES[family]
    if len(body) < 2 * size + 4:
        raise ProxyProtocolError(
            f"PROXY header with {len(body)} bytes of addresses; {2 * size + 4} are needed"
        )
    source, destination, *ports = struct.unpack_from(f"!{layout}{layout}HH", body)
    hosts = [str(ipaddress.ip_address(packed)) for packed in (source, destination)]
    return ProxyHeader(2, (hosts[0], ports[0]), (hosts[1], ports[1]))


def _host(word: bytes, family: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        address = None
    # Behind a % any text would be a zone: of another machine, and written to our log as it came.
    if address is None or address.version != family or b"%" in word:
        raise ProxyProtocolError(f"{bytes(word)!r} in a PROXY line is no IPv{family} address")
    return str(address)


def _port(word: bytes) -> int:
    # Strict: "+80", "0080" and "8_0" are numbers for int(), and none here.
    number = int(word) if word.isdigit() and len(word) <= 5 else -1
    if not 0 <= number <= 65535 or (len(word) > 1 and word[:1] == b"0"):
        raise ProxyProtocolError(f"{bytes(word)!r} in a PROXY line is no port number")
    return number
