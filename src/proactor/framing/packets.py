"""Packets: frames with a size and an id, as game protocols have them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from proactor.framing.base import (
    BufferedDecoder,
    BuiltInFraming,
    FrameFault,
    FramingKind,
    as_bytes,
    check,
    check_fits,
    check_max_frame,
)
from proactor.framing.sized import WIDTHS, check_byteorder

if TYPE_CHECKING:
    from typing_extensions import Buffer

_encoding = threading.Lock()
"""Held while a packet that has no frame yet gets one."""


class Packet:
    """A message with an id. It does not change; share one among as many streams as you like.

    Args:
        id: The number that says what the body means.
        body: Any bytes; they are copied, unless they are `bytes`.
        framing: Encode it for this framing at once. None: when it is first sent, and then kept.

    Raises:
        InvalidParameter: `framing` cannot encode it (87).

    Attributes:
        id: As given.
        framing: What it is encoded for; None: for nothing yet.
        frame: The whole frame, its header included; while `framing` is None, a tuple with the
            body in it.
    """

    # The native engine fills these slots itself. Whoever finds `framing` set finds the frame in
    # `frame`: it is written first.
    __slots__ = ("frame", "framing", "id")
    __hash__: ClassVar[None]  # type: ignore[assignment]  # As of everything with `==` alone.

    id: int
    frame: bytes | tuple[bytes]
    framing: PacketFraming | None

    def __init__(self, id: int, body: Buffer = b"", framing: PacketFraming | None = None) -> None:
        """Keep the body, or make the frame."""
        self.id = id
        self.frame = (as_bytes(body),)
        self.framing = None
        if framing is not None:
            framing.encode(self)

    @property
    def body(self) -> bytes:
        """The bytes after the header."""
        frame = self.frame
        if isinstance(frame, tuple):
            return frame[0]
        framing = self.framing
        if framing is None:  # Another thread is just encoding it.
            with _encoding:
                framing = self.framing
        assert framing is not None
        return frame[framing.header_bytes :]

    def __len__(self) -> int:
        return len(self.body)

    def __bool__(self) -> bool:
        return True  # One without a body is a message all the same.

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return self.id == other.id and self.body == other.body

    def __repr__(self) -> str:
        body = self.body
        shown = repr(body) if len(body) <= 32 else f"{body[:32]!r}... {len(body)} bytes"
        return f"<Packet {self.id} {shown}>"


@dataclass(frozen=True)
class PacketFraming(BuiltInFraming):
    """A size, an id, and the body. Items are `Packet`.

    A packet that came by this framing, or was encoded for it, is sent as it is; so for frames that
    look otherwise, subclass `Framing`, not this one.

    Args:
        max_frame: Bytes of the longest frame, header included.
        size_bytes: Bytes of the size: 1, 2, 3, 4 or 8.
        id_bytes: Bytes of the id, which follows the size: 1, 2, 3, 4 or 8.
        byteorder: "little" or "big", of both.
        size_includes_header: True: the size counts the whole frame. False: the body alone.

    Raises:
        InvalidParameter: A number is out of range (87).
    """

    max_frame: int = 65535
    size_bytes: int = field(default=2, kw_only=True)
    id_bytes: int = field(default=2, kw_only=True)
    byteorder: Literal["little", "big"] = field(default="little", kw_only=True)
    size_includes_header: bool = field(default=True, kw_only=True)
    header_bytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("size_bytes", "id_bytes"):
            width = getattr(self, name)
            check(width in WIDTHS, f"{name} is {width}: give one of {WIDTHS}")
        check_byteorder(self.byteorder)
        object.__setattr__(self, "header_bytes", self.size_bytes + self.id_bytes)
        check_max_frame(self.max_frame, self.header_bytes)

    def decoder(self) -> PacketDecoder:
        """Return a decoder whose items are packets."""
        return PacketDecoder(self)

    def encode(self, item: Packet, /) -> bytes:
        """Return the frame of `item`, which keeps it if it had none.

        Raises:
            InvalidParameter: The frame would be too long, or its size or id does not fit into its
                field (87).
            TypeError: It is no `Packet`.
        """
        if not isinstance(item, Packet):
            raise TypeError(
                f"cannot encode a {type(item).__name__}: give a Packet, or send bytes that are a"
                " whole frame as they are"
            )
        if item.framing is self:
            assert isinstance(item.frame, bytes)
            return item.frame
        if item.framing is not None:
            return self._frame_of(item.id, item.body)
        with _encoding:
            if item.framing is None:
                assert isinstance(item.frame, tuple)
                item.frame = self._frame_of(item.id, item.frame[0])
                item.framing = self
        return PacketFraming.encode(self, item)

    def _frame_of(self, id: int, body: bytes) -> bytes:
        total = self.header_bytes + len(body)
        check_fits(self, total)
        size = total if self.size_includes_header else len(body)
        for name, number, width in (("size", size, self.size_bytes), ("id", id, self.id_bytes)):
            check(
                0 <= number < 1 << 8 * width,
                f"cannot encode packet {id}: its {name} is {number}, and the field of {width} bytes"
                f" holds 0 to {(1 << 8 * width) - 1}",
            )
        order = self.byteorder
        return size.to_bytes(self.size_bytes, order) + id.to_bytes(self.id_bytes, order) + body

    def _reason(self, fault: FrameFault, detail: int) -> str:
        counts = "the whole frame" if self.size_includes_header else "the body alone"
        says = f"the size says {detail} bytes for {counts}"
        if fault is FrameFault.TOO_LONG:
            return f"{says}: the limit of a whole frame is {self.max_frame}"
        if fault is FrameFault.TOO_SHORT:
            return f"{says}: its header alone has {self.header_bytes}"
        return super()._reason(fault, detail)

    def _parameters(self) -> dict[str, int | bytes]:
        return {
            "kind": FramingKind.PACKET,
            "max_frame": self.max_frame,
            "length_bytes": self.size_bytes,
            "id_bytes": self.id_bytes,
            "big_endian": int(self.byteorder == "big"),
            "includes_header": int(self.size_includes_header),
        }


class PacketDecoder(BufferedDecoder):
    """Cuts packets by their size."""

    __slots__ = ("_framing",)

    def __init__(self, framing: PacketFraming) -> None:
        """Begin at the start of a frame."""
        super().__init__()
        self._framing = framing

    def _cut(self, source: bytes, items: list[Any]) -> int:
        framing = self._framing
        width, header, order = framing.size_bytes, framing.header_bytes, framing.byteorder
        plus = 0 if framing.size_includes_header else header
        start, count, limit = 0, len(source), framing.max_frame
        while count - start >= width:
            size = int.from_bytes(source[start : start + width], order)
            total = size + plus
            if not header <= total <= limit:
                fault = FrameFault.TOO_SHORT if total < header else FrameFault.TOO_LONG
                raise framing.error_of(fault, size, items)
            end = start + total
            if end > count:
                self._needed = self.expected = total
                return start
            packet = Packet.__new__(Packet)
            packet.id = int.from_bytes(source[start + width : start + header], order)
            packet.frame = source[start:end]
            packet.framing = framing
            items.append(packet)
            start = end
        self._needed = width
        return start
