"""Addresses as the system wants them: Python's tuples, packed."""

from __future__ import annotations

import socket
import struct
from typing import Any


def packed_address(sock: socket.socket, address: Any) -> bytes:
    """Return `address` as a sockaddr of `sock`'s family; a host name is looked up.

    Raises:
        TypeError: It is no tuple of a host and a port.
        OverflowError: The port is not from 0 to 65535.
        OSError: The host is not known.
    """
    if sock.family == socket.AF_INET6:
        host, port, flow, scope = _six_fields(address)
        packed = _host_bytes(socket.AF_INET6, host)
        return (
            struct.pack("=H", socket.AF_INET6)
            + struct.pack("!HI16s", port, flow, packed)
            + struct.pack("=I", scope)
        )
    host, port = _four_fields(address)
    packed = _host_bytes(socket.AF_INET, host)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, packed)


def _four_fields(address: Any) -> tuple[str, int]:
    if not isinstance(address, tuple) or len(address) != 2:
        raise TypeError(f"an AF_INET address is a tuple (host, port), not {address!r}")
    return _host(address[0]), _port(address[1])


def _six_fields(address: Any) -> tuple[str, int, int, int]:
    if not isinstance(address, tuple) or not 2 <= len(address) <= 4:
        raise TypeError(
            f"an AF_INET6 address is a tuple (host, port, flow, scope), not {address!r}"
        )
    host, port, *rest = address
    flow, scope, *_ = (*rest, 0, 0)
    if "%" in _host(host):
        found = socket.getaddrinfo(host, None, socket.AF_INET6)[0][4]
        host, scope = str(found[0]), int(found[3])  # type: ignore[misc]
    return _host(host).partition("%")[0], _port(port), flow, scope


def _host(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        return host.decode()
    if not isinstance(host, str):
        raise TypeError(f"a host is a string, not {type(host).__name__}")
    return host


def _port(port: Any) -> int:
    number: int = port.__index__() if hasattr(port, "__index__") else _no_port(port)
    if not 0 <= number <= 65535:
        raise OverflowError("port must be 0-65535.")
    return number


def _no_port(port: Any) -> int:
    raise TypeError(f"a port is a number, not {type(port).__name__}")


def _host_bytes(family: int, host: str) -> bytes:
    if host == "":
        host = "0.0.0.0" if family == socket.AF_INET else "::"
    elif host == "<broadcast>":
        host = "255.255.255.255"
    try:
        return socket.inet_pton(family, host)
    except OSError:
        found = socket.getaddrinfo(host, None, family)
        return socket.inet_pton(family, str(found[0][4][0]))
