"""The foot of a terminal: what stands below the lines that scroll by, redrawn in its place."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text


class TerminalFoot:
    """What a live view draws on; where there is no terminal, nothing is drawn.

    A context manager: the foot is there inside the block. Its owner's thread redraws it.
    """

    def __init__(self, console: Console) -> None:
        """Prepare the foot of `console`."""
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live("", console=console, auto_refresh=False, transient=True)

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self._live is not None

    def redraw(self, text: Text) -> None:
        """Put `text` where the one before was."""
        if self._live is not None:
            self._live.update(text, refresh=True)

    def __enter__(self) -> Self:
        """Show it."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Take it away."""
        if self._live is not None:
            self._live.stop()
