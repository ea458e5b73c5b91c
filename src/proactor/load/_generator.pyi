"""The face of the load generator in C: what `native` may use of it."""

from typing import Any

class NativeLoad:
    """One load, driven by one thread.

    After `close` every other call is a ValueError; while another thread is inside `run`, every call
    is a RuntimeError, and changes nothing.
    """

    def __init__(self, family: int, address: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Make it for a socket address with a numeric host; nothing is opened yet.

        Raises:
            OSError: There is not enough memory, or no descriptor left.
        """

    def run(self, nanoseconds: int) -> int:
        """Drive it for at most so long, or until its phase changes; return the phase."""

    def stop(self, patience: int) -> None:
        """Begin nothing more, and await what is in flight, for at most `patience` nanoseconds."""

    def counts(self) -> dict[str, Any]:
        """Return all counters, by the names of `load.h`, and the phase."""

    def latencies(self) -> tuple[list[int], int]:
        """Return the buckets of the histogram, and the largest latency in nanoseconds."""

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
