"""I/O completion ports for Python, on every OS, and the six Windows socket I/O models on them."""

from __future__ import annotations

import typing

from proactor.apcs import queue_user_apc
from proactor.engines.contract import PortStatistics, WaitCode, WaitResult
from proactor.errors import (
    Closed,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    Disconnected,
    EngineUnavailable,
    ForkedError,
    FramingError,
    InvalidParameter,
    IoIncomplete,
    MessageTruncated,
    OperationAborted,
    OverlappedBusy,
    PortClosed,
    ProactorError,
    SocketClosed,
    TimedOut,
    WouldBlock,
)
from proactor.events import (
    Event,
    max_wait_objects,
    sleep_ex,
    wait_for_multiple_events,
    wait_for_multiple_objects,
    wait_for_single_object,
)
from proactor.framing import (
    Decoder,
    DelimiterFraming,
    FixedFraming,
    Framing,
    LengthFraming,
    Packet,
    PacketFraming,
    RawFraming,
    VarintFraming,
)
from proactor.messages import WM_USER, MessageQueue, NetworkMessage, async_select
from proactor.network_events import (
    FD_ACCEPT,
    FD_ALL_EVENTS,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    NetworkEvents,
    enum_network_events,
    event_select,
)
from proactor.overlapped import CompletionRoutine, OperationKind, Overlapped
from proactor.packets import CompletionPacket, PacketBatch
from proactor.port import CompletionPort
from proactor.selecting import FD_SETSIZE, ReadySets, select
from proactor.sockets import OverlappedSocket
from proactor.streams import (
    Stream,
    StreamEnd,
    StreamGroup,
    StreamLimits,
    StreamNews,
    StreamSink,
    StreamStatistics,
)
from proactor.timers import Timer, TimerQueue
from proactor.workers import WorkerPool, WorkerReport

if typing.TYPE_CHECKING:
    from proactor.server import (
        DisconnectReason,
        Group,
        OwnedTimer,
        RateAction,
        Refusal,
        Room,
        Server,
        ServerOptions,
        ServerState,
        ServerStatistics,
        Session,
        SessionState,
        SlowConsumer,
        TickStatistics,
        UnknownPacket,
        handles,
        serve,
    )

__version__ = "0.1.0"

__all__ = [
    "FD_ACCEPT",
    "FD_ALL_EVENTS",
    "FD_CLOSE",
    "FD_CONNECT",
    "FD_OOB",
    "FD_READ",
    "FD_SETSIZE",
    "FD_WRITE",
    "WM_USER",
    "Closed",
    "CompletionPacket",
    "CompletionPort",
    "CompletionRoutine",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "Decoder",
    "DelimiterFraming",
    "DisconnectReason",
    "Disconnected",
    "EngineUnavailable",
    "Event",
    "FixedFraming",
    "ForkedError",
    "Framing",
    "FramingError",
    "Group",
    "InvalidParameter",
    "IoIncomplete",
    "LengthFraming",
    "MessageQueue",
    "MessageTruncated",
    "NetworkEvents",
    "NetworkMessage",
    "OperationAborted",
    "OperationKind",
    "Overlapped",
    "OverlappedBusy",
    "OverlappedSocket",
    "OwnedTimer",
    "Packet",
    "PacketBatch",
    "PacketFraming",
    "PortClosed",
    "PortStatistics",
    "ProactorError",
    "RateAction",
    "RawFraming",
    "ReadySets",
    "Refusal",
    "Room",
    "Server",
    "ServerOptions",
    "ServerState",
    "ServerStatistics",
    "Session",
    "SessionState",
    "SlowConsumer",
    "SocketClosed",
    "Stream",
    "StreamEnd",
    "StreamGroup",
    "StreamLimits",
    "StreamNews",
    "StreamSink",
    "StreamStatistics",
    "TickStatistics",
    "TimedOut",
    "Timer",
    "TimerQueue",
    "UnknownPacket",
    "VarintFraming",
    "WaitCode",
    "WaitResult",
    "WorkerPool",
    "WorkerReport",
    "WouldBlock",
    "async_select",
    "enum_network_events",
    "event_select",
    "handles",
    "max_wait_objects",
    "queue_user_apc",
    "select",
    "serve",
    "sleep_ex",
    "wait_for_multiple_events",
    "wait_for_multiple_objects",
    "wait_for_single_object",
]

_OF_THE_SERVER = frozenset(
    {
        "DisconnectReason",
        "Group",
        "OwnedTimer",
        "RateAction",
        "Refusal",
        "Room",
        "Server",
        "ServerOptions",
        "ServerState",
        "ServerStatistics",
        "Session",
        "SessionState",
        "SlowConsumer",
        "TickStatistics",
        "UnknownPacket",
        "handles",
        "serve",
    }
)
"""Names of `proactor.server`, which is imported with the first of them: a port needs none."""


def __getattr__(name: str) -> typing.Any:
    if name not in _OF_THE_SERVER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import proactor.server

    value = globals()[name] = getattr(proactor.server, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
