"""Loopback sockets of the standard library: the other ends of what the tests test."""

from __future__ import annotations

import secrets
import select
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from proactor import OverlappedSocket

TcpPair: TypeAlias = tuple[OverlappedSocket, OverlappedSocket]
PeerPair: TypeAlias = tuple[OverlappedSocket, socket.socket]

LIMIT = 5.0
"""Seconds within which what must happen has to happen; a test that waits longer fails."""


def loopback(family: int = socket.AF_INET) -> tuple[Any, ...]:
    """Return the loopback address of `family` with port 0: the system chooses one."""
    return ("::1", 0) if family == socket.AF_INET6 else ("127.0.0.1", 0)


def plain_listener(family: int = socket.AF_INET) -> socket.socket:
    """Return a listening socket on an ephemeral port."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.settimeout(LIMIT)
    listener.bind(loopback(family))
    listener.listen()
    return listener


def plain_client(address: tuple[Any, ...], family: int = socket.AF_INET) -> socket.socket:
    """Return a socket connected to `address`, with a time-out on all that it does."""
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(LIMIT)
    try:
        client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def plain_pair(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """Return two ends of one loopback connection, the accepted one first."""
    with plain_listener(family) as listener:
        client = plain_client(listener.getsockname(), family)
        accepted, _ = listener.accept()
    accepted.settimeout(LIMIT)
    return accepted, client


def closed_address(family: int = socket.AF_INET) -> tuple[Any, ...]:
    """Return a loopback address at which nobody listens, also later.

    The port is none that a system chooses by itself: tests that run beside this one do not get it.
    """
    host = loopback(family)[0]
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.bind((host, 10_000 + secrets.randbelow(20_000)))
            return tuple(probe.getsockname())


def reset(sock: socket.socket | OverlappedSocket) -> None:
    """Close `sock` with a reset (linger on, 0): the peer sees 10054 and not the end."""
    if isinstance(sock, OverlappedSocket):
        sock.abort()
        return
    # `struct linger` holds two u_short on Windows and two int elsewhere.
    linger = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()


def wait_readable(sock: OverlappedSocket) -> None:
    """Wait until there is data, an end or a connection at `sock`, without asking the engine."""
    ready, _, _ = select.select([sock.fileno()], [], [], LIMIT)
    assert ready, f"nothing has come to {sock!r} within {LIMIT} s"


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """Read `count` bytes from `sock`; fewer come back only if the peer ended before."""
    received = bytearray()
    while len(received) < count:
        data = sock.recv(min(count - len(received), 1 << 20))
        if not data:
            break
        received += data
    return bytes(received)


def read_to_end(sock: socket.socket) -> bytes:
    """Read all that comes until the peer's FIN."""
    received = bytearray()
    while data := sock.recv(1 << 20):
        received += data
    return bytes(received)


def pattern(size: int, seed: int = 0) -> bytes:
    """Return `size` bytes in which no stretch of 250 repeats at a power of two.

    Bytes that are lost, doubled or swapped in blocks show when they are compared.
    """
    row = bytes((seed + i) % 251 for i in range(251))
    return (row * (size // 251 + 1))[:size]


def joined(buffers: Sequence[bytes | bytearray]) -> bytes:
    """Return the bytes of `buffers`, one after another."""
    return b"".join(bytes(buffer) for buffer in buffers)
