"""`IocpPort`: a completion port of the kernel.

The queue, its order and the release of waiting threads are the kernel's. This module turns its
packets back into Python objects, and sees to it that a closed port says so to every waiter and
leaves nothing behind.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import contextlib
import itertools
import threading
import weakref
from collections import deque
from ctypes import byref
from ctypes.wintypes import DWORD
from typing import Any, Final

from proactor import errors
from proactor.clock import deadline_after
from proactor.engines.contract import EngineSocket, PortStatistics
from proactor.engines.python.iocp import winapi
from proactor.engines.python.iocp.calling import is_over, next_slice, raise_escaped
from proactor.engines.python.iocp.finish import take
from proactor.engines.python.iocp.in_flight import FileObject, table
from proactor.engines.python.iocp.sockets import IO_KEY, IocpSocket
from proactor.packets import CompletionPacket, PacketBatch

# The keys that the kernel sees. Whose packet it is, and the user's key, follow from the address.
_NO_PACKET: Final = 0
_POSTED: Final = 2
_WAKE: Final = 3
_MOST_AT_ONCE: Final = 1024


class _Entries:
    """Room for the packets of one call: an array of OVERLAPPED_ENTRY, also seen as words."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.array = (winapi.OVERLAPPED_ENTRY * limit)()
        # Indexing words is several times cheaper than making a structure object of each entry.
        self.words = memoryview(self.array).cast("B").cast("P")
        self.removed = DWORD()
        self.unpacked = 0
        assert len(self.words) == 4 * limit, "an OVERLAPPED_ENTRY has four words"


class IocpPort:
    """A completion port; see `EnginePort` in the contract.

    Closing has two steps. At once: no call begins, and whoever waits is woken. Later, when nobody
    is inside and the attached sockets are closed too: the kernel's handle is closed. Until then
    `drain` takes what is still completed, so that its buffers and owners are let go.
    """

    # At the very end of the process nothing but the class itself may be left of this module.
    _close_handle: Final = staticmethod(winapi.CloseHandle)

    def __init__(self, concurrency: int) -> None:
        """Make a port: CreateIoCompletionPort."""
        handle = winapi.CreateIoCompletionPort(
            winapi.INVALID_HANDLE_VALUE, None, 0, min(concurrency, 0xFFFFFFFF)
        )
        if not handle:
            raise errors.refused(winapi.last_error(), "make a completion port")
        self.is_closed = False
        self._handle: int | None = handle
        self._concurrency = concurrency
        self._lock = threading.RLock()
        self._inside = 0
        self._waiting = 0
        self._delivered = 0
        self._tokens = itertools.count(1)
        self._posted: dict[int, CompletionPacket] = {}
        self._posted_so_far = 0
        self._interrupted: deque[CompletionPacket] = deque()
        self._files: weakref.WeakSet[FileObject] = weakref.WeakSet()
        self._entries = threading.local()

    def attach(self, sock: EngineSocket, key: Any) -> None:
        """Associate `sock` with this port; see the contract."""
        assert isinstance(sock, IocpSocket), "a socket of another engine"
        handle = self._enter()
        try:
            sock.associate(self, handle, key)
            self._files.add(sock.file)
        finally:
            self._leave()

    def post(self, packet: CompletionPacket) -> None:
        """Queue `packet`: PostQueuedCompletionStatus."""
        handle = self._enter()
        try:
            # The three values may be any objects: the kernel carries a token for them, which is
            # never zero since some callers take a zero overlapped for a time-out.
            token = next(self._tokens)
            self._posted[token] = packet
            if not winapi.PostQueuedCompletionStatus(handle, 0, _POSTED, token):
                del self._posted[token]
                raise errors.refused(winapi.last_error(), "post a packet")
        finally:
            self._leave(posted=1)

    def get_many(self, limit: int, timeout: float | None, alertable: bool) -> PacketBatch:
        """Take up to `limit` packets: GetQueuedCompletionStatusEx."""
        deadline = deadline_after(timeout)
        batch = PacketBatch()
        entries = self._borrow_entries(min(limit, _MOST_AT_ONCE))
        handle = self._enter(waiting=1)
        try:
            self._wait(handle, batch, entries, deadline, alertable)
        except BaseException:
            self._put_back(entries, batch)
            raise
        finally:
            self._entries.kept = entries
            self._leave(waiting=1, delivered=len(batch))
        if self.is_closed and not batch and not batch.woken_by_apc:
            raise errors.port_closed("the port was closed during the wait", while_waiting=True)
        return batch

    def begin_blocking(self) -> None:
        """Do nothing: the kernel sees a thread block."""

    def end_blocking(self) -> None:
        """Do nothing: the kernel sees a thread run again."""

    def close(self) -> None:
        """Close the port; see the contract."""
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
            self._pass_on_the_end()

    def drain(self) -> None:
        """Take what a closed port still gets, and let its handle go once nothing more can come."""
        with self._lock:
            if self._handle is None or self._inside or not self.is_closed:
                return
            entries = _Entries(64)
            while winapi.GetQueuedCompletionStatusEx(
                self._handle, entries.array, 64, byref(entries.removed), 0, False
            ):
                self._unpack(entries, PacketBatch())
            self._interrupted.clear()
            self._posted.clear()
            if any(file.open_handles or file.in_flight for file in list(self._files)):
                _closed_ports.add(self)
                return
            winapi.CloseHandle(self._handle)
            self._handle = None
            _closed_ports.discard(self)

    def __del__(self) -> None:
        """Release a port that was dropped: no socket is attached to it any more."""
        handle = getattr(self, "_handle", None)
        if handle is not None:
            self._close_handle(handle)

    def statistics(self) -> PortStatistics:
        """Return a snapshot of what is counted here; the rest the kernel does not tell."""
        with self._lock:
            return PortStatistics(
                concurrency=self._concurrency,
                queued=None,
                waiting=self._waiting,
                running=None,
                delivered=self._delivered,
                posted=self._posted_so_far,
                completed=None,
                stalls=0,
            )

    def _enter(self, *, waiting: int = 0) -> int:
        with self._lock:
            if self._handle is None or self.is_closed:
                raise errors.port_closed("the port is closed", while_waiting=False)
            self._inside += 1
            self._waiting += waiting
            return self._handle

    def _leave(self, *, waiting: int = 0, delivered: int = 0, posted: int = 0) -> None:
        with self._lock:
            self._inside -= 1
            self._waiting -= waiting
            self._delivered += delivered
            self._posted_so_far += posted
            if self.is_closed:
                self._pass_on_the_end()

    def _pass_on_the_end(self) -> None:
        # Closing a handle does not wake its waiters on every system, and its number may be another
        # object's at once. So one packet wakes one of those inside, which leaves and wakes the
        # next; with the last of them gone nobody uses the handle.
        if self._inside:
            winapi.PostQueuedCompletionStatus(self._handle, 0, _WAKE, 0)
        else:
            self.drain()

    def _wait(
        self,
        handle: int,
        batch: PacketBatch,
        entries: _Entries,
        deadline: float | None,
        alertable: bool,
    ) -> None:
        limit, removed = entries.limit, byref(entries.removed)
        while not batch and not self.is_closed:
            if self._interrupted:
                self._take_up(batch)
                continue
            entries.words[0] = _NO_PACKET  # A wait that times out claims that it removed one.
            got = winapi.GetQueuedCompletionStatusEx(
                handle, entries.array, limit, removed, next_slice(deadline), alertable
            )
            if got:
                self._unpack(entries, batch)
                continue
            error = winapi.last_error()
            raise_escaped()
            if error == winapi.WAIT_IO_COMPLETION:
                batch.woken_by_apc = True
                break
            if error != winapi.WAIT_TIMEOUT:
                raise errors.refused(error, "wait at a completion port")
            if is_over(deadline):
                break

    def _borrow_entries(self, limit: int) -> _Entries:
        # Taken out while it is in use: a routine or a signal handler may wait at this port too.
        entries: _Entries | None = getattr(self._entries, "kept", None)
        self._entries.kept = None
        if entries is None or len(entries.array) < limit:
            return _Entries(limit)
        entries.limit = limit
        return entries

    def _unpack(self, entries: _Entries, batch: PacketBatch) -> None:
        """Make packets of what the kernel gave; one that is interrupted may be called again."""
        words, removed = entries.words, entries.removed
        count = removed.value
        while entries.unpacked < count:
            at = 4 * entries.unpacked
            entries.unpacked += 1
            key, address = words[at], words[at + 1]
            if key == _POSTED:
                batch.append(self._posted.pop(address))
            elif key == IO_KEY:
                operation = table.find(address)
                if operation is not None:
                    packet_key = operation.engine_state.file.key
                    take(operation, words[at + 3] & 0xFFFFFFFF)
                    batch.append(
                        CompletionPacket(
                            packet_key,
                            operation.overlapped,
                            operation.transferred,
                            operation.error(at_port=True),
                        )
                    )
        entries.unpacked = removed.value = 0

    def _put_back(self, entries: _Entries, batch: PacketBatch) -> None:
        # Ctrl-C came between the kernel's answer and ours. What was taken out of the kernel's queue
        # is delivered by the next call, or by a waiter, which the packet of our own wakes.
        self._unpack(entries, batch)
        if batch:
            self._interrupted.extend(batch)
            batch.clear()
            winapi.PostQueuedCompletionStatus(self._handle, 0, _WAKE, 0)

    def _take_up(self, batch: PacketBatch) -> None:
        with contextlib.suppress(IndexError):
            batch.append(self._interrupted.popleft())


_closed_ports: set[IocpPort] = set()


def drain_closed_ports() -> None:
    """Let go what closed ports still hold; called now and then."""
    if _closed_ports:
        for port in list(_closed_ports):
            port.drain()


def closed_ports() -> int:
    """Return how many closed ports wait for their sockets to be closed."""
    return len(_closed_ports)
