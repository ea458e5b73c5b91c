"""Packets: what they keep before and after they are encoded, and for whom."""

import sys
import threading

import pytest

from proactor import errors
from proactor.framing import Packet, PacketFraming

LITTLE = PacketFraming()
BIG = PacketFraming(byteorder="big")


def test_a_packet_has_its_body_before_and_after_it_is_encoded() -> None:
    packet = Packet(7, b"abc")
    assert (packet.id, packet.body, len(packet), packet.framing) == (7, b"abc", 3, None)

    frame = LITTLE.encode(packet)

    assert frame == b"\7\0\7\0abc"
    assert (packet.id, packet.body, len(packet)) == (7, b"abc", 3)
    assert packet.framing is LITTLE
    assert packet.frame is frame


def test_a_packet_is_encoded_once() -> None:
    packet = Packet(7, b"abc")

    assert LITTLE.encode(packet) is LITTLE.encode(packet)


def test_a_packet_can_be_encoded_at_once() -> None:
    packet = Packet(7, b"abc", BIG)

    assert packet.framing is BIG
    assert packet.frame == b"\0\7\0\7abc"


def test_a_packet_of_another_framing_is_encoded_anew_and_keeps_its_own() -> None:
    packet = Packet(7, b"abc", BIG)

    assert LITTLE.encode(packet) == b"\7\0\7\0abc"
    assert packet.framing is BIG
    assert packet.frame == b"\0\7\0\7abc"


def test_packets_are_equal_by_id_and_body_and_not_by_framing() -> None:
    assert Packet(7, b"abc") == Packet(7, bytearray(b"abc"), BIG) == Packet(7, b"abc", LITTLE)
    assert Packet(7, b"abc") != Packet(8, b"abc")
    assert Packet(7, b"abc") != Packet(7, b"abd")
    assert Packet(7, b"abc") != b"abc"
    with pytest.raises(TypeError):
        hash(Packet(7))


def test_a_packet_shows_its_id_and_the_beginning_of_its_body() -> None:
    assert repr(Packet(7, b"abc")) == "<Packet 7 b'abc'>"
    assert repr(Packet(7, b"x" * 33, LITTLE)) == f"<Packet 7 {b'x' * 32!r}... 33 bytes>"


def test_a_packet_has_three_slots_and_no_more() -> None:
    assert sorted(Packet.__slots__) == ["frame", "framing", "id"]
    with pytest.raises(AttributeError):
        Packet(7).owner = None


def test_a_packet_without_a_body_is_true() -> None:
    assert Packet(7)
    assert len(Packet(7)) == 0


def test_a_body_that_changes_later_does_not_change_the_packet() -> None:
    body = bytearray(b"abc")
    packet = Packet(7, body)
    body[:] = b"xyz"

    assert packet.body == b"abc"


@pytest.mark.parametrize(
    ("framing", "packet", "words"),
    [
        (LITTLE, Packet(65536), "packet 65536: its id is 65536, and the field of 2 bytes"),
        (LITTLE, Packet(-1), "its id is -1"),
        (LITTLE, Packet(1, bytes(65532)), "65536 bytes: max_frame is 65535"),
        (PacketFraming(size_bytes=1), Packet(1, bytes(253)), "its size is 256"),
    ],
    ids=["id too large", "id below 0", "over the limit", "over the field"],
)
def test_a_packet_that_does_not_fit_is_refused_and_stays_as_it_was(framing, packet, words) -> None:
    body = packet.body
    with pytest.raises(errors.InvalidParameter, match=words):
        framing.encode(packet)

    assert packet.framing is None
    assert packet.body == body
    with pytest.raises(errors.InvalidParameter, match=words):
        Packet(packet.id, body, framing)


def test_bytes_are_no_packet() -> None:
    with pytest.raises(TypeError, match="cannot encode a bytes: give a Packet"):
        LITTLE.encode(b"abc")


class SlowId(int):
    """An id that takes its time to be encoded, the first time."""

    def __init__(self, number: int) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def to_bytes(self, *arguments, **named) -> bytes:
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(10)
        return int(self).to_bytes(*arguments, **named)


def test_who_encodes_a_packet_first_decides_what_it_keeps(in_thread) -> None:
    slow = SlowId(7)
    packet = Packet(slow, b"abc")
    first = in_thread(BIG.encode, packet)
    assert slow.begun.wait(10)

    second = in_thread(LITTLE.encode, packet)
    second.thread.join(0.1)
    assert second.is_running()
    assert packet.body == b"abc"
    slow.go_on.set()

    assert second.result(10) == b"\7\0\7\0abc"
    assert first.result(10) == packet.frame == b"\0\7\0\7abc"
    assert packet.framing is BIG


def test_a_packet_shared_by_threads_is_encoded_once_and_right_for_each(in_thread) -> None:
    # Method: two framings race for each packet, while the body is read.
    wrong: list[object] = []
    rounds = 300
    packets = [Packet(index, b"body") for index in range(rounds)]
    start = threading.Barrier(3)

    def encode(framing: PacketFraming, order: str) -> None:
        start.wait(10)
        for packet in packets:
            frame = framing.encode(packet)
            if frame != (8).to_bytes(2, order) + packet.id.to_bytes(2, order) + b"body":
                wrong.append(frame)

    def read() -> None:
        start.wait(10)
        wrong.extend(packet for packet in packets * 3 if packet.body != b"body")

    calls = [(encode, LITTLE, "little"), (encode, BIG, "big"), (read,)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for running in [in_thread(*call) for call in calls]:
            running.result(30)
    finally:
        sys.setswitchinterval(interval)

    assert wrong == []
