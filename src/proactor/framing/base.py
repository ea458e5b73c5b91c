"""What every framing is, and what the decoders of this package share.

Rule: a decoder looks at each byte a bounded number of times, however small the pieces are in which
the bytes come. It keeps the beginning of one frame at most.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from proactor import errors, statuses

if TYPE_CHECKING:
    from typing_extensions import Buffer  # In the standard library from 3.12 on.

LARGEST_FRAME: Final = 2**31 - 1
"""The largest `max_frame` there may be, so that each size fits into 32 bits natively, too."""


class FramingKind(enum.IntEnum):
    """The framings that the native engine knows; the numbers are those of ``core/framing.h``."""

    RAW = 0
    LENGTH = 1
    PACKET = 2
    DELIMITER = 3
    FIXED = 4
    VARINT = 5


class FrameFault(enum.IntEnum):
    """What can be wrong with a frame; the numbers are those of ``core/framing.h``."""

    TOO_LONG = -1
    """The frame has more bytes than `max_frame`; detail: the length that its header gives."""

    TOO_SHORT = -2
    """The frame would end within its own header; detail: the length that its header gives."""

    STRIPPED_BEYOND = -3
    """There are more bytes to strip than the frame has; detail: the length in its header."""

    NO_DELIMITER = -4
    """The frame has no end within `max_frame`; detail: the bytes that were looked through."""

    ENDLESS_VARINT = -5
    """The length has no end within 64 bits; detail: its tenth byte."""


class Decoder(Protocol):
    """The state of one connection: what came of a frame that is not complete.

    Not thread-safe: one thread at a time feeds it.
    """

    @property
    def pending(self) -> int:
        """Bytes kept of an unfinished frame."""
        ...

    def feed(self, data: Buffer, /) -> list[Any]:
        """Take the next bytes of the stream, and return the items that they completed.

        Args:
            data: Any number of bytes; none of them is referred to after the call.

        Raises:
            FramingError: The stream breaks its framing. What these bytes completed before is in
                ``items`` of the error. The decoder is dead: it raises the same, without items, at
                every later call.
        """
        ...


class Framing(ABC):
    """The description of a framing. Subclass it for a framing of your own.

    A framing of your own gives `decoder` and `encode`, and sets `max_frame`; its decoders raise
    ``FramingError(reason, items)``. It must not change once it is in use.

    Attributes:
        max_frame: Bytes of the longest frame, its header included; a longer one is an error.
    """

    max_frame: int

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return a fresh decoder, for one connection. Thread-safe."""

    @abstractmethod
    def encode(self, item: Any, /) -> bytes:
        """Return `item` as one whole frame, ready to be sent. Thread-safe.

        Raises:
            InvalidParameter: No frame can be made of it (87): it is too long, say.
            TypeError: It is nothing that this framing sends.
        """

    def native_parameters(self) -> dict[str, int | bytes] | None:
        """Return the fields of ``pa_framing`` in ``core/framing.h``, by their names.

        Those that are not there are 0; ``delimiter_length`` is the length of ``delimiter``. None:
        only `decoder` knows how to cut this framing, and is called for every piece that comes. So
        it is for a framing of your own, also for one that inherits from one of ours and has
        another `decoder` or `encode`.
        """
        return None

    def error_of(
        self, fault: FrameFault | int, detail: int, items: Iterable[Any] = ()
    ) -> errors.FramingError:
        """Return the error for a fault of a frame of this framing.

        Args:
            fault: The number, as from ``pa_frame_next``.
            detail: The offending number, as `FrameFault` says.
            items: What was complete before the fault.
        """
        return errors.FramingError(self._reason(FrameFault(fault), detail), items)

    def _reason(self, fault: FrameFault, detail: int) -> str:
        return f"the frame is malformed: {fault.name} ({detail})"


class BuiltInFraming(Framing):
    """A framing that the native engine knows, too."""

    def native_parameters(self) -> dict[str, int | bytes] | None:
        """Return the fields of ``pa_framing``; None if a subclass decodes or encodes otherwise."""
        kind = next(
            kind
            for kind in type(self).__mro__
            if issubclass(kind, BuiltInFraming) and BuiltInFraming in kind.__bases__
        )
        if type(self).decoder is not kind.decoder or type(self).encode is not kind.encode:
            return None
        return self._parameters()

    @abstractmethod
    def _parameters(self) -> dict[str, int | bytes]:
        """Return the fields that this framing sets."""


class BufferedDecoder(ABC):
    """Keeps the beginning of a frame until the rest of it comes.

    Attributes:
        expected: Bytes that the unfinished frame will have; 0 while that is not known.
    """

    __slots__ = ("_dead", "_kept", "_needed", "expected")

    def __init__(self) -> None:
        """Begin at the start of a frame."""
        self._kept = bytearray()
        self._needed = 0  # It is of no use to look again while fewer bytes than these are kept.
        self.expected = 0
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
            if len(kept) < self._needed:
                return []
            source = bytes(kept)
        else:
            source = as_bytes(data)
        items: list[Any] = []
        self._needed = self.expected = 0
        try:
            end = self._cut(source, items)
        except errors.FramingError as error:
            self._dead = error.reason
            self._kept = bytearray()
            raise
        if end < len(source):
            self._kept = bytearray(memoryview(source)[end:])
        elif kept:
            kept.clear()
        return items

    @abstractmethod
    def _cut(self, source: bytes, items: list[Any]) -> int:
        """Append the items of the whole frames in `source`, and return where the last one ends.

        Sets `_needed` and `expected` for the frame that begins there. Raises FramingError with
        `items` in it.
        """


def broken_off(decoder: Decoder) -> str:
    """Say what is missing of the frame that `decoder` has begun; "" if it has begun none."""
    came = decoder.pending
    if not came:
        return ""
    expected = getattr(decoder, "expected", 0)
    if not expected:
        return f"the last frame broke off after {came} bytes"
    return f"the last frame broke off: {came} of its {expected} bytes came"


def as_bytes(buffer: Buffer) -> bytes:
    """Return `buffer` itself if it is bytes already, else a copy of its bytes.

    Raises:
        TypeError: It is no buffer.
    """
    return buffer if type(buffer) is bytes else bytes(memoryview(buffer))


def check(holds: bool, text: str) -> None:
    """Refuse with InvalidParameter (87) and this text unless it `holds`."""
    if not holds:
        raise errors.refused(statuses.ERROR_INVALID_PARAMETER, text)


def check_max_frame(max_frame: int, least: int) -> None:
    """Refuse a limit that no frame could keep, or that no machine word holds."""
    check(
        least <= max_frame <= LARGEST_FRAME,
        f"max_frame is {max_frame}: give {least} to {LARGEST_FRAME} bytes, the header included",
    )


def check_fits(framing: Framing, length: int) -> None:
    """Refuse to encode a frame of `length` bytes that the peer would refuse."""
    check(
        length <= framing.max_frame,
        f"cannot encode a frame of {length} bytes: max_frame is {framing.max_frame};"
        " send less at once, or raise it on both sides",
    )
