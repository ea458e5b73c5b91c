"""Framing by a mark at the end of each frame, as lines are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from proactor import errors
from proactor.framing.base import (
    BuiltInFraming,
    FrameFault,
    FramingKind,
    as_bytes,
    check,
    check_fits,
    check_max_frame,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST_DELIMITER: Final = 16


@dataclass(frozen=True)
class DelimiterFraming(BuiltInFraming):
    r"""Each frame ends with a delimiter. Items are bytes.

    Args:
        delimiter: 1 to 16 bytes, such as ``b"\\r\\n"``.
        max_frame: Bytes of the longest frame, its delimiter included.
        strip: True: items come without the delimiter. False: with it.

    Raises:
        InvalidParameter: A length is out of range (87).
    """

    delimiter: bytes = b"\n"
    max_frame: int = 65536
    strip: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Check the delimiter and the limit."""
        object.__setattr__(self, "delimiter", as_bytes(self.delimiter))
        check(
            1 <= len(self.delimiter) <= LONGEST_DELIMITER,
            f"the delimiter has {len(self.delimiter)} bytes: give 1 to {LONGEST_DELIMITER}",
        )
        check_max_frame(self.max_frame, len(self.delimiter))

    def decoder(self) -> DelimiterDecoder:
        """Return a decoder whose items are bytes."""
        return DelimiterDecoder(self)

    def encode(self, item: Buffer, /) -> bytes:
        """Return the bytes of `item` and the delimiter.

        With ``strip=False``, where items have their delimiter, none is added to one that has.

        Raises:
            InvalidParameter: There is a delimiter within them, so that the peer would see two
                frames; or the frame would be too long (87).
        """
        body, delimiter = as_bytes(item), self.delimiter
        ended = not self.strip and body.endswith(delimiter)
        frame = body if ended else body + delimiter
        first = frame.find(delimiter)
        check(
            first == len(frame) - len(delimiter),
            f"cannot encode {len(body)} bytes: the delimiter {delimiter!r} is at byte {first} of"
            " them; escape it, or use a framing by length",
        )
        check_fits(self, len(frame))
        return frame

    def _reason(self, fault: FrameFault, detail: int) -> str:
        if fault is FrameFault.NO_DELIMITER:
            return (
                f"no delimiter {self.delimiter!r} in {detail} bytes: the limit of a frame is"
                f" {self.max_frame}"
            )
        return super()._reason(fault, detail)

    def _parameters(self) -> dict[str, int | bytes]:
        return {
            "kind": FramingKind.DELIMITER,
            "max_frame": self.max_frame,
            "delimiter": self.delimiter,
            "strip_delimiter": int(self.strip),
        }


class DelimiterDecoder:
    """Cuts frames at their delimiters."""

    __slots__ = ("_dead", "_framing", "_kept", "_seen", "_stripped")

    def __init__(self, framing: DelimiterFraming) -> None:
        """Begin at the start of a frame."""
        self._framing = framing
        self._stripped = len(framing.delimiter) if framing.strip else 0
        self._kept = bytearray()
        self._seen = 0  # No delimiter begins before this byte.
        self._dead = ""  # The reason, once there is one.

    @property
    def pending(self) -> int:
        """Bytes kept of an unfinished frame."""
        return len(self._kept)

    def feed(self, data: Buffer, /) -> list[Any]:
        """Take the next bytes, and return the items that they completed; see `Decoder.feed`."""
        if self._dead:
            raise errors.FramingError(self._dead)
        kept = self._kept
        if kept:
            kept += as_bytes(data)
        source = kept if kept else as_bytes(data)
        items: list[Any] = []
        start = 0
        while end := self._end(source, start, items):
            if not isinstance(source, bytes):
                source = bytes(source)
            items.append(source[start : end - self._stripped])
            start, self._seen = end, 0
        if source is not kept:
            self._kept = bytearray(memoryview(source)[start:])
        return items

    def _end(self, source: bytes | bytearray, start: int, items: list[Any]) -> int:
        """Return where the frame ends that begins at `start`; 0 if that is not known yet."""
        framing = self._framing
        size, limit = len(framing.delimiter), start + framing.max_frame
        found = source.find(framing.delimiter, start + self._seen, limit)
        if found >= 0:
            return found + size
        if len(source) >= limit:
            error = framing.error_of(FrameFault.NO_DELIMITER, framing.max_frame, items)
            self._dead = error.reason
            self._kept = bytearray()
            raise error
        self._seen = max(0, len(source) - start - size + 1)
        return 0
