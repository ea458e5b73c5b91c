"""Framings by a length: none at all, a fixed one, or one that a field of the header gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from proactor.framing.base import (
    LARGEST_FRAME,
    BufferedDecoder,
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

WIDTHS = (1, 2, 3, 4, 8)
"""The bytes that a number in a header may have."""


@dataclass(frozen=True)
class RawFraming(BuiltInFraming):
    """No framing: items are the bytes, in pieces as they come."""

    max_frame: int = field(default=LARGEST_FRAME, init=False, repr=False)

    def decoder(self) -> RawDecoder:
        """Return a decoder that keeps nothing."""
        return RawDecoder()

    def encode(self, item: Buffer, /) -> bytes:
        """Return the bytes of `item`."""
        return as_bytes(item)

    def _parameters(self) -> dict[str, int | bytes]:
        return {"kind": FramingKind.RAW, "max_frame": self.max_frame}


class RawDecoder:
    """Hands on what comes."""

    __slots__ = ()
    pending = 0

    def feed(self, data: Buffer, /) -> list[bytes]:
        """Return the bytes as one item, or none if there are none."""
        piece = as_bytes(data)
        return [piece] if piece else []


@dataclass(frozen=True)
class FixedFraming(BuiltInFraming):
    """Frames of one size without a header.

    Args:
        size: Bytes of each frame, 1 or more.

    Raises:
        InvalidParameter: `size` is out of range (87).
    """

    size: int
    max_frame: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the size."""
        check(1 <= self.size <= LARGEST_FRAME, f"size is {self.size}: give 1 to {LARGEST_FRAME}")
        object.__setattr__(self, "max_frame", self.size)

    def decoder(self) -> FixedDecoder:
        """Return a decoder whose items are bytes of this size."""
        return FixedDecoder(self)

    def encode(self, item: Buffer, /) -> bytes:
        """Return the bytes of `item`, which must be of this size.

        Raises:
            InvalidParameter: They are not (87).
        """
        frame = as_bytes(item)
        check(
            len(frame) == self.size,
            f"cannot encode {len(frame)} bytes: each frame has {self.size}; pad or split them",
        )
        return frame

    def _parameters(self) -> dict[str, int | bytes]:
        return {"kind": FramingKind.FIXED, "max_frame": self.size, "fixed_size": self.size}


class FixedDecoder(BufferedDecoder):
    """Cuts frames of one size."""

    __slots__ = ("_size",)

    def __init__(self, framing: FixedFraming) -> None:
        """Begin at the start of a frame."""
        super().__init__()
        self._size = framing.size

    def _cut(self, source: bytes, items: list[Any]) -> int:
        size = self._size
        end = len(source) - len(source) % size
        items.extend(source[start : start + size] for start in range(0, end, size))
        if end < len(source):
            self._needed = self.expected = size
        return end


@dataclass(frozen=True)
class LengthFraming(BuiltInFraming):
    """A field of the header gives the length, as Netty's ``LengthFieldBasedFrameDecoder``.

    A frame has ``length_offset + length_bytes + length + length_adjustment`` bytes, where *length*
    is what the field says, without a sign. Items are bytes: the frame without its first `strip`.

    Args:
        max_frame: Bytes of the longest frame, header included.
        length_offset: Bytes before the field.
        length_bytes: Bytes of the field: 1, 2, 3, 4 or 8.
        length_adjustment: What is added to the length: minus the size of the header where the
            length counts the header too, plus the size of fields that come after the length and
            that it does not count.
        strip: Bytes taken off the beginning of each frame; None: up to the end of the field.
        byteorder: "little" or "big", of the field.

    Raises:
        InvalidParameter: A number is out of range (87).
    """

    max_frame: int = 65536
    length_offset: int = field(default=0, kw_only=True)
    length_bytes: int = field(default=2, kw_only=True)
    length_adjustment: int = field(default=0, kw_only=True)
    strip: int | None = field(default=None, kw_only=True)
    byteorder: Literal["little", "big"] = field(default="little", kw_only=True)

    def __post_init__(self) -> None:
        """Check the numbers."""
        offset, adjustment, strip = self.length_offset, self.length_adjustment, self.strip
        check(
            0 <= offset < LARGEST_FRAME, f"length_offset is {offset}: give 0 to {LARGEST_FRAME - 1}"
        )
        check(
            self.length_bytes in WIDTHS,
            f"length_bytes is {self.length_bytes}: give one of {WIDTHS}",
        )
        check(
            abs(adjustment) <= LARGEST_FRAME,
            f"length_adjustment is {adjustment}: give -{LARGEST_FRAME} to {LARGEST_FRAME}",
        )
        check_byteorder(self.byteorder)
        check_max_frame(self.max_frame, self.header_bytes)
        check(
            strip is None or 0 <= strip <= self.max_frame,
            f"strip is {strip}: give 0 to max_frame ({self.max_frame}), or None for the header",
        )

    @property
    def header_bytes(self) -> int:
        """Bytes up to the end of the length field."""
        return self.length_offset + self.length_bytes

    @property
    def stripped_bytes(self) -> int:
        """Bytes taken off the beginning of each frame."""
        return self.header_bytes if self.strip is None else self.strip

    def decoder(self) -> LengthDecoder:
        """Return a decoder whose items are bytes."""
        return LengthDecoder(self)

    def encode(self, item: Buffer, /) -> bytes:
        """Return the length field with `item`, all that comes after the field, behind it.

        Raises:
            InvalidParameter: The frame would be too long, or its length is no number that fits into
                the field; or there are bytes before the field, which only you know (87).
        """
        check(
            not self.length_offset,
            f"cannot encode: {self.length_offset} bytes come before the length; make the whole"
            " frame yourself and send it as it is",
        )
        body = as_bytes(item)
        length = len(body) - self.length_adjustment
        check_fits(self, self.length_bytes + len(body))
        check(
            0 <= length < 1 << 8 * self.length_bytes,
            f"cannot encode {len(body)} bytes: their length is {length}, and the field of"
            f" {self.length_bytes} bytes holds 0 to {(1 << 8 * self.length_bytes) - 1}",
        )
        return length.to_bytes(self.length_bytes, self.byteorder) + body

    def _reason(self, fault: FrameFault, detail: int) -> str:
        total = self.header_bytes + detail + self.length_adjustment
        says = f"the length field says {detail}, which makes a frame of {total} bytes"
        if fault is FrameFault.TOO_LONG:
            return f"{says}: the limit is {self.max_frame}"
        if fault is FrameFault.TOO_SHORT:
            return f"{says}: its header alone has {self.header_bytes}"
        if fault is FrameFault.STRIPPED_BEYOND:
            return f"{says}: {self.stripped_bytes} are to be stripped"
        return super()._reason(fault, detail)

    def _parameters(self) -> dict[str, int | bytes]:
        return {
            "kind": FramingKind.LENGTH,
            "max_frame": self.max_frame,
            "length_offset": self.length_offset,
            "length_bytes": self.length_bytes,
            "length_adjustment": self.length_adjustment,
            "strip": self.stripped_bytes,
            "big_endian": int(self.byteorder == "big"),
        }


class LengthDecoder(BufferedDecoder):
    """Cuts frames by the field in their header."""

    __slots__ = ("_framing", "_header", "_plus", "_strip")

    def __init__(self, framing: LengthFraming) -> None:
        """Begin at the start of a frame."""
        super().__init__()
        self._framing = framing
        self._header = framing.header_bytes
        self._plus = framing.header_bytes + framing.length_adjustment
        self._strip = framing.stripped_bytes

    def _cut(self, source: bytes, items: list[Any]) -> int:
        framing, header, strip = self._framing, self._header, self._strip
        offset, order = framing.length_offset, framing.byteorder
        start, count, limit = 0, len(source), framing.max_frame
        while count - start >= header:
            length = int.from_bytes(source[start + offset : start + header], order)
            total = length + self._plus
            if not header <= total <= limit or strip > total:
                raise framing.error_of(self._fault_of(total), length, items)
            if count - start < total:
                self._needed = self.expected = total
                return start
            items.append(source[start + strip : start + total])
            start += total
        self._needed = header
        return start

    def _fault_of(self, total: int) -> FrameFault:
        if total > self._framing.max_frame:
            return FrameFault.TOO_LONG
        return FrameFault.TOO_SHORT if total < self._header else FrameFault.STRIPPED_BEYOND


def check_byteorder(byteorder: str) -> None:
    """Refuse what is no order of bytes."""
    check(byteorder in ("little", "big"), f'byteorder is {byteorder!r}: give "little" or "big"')
