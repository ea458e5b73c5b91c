"""Overlapped sockets: start an operation, be told when it is done.

This module owns the public calls: it checks the arguments, records the call in an `Operation` and
hands it to the engine. With an `Overlapped` a call is overlapped, without one it is synchronous
and waits alertably, as Winsock's calls do. Contracts: WSARecv, WSASend, WSARecvFrom, WSASendTo,
AcceptEx, ConnectEx, DisconnectEx, TransmitFile, CancelIoEx, closesocket.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias, overload

from proactor import errors, statuses
from proactor.buffers import Buffers, readable_views, writable_views
from proactor.engines import choose
from proactor.engines.contract import EngineSocket
from proactor.overlapped import Operation, OperationKind, Overlapped

Address: TypeAlias = tuple[Any, ...]


class OverlappedSocket:
    """A TCP or UDP socket whose operations report completion.

    Args:
        family: ``AF_INET`` or ``AF_INET6``.
        type: ``SOCK_STREAM`` or ``SOCK_DGRAM``.
        proto: As for `socket.socket`.
        overlapped: False makes a socket that no port takes, as WSASocket without
            ``WSA_FLAG_OVERLAPPED`` does.

    A call with an `Overlapped` returns the number of bytes if it completed at once, and None if it
    is pending. **Either way it indicates exactly once**: a packet at the port that the socket is
    attached to, or the overlapped's event, or its completion routine. A call that raises indicates
    nothing. Several receives may be in flight and fill in the order of the calls; sends go out in
    the order of the calls and never interleave; a send completes when all of it is taken.

    Thread-safe. Closing while operations are outstanding is allowed: each still indicates.
    """

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
    def adopt(cls, sock: socket.socket) -> OverlappedSocket:
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

    # -- overlapped operations --

    @overload
    def recv(self, buffers: Buffers, overlapped: None = None, *, flags: int = 0) -> int: ...
    @overload
    def recv(self, buffers: Buffers, overlapped: Overlapped, *, flags: int = 0) -> int | None: ...
    def recv(
        self, buffers: Buffers, overlapped: Overlapped | None = None, *, flags: int = 0
    ) -> int | None:
        """Receive into one writable buffer or several, filled in order.

        Completes as soon as there is something. 0 bytes into a buffer that is not empty: the
        peer will send no more. An empty buffer (a zero-byte receive) completes with 0 when there
        is something to read, and takes nothing.

        Raises:
            ProactorError: Read-only buffer (10014), not connected (10057), reset before (10054),
                receive shut down (10058).
            WouldBlock: Synchronous on a non-blocking socket with nothing there.
        """
        quick = self._quick
        if quick is not None and overlapped is not None:
            count: int | None = quick(self, False, buffers, overlapped, flags)
            if count is not NotImplemented:
                return count
        return self._run(Operation(OperationKind.RECV, overlapped, writable_views(buffers), flags))

    @overload
    def send(self, buffers: Buffers, overlapped: None = None, *, flags: int = 0) -> int: ...
    @overload
    def send(self, buffers: Buffers, overlapped: Overlapped, *, flags: int = 0) -> int | None: ...
    def send(
        self, buffers: Buffers, overlapped: Overlapped | None = None, *, flags: int = 0
    ) -> int | None:
        """Send one buffer or several, gathered in order; completes when all is taken.

        "Taken" by the local stack, not delivered. The buffers must not change until the
        indication.

        Raises:
            ProactorError: Not connected (10057), reset before (10054), shut down (10058).
            WouldBlock: Synchronous on a non-blocking socket that takes nothing now.
        """
        quick = self._quick
        if quick is not None and overlapped is not None:
            count: int | None = quick(self, True, buffers, overlapped, flags)
            if count is not NotImplemented:
                return count
        return self._run(Operation(OperationKind.SEND, overlapped, readable_views(buffers), flags))

    @overload
    def recv_from(self, buffers: Buffers, overlapped: None = None) -> tuple[int, Address]: ...
    @overload
    def recv_from(self, buffers: Buffers, overlapped: Overlapped) -> int | None: ...
    def recv_from(
        self, buffers: Buffers, overlapped: Overlapped | None = None
    ) -> int | tuple[int, Address] | None:
        """Receive one datagram; the sender is in ``overlapped.address`` at completion.

        Synchronously it returns the count and the address. A datagram longer than the buffers
        fills them, loses its rest and ends with `MessageTruncated`, which is a warning: an
        overlapped call that finds it at once raises 10040 *and* indicates. An empty datagram is
        a success of 0 bytes.

        Raises:
            ProactorError: The socket is not bound (10022); see `recv` for the others.
        """
        operation = Operation(OperationKind.RECV_FROM, overlapped, writable_views(buffers))
        count = self._run(operation)
        return count if overlapped is not None else (count or 0, operation.peer)

    @overload
    def send_to(self, buffers: Buffers, address: Address, overlapped: None = None) -> int: ...
    @overload
    def send_to(self, buffers: Buffers, address: Address, overlapped: Overlapped) -> int | None: ...
    def send_to(
        self, buffers: Buffers, address: Address, overlapped: Overlapped | None = None
    ) -> int | None:
        """Send the buffers as one datagram to `address`; binds an unbound socket."""
        operation = Operation(OperationKind.SEND_TO, overlapped, readable_views(buffers))
        operation.address = address
        return self._run(operation)

    @overload
    def accept(self, overlapped: None = None) -> OverlappedSocket: ...
    @overload
    def accept(
        self,
        overlapped: Overlapped,
        acceptor: OverlappedSocket | None = None,
        first_data: Buffers | None = None,
    ) -> int | None: ...
    def accept(
        self,
        overlapped: Overlapped | None = None,
        acceptor: OverlappedSocket | None = None,
        first_data: Buffers | None = None,
    ) -> OverlappedSocket | int | None:
        """Accept a connection; the counterpart of AcceptEx, or of accept without an overlapped.

        The packet goes to the port and key of this *listener*. The connected socket is
        ``overlapped.accepted``: `acceptor` if one is given, else a new one. It inherits neither
        port nor key: attach it yourself.

        Args:
            overlapped: None accepts synchronously and returns the connected socket.
            acceptor: An open socket that is neither bound nor connected, to become the
                connection; it may be attached to a port before.
            first_data: A buffer: the accept then completes with the first bytes that the client
                sends (or with 0 at its FIN), not when it connects. A silent client can hold it
                for ever.

        Raises:
            InvalidParameter: Not listening; `acceptor` is bound, connected, a UDP socket or
                already in an accept (10022).
            SocketClosed: This socket or `acceptor` is closed (10038).
        """
        views = [] if first_data is None else writable_views(first_data)
        operation = Operation(OperationKind.ACCEPT, overlapped, views)
        operation.acceptor = acceptor
        count = self._run(operation)
        return count if overlapped is not None else operation.acceptor

    @overload
    def connect(self, address: Address, overlapped: None = None) -> None: ...
    @overload
    def connect(
        self, address: Address, overlapped: Overlapped, data: Buffers = b""
    ) -> int | None: ...
    def connect(
        self, address: Address, overlapped: Overlapped | None = None, data: Buffers = b""
    ) -> int | None:
        """Connect, and send `data` with it; the counterpart of ConnectEx, or of connect.

        The overlapped form needs a bound socket and always pends; `transferred` is the bytes of
        `data`. After a refusal the socket may be tried again.

        Raises:
            InvalidParameter: Not bound, or a connect is in progress, or it listens (10022).
            ProactorError: Already connected (10056).
            ConnectionRefused: Synchronous, and nobody listens (10061).
        """
        operation = Operation(OperationKind.CONNECT, overlapped, readable_views(data))
        operation.address = address
        count = self._run(operation)
        return count if overlapped is not None else None

    @overload
    def disconnect(self, overlapped: None = None, *, reuse: bool = False) -> None: ...
    @overload
    def disconnect(self, overlapped: Overlapped, *, reuse: bool = False) -> None: ...
    def disconnect(self, overlapped: Overlapped | None = None, *, reuse: bool = False) -> None:
        """End the connection: FIN after what is queued; the counterpart of DisconnectEx.

        Args:
            overlapped: None waits for it; with one it always pends.
            reuse: Make the socket fit for another accept or connect (TF_REUSE_SOCKET); it waits
                for the peer's FIN and stays attached to its port. Without it, receiving goes on.

        Raises:
            ProactorError: Not connected (10057).
        """
        operation = Operation(OperationKind.DISCONNECT, overlapped, [], flags=2 if reuse else 0)
        self._run(operation)

    def transmit_file(
        self,
        file: BinaryIO | None,
        overlapped: Overlapped | None = None,
        *,
        offset: int | None = None,
        count: int = 0,
        head: Buffers = b"",
        tail: Buffers = b"",
    ) -> int | None:
        """Send `head`, a part of `file`, and `tail`; the counterpart of TransmitFile.

        Args:
            file: An open binary file with a descriptor, or None for head and tail only.
            overlapped: None waits until all is taken.
            offset: Where to start; None is the file's position for a synchronous call, else 0.
            count: How many bytes; 0 means to the end of the file.
            head: Bytes before the file.
            tail: Bytes after it.

        Raises:
            ProactorError: Not connected, or not a stream (10057).
        """
        head_views, tail_views = readable_views(head), readable_views(tail)
        operation = Operation(OperationKind.TRANSMIT_FILE, overlapped, head_views + tail_views)
        operation.head_count = len(head_views)
        operation.file = file
        operation.count = count
        if offset is not None:
            operation.offset = offset
        elif overlapped is None and file is not None:
            operation.offset = file.tell()
        return self._run(operation)

    def _run(self, operation: Operation) -> int | None:
        if self._closed:
            raise self._refusal()
        if operation.overlapped is None:
            return self.engine_socket.perform(operation)
        operation.begin(self)
        return self.engine_socket.start(operation)

    # -- ending operations --

    def cancel(self, overlapped: Overlapped | None = None) -> bool:
        """Request the end of one operation, or of all on this socket (CancelIoEx).

        It does not wait. Each operation still indicates exactly once: as aborted (995), or with
        its normal result if that came first. After a cancelled send or receive the stream is in an
        undefined state: close it.

        Returns:
            False if there was nothing to cancel (Windows: 1168).
        """
        if overlapped is None:
            return self.engine_socket.cancel(None, own_thread_only=False)
        operation: Operation | None = overlapped._operation
        if operation is None or overlapped.socket is not self:
            return False
        return bool(self.engine_socket.cancel(operation, own_thread_only=False))

    def cancel_own(self) -> bool:
        """Request the end of the operations that the calling thread issued (CancelIo).

        Returns:
            True, also if there was none.
        """
        self.engine_socket.cancel(None, own_thread_only=True)
        return True

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

    # -- the rest of a socket --

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

    def duplicate(self) -> OverlappedSocket:
        """Return a second handle to the same socket: they share port, key and operations.

        Nothing is aborted until the last handle is closed.
        """
        self._open()
        twin = OverlappedSocket.__new__(OverlappedSocket)
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

    def __enter__(self) -> OverlappedSocket:
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
        return f"<OverlappedSocket {kind} {'closed' if self._closed else self.fileno()}>"


def engine_socket_of(sock: OverlappedSocket, tried: str) -> EngineSocket:
    """Return the engine's side of an open `sock`, for the functions that take sockets.

    Raises:
        TypeError: `sock` is no `OverlappedSocket`.
        SocketClosed: It is closed (10038).
    """
    if not isinstance(sock, OverlappedSocket):
        raise TypeError(
            f"{tried} takes an OverlappedSocket, not {type(sock).__name__}: wrap a plain socket "
            "with OverlappedSocket.adopt(sock)"
        )
    sock._open()
    return sock.engine_socket


def moved_from(sock: OverlappedSocket) -> OverlappedSocket:
    """Return another object for the connection of an open `sock`, which is closed as an object.

    Unlike `OverlappedSocket.duplicate` this makes no second handle: the new owner is the only one.
    """
    owner = OverlappedSocket.__new__(OverlappedSocket)
    owner.__dict__.update(sock.__dict__)
    give_up(sock)
    return owner


def move_back(owner: OverlappedSocket, sock: OverlappedSocket) -> None:
    """Undo `moved_from`."""
    sock.__dict__.update(owner.__dict__)
    give_up(owner)


def give_up(sock: OverlappedSocket) -> None:
    """Close `sock` as an object only: the connection is somebody else's now."""
    sock._closed = True
    sock._quick = None
