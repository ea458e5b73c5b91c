"""Lines on the console: coloured where that is wanted, and never with a control character."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

# Where there is no terminal, or NO_COLOR is set, these leave no trace.
_STYLES: Final = {
    r"^\d\d:\d\d:\d\d": "dim",
    r"(?<=  )connected$|: connected$": "green",
    r"(?<=  )disconnected: .*": "yellow",
    r"(?<=  )left out: .*": "magenta",
    r"(?<=  )(error|critical): .*": "bold red",
    r"(?<=  )warning: .*": "yellow",
    r"^[\w-]+ echo server|^serving [\w.:-]+(?=:)|(?<=try: ).*|^stopped": "bold",
}


def print_line(console: Console, line: str) -> None:
    """Print one line. What could move the cursor is shown as an escape."""
    text = Text(shown_plainly(line))
    for pattern, style in _STYLES.items():
        text.highlight_regex(pattern, style)
    console.print(text)


def shown_plainly(line: str) -> str:
    """Return `line` with every control character written as an escape."""
    if line.isprintable():
        return line
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode-escape").decode("ascii")
        for letter in line
    )
