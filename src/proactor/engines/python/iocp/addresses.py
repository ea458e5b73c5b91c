"""Socket addresses as Winsock lays them out, from and to the tuples of the `socket` module."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

_IPV4: Final = struct.Struct("<H2s4s8x")
_IPV6: Final = struct.Struct("<H2sI16sI")
_WILDCARDS: Final = {"": "0.0.0.0", "<broadcast>": "255.255.255.255"}


def encode(family: int, address: Any) -> bytes:
    """Return `address` as a SOCKADDR_IN or SOCKADDR_IN6; a host name is looked up.

    Raises:
        TypeError: `address` is not the tuple that `family` has.
        OverflowError: The port is no number from 0 to 65535.
        OSError: The host is not known.
    """
    if family == socket.AF_INET:
        host, port = address
        return _IPV4.pack(family, _port(port), _host(family, host))
    if family != socket.AF_INET6:
        raise TypeError(f"addresses of family {family} are not supported")
    host, port = address[:2]
    flow = address[2] if len(address) > 2 else 0
    scope = address[3] if len(address) > 3 else 0
    if "%" in host:
        found: Any = socket.getaddrinfo(host, None, family, flags=socket.AI_NUMERICHOST)[0][4]
        host, scope = found[0].partition("%")[0], found[3]
    return _IPV6.pack(family, _port(port), socket.htonl(flow), _host(family, host), scope)


def decode(raw: bytes) -> Any:
    """Return the tuple of a SOCKADDR; None if there is none (a stream names no sender)."""
    (family,) = struct.unpack_from("<H", raw)
    if family == socket.AF_INET:
        _, port, host = _IPV4.unpack_from(raw)
        return socket.inet_ntoa(host), int.from_bytes(port, "big")
    if family == socket.AF_INET6:
        _, port, flow, host, scope = _IPV6.unpack_from(raw)
        text = socket.inet_ntop(family, host)
        return text, int.from_bytes(port, "big"), socket.ntohl(flow), scope
    return None


def _port(port: int) -> bytes:
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"a port is a number from 0 to 65535, not {port}")
    return port.to_bytes(2, "big")


def _host(family: int, host: str) -> bytes:
    host = _WILDCARDS.get(host, host) if family == socket.AF_INET else host or "::"
    try:
        return socket.inet_pton(family, host)
    except OSError:
        found: Any = socket.getaddrinfo(host, None, family)[0][4]
        return socket.inet_pton(family, found[0].partition("%")[0])
