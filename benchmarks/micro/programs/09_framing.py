"""9: frames a second, cut by the native core and by the decoders in Python, of the same bytes.

The native side does what a stream does with bytes that come: into the inbox, marked, taken, read.
Python's `feed` gives packets with their bytes, so its figure has their making in it; the native
side shows each frame where it lies. Both are checked, before anything is measured, to give the
same ids and bodies, byte for byte.
"""

from __future__ import annotations

import ctypes
import statistics
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from benchmarks.micro.beside_python import Words, python_main
from benchmarks.micro.building import loadable
from proactor.framing import Packet, PacketFraming

FRAMING = PacketFraming()
SLICES = 7
SLICE_SECONDS = 0.02


@dataclass(frozen=True)
class Traffic:
    """Frames of `size` bytes, header included, `count` of them, that come `piece` bytes a read."""

    size: int
    count: int
    piece: int
    bound: float


CASES = {
    "36 B, many a read": Traffic(36, 8000, 16384, 20),
    "1 KiB, many a read": Traffic(1024, 600, 16384, 12),
    "36 B, a byte a read": Traffic(36, 200, 1, 8),
    "64 KB, four reads each": Traffic(65535, 12, 16384, 1.5),
}
WORDS = Words(
    number="9",
    name="framing",
    title="frames a second that the native core cuts, against the decoders in Python",
    unit="x the frames of Python",
    parts_unit="frames a second of CPU time",
    choice="median",
    reason="a ratio of two noisy times is as often too low as too high",
    is_least=True,
    repeats=0,
)


def stream_of(traffic: Traffic) -> bytes:
    """Return the frames one behind the other, with ids and bodies that differ."""
    chance = Random(traffic.size)
    body = traffic.size - FRAMING.header_bytes
    packets = (
        Packet(chance.randrange(65536), chance.randbytes(body)) for _ in range(traffic.count)
    )
    return b"".join(FRAMING.encode(packet) for packet in packets)


def in_python(stream: bytes, piece: int) -> list[Packet]:
    """Return what a decoder makes of the stream."""
    decoder = FRAMING.decoder()
    items: list[Packet] = []
    for start in range(0, len(stream), piece):
        items += decoder.feed(stream[start : start + piece])
    return items


def recorded(packets: list[Packet]) -> bytes:
    """Return packets as the native side records them."""
    return b"".join(struct.pack("=QQ", one.id, len(one.body)) + one.body for one in packets)


def frames_a_second(cut: Callable[[], int], scale: float) -> float:
    """Return how many frames `cut` cuts in a second of CPU time; measured for one slice."""
    frames, began = 0, time.thread_time()
    while True:
        frames += cut()
        took = time.thread_time() - began
        if took >= SLICE_SECONDS * min(scale, 1):
            return frames / took


def run(name: str, scale: float) -> tuple[float, dict[str, float]]:
    """Compare both on one case; return the ratio, and the parts of it."""
    traffic = CASES[name]
    stream = stream_of(traffic)
    cut_all = ctypes.CDLL(str(loadable("cutting"))).cut_all
    cut_all.restype = ctypes.c_uint64
    cut_all.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_char_p)

    record = ctypes.create_string_buffer(len(stream) + 16 * traffic.count)
    native_count = cut_all(stream, len(stream), traffic.piece, record)
    expected = recorded(in_python(stream, traffic.piece))
    if native_count != traffic.count or record.raw[: len(expected)] != expected:
        raise AssertionError(f"{name}: the native core does not cut what the decoder cuts")

    # Cut once, not in what is measured: they come as bytes of their own, from a receive.
    pieces = [
        stream[start : start + traffic.piece] for start in range(0, len(stream), traffic.piece)
    ]

    def native() -> int:
        return int(cut_all(stream, len(stream), traffic.piece, None))

    def python() -> int:
        decoder, frames = FRAMING.decoder(), 0
        for piece in pieces:
            frames += len(decoder.feed(piece))
        return frames

    rates: dict[Callable[[], int], list[float]] = {native: [], python: []}
    ways, chance = list(rates), Random()
    for _ in range(max(1, round(SLICES * scale))):
        chance.shuffle(ways)
        for way in ways:
            rates[way].append(frames_a_second(way, scale))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    parts = {"native": medians[native], "Python": medians[python]}
    return medians[native] / medians[python], parts


if __name__ == "__main__":
    cases = {name: traffic.bound for name, traffic in CASES.items()}
    sys.exit(python_main(WORDS, cases, run))
