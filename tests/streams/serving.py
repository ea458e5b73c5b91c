"""What the tests of streams share: a sink that remembers, and threads that serve a port.

Only names of the contract are used, so that every implementation of streams can be tested.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from proactor import (
    CompletionPacket,
    CompletionPort,
    Framing,
    OverlappedSocket,
    Stream,
    StreamEnd,
    StreamLimits,
    StreamNews,
)
from tests.support.sockets import LIMIT, plain_pair

_STOP = object()


class Recorder:
    """A sink that remembers every call, in order, and notices when two run at once.

    Attributes:
        calls: What was called: ``("received", item)``, ``("told", news)``, ``("ended", end)``,
            ``("failed", error)``.
        overlaps: How often a call began while another one ran.
        on_received, on_told, on_ended, on_failed: Called inside, if set.
    """

    def __init__(self) -> None:
        self.stream: Any = None
        self.calls: list[tuple[str, Any]] = []
        self.detail = ""
        self.overlaps = 0
        self.on_received: Callable[[Any], object] | None = None
        self.on_told: Callable[[StreamNews], object] | None = None
        self.on_ended: Callable[[StreamEnd], object] | None = None
        self.on_failed: Callable[[BaseException], object] | None = None
        self.threads: set[str] = set()
        self._busy = threading.Lock()
        self._changed = threading.Condition()

    def received(self, item: Any) -> None:
        self._call("received", item, self.on_received)

    def told(self, news: StreamNews) -> None:
        self._call("told", news, self.on_told)

    def ended(self, end: StreamEnd, detail: str) -> None:
        self.detail = detail
        self._call("ended", end, self.on_ended)

    def failed(self, error: BaseException) -> None:
        # It comes inside the turn too, after the call that raised.
        self._call("failed", error, self.on_failed)

    def _call(self, name: str, value: Any, then: Callable[[Any], object] | None) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            return
        try:
            self.threads.add(threading.current_thread().name)
            with self._changed:
                self.calls.append((name, value))
                self._changed.notify_all()
            if then is not None:
                then(value)
        finally:
            self._busy.release()

    def of(self, name: str) -> list[Any]:
        """Return the values of all calls of `name` so far."""
        with self._changed:
            return [value for called, value in self.calls if called == name]

    @property
    def items(self) -> list[Any]:
        return self.of("received")

    @property
    def ends(self) -> list[StreamEnd]:
        return self.of("ended")

    def wait_for(self, name: str, count: int = 1, timeout: float = LIMIT) -> list[Any]:
        """Wait until `name` was called `count` times; return the values."""

        def enough() -> bool:
            return sum(called == name for called, _ in self.calls) >= count

        with self._changed:
            assert self._changed.wait_for(enough, timeout), (
                f"{name} was not called {count} times: {_shown(self.calls)}"
            )
            return [value for called, value in self.calls if called == name]

    def wait_for_end(self, timeout: float = LIMIT) -> StreamEnd:
        """Wait for the end, which must be the last call and the only one of its kind."""
        end: StreamEnd = self.wait_for("ended", 1, timeout)[0]
        with self._changed:
            assert [name for name, _ in self.calls].index("ended") == len(self.calls) - 1
        return end


def _shown(calls: list[tuple[str, Any]]) -> str:
    return f"{len(calls)} calls, the last: {[repr(call)[:80] for call in calls[-5:]]}"


class Echo(Recorder):
    """Sends back what it receives."""

    def received(self, item: Any) -> None:
        super().received(item)
        self.stream.send(item)


class Served:
    """A port, and `workers` threads that serve it until the end of the test.

    Attributes:
        packets: What `serve` returned beside the turns.
        on_packet: Called with each of them, in the thread that got it.
    """

    def __init__(self, workers: int, *, limit: int = 64, concurrency: int = 0) -> None:
        self.port = CompletionPort(concurrency)
        self.packets: list[CompletionPacket] = []
        self.on_packet: Callable[[CompletionPacket], object] = lambda _: None
        self.limit = limit
        self.errors: list[BaseException] = []
        self._came = threading.Condition()
        self.threads: list[threading.Thread] = []
        self.begin(workers)

    def begin(self, workers: int) -> None:
        """Start so many threads more."""
        for i in range(workers):
            thread = threading.Thread(target=self._loop, name=f"serving-{i}", daemon=True)
            self.threads.append(thread)
            thread.start()

    def _loop(self) -> None:
        try:
            while True:
                batch = self.port.serve(self.limit, LIMIT * 10)
                stops = [packet for packet in batch if packet.key is _STOP]
                with self._came:
                    self.packets += [packet for packet in batch if packet.key is not _STOP]
                    self._came.notify_all()
                for packet in batch:
                    self.on_packet(packet)
                if stops:
                    for _ in stops[1:]:
                        self.port.post(_STOP)
                    return
        except BaseException as error:
            self.errors.append(error)

    def wait_for_packets(self, count: int) -> list[CompletionPacket]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.packets) >= count, LIMIT)
            return list(self.packets)

    def open(
        self,
        sink: Recorder,
        framing: Framing | None = None,
        limits: StreamLimits | None = None,
        *,
        start: bool = True,
        small_buffers: bool = False,
    ) -> tuple[Stream, socket.socket]:
        """Return a stream and the plain socket of its peer."""
        return open_stream(
            self.port, sink, framing, limits, start=start, small_buffers=small_buffers
        )

    def close(self) -> None:
        """Stop the threads; nothing may have been raised in them."""
        for _ in self.threads:
            self.port.post(_STOP)
        for thread in self.threads:
            thread.join(LIMIT)
        alive = [thread.name for thread in self.threads if thread.is_alive()]
        self.port.close()
        assert not alive, f"threads hang: {alive}"
        assert not self.errors, f"a worker died: {self.errors!r}"


def small_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends with small system buffers: they fill quickly."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket()
        client.settimeout(LIMIT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    return server, client


def open_stream(
    port: CompletionPort,
    sink: Recorder,
    framing: Framing | None = None,
    limits: StreamLimits | None = None,
    *,
    start: bool = True,
    small_buffers: bool = False,
) -> tuple[Stream, socket.socket]:
    """Return a stream of `port` and the plain socket of its peer."""
    server, client = small_pair() if small_buffers else plain_pair()
    sink.stream = stream = port.open_stream(OverlappedSocket.adopt(server), sink, framing, limits)
    if start:
        stream.start()
    return stream, client
