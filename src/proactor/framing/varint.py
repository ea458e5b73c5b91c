"""Protobuf's framing of a stream: the length in base 128, then the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proactor.framing.base import (
    BufferedDecoder,
    BuiltInFraming,
    FrameFault,
    FramingKind,
    as_bytes,
    check_fits,
    check_max_frame,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST_VARINT: Final = 10
"""Bytes that 64 bits take, at 7 a byte; the tenth holds the last bit only."""


@dataclass(frozen=True)
class VarintFraming(BuiltInFraming):
    """A length in base 128, lowest seven bits first, and then so many bytes.

    It is what protobuf's ``writeDelimitedTo`` writes. Items are bytes: the bodies. A length that is
    written with more bytes than it needs is read all the same, as protobuf does.

    Args:
        max_frame: Bytes of the longest frame, its length included.

    Raises:
        InvalidParameter: `max_frame` is out of range (87).
    """

    max_frame: int = 65536

    def __post_init__(self) -> None:
        """Check the limit."""
        check_max_frame(self.max_frame, 1)

    def decoder(self) -> VarintDecoder:
        """Return a decoder whose items are bytes."""
        return VarintDecoder(self)

    def encode(self, item: Buffer, /) -> bytes:
        """Return the bytes of `item` with their length before them.

        Raises:
            InvalidParameter: The frame would be too long (87).
        """
        body = as_bytes(item)
        frame = _varint(len(body)) + body
        check_fits(self, len(frame))
        return frame

    def _reason(self, fault: FrameFault, detail: int) -> str:
        if fault is FrameFault.TOO_LONG:
            return (
                f"the length says {detail} bytes, which makes a longer frame than the limit of"
                f" {self.max_frame} bytes"
            )
        if fault is FrameFault.ENDLESS_VARINT:
            return (
                f"the length is a varint that does not end within {LONGEST_VARINT} bytes and 64"
                f" bits: its byte {LONGEST_VARINT} is {detail}, which may be 1 at most"
            )
        return super()._reason(fault, detail)

    def _parameters(self) -> dict[str, int | bytes]:
        return {"kind": FramingKind.VARINT, "max_frame": self.max_frame}


class VarintDecoder(BufferedDecoder):
    """Cuts frames by the varint before them."""

    __slots__ = ("_framing",)

    def __init__(self, framing: VarintFraming) -> None:
        """Begin at the start of a frame."""
        super().__init__()
        self._framing = framing

    def _cut(self, source: bytes, items: list[Any]) -> int:
        framing = self._framing
        start, count = 0, len(source)
        while start < count:
            length, body = self._length_at(source, start, items)
            if not body:
                return start
            end = body + length
            if end - start > framing.max_frame:
                raise framing.error_of(FrameFault.TOO_LONG, length, items)
            if end > count:
                self._needed = self.expected = end - start
                return start
            items.append(source[body:end])
            start = end
        return start

    def _length_at(self, source: bytes, start: int, items: list[Any]) -> tuple[int, int]:
        """Return the length and where the body begins, or 0 for that if it is not all there."""
        length = shift = 0
        for position in range(start, min(len(source), start + LONGEST_VARINT)):
            byte = source[position]
            if shift == 63 and byte > 1:
                raise self._framing.error_of(FrameFault.ENDLESS_VARINT, byte, items)
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                return length, position + 1
            shift += 7
        return 0, 0


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
