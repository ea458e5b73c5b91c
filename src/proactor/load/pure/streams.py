"""What a connection sends, as a function of its number and the message: nothing is kept."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from proactor.load.plan import FRAME, KINDS, STAMP

STRIDES: Final = 4096
HELLO: Final = 0xFFFFFFFF
"""The number of a greeting in a fan-out."""

_STAMP: Final = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Stream:
    """The content of every message of a run.

    Attributes:
        size: Bytes in a message.
        header: The frame's header, or nothing.
    """

    size: int
    header: bytes
    noise: bytes

    @classmethod
    def of(cls, options: dict[str, Any]) -> Stream:
        """Return the stream that the options of a generator ask for."""
        size = options["size"]
        order = ">" if options["big_endian"] else "<"
        is_framed = KINDS[options["kind"]] != "echo"
        header = struct.pack(f"{order}HH", size, options["id"]) if is_framed else b""
        return cls(size, header, _noise(size + STRIDES))

    def message(self, sender: int, number: int) -> bytes:
        """Return one whole message."""
        prefix = self.header + _STAMP.pack(number & 0xFFFFFFFF, sender)
        start = sender * 61 % STRIDES
        return prefix[: self.size] + self.noise[start + len(prefix) : start + self.size]


def stamp_of(prefix: bytes) -> tuple[int, int]:
    """Return the number and the sender that the first bytes of a frame bear."""
    number, sender = _STAMP.unpack_from(prefix, FRAME)
    return number, sender


PREFIX: Final = FRAME + STAMP
"""Bytes of a frame of a fan-out before its body."""


def first_difference(one: bytes | memoryview, other: bytes | memoryview) -> int:
    """Return where two runs of bytes begin to differ, or the length of the shorter one."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _noise(count: int) -> bytes:
    """Return the bytes that `core/load.c` makes, by the same generator."""
    state = 2463534242
    noise = bytearray(count)
    for index in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        noise[index] = state & 0xFF
    return bytes(noise)
