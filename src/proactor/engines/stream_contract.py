"""The words of streams, and what an engine may offer beside the five protocols of `contract`.

A *stream* is a connected TCP socket that a port serves in **turns**: what comes is cut into
frames, the frames wait in the stream's inbox, and the stream, not the frame, is queued on the port.
One turn at a time, so that one worker at a time serves a stream, in order. Sends go to a bounded
queue and leave gathered.

Every engine has streams: those of `proactor.strands`, in plain Python over overlapped sockets. An
engine *may* bring its own, which must behave the same (``tests/streams``): then its port has the
methods of `EngineStreamPort`, all of them, and they are used instead.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from proactor.packets import PacketBatch

if TYPE_CHECKING:
    from typing_extensions import Buffer  # In the standard library from 3.12 on.

    from proactor.engines.contract import EngineSocket
    from proactor.framing import Framing

Address = tuple[Any, ...]


class StreamNews(enum.IntFlag):
    """What a stream tells its sink about its send queue.

    The two come in turn, `ABOVE_HIGH_WATER` first. A crossing that is undone before the sink could
    be told of it is not told.
    """

    DRAINED = 1
    ABOVE_HIGH_WATER = 2


class StreamEnd(enum.Enum):
    """Why a stream has ended."""

    PEER_CLOSED = "peer closed"
    RESET = "reset"
    CLOSED = "closed"
    ABORTED = "aborted"
    PROTOCOL_ERROR = "protocol error"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What a stream may hold, and how long a turn of it is.

    Attributes:
        inbox_high: Bytes of whole frames received and not taken: above it receiving pauses,
        inbox_low: until they have fallen to this.
        send_high: The sink is told `StreamNews.ABOVE_HIGH_WATER` when the queued bytes go above,
        send_low: and `StreamNews.DRAINED` when they have then fallen to this.
        send_bytes: The cap: a send beyond it is refused. An empty queue takes any one frame.
        send_packets: Likewise, in packets.
        frames_a_turn: After so many the stream goes to the back of the port's queue.

    Raises:
        TypeError: One is no whole number.
        ValueError: A number is below zero (or 1 for the last three), a low one above its high, or
            one is more than an engine counts.
    """

    inbox_high: int = 256 * 1024
    inbox_low: int = 64 * 1024
    send_high: int = 256 * 1024
    send_low: int = 64 * 1024
    send_bytes: int = 1024 * 1024
    send_packets: int = 16384
    frames_a_turn: int = 64

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other, or that no engine can keep."""
        for name in self.__slots__:
            most = 2**31 - 1 if name in ("send_packets", "frames_a_turn") else 2**62
            number = getattr(self, name)
            if not isinstance(number, int):
                raise TypeError(f"{name} is a whole number, not {number!r}")
            if number > most:
                raise ValueError(f"{name} is {most} at most, not {number}")
        for low, high in (("inbox_low", "inbox_high"), ("send_low", "send_high")):
            if not 0 <= getattr(self, low) <= getattr(self, high):
                raise ValueError(
                    f"{low} is from 0 to {high} ({getattr(self, high)}), not {getattr(self, low)}"
                )
        for name in ("send_bytes", "send_packets", "frames_a_turn"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is 1 or more, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """A snapshot of one stream's counters.

    Attributes:
        bytes_received, frames_received: What has come; frames count when they are whole.
        bytes_sent, packets_sent: What the local stack has taken.
        dropped: Packets that `drop_oldest` dropped.
        replaced: Packets that a later one with the same key replaced.
        refused: Packets that the cap refused.
    """

    bytes_received: int
    frames_received: int
    bytes_sent: int
    packets_sent: int
    dropped: int
    replaced: int
    refused: int


class StreamSink(Protocol):
    """Whom a stream serves. Called only inside the stream's turn, so never two calls at once."""

    def received(self, item: Any, /) -> object:
        """One frame has come, in the form that the framing gives it."""

    def told(self, news: StreamNews, /) -> object:
        """Something about the send queue; before the frames of a turn."""

    def ended(self, end: StreamEnd, detail: str, /) -> object:
        """The stream has ended: exactly once, the last call ever, after every frame before it.

        What it raises is logged, and nothing else.
        """

    def failed(self, error: BaseException, /) -> object:
        """`received`, `told` or a posted call raised. The turn goes on unless this closes it.

        Must not raise.
        """


class EngineStream(Protocol):
    """One connection that a port serves in turns; see the module's docstring.

    Thread-safe, all of it: `take` and `end_turn` belong to the thread that holds the turn. It lives
    until it has ended, whoever drops it: the port keeps it.

    Attributes:
        sink: Whom it serves; may be replaced inside a turn.
    """

    sink: Any

    @property
    def id(self) -> int:
        """A number that is never used again while the process lives."""

    @property
    def peer(self) -> Address:
        """The peer's address, kept from when it was opened."""

    @property
    def local(self) -> Address:
        """The local address, kept from when it was opened."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent, also what is being sent."""

    @property
    def queued_packets(self) -> int:
        """Packets that wait to be sent, also what is being sent."""

    @property
    def inbox_bytes(self) -> int:
        """Bytes of whole frames received and not taken; brought up to date as turns end."""

    @property
    def is_closing(self) -> bool:
        """True from `close`, `abort` or the end of the peer on: nothing can be sent."""

    @property
    def last_received(self) -> float:
        """``time.monotonic()`` at about the last receive; at first, of the opening."""

    @property
    def last_sent(self) -> float:
        """``time.monotonic()`` at about the last send; at first, of the opening."""

    def start(self) -> None:
        """Begin to receive. Starting twice does nothing."""

    def send(self, item: Any, key: Any = None) -> bool:
        """Queue one item, framed by the stream's framing.

        Args:
            item: A `Packet`, or the body of a frame as a bytes-like object.
            key: Replace, in its place, the packet that is queued with an equal key and is not yet
                being sent: of a state that changes, the latest wins. None: no key.

        Returns:
            False if it is refused and nothing is queued: it would go beyond the cap, or the
            stream is closing or has ended.

        Raises:
            FramingError: The item does not fit a frame.
            TypeError: The framing cannot encode such an item.
        """

    def send_frame(self, frame: Buffer, key: Any = None) -> bool:
        """Queue what is a whole frame already; `bytes` are shared, not copied. See `send`."""

    def drop_oldest(self, needed_bytes: int, needed_packets: int = 1) -> int:
        """Drop packets that are not being sent, the oldest first, until so much fits.

        Returns:
            How many were dropped.
        """

    def flush(self) -> None:
        """Send now what is queued.

        Without it what a worker queues in a turn, on any stream, leaves at the end of its batch
        of turns; what any other thread queues leaves at once.
        """

    def close(self) -> None:
        """End politely: deliver and tell nothing more, send the rest, FIN, wait for the peer's FIN.

        Then `ended` is called with `StreamEnd.CLOSED`. A peer that does not read, or does not
        close, makes this last: bound it with `abort`. Closing twice does nothing.
        """

    def abort(self, end: StreamEnd = StreamEnd.ABORTED, detail: str = "") -> None:
        """Reset the connection now, drop what is queued and received; `ended` gets `end`.

        On a stream that has ended, or is about to, it does nothing.
        """

    def pause(self) -> None:
        """Deliver no frame and receive nothing until `resume`; an end waits behind the frames.

        Frames in the inbox stay there; a receive in flight may add to them. Posted calls and
        news go on.
        """

    def resume(self) -> None:
        """Go on after `pause`."""

    def post(self, call: Callable[[], object]) -> bool:
        """Run `call()` in a turn of this stream, first in, first out; False if it has ended."""

    def statistics(self) -> StreamStatistics:
        """Return a snapshot of the counters."""

    def take(self) -> list[Any]:
        """Take frames in a turn that `get_many` gave out: ``frames_a_turn`` at most, or none.

        Raises:
            RuntimeError: The calling thread does not hold the turn.
        """

    def end_turn(self) -> None:
        """End a turn that `get_many` gave out before this thread comes back to the port."""


class EngineStreamGroup(Protocol):
    """Streams that the same frame is sent to; see `proactor.streams.StreamGroup`."""

    def add(self, stream: Any) -> None:
        """Add a stream that has not ended."""

    def discard(self, stream: Any) -> None:
        """Take a stream out, if it is in."""

    def __len__(self) -> int:
        """Return the number of members that have not ended."""

    def __contains__(self, stream: object) -> bool:
        """Say whether `stream` is a member that has not ended."""

    def broadcast_frame(self, frame: bytes, exclude: Any, key: Any) -> list[Any]:
        """Queue `frame` to every member but `exclude`; return those whose cap refused it."""


class EngineStreamPort(Protocol):
    """What an engine's port has, all of it, if the engine brings streams of its own."""

    def open_stream(
        self, sock: EngineSocket, sink: StreamSink, framing: Framing, limits: StreamLimits
    ) -> EngineStream:
        """Take `sock`, which is connected, into a stream; see `CompletionPort.open_stream`.

        Refuses before it changes anything: not connected (10057), attached or with operations in
        flight (87), port closed. The caller then marks its `OverlappedSocket` as closed.
        """

    def serve(self, limit: int, timeout: float | None) -> PacketBatch:
        """See `CompletionPort.serve`."""

    def open_stream_group(self) -> EngineStreamGroup:
        """Make an empty group."""
