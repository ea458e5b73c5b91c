"""Streams of the native engine: what is not worth C, over the core's half.

See `EngineStream`. The receive, the cutting into frames, the inbox, the send queue and the turns
are the core's (``core/streams.h``); its face calls the sinks, straight from the worker's wait.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the native engine runs on Linux only")

import weakref
from typing import TYPE_CHECKING, Any

from proactor.engines.native import _engine
from proactor.engines.stream_contract import StreamEnd, StreamLimits, StreamNews, StreamStatistics
from proactor.framing import Framing

if TYPE_CHECKING:
    from proactor.engines.native.sockets import NativeSocket

# In the order of pa_stream_end.
_ENDS = (
    None,
    StreamEnd.PEER_CLOSED,
    StreamEnd.RESET,
    StreamEnd.CLOSED,
    StreamEnd.ABORTED,
    StreamEnd.PROTOCOL_ERROR,
    StreamEnd.ERROR,
)
_NUMBERS = {end: number for number, end in enumerate(_ENDS)}


class NativeStream(_engine.StreamCore):
    """See `EngineStream`."""

    __slots__ = ("__weakref__",)

    def abort(self, end: StreamEnd = StreamEnd.ABORTED, detail: str = "") -> None:
        """See `EngineStream.abort`."""
        self.abort_core(_NUMBERS[end], detail)

    def statistics(self) -> StreamStatistics:
        """See `EngineStream.statistics`."""
        counters = self.counters()
        del counters["sends"]
        return StreamStatistics(**counters)

    def end_of(self, number: int) -> StreamEnd:
        """Return the end that the core calls `number`."""
        end = _ENDS[number]
        assert end is not None, "the core told an end that is none"
        return end

    def news_of(self, bits: int) -> StreamNews:
        """Return what the core tells in bits."""
        return StreamNews(bits)

    def __repr__(self) -> str:
        """Return the id and the peer, for logs."""
        return f"<NativeStream {self.id:#x} {self.peer}>"


class NativeGroup(_engine.GroupCore):
    """See `EngineStreamGroup`."""

    __slots__ = ()


_terms: weakref.WeakValueDictionary[Any, _engine.StreamTerms] = weakref.WeakValueDictionary()


def open_native_stream(
    port: _engine.PortCore, sock: NativeSocket, sink: Any, framing: Framing, limits: StreamLimits
) -> NativeStream:
    """Take the descriptor of `sock`, which is connected and idle, into a stream.

    Raises:
        OSError: The core refuses; `sock` is as it was.
    """
    # Streams of one server share what they are told to do. A framing is known by its identity:
    # what is equal may still be a subclass that does something else.
    key = (id(framing), limits)
    terms = _terms.get(key)
    if terms is None or terms.framing is not framing:
        terms = _terms[key] = _engine.StreamTerms(framing, limits)
    stream = NativeStream(port, sock, sink, terms)
    sock.moved()
    return stream
