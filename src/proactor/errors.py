"""Every exception of the package, and the only place that makes them.

::

    OSError
    └── ProactorError                  an error with a Winsock number, on every OS
        ├── OperationAborted           you cancelled it, or closed what it ran on
        ├── IoIncomplete               get_result() while the operation is pending
        ├── OverlappedBusy             you used one Overlapped for two operations at once
        ├── Closed                     you closed it
        │   ├── PortClosed             ... the completion port
        │   └── SocketClosed           ... the socket
        ├── InvalidParameter           an argument, or a state, that Windows refuses with 87
        ├── ForkedError                a child process used an object of its parent
        ├── ConnectionReset, ConnectionAborted, ConnectionRefused   (also the built-in classes)
        ├── TimedOut, WouldBlock       (also TimeoutError, BlockingIOError)
        ├── Disconnected               sent after shutdown (also BrokenPipeError)
        ├── MessageTruncated           a datagram longer than its buffer
        └── FramingError               bytes of the peer that are no frames of the framing in use
    RuntimeError
    └── EngineUnavailable              the engine that was asked for cannot run here

*Closed* is what you did, *broken* is what the world did. ``winerror`` is the number that the
reporting side uses: the Win32 number in a packet (64 for a reset), the Winsock number in a
completion routine or from a refused call (10054). ``wsaerror`` is always the Winsock number and
``status`` the NTSTATUS, so that code need not care where an error came from.
"""

from __future__ import annotations

import errno as posix
from collections.abc import Iterable
from typing import Any, Final

from proactor import statuses


class ProactorError(OSError):
    """An `OSError` that bears Windows' numbers on every OS.

    Attributes:
        winerror: The number that the side which reports it uses: Win32 from a completion port
            (``packet.error``), Winsock from a completion routine, `get_result` or a refused call.
        wsaerror: The Winsock number, whoever reports.
        status: The NTSTATUS behind it, or 0 for a call that was refused and so never started.
        errno: The nearest POSIX number.
    """

    winerror: int
    wsaerror: int
    status: int

    def __init__(
        self, number: int, text: str, *, winerror: int, wsaerror: int, status: int = 0
    ) -> None:
        """Make an error; use `from_status` and `refused`, which know the numbers."""
        super().__init__(number, text)
        self.winerror = winerror
        self.wsaerror = wsaerror
        self.status = status

    def __str__(self) -> str:
        """Return the text with the number that the reporting side uses."""
        return f"[winerror {self.winerror}] {self.args[1]}"


class OperationAborted(ProactorError):
    """The operation was cancelled, or its socket was closed, before it could finish."""


class IoIncomplete(ProactorError):
    """The result was asked for while the operation is still pending."""


class OverlappedBusy(ProactorError):
    """An `Overlapped` was used for a second operation before the first one's indication."""


class Closed(ProactorError):
    """The object was closed by this process."""


class PortClosed(Closed):
    """The completion port is closed (735 for a wait that it ended, 6 for a call after it)."""


class SocketClosed(Closed):
    """The socket is closed (10038)."""


class InvalidParameter(ProactorError, ValueError):
    """Windows refuses this with ERROR_INVALID_PARAMETER (87) or WSAEINVAL (10022)."""


class ForkedError(ProactorError):
    """The object belongs to the parent of this process; make a new one after ``fork``."""


class ConnectionReset(ProactorError, ConnectionResetError):
    """The peer reset the connection; every later receive and send fails the same way."""


class ConnectionAborted(ProactorError, ConnectionAbortedError):
    """The connection was given up on this side."""


class ConnectionRefused(ProactorError, ConnectionRefusedError):
    """Nobody listens at the address."""


class TimedOut(ProactorError, TimeoutError):
    """The peer did not answer in time, or a synchronous call passed its time-out."""


class WouldBlock(ProactorError, BlockingIOError):
    """A non-blocking synchronous call had nothing to do (10035)."""


class Disconnected(ProactorError, BrokenPipeError):
    """Data was sent after this side had been shut down (10058)."""


class MessageTruncated(ProactorError):
    """A datagram was longer than the buffer: the buffer is full, the rest is lost."""


class FramingError(ProactorError):
    """The peer's bytes are no frames of the framing in use; the stream cannot be read any further.

    It bears ERROR_INVALID_DATA (13); its Winsock number is that of a connection given up on this
    side (10053), which is what it comes to.

    Args:
        reason: What is wrong, with the number that came and the limit.
        items: What was complete before it; still to be handled.

    Attributes:
        reason: As given, without a number of Windows before it.
        items: As given, in a list of its own.
    """

    reason: str
    items: list[Any]

    def __init__(self, reason: str, items: Iterable[Any] = ()) -> None:
        """Make the error; a framing of your own does, too."""
        super().__init__(
            posix.EPROTO,
            reason,
            winerror=_ERROR_INVALID_DATA,
            wsaerror=statuses.WSAECONNABORTED,
        )
        self.reason = reason
        self.items = list(items)


class EngineUnavailable(RuntimeError):
    """The engine that was asked for cannot run here; the text says why and what can be done."""


_CLASSES: Final[dict[int, type[ProactorError]]] = {
    statuses.ERROR_OPERATION_ABORTED: OperationAborted,
    statuses.ERROR_IO_INCOMPLETE: IoIncomplete,
    statuses.ERROR_INVALID_PARAMETER: InvalidParameter,
    statuses.WSAEINVAL: InvalidParameter,
    statuses.WSAENOTSOCK: SocketClosed,
    statuses.WSAECONNRESET: ConnectionReset,
    statuses.WSAECONNABORTED: ConnectionAborted,
    statuses.WSAECONNREFUSED: ConnectionRefused,
    statuses.WSAETIMEDOUT: TimedOut,
    statuses.WSAEWOULDBLOCK: WouldBlock,
    statuses.WSAESHUTDOWN: Disconnected,
    statuses.WSAEMSGSIZE: MessageTruncated,
}

_ERROR_INVALID_DATA: Final = 13

# errno of a refused call, by its Winsock (or Win32) number; others are EINVAL.
_ERRNO_OF: Final[dict[int, int]] = {
    statuses.ERROR_INVALID_HANDLE: posix.EBADF,
    statuses.ERROR_ABANDONED_WAIT_0: posix.EBADF,
    statuses.ERROR_NOT_FOUND: posix.ENOENT,
    statuses.ERROR_GEN_FAILURE: posix.ESRCH,
    statuses.ERROR_IO_INCOMPLETE: posix.EINPROGRESS,
    statuses.ERROR_OPERATION_ABORTED: posix.ECANCELED,
    statuses.WSAEACCES: posix.EACCES,
    statuses.WSAEFAULT: posix.EFAULT,
    statuses.WSAEMFILE: posix.EMFILE,
    statuses.WSAEWOULDBLOCK: posix.EAGAIN,
    statuses.WSAEALREADY: posix.EALREADY,
    statuses.WSAENOTSOCK: posix.ENOTSOCK,
    statuses.WSAEMSGSIZE: posix.EMSGSIZE,
    statuses.WSAEOPNOTSUPP: posix.EOPNOTSUPP,
    statuses.WSAEADDRINUSE: posix.EADDRINUSE,
    statuses.WSAEADDRNOTAVAIL: posix.EADDRNOTAVAIL,
    statuses.WSAENETUNREACH: posix.ENETUNREACH,
    statuses.WSAECONNABORTED: posix.ECONNABORTED,
    statuses.WSAECONNRESET: posix.ECONNRESET,
    statuses.WSAENOBUFS: posix.ENOBUFS,
    statuses.WSAEISCONN: posix.EISCONN,
    statuses.WSAENOTCONN: posix.ENOTCONN,
    statuses.WSAESHUTDOWN: posix.EPIPE,
    statuses.WSAETIMEDOUT: posix.ETIMEDOUT,
    statuses.WSAECONNREFUSED: posix.ECONNREFUSED,
    statuses.WSAEHOSTUNREACH: posix.EHOSTUNREACH,
}


def from_status(status: int, tried: str, *, at_port: bool) -> ProactorError | None:
    """Return the error that `status` stands for, or None for success.

    Args:
        status: The NTSTATUS that the operation ended with.
        tried: What was tried, on what; it becomes the start of the text.
        at_port: True for the Win32 vocabulary of a completion port, False for the Winsock
            vocabulary of a completion routine and of `get_result`.
    """
    if status == statuses.STATUS_SUCCESS:
        return None
    wsa = statuses.wsa_number(status)
    return _CLASSES.get(wsa, ProactorError)(
        statuses.posix_number(status),
        f"{tried}: {statuses.words(status)}",
        winerror=statuses.win32_number(status) if at_port else wsa,
        wsaerror=wsa,
        status=status,
    )


def refused(number: int, text: str) -> ProactorError:
    """Return the error of a call that was refused at once and so indicates nothing.

    Args:
        number: The Winsock or Win32 number that Windows refuses it with.
        text: What was tried, on what, and the remedy.
    """
    return _of_class(_CLASSES.get(number, ProactorError), number, text)


def port_closed(text: str, *, while_waiting: bool) -> PortClosed:
    """Return the error of a wait that `close` ended (735), or of a call after it (6)."""
    number = statuses.ERROR_ABANDONED_WAIT_0 if while_waiting else statuses.ERROR_INVALID_HANDLE
    error = _of_class(PortClosed, number, text)
    assert isinstance(error, PortClosed)
    return error


def overlapped_busy(text: str) -> ProactorError:
    """Return the error of an `Overlapped` used twice at once (10022)."""
    return _of_class(OverlappedBusy, statuses.WSAEINVAL, text)


def forked(text: str) -> ProactorError:
    """Return the error of an object of the parent process, used in a child (6)."""
    return _of_class(ForkedError, statuses.ERROR_INVALID_HANDLE, text)


def _of_class(kind: type[ProactorError], number: int, text: str) -> ProactorError:
    return kind(_ERRNO_OF.get(number, posix.EINVAL), text, winerror=number, wsaerror=number)
