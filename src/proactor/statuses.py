"""The numbers of Winsock: NTSTATUS values, and the two tables that translate them.

One failure has two numbers. The kernel stores an NTSTATUS with the operation; a completion port
(GetQueuedCompletionStatus) translates it with the Win32 table, a completion routine and
WSAGetOverlappedResult with the Winsock table. This module owns both tables and the POSIX errno of
each status, so that every engine reports the same failure with the same numbers. It holds no code
that acts on them: `errors` makes exceptions.

Source of the pairs: Wine's ``dlls/ws2_32/tests/sock.c`` (``map_status``), which runs on Windows.
"""

from __future__ import annotations

import errno
from typing import Final

# NTSTATUS values. Their names are Microsoft's without the STATUS_ prefix where that is unambiguous.
STATUS_SUCCESS: Final = 0
STATUS_PENDING: Final = 0x103
STATUS_BUFFER_OVERFLOW: Final = 0x80000005
STATUS_UNSUCCESSFUL: Final = 0xC0000001
STATUS_INVALID_HANDLE: Final = 0xC0000008
STATUS_INVALID_PARAMETER: Final = 0xC000000D
STATUS_ACCESS_DENIED: Final = 0xC0000022
STATUS_BUFFER_TOO_SMALL: Final = 0xC0000023
STATUS_INSUFFICIENT_RESOURCES: Final = 0xC000009A
STATUS_DEVICE_NOT_READY: Final = 0xC00000A3
STATUS_PIPE_DISCONNECTED: Final = 0xC00000B0
STATUS_IO_TIMEOUT: Final = 0xC00000B5
STATUS_TOO_MANY_OPENED_FILES: Final = 0xC000011F
STATUS_CANCELLED: Final = 0xC0000120
STATUS_LOCAL_DISCONNECT: Final = 0xC000013B
STATUS_REMOTE_DISCONNECT: Final = 0xC000013C
STATUS_ADDRESS_ALREADY_EXISTS: Final = 0xC000020A
STATUS_CONNECTION_RESET: Final = 0xC000020D
STATUS_CONNECTION_REFUSED: Final = 0xC0000236
STATUS_CONNECTION_ACTIVE: Final = 0xC000023B
STATUS_INVALID_CONNECTION: Final = 0xC0000140
STATUS_NETWORK_UNREACHABLE: Final = 0xC000023C
STATUS_HOST_UNREACHABLE: Final = 0xC000023D
STATUS_PORT_UNREACHABLE: Final = 0xC000023F
STATUS_CONNECTION_ABORTED: Final = 0xC0000241

# Win32 numbers that this package reports by itself.
ERROR_INVALID_HANDLE: Final = 6
ERROR_GEN_FAILURE: Final = 31
ERROR_NETNAME_DELETED: Final = 64
ERROR_INVALID_PARAMETER: Final = 87
ERROR_INSUFFICIENT_BUFFER: Final = 122
ERROR_ABANDONED_WAIT_0: Final = 735
ERROR_OPERATION_ABORTED: Final = 995
ERROR_IO_INCOMPLETE: Final = 996
ERROR_IO_PENDING: Final = 997
ERROR_NOT_FOUND: Final = 1168
ERROR_CONNECTION_ABORTED: Final = 1236

# Winsock numbers that a call is refused with.
WSAEINTR: Final = 10004
WSAEACCES: Final = 10013
WSAEFAULT: Final = 10014
WSAEINVAL: Final = 10022
WSAEMFILE: Final = 10024
WSAEWOULDBLOCK: Final = 10035
WSAEALREADY: Final = 10037
WSAENOTSOCK: Final = 10038
WSAEMSGSIZE: Final = 10040
WSAEOPNOTSUPP: Final = 10045
WSAEADDRINUSE: Final = 10048
WSAEADDRNOTAVAIL: Final = 10049
WSAENETUNREACH: Final = 10051
WSAECONNABORTED: Final = 10053
WSAECONNRESET: Final = 10054
WSAENOBUFS: Final = 10055
WSAEISCONN: Final = 10056
WSAENOTCONN: Final = 10057
WSAESHUTDOWN: Final = 10058
WSAETIMEDOUT: Final = 10060
WSAECONNREFUSED: Final = 10061
WSAEHOSTUNREACH: Final = 10065

# status -> (Win32 number at the port, Winsock number at a routine, POSIX errno, words).
_TABLE: Final[dict[int, tuple[int, int, int, str]]] = {
    STATUS_PENDING: (996, 996, errno.EINPROGRESS, "the operation is still pending"),
    STATUS_CANCELLED: (995, 995, errno.ECANCELED, "the operation was aborted"),
    STATUS_CONNECTION_RESET: (64, 10054, errno.ECONNRESET, "the peer reset the connection"),
    STATUS_REMOTE_DISCONNECT: (64, 10054, errno.ECONNRESET, "the peer reset the connection"),
    STATUS_LOCAL_DISCONNECT: (64, 10053, errno.ECONNABORTED, "the connection was aborted here"),
    STATUS_CONNECTION_ABORTED: (1236, 10053, errno.ECONNABORTED, "the connection was aborted here"),
    STATUS_CONNECTION_REFUSED: (1225, 10061, errno.ECONNREFUSED, "the peer refused the connection"),
    STATUS_IO_TIMEOUT: (121, 10060, errno.ETIMEDOUT, "the peer did not answer in time"),
    STATUS_NETWORK_UNREACHABLE: (1231, 10051, errno.ENETUNREACH, "no route to the network"),
    STATUS_HOST_UNREACHABLE: (1232, 10065, errno.EHOSTUNREACH, "no route to the host"),
    STATUS_PORT_UNREACHABLE: (1234, 10054, errno.ECONNRESET, "nobody listens at the remote port"),
    STATUS_BUFFER_OVERFLOW: (234, 10040, errno.EMSGSIZE, "the datagram was longer than the buffer"),
    STATUS_BUFFER_TOO_SMALL: (122, 10014, errno.EFAULT, "the address buffer is too small"),
    STATUS_PIPE_DISCONNECTED: (233, 10058, errno.EPIPE, "this side was shut down"),
    STATUS_INSUFFICIENT_RESOURCES: (1450, 10055, errno.ENOBUFS, "the system is out of buffers"),
    STATUS_TOO_MANY_OPENED_FILES: (4, 10024, errno.EMFILE, "no descriptor is left"),
    STATUS_INVALID_CONNECTION: (10057, 10057, errno.ENOTCONN, "the socket is not connected"),
    STATUS_CONNECTION_ACTIVE: (10056, 10056, errno.EISCONN, "the socket is already connected"),
    STATUS_ADDRESS_ALREADY_EXISTS: (52, 10048, errno.EADDRINUSE, "the address is in use"),
    STATUS_ACCESS_DENIED: (5, 10013, errno.EACCES, "access is denied"),
    STATUS_INVALID_HANDLE: (6, 10038, errno.EBADF, "the handle is not a socket"),
    STATUS_INVALID_PARAMETER: (87, 10022, errno.EINVAL, "an argument is invalid"),
    STATUS_DEVICE_NOT_READY: (21, 10035, errno.EAGAIN, "the operation would block"),
    STATUS_UNSUCCESSFUL: (31, 10022, errno.EIO, "the operation failed"),
}

# A warning (NTSTATUS 8xxxxxxx) is no error to NT: the call fails, yet it still indicates.
_SEVERITY_ERROR: Final = 0xC0000000


def is_error(status: int) -> bool:
    """Say whether `status` is an NT error, as against success, information or a warning."""
    return status & _SEVERITY_ERROR == _SEVERITY_ERROR


def win32_number(status: int) -> int:
    """Return the Win32 error number of `status`: what a completion port reports."""
    return _TABLE[status][0] if status in _TABLE else ERROR_GEN_FAILURE


def wsa_number(status: int) -> int:
    """Return the Winsock error number of `status`: what a completion routine reports."""
    return _TABLE[status][1] if status in _TABLE else WSAEINVAL


def posix_number(status: int) -> int:
    """Return the errno of `status`, for ``OSError.errno``."""
    return _TABLE[status][2] if status in _TABLE else errno.EIO


def words(status: int) -> str:
    """Say in words what `status` means."""
    return _TABLE[status][3] if status in _TABLE else f"status 0x{status:08X}"


# errno -> NTSTATUS, as Wine's sock_errno_to_status maps them: what an engine over POSIX sockets
# stores. EPIPE is a reset: "shut down on this side" is decided by the socket's own flag.
_FROM_ERRNO: Final[dict[int, int]] = {
    errno.ECONNREFUSED: STATUS_CONNECTION_REFUSED,
    errno.ECONNRESET: STATUS_CONNECTION_RESET,
    errno.EPIPE: STATUS_CONNECTION_RESET,
    errno.ECONNABORTED: STATUS_CONNECTION_ABORTED,
    errno.ETIMEDOUT: STATUS_IO_TIMEOUT,
    errno.ENOTCONN: STATUS_INVALID_CONNECTION,
    errno.EMSGSIZE: STATUS_BUFFER_OVERFLOW,
    errno.ENETUNREACH: STATUS_NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: STATUS_HOST_UNREACHABLE,
    errno.EAGAIN: STATUS_DEVICE_NOT_READY,
    errno.EISCONN: STATUS_CONNECTION_ACTIVE,
    errno.ENOBUFS: STATUS_INSUFFICIENT_RESOURCES,
    errno.ENOMEM: STATUS_INSUFFICIENT_RESOURCES,
    errno.EMFILE: STATUS_TOO_MANY_OPENED_FILES,
    errno.ENFILE: STATUS_TOO_MANY_OPENED_FILES,
    errno.EADDRINUSE: STATUS_ADDRESS_ALREADY_EXISTS,
    errno.EACCES: STATUS_ACCESS_DENIED,
    errno.EPERM: STATUS_ACCESS_DENIED,
    errno.EBADF: STATUS_INVALID_HANDLE,
    errno.ENOTSOCK: STATUS_INVALID_HANDLE,
    errno.EINVAL: STATUS_INVALID_PARAMETER,
    errno.ECANCELED: STATUS_CANCELLED,
}


def from_errno(number: int) -> int:
    """Return the NTSTATUS that stands for the POSIX error `number`."""
    return _FROM_ERRNO.get(number, STATUS_UNSUCCESSFUL)
