"""The handle of a socket: what it is called, how it is set, and how it is closed.

What is started on it is in `sockets`. Contracts: closesocket, shutdown, WSADuplicateSocket,
SetFileCompletionNotificationModes.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from typing import Any, Self, TypeAlias

from proactor import errors, statuses
from proactor.engines import choose
from proactor.engines.contract import EngineSocket

Address: TypeAlias = tuple[Any, ...]


class SocketHandle:
    """Everything of an `OverlappedSocket` that is no operation."""

    def __init__(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        *,
        overlapped: bool = True,
    ) -> None:
        """Open a socket.

        Raises:
            OSError: The system has none left (EMFILE) or does not know the family.
        """
        self._take(socket.socket(family, type, proto), overlapped)

    @classmethod
    def adopt(cls, sock: socket.socket) -> Self:
        """Take over a connected, bound or fresh `socket.socket`.

        The plain object must not be used afterwards: it belongs to the result, is closed by it,
        and its time-out and blocking mode are lost.
        """
        self = cls.__new__(cls)
        self._take(sock, True)
        return self

    def _take(self, sock: socket.socket, overlapped: bool) -> None:
        self.family = sock.family
        self.type = sock.type
        self._socket = sock
        self._closed = False
        self.engine_socket: EngineSocket = choose.current().open_socket(
            sock, self, overlapped=overlapped
        )
        self._quick = self._find_quick()

    def _find_quick(self) -> Callable[..., Any] | None:
        # An engine may have a short way for receives and sends that need no `Operation`. It is
        # gone once this handle is closed, so that the long way refuses.
        quick: Callable[..., Any] | None = getattr(self.engine_socket, "quick", None)
        return quick

    # -- its end --

    def close(self) -> None:
        """Close the socket; each outstanding operation ends and indicates once.

        Its error is one of 995, 1236 and 64, which vary with OS and kind: decide by your own flag
        that it was you who closed. Closing twice does nothing.
        """
        if not self._closed:
            self._closed = True
            self._quick = None
            self.engine_socket.close()

    def abort(self) -> None:
        """Close with a reset: what is queued is lost, the peer sees 10054 (linger on, 0)."""
        if not self._closed:
            self._closed = True
            self._quick = None
            self.engine_socket.close(reset=True)

    def shutdown(self, how: int) -> None:
        """Shut down receiving (0, SHUT_RD), sending (1, SHUT_WR) or both (2).

        Sending: the peer reads to the end of what is queued and then 0; a later send is refused
        with `Disconnected` (10058). Receiving: a later receive is refused; one that is pending
        stays pending. Repeating it is fine.

        Raises:
            ProactorError: Not connected (10057); `how` is none of the three (10022).
        """
        self._open()
        self.engine_socket.shutdown(how)

    # -- names and options --

    def set_completion_modes(self, *, skip_on_success: bool) -> None:
        """Queue no packet for an operation that completes at once; it can not be taken back.

        The counterpart of SetFileCompletionNotificationModes: the caller then handles such a
        result itself, and should bound how many in a row.

        Raises:
            InvalidParameter: The socket was made with ``overlapped=False`` (87).
        """
        self._open()
        self.engine_socket.set_completion_modes(skip_on_success=skip_on_success)

    def bind(self, address: Address) -> None:
        """Give the socket a local address."""
        self._open().bind(address)

    def listen(self, backlog: int = socket.SOMAXCONN) -> None:
        """Make it a listener."""
        self._open().listen(backlog)

    def setblocking(self, flag: bool) -> None:
        """Choose whether *synchronous* calls wait; overlapped ones pend either way.

        Raises:
            InvalidParameter: Network events are selected on it (10022).
        """
        self._open()
        self.engine_socket.setblocking(flag)

    def getsockname(self) -> Address:
        """Return the local address."""
        name: Address = self._open().getsockname()
        return name

    def getpeername(self) -> Address:
        """Return the peer's address.

        Raises:
            ProactorError: Not connected (10057).
        """
        try:
            name: Address = self._open().getpeername()
        except OSError as error:
            if isinstance(error, errors.ProactorError):
                raise
            raise errors.refused(
                statuses.WSAENOTCONN, f"getpeername on {self!r}: not connected"
            ) from error
        return name

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set a socket option, as `socket.socket.setsockopt` does."""
        self._open().setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int) -> int:
        """Return an integer socket option; SO_ERROR is a Winsock number and sticks."""
        sock = self._open()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self.engine_socket.socket_error()
        return sock.getsockopt(level, option)

    def duplicate(self) -> Self:
        """Return a second handle to the same socket: they share port, key and operations.

        Nothing is aborted until the last handle is closed.
        """
        self._open()
        twin = type(self).__new__(type(self))
        twin.family, twin.type = self.family, self.type
        twin._closed = False
        twin.engine_socket = self.engine_socket.duplicate()
        twin._socket = twin.engine_socket.sock
        twin._quick = twin._find_quick()
        return twin

    def fileno(self) -> int:
        """Return the descriptor (on Windows the handle), -1 once closed."""
        return -1 if self._closed else self._socket.fileno()

    def _open(self) -> socket.socket:
        if self._closed:
            raise self._refusal()
        return self._socket

    def _refusal(self) -> errors.ProactorError:
        return errors.refused(statuses.WSAENOTSOCK, f"{self!r} is closed: open another one")

    def __enter__(self) -> Self:
        """Return the socket."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the socket."""
        self.close()

    def __del__(self) -> None:
        """Close a socket that was dropped, and say so: its owner forgot it."""
        # One whose making was refused or interrupted has no engine's side yet: nothing to close.
        if not getattr(self, "_closed", True) and hasattr(self, "engine_socket"):
            text = f"{self!r} was never closed"
            self.close()
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        """Return the descriptor and the kind, for logs."""
        kind = "udp" if self.type == socket.SOCK_DGRAM else "tcp"
        return f"<{type(self).__name__} {kind} {'closed' if self._closed else self.fileno()}>"
