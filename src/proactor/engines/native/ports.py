"""A completion port of the native engine: the queue is the core's."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the native engine runs on Linux only")

import errno
from typing import TYPE_CHECKING, Any, cast

from proactor import errors, statuses
from proactor.engines.contract import EngineSocket
from proactor.engines.native import _engine
from proactor.engines.native.streams import NativeGroup, NativeStream, open_native_stream
from proactor.engines.stream_contract import StreamLimits, StreamSink
from proactor.framing import Framing

if TYPE_CHECKING:
    from proactor.engines.native.sockets import NativeSocket


class NativePort(_engine.PortCore):
    """See `EnginePort`."""

    def attach(self, sock: EngineSocket, key: Any) -> None:
        """See `EnginePort.attach`."""
        native = cast("NativeSocket", sock)
        self.engine.dispatcher.this_thread()
        native.dispatcher.this_thread()
        if not native.overlapped:
            if self.closed:
                raise self.refusal("attach a socket to", False)
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                "attach refused: the socket was made with overlapped=False",
            )
        number = self.attach_core(native, key)
        if number == errno.EBADF:
            raise errors.refused(statuses.WSAENOTSOCK, "attach refused: the socket is closed")
        if number == errno.EINVAL:
            raise self.refusal("attach a socket to", False)
        if number:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                "attach refused: the socket has a port already, for life",
            )

    def open_stream(
        self, sock: EngineSocket, sink: StreamSink, framing: Framing, limits: StreamLimits
    ) -> NativeStream:
        """See `EngineStreamPort.open_stream`."""
        native = cast("NativeSocket", sock)
        self.engine.dispatcher.this_thread()
        native.dispatcher.this_thread()
        self.check_open()
        if native.closed:
            raise errors.refused(statuses.WSAENOTSOCK, "open_stream refused: the socket is closed")
        if not native.connected:
            raise errors.refused(
                statuses.WSAENOTCONN, "open_stream refused: the socket is not connected"
            )
        if not native.overlapped or native.port is not None or native.is_selected:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                "open_stream refused: the socket is attached to a port, has network events "
                "selected, or was made with overlapped=False",
            )
        return open_native_stream(self, native, sink, framing, limits)

    def open_stream_group(self) -> NativeGroup:
        """See `EngineStreamPort.open_stream_group`."""
        return NativeGroup(self)

    def begin_blocking(self) -> None:
        """See `EnginePort.begin_blocking`."""
        record = self.engine.dispatcher.this_thread()
        record.blocked.append(record.slot.begin_blocking(self))

    def end_blocking(self) -> None:
        """See `EnginePort.end_blocking`."""
        record = self.engine.dispatcher.this_thread()
        record.slot.end_blocking(record.blocked.pop())

    def close(self) -> None:
        """See `EnginePort.close`."""
        if not self.closed:
            self.close_core()
