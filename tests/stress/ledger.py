"""A book of every overlapped operation: begun, refused, or indicated, each of them once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from proactor.overlapped import Operation, OperationKind


class Ledger:
    """Counts what the engine does with each operation, from outside.

    An operation is begun by the call that starts it. It is then either abandoned, because the call
    was refused, or published when it completes and released when its indication is taken.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look over the engine's shoulder until the end of the test."""
        self.begun: Counter[OperationKind] = Counter()
        self.indicated: Counter[OperationKind] = Counter()
        self.refused: Counter[OperationKind] = Counter()
        self.faults: list[str] = []
        self.open: dict[int, Operation] = {}
        self._lock = threading.Lock()
        begin, abandon, release = Operation.begin, Operation.abandon, Operation.release

        def counted_begin(operation: Operation, sock: object) -> None:
            begin(operation, sock)
            with self._lock:
                self.begun[operation.kind] += 1
                self.open[id(operation)] = operation

        def counted_abandon(operation: Operation) -> None:
            self._end(operation, self.refused)
            abandon(operation)

        def counted_release(operation: Operation) -> None:
            self._end(operation, self.indicated)
            release(operation)

        monkeypatch.setattr(Operation, "begin", counted_begin)
        monkeypatch.setattr(Operation, "abandon", counted_abandon)
        monkeypatch.setattr(Operation, "release", counted_release)

    def _end(self, operation: Operation, counter: Counter[OperationKind]) -> None:
        if operation.overlapped is None:
            return  # A synchronous call.
        with self._lock:
            if self.open.pop(id(operation), None) is not operation:
                self.faults.append(f"a second end of {operation.overlapped!r}")
            counter[operation.kind] += 1

    def check(self) -> None:
        """Fail unless each operation that was begun has ended once."""
        assert not self.faults, self.faults[:10]
        assert not self.open, f"never indicated: {[o.overlapped for o in self.open.values()][:10]}"
        assert self.begun == self.indicated + self.refused
