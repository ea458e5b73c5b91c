"""Echo and framed traffic: what is right passes, and whatever is wrong is found and told."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from proactor.load import Failure, FailureKind, Report
from tests.load.servers import MessageServer
from tests.support.sockets import closed_address, plain_listener
from tests.support.system import has_ipv6

SIZE = 64


def only_failure(report: Report) -> Failure:
    assert not report.is_right
    assert report.failed == 1
    (failure,) = report.counts.first
    assert report.counts.failed[failure.kind] == 1
    assert report.failures() == [failure.text()]
    return failure


@pytest.mark.parametrize("depth", [1, 4, 64])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 1024, 100_000])
def test_each_message_of_a_right_echo_counts_once(run, opened, size, depth):
    server = opened(MessageServer(size))

    report = run(server.port, size=size, depth=depth, messages=60)

    assert report.is_right
    assert report.failures() == []
    assert (report.counts.messages, report.counts.sent, report.counts.unsent) == (60, 60, 0)
    assert report.latencies.recorded == 60
    assert sum(server.seen) == 60 + 3, "each connection greets once"
    assert 0 < report.latencies.quantile(0.5) <= report.latencies.maximum < 5


def test_messages_are_found_again_however_the_stream_is_cut(run, opened):
    # Method: messages of 9 bytes whose echo leaves 5 bytes at a time, cut within the stamp too.
    server = opened(MessageServer(9, part=5))

    assert run(server.port, size=9, depth=16, messages=60).is_right


def test_content_differs_between_connections_and_between_messages(run, opened):
    seen: set[bytes] = set()

    def keep(connection: int, message: int, content: bytes) -> bytes:
        seen.add(content)
        return content

    server = opened(MessageServer(SIZE, keep))

    assert run(server.port, size=SIZE, messages=30).is_right
    assert len(seen) == 33


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_a_frame_has_its_whole_size_and_its_id_at_its_head(run, opened, byteorder):
    heads: set[bytes] = set()

    def keep(connection: int, message: int, content: bytes) -> bytes:
        heads.add(content[:4])
        return content

    server = opened(MessageServer(36, keep))

    report = run(server.port, kind="framed", id=0x0102, byteorder=byteorder, messages=10)

    assert report.is_right
    assert heads == {struct.pack("<HH" if byteorder == "little" else ">HH", 36, 0x0102)}


def test_the_smallest_frame_has_a_header_alone(run, opened):
    server = opened(MessageServer(4))

    assert run(server.port, kind="framed", size=4, messages=10, depth=3).is_right


@pytest.mark.parametrize("kind", ["echo", "framed"])
@pytest.mark.parametrize("place", [0, 4, 12, SIZE - 1])
def test_one_wrong_bit_is_told_with_its_place(run, opened, kind, place):
    def flip(connection: int, message: int, content: bytes) -> bytes:
        wrong = bytearray(content)
        wrong[place] ^= 0x10 if (connection, message) == (1, 1) else 0
        return bytes(wrong)

    server = opened(MessageServer(SIZE, flip))

    report = run(server.port, kind=kind, size=SIZE, messages=60)

    failure = only_failure(report)
    assert failure.kind is FailureKind.WRONG
    assert failure.position == SIZE + place
    assert failure.got == failure.expected ^ 0x10
    assert f"byte {SIZE + place} of the replies is 0x{failure.got:02x}" in failure.text()
    assert report.counts.messages >= 30, "the others go on"


def test_a_wrong_byte_far_inside_a_large_message_is_told_with_its_place(run, opened):
    def flip(connection: int, message: int, content: bytes) -> bytes:
        if message == 2:
            return content[:80_000] + bytes([content[80_000] ^ 1]) + content[80_001:]
        return content

    server = opened(MessageServer(100_000, flip))

    failure = only_failure(run(server.port, size=100_000, connections=1, messages=5))

    assert (failure.kind, failure.position) == (FailureKind.WRONG, 280_000)


def test_a_reply_of_another_connection_is_wrong(run, opened):
    first: dict[int, bytes] = {}

    def mix(connection: int, message: int, content: bytes) -> bytes:
        if message == 0:
            first.setdefault(0, content)
        return first[0] if message == 0 else content

    server = opened(MessageServer(SIZE, mix))

    report = run(server.port, size=SIZE, messages=10)

    assert report.counts.failed[FailureKind.WRONG] == 2


@pytest.mark.parametrize("depth", [2, 4])
def test_a_lost_reply_is_found_by_the_next_one(run, opened, depth):
    server = opened(MessageServer(SIZE, lambda c, n, m: b"" if (c, n) == (0, 1) else m))

    failure = only_failure(run(server.port, size=SIZE, depth=depth, messages=60))

    assert (failure.kind, failure.position) == (FailureKind.WRONG, SIZE)


def test_a_lost_reply_that_nothing_follows_is_silence(run, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: b"" if (c, n) == (1, 1) else m))

    report = run(server.port, size=SIZE, messages=60, timeout=0.3)

    failure = only_failure(report)
    assert (failure.kind, failure.number, failure.connection) == (FailureKind.SILENT, 1, 1)
    assert report.counts.missing == 1
    assert "1 reply did not come in time, after 64 right bytes" in failure.text()


def test_a_reply_that_comes_twice_is_more_than_was_sent(run, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: m + m if (c, n) == (1, 1) else m))

    failure = only_failure(run(server.port, size=SIZE, messages=60))

    # The copy may come behind the next message, and then is a wrong reply to it.
    assert failure.kind in (FailureKind.SURPLUS, FailureKind.WRONG)
    assert failure.position >= 2 * SIZE


def test_a_copy_of_the_very_last_reply_is_found(run, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: m + b"x" if n == 5 else m))

    failure = only_failure(run(server.port, size=SIZE, connections=1, messages=5))

    assert (failure.kind, failure.position) == (FailureKind.SURPLUS, 6 * SIZE)


def test_replies_in_another_order_are_wrong(run, opened):
    held: list[bytes] = []

    def swap(connection: int, message: int, content: bytes) -> bytes:
        if message == 3:
            held.append(content)
            return b""
        return content + held.pop() if held else content

    server = opened(MessageServer(SIZE, swap))

    failure = only_failure(run(server.port, size=SIZE, connections=1, depth=4, messages=60))

    assert (failure.kind, failure.position) == (FailureKind.WRONG, 3 * SIZE)


def test_a_server_that_closes_early_is_told_and_the_others_go_on(run, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: None if (c, n) == (2, 1) else m))

    report = run(server.port, size=SIZE, messages=60)

    failure = only_failure(report)
    assert (failure.kind, failure.position) == (FailureKind.CLOSED, SIZE)
    assert failure.number in (0, errno.ECONNRESET)
    assert report.counts.missing == 1
    assert report.counts.messages >= 59


def test_a_server_that_never_answers_is_not_waited_for_forever(run, opened):
    server = opened(MessageServer(SIZE, lambda c, n, m: b""))

    report = run(server.port, size=SIZE, timeout=0.2, duration=60.0)

    assert not report.is_right
    assert report.counts.failed[FailureKind.SILENT] == 3
    assert (report.counts.messages, report.counts.missing, report.seconds) == (0, 3, 0)


def test_a_server_that_accepts_nobody_is_silent(run, opened):
    listener = opened(plain_listener())

    report = run(listener.getsockname()[1], timeout=0.2)

    assert report.counts.failed[FailureKind.SILENT] == 3


def test_nobody_listening_is_a_failure_and_not_zero_messages(run):
    report = run(closed_address()[1])

    assert not report.is_right
    assert report.counts.failed[FailureKind.REFUSED] == 3
    assert {failure.number for failure in report.counts.first} == {errno.ECONNREFUSED}
    assert "it cannot be opened: Connection refused" in report.failures()[0]


def test_only_the_first_failures_are_told_one_by_one_and_all_are_counted(run):
    report = run(closed_address()[1], connections=40)

    assert report.failed == 40
    assert len(report.failures()) == 16


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_a_server_may_have_an_address_of_ipv6(run, opened):
    server = opened(MessageServer(SIZE, family=socket.AF_INET6))

    assert run(server.port, host="::1", size=SIZE, messages=5).is_right


def test_a_server_that_reads_slowly_gets_all_and_nothing_is_wrong(run, opened):
    # Goal: short sends. Method: far more in flight than the socket buffers hold, read bit by bit.
    server = opened(MessageServer(300_000, part=20_000))

    report = run(server.port, size=300_000, depth=40, connections=1, messages=60, timeout=10.0)

    assert report.is_right, report.failures()
    assert report.counts.messages == 60


@pytest.mark.parametrize("size", [1, 9])
def test_a_piece_of_a_single_byte_is_compared_too(run, opened, size):
    # Method: the only byte of a message, and the only one behind the stamp.
    def flip(connection: int, message: int, content: bytes) -> bytes:
        return content[:-1] + bytes([content[-1] ^ 1]) if message == 2 else content

    server = opened(MessageServer(size, flip))

    failure = only_failure(run(server.port, size=size, connections=1, messages=5))

    assert (failure.kind, failure.position) == (FailureKind.WRONG, 3 * size - 1)
