"""The face of the native core: what the Python modules of this package may use of it."""

import socket
from collections.abc import Callable
from typing import Any

from proactor import errors
from proactor.engines.contract import PortStatistics
from proactor.engines.native.waits import NativeDispatcher
from proactor.engines.stream_contract import StreamLimits
from proactor.engines.userspace.threads import ThreadRecord
from proactor.framing import Framing
from proactor.overlapped import Operation
from proactor.packets import CompletionPacket, PacketBatch

CONNECTED: int
CONNECTING: int
RESET: int
READS_QUEUED: int
WRITES_QUEUED: int

class EngineCore:
    """One reactor of the core's, and the port that the face's own thread waits on."""

    dispatcher: NativeDispatcher
    start_indicator: Callable[[], None]
    @property
    def dead(self) -> bool:
        """This is a forked child, whose parent the engine belongs to."""

    def __init__(self, ring: dict[str, int] | None) -> None:
        """Open an engine on readiness, or one whose streams receive by a ring like `ring`.

        Args:
            ring: The fields of ``pa_uring_profile`` in ``core/core.h``; None: no ring.

        Raises:
            OSError: The kernel has it not.
        """

    def die(self) -> None:
        """This is a forked child."""

    def poll_now(self) -> None:
        """Serve what is ready now, in the calling thread."""

    def need_io_thread(self) -> None:
        """The calling thread waits elsewhere than at a port: bytes must move all the same."""

    def indicate_all(self) -> None:
        """Indicate what is no packet, until None is called; the body of the face's thread."""

    def call_in_indicator(self, call: Callable[[], object] | None) -> None:
        """Have `call` called behind what is to be indicated now; None ends `indicate_all`."""

    def statistics(self) -> dict[str, int]:
        """Return the counters of the core."""

class ThreadCore:
    """A thread as the ports see it; the `slot` of its `ThreadRecord`."""

    def __init__(self, engine: EngineCore, record: ThreadRecord) -> None:
        """Make what stands for the thread of `record`."""

    def make_current(self) -> None:
        """The calling thread is this one."""

    def give_back(self, record: ThreadRecord) -> None:
        """Give up the slot, if the thread has one."""

    def take_back(self, record: ThreadRecord) -> None:
        """Take back the slot that `give_back` gave up."""

    def begin_blocking(self, port: PortCore) -> int:
        """Give up the slot if it is one of `port`; return what `end_blocking` needs."""

    def end_blocking(self, given: int) -> None:
        """Take the slot back."""

    def interrupt(self) -> None:
        """Make the wait of this thread at a port look at its APCs."""

    def end(self) -> None:
        """The thread has ended, and its slot is given up."""

class PortCore:
    """The hot half of a port."""

    @property
    def engine(self) -> EngineCore:
        """The engine that it belongs to."""

    @property
    def closed(self) -> bool:
        """It has been closed."""

    def __init__(self, engine: EngineCore, concurrency: int, stall_timeout: float | None) -> None:
        """Make an empty port."""

    def post(self, packet: CompletionPacket) -> None:
        """See `EnginePort.post`."""

    def get_many(self, limit: int, timeout: float | None, alertable: bool) -> PacketBatch:
        """See `EnginePort.get_many`."""

    def serve(self, limit: int, timeout: float | None) -> PacketBatch:
        """See `EngineStreamPort.serve`."""

    def check_open(self) -> None:
        """Raise if the port is closed."""

    def attach_core(self, sock: SocketCore, key: Any) -> int:
        """Associate `sock`; return 0 or an errno."""

    def close_core(self) -> None:
        """Close; let go of what was queued."""

    def statistics(self) -> PortStatistics:
        """See `EnginePort.statistics`."""

    def refusal(self, tried: str, while_waiting: bool) -> errors.PortClosed:
        """Return the error of a call on a closed port."""

class StreamTerms:
    """A framing and limits as the core wants them; shared by the streams that have the same."""

    @property
    def framing(self) -> Framing:
        """As given."""

    def __init__(self, framing: Framing, limits: StreamLimits) -> None:
        """Translate them."""

class StreamCore:
    """The hot half of `NativeStream`; what it does not name here is as in `EngineStream`."""

    sink: Any
    @property
    def engine(self) -> EngineCore:
        """The engine that it belongs to."""

    @property
    def port(self) -> PortCore:
        """The port that serves it."""

    def __init__(self, port: PortCore, sock: SocketCore, sink: Any, terms: StreamTerms) -> None:
        """Take the descriptor of `sock`.

        Raises:
            OSError: It is closed, busy or not connected; it is as it was.
        """

    @property
    def id(self) -> int: ...
    @property
    def peer(self) -> tuple[Any, ...]: ...
    @property
    def local(self) -> tuple[Any, ...]: ...
    @property
    def framing(self) -> Framing: ...
    @property
    def queued_bytes(self) -> int: ...
    @property
    def queued_packets(self) -> int: ...
    @property
    def inbox_bytes(self) -> int: ...
    @property
    def is_closing(self) -> bool: ...
    @property
    def last_received(self) -> float: ...
    @property
    def last_sent(self) -> float: ...
    def start(self) -> None: ...
    def send(self, item: Any, key: Any = None) -> bool: ...
    def send_frame(self, frame: Any, key: Any = None) -> bool: ...
    def drop_oldest(self, needed_bytes: int, needed_packets: int = 1) -> int: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def post(self, call: Callable[[], object]) -> bool: ...
    def take(self) -> list[Any]: ...
    def end_turn(self) -> None: ...
    def abort_core(self, end: int, reason: str) -> None:
        """End with a reset; `end` is the core's number of the end."""

    def counters(self) -> dict[str, int]:
        """Return the counters by name."""

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""

class GroupCore:
    """The hot half of `NativeGroup`; see `EngineStreamGroup`."""

    def __init__(self, port: PortCore) -> None:
        """Make an empty group for the streams of `port`."""

    def add(self, stream: Any) -> None: ...
    def discard(self, stream: Any) -> None: ...
    def __contains__(self, stream: object) -> bool: ...
    def __len__(self) -> int: ...
    def broadcast_frame(self, frame: bytes, exclude: Any, key: Any) -> list[Any]: ...

class SocketCore:
    """The hot half of a socket.

    Attributes:
        key: What packets bear.
        is_selected: Network events are selected: the face must see every operation first.
    """

    key: Any
    is_selected: bool
    @property
    def sock(self) -> socket.socket:
        """The descriptor, for calls that start nothing."""

    @property
    def facade(self) -> Callable[[], Any]:
        """A weak reference to what the user holds."""

    @property
    def port(self) -> Any:
        """Where packets go; None while it is not attached."""

    @property
    def closed(self) -> bool:
        """It has been closed."""

    def __new__(
        cls,
        engine: EngineCore,
        sock: socket.socket,
        facade: Callable[[], Any],
        connected: bool,
        datagram: bool,
        **rest: Any,
    ) -> SocketCore:
        """Take over `sock`; `rest` is for the subclass."""

    def start(self, operation: Operation) -> int | None:
        """See `EngineSocket.start`."""

    def submit_synchronous(self, operation: Operation, only_try: bool) -> bool:
        """Start a synchronous call; return True if it is done, False if it would block.

        With `only_try` nothing is left pending, else `operation.event` is set at the end.
        """

    def look_after_sends(self) -> None:
        """Look for network events once what is queued to be sent has gone."""

    def cancel_core(self, operation: Operation | None) -> bool:
        """Request the end of `operation`, None for all; say whether one was outstanding."""

    def cancel_own(self) -> bool:
        """Request the end of all that the calling thread has issued."""

    def close_core(self, reset: bool) -> None:
        """Close the descriptor, which is no longer that of `sock`."""

    def detach_core(self) -> None:
        """The descriptor has gone elsewhere: closed as an object."""

    def shutdown_core(self, how: int) -> int:
        """Shut down; return 0 or an errno."""

    @property
    def flags(self) -> int:
        """The flags of the connection, as they are now."""

    def connect_error(self) -> int:
        """Return the errno of the last connect, 0 if it did not fail."""

    def note_reset(self) -> None:
        """See `SocketState.note_reset`."""

    def skip_on_success(self) -> None:
        """Queue no packet for immediate success."""
