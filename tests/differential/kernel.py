"""What Linux says of a TCP connection, so that a program can wait until the kernel is at rest.

Nothing here asks an engine: a difference between engines must not hide in what they are asked.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import termios
from dataclasses import dataclass

ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSED, CLOSE_WAIT = 1, 4, 5, 7, 8
NO_FIN_CAME = frozenset({ESTABLISHED, FIN_WAIT1, FIN_WAIT2})
_SYN_RECEIVED = "03"
_LENGTH = 216


@dataclass(frozen=True, slots=True)
class Connection:
    """One end, as ``TCP_INFO`` tells it.

    Attributes:
        state: The state of RFC 793, by Linux' number.
        sent: Bytes given to the network, without repetitions.
        unsent: Bytes that the kernel has taken and not yet sent.
        received: Bytes that have come in order; a FIN may count as one.
        unread: Bytes that have come and were not taken.
        backlog: Of a listener, the connections that wait to be accepted.
        unacknowledged: Segments that the other side has not confirmed yet; of a connection.
    """

    state: int
    sent: int
    unsent: int
    received: int
    unread: int
    backlog: int

    @property
    def unacknowledged(self) -> int:
        return self.backlog  # One field of the kernel's, with two meanings.


def look(descriptor: int) -> Connection:
    """Ask for the state of the socket with this descriptor, which stays its owner's."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor)
    try:
        about = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
    finally:
        sock.detach()
    state = about[0]
    (backlog,) = struct.unpack_from("=I", about, 24)
    (received,) = struct.unpack_from("=Q", about, 128)
    (unsent,) = struct.unpack_from("=I", about, 144)
    sent, again = struct.unpack_from("=QQ", about, 200)
    return Connection(state, sent - again, unsent, received, _unread(descriptor, state), backlog)


def _unread(descriptor: int, state: int) -> int:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, count, True)
    except OSError:
        assert state == 10, "only a listener has no count of bytes"
    return count[0]


def is_answered(caller: tuple[str, int], listener: tuple[str, int]) -> bool:
    """Say whether the listener's side of a connection is there: its handshake is over.

    A caller is connected before the last step of its handshake has arrived.
    """
    sides = f" {_in_hexadecimal(listener)} {_in_hexadecimal(caller)} "
    with open("/proc/net/tcp") as connections:
        return any(sides in line and f"{sides}{_SYN_RECEIVED} " not in line for line in connections)


def _in_hexadecimal(address: tuple[str, int]) -> str:
    (host,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{host:08X}:{address[1]:04X}"


def can_be_asked() -> bool:
    """Say whether this kernel tells all that is asked here (4.19 and newer do)."""
    if not hasattr(socket, "TCP_INFO"):
        return False
    with socket.socket() as probe:
        return len(probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)) == _LENGTH
