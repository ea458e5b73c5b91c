"""Overlapped sockets: start an operation, be told when it is done.

This module owns the public calls: it checks the arguments, records the call in an `Operation` and
hands it to the engine. With an `Overlapped` a call is overlapped, without one it is synchronous
and waits alertably, as Winsock's calls do. Contracts: WSARecv, WSASend, WSARecvFrom, WSASendTo,
AcceptEx, ConnectEx, DisconnectEx, TransmitFile, CancelIoEx. What is no operation (names, options,
close) is in `socket_handles`.
"""

from __future__ import annotations

from typing import BinaryIO, overload

from proactor.buffers import Buffers, readable_views, writable_views
from proactor.engines.contract import EngineSocket
from proactor.overlapped import Operation, OperationKind, Overlapped
from proactor.socket_handles import Address, SocketHandle


class OverlappedSocket(SocketHandle):
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
