"""The package's log as lines on the console, and never more of them than a person can read.

A handler of the standard `logging`. Records are written in the server's threads, where they are
only noted; `take` hands the lines to the one thread that prints. A slow terminal therefore slows no
session, and memory is bounded: beyond `LINES_A_SECOND` of its kind a record is counted only.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

LINES_A_SECOND: Final = 10
"""Lines of each kind that are kept in one second."""

_KINDS: Final = {
    "%r: connected": "connected",
    "%r: %s%s": "ended",
    "a connection was refused: %s %s": "refused",
}
"""What a session's own records are called when they are left out, by their templates."""


class LogLines(logging.Handler):
    """Keeps records as lines. Thread-safe.

    Args:
        quiet: Leave out what comes and goes: below INFO, nothing.

    Inside its block it is the handler of the logger ``proactor``, and the records of single
    sessions, which are below INFO, are written. Handlers that the user's own code gave to other
    loggers still get what they would have got without it.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Keep nothing yet."""
        super().__init__(logging.INFO if quiet else logging.DEBUG)
        self._logger = logging.getLogger("proactor")
        self._before = (self._logger.level, self._logger.propagate)
        self._second = 0.0
        self._kept: dict[str, int] = {}
        self._left_out: dict[str, int] = {}
        self._lines: list[str] = []
        self._noting = threading.Lock()

    def __enter__(self) -> LogLines:
        """Take the records of the package from now on."""
        self._before = (self._logger.level, self._logger.propagate)
        self._outer_level = self._logger.getEffectiveLevel()
        self._logger.addHandler(self)
        self._logger.setLevel(min(self.level, self._outer_level))
        self._logger.propagate = False
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the logger as it was."""
        level, self._logger.propagate = self._before
        self._logger.setLevel(level)
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record, and hand it on to whom it would have gone."""
        if record.levelno >= self._outer_level and logging.root.hasHandlers():
            logging.root.callHandlers(record)
        kind = _KINDS.get(str(record.msg), record.levelname.lower())
        with self._noting:
            self._turn(time.monotonic())
            kept = self._kept.get(kind, 0)
            if kept >= LINES_A_SECOND:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return
            self._kept[kind] = kept + 1
        # The text is made only for a record that is kept: most are not, under load.
        lines = self._lines_of(record)
        with self._noting:
            self._lines += lines

    def take(self) -> list[str]:
        """Return the lines since the last call, oldest first."""
        with self._noting:
            self._turn(time.monotonic())
            lines, self._lines = self._lines, []
        return lines

    def _lines_of(self, record: logging.LogRecord) -> list[str]:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.msg!r} cannot be shown: {error!r}"
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        first, *rest = text.splitlines() or [""]
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        return [f"{stamp}  {level}{first}", *rest]

    def _turn(self, now: float) -> None:
        """Begin a new second if one has passed, and tell what the last one left out."""
        if now - self._second < 1.0:
            return
        self._second = now
        left_out = [f"{count:,} {kind}" for kind, count in self._left_out.items()]
        if left_out:
            self._lines.append(f"{time.strftime('%H:%M:%S')}  left out: {', '.join(left_out)}")
        self._kept = {}
        self._left_out = {}
