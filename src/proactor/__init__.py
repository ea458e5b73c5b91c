"""I/O completion ports for Python, on every OS, and the six Windows socket I/O models on them."""

from __future__ import annotations

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
from proactor.workers import WorkerPool, WorkerReport

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
    "Disconnected",
    "EngineUnavailable",
    "Event",
    "ForkedError",
    "InvalidParameter",
    "IoIncomplete",
    "MessageQueue",
    "MessageTruncated",
    "NetworkEvents",
    "NetworkMessage",
    "OperationAborted",
    "OperationKind",
    "Overlapped",
    "OverlappedBusy",
    "OverlappedSocket",
    "PacketBatch",
    "PortClosed",
    "PortStatistics",
    "ProactorError",
    "ReadySets",
    "SocketClosed",
    "TimedOut",
    "WaitCode",
    "WaitResult",
    "WorkerPool",
    "WorkerReport",
    "WouldBlock",
    "async_select",
    "enum_network_events",
    "event_select",
    "max_wait_objects",
    "queue_user_apc",
    "select",
    "sleep_ex",
    "wait_for_multiple_events",
    "wait_for_multiple_objects",
    "wait_for_single_object",
]
