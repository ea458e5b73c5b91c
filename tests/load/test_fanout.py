"""Fan-out traffic: everybody gets everything once, in the order of each sender, or it is told."""

from __future__ import annotations

import threading

import pytest

from proactor.load import Failure, FailureKind, Report
from tests.load.servers import HELLO, FanOutServer
from tests.support.sockets import LIMIT

SIZE = 40


def only_failure(report: Report) -> Failure:
    assert not report.is_right
    assert report.failed == 1
    return report.counts.first[0]


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("size", [12, 13, SIZE, 5000])
def test_each_member_gets_each_frame(run, opened, size, depth):
    server = opened(FanOutServer(size))

    report = run(server.port, kind="fanout", size=size, depth=depth, messages=20, connections=4)

    assert report.is_right, report.failures()
    assert (report.counts.sent, report.counts.messages) == (20, 80)
    assert report.latencies.recorded == 80


@pytest.mark.parametrize("depth", [1, 8])
def test_a_sender_may_be_left_out(run, opened, depth):
    server = opened(FanOutServer(SIZE, others_only=True))

    report = run(
        server.port, kind="fanout", size=SIZE, depth=depth, messages=20, connections=4,
        others_only=True,
    )  # fmt: skip

    assert report.is_right, report.failures()
    assert (report.counts.sent, report.counts.messages) == (20, 60)


def test_a_server_that_lets_members_in_by_their_first_frame_is_spoken_to_again(run, opened):
    server = opened(FanOutServer(SIZE, first_lets_in=True))

    assert run(server.port, kind="fanout", size=SIZE, messages=20).is_right


def test_a_frame_that_one_member_never_gets_is_found_by_the_next_one(run, opened):
    def skip(member: int, sender: int, number: int, frame: bytes) -> list[bytes]:
        return [] if (member, sender, number) == (2, 1, 3) else [frame]

    server = opened(FanOutServer(SIZE, skip))

    report = run(server.port, kind="fanout", size=SIZE, depth=8, messages=60)

    failure = only_failure(report)
    assert failure.kind is FailureKind.SKIPPED
    assert (failure.connection, failure.sender) == (2, 1)
    assert (failure.expected, failure.got) == (3, 4)
    assert "frame 4 of connection 1 came where its frame 3 was due" in failure.text(fans=True)


def test_a_frame_that_nothing_follows_is_silence_of_the_member_that_lacks_it(run, opened):
    # Goal: who waits is the sender, who is at fault is the member that the frame has not reached.
    def skip(member: int, sender: int, number: int, frame: bytes) -> list[bytes]:
        return [] if (member, sender, number) == (2, 1, 0) else [frame]

    server = opened(FanOutServer(SIZE, skip))

    report = run(server.port, kind="fanout", size=SIZE, messages=60, timeout=0.3)

    failure = only_failure(report)
    assert (failure.kind, failure.connection, failure.sender) == (FailureKind.SILENT, 2, 1)
    assert failure.number == 0
    assert report.counts.missing >= 1
    assert report.counts.sent == 60, "the others go on without it"


def test_a_frame_that_comes_twice_is_told(run, opened):
    def double(member: int, sender: int, number: int, frame: bytes) -> list[bytes]:
        return [frame, frame] if (member, sender, number) == (0, 2, 1) else [frame]

    server = opened(FanOutServer(SIZE, double))

    failure = only_failure(run(server.port, kind="fanout", size=SIZE, depth=4, messages=60))

    assert failure.kind is FailureKind.REPEATED
    assert (failure.connection, failure.sender, failure.got, failure.expected) == (0, 2, 1, 2)


def test_frames_of_one_sender_in_another_order_are_told(run, opened):
    held: list[bytes] = []

    def swap(member: int, sender: int, number: int, frame: bytes) -> list[bytes]:
        if (member, sender) == (1, 0) and number == 2:
            held.append(frame)
            return []
        return [frame, held.pop()] if (member, sender) == (1, 0) and held else [frame]

    server = opened(FanOutServer(SIZE, swap))

    failure = only_failure(run(server.port, kind="fanout", size=SIZE, depth=4, messages=60))

    assert (failure.kind, failure.expected, failure.got) == (FailureKind.SKIPPED, 2, 3)


@pytest.mark.parametrize(
    "place", [pytest.param(1, id="size"), pytest.param(2, id="id"), pytest.param(11, id="sender"),
              pytest.param(7, id="number"), pytest.param(12, id="body"), pytest.param(39, id="end")]
)  # fmt: skip
def test_one_wrong_bit_is_told_with_its_place(run, opened, place):
    def flip(member: int, sender: int, number: int, frame: bytes) -> list[bytes]:
        if (member, sender, number) == (1, 2, 1):
            return [frame[:place] + bytes([frame[place] ^ 0x40]) + frame[place + 1 :]]
        return [frame]

    server = opened(FanOutServer(SIZE, flip))

    failure = only_failure(run(server.port, kind="fanout", size=SIZE, depth=2, messages=60))

    assert failure.kind is FailureKind.WRONG
    assert (failure.connection, failure.position % SIZE) == (1, place)
    assert failure.got == failure.expected ^ 0x40


def test_a_frame_that_its_sender_should_not_get_is_surplus(run, opened):
    server = opened(FanOutServer(SIZE))

    report = run(server.port, kind="fanout", size=SIZE, messages=60, others_only=True)

    assert report.counts.failed[FailureKind.SURPLUS] >= 2


def test_a_member_that_the_server_drops_is_told_and_the_others_go_on(run, opened):
    class Dropping(FanOutServer):
        def _send_all(self, sender: int, count: int, frame: bytes) -> None:
            if (sender, count) == (1, 0):
                self.members.pop(sender).close()
            super()._send_all(sender, count, frame)

    server = opened(Dropping(SIZE))

    report = run(server.port, kind="fanout", size=SIZE, messages=60)

    assert report.failed == report.counts.failed[FailureKind.CLOSED] == 1
    assert report.counts.sent == 60


def test_members_whom_nobody_hears_are_silent(run, opened):
    class Mute(FanOutServer):
        def _send_all(self, sender: int, count: int, frame: bytes) -> None:
            return

    server = opened(Mute(SIZE))

    report = run(server.port, kind="fanout", size=SIZE, timeout=0.3)

    assert report.counts.failed[FailureKind.SILENT] == 3
    assert "nobody has seen its greeting in time" in report.failures()[0]


def test_greetings_become_rarer_while_a_server_is_slow_with_them(run, opened):
    # Goal: each goes to everybody, so a server of hundreds that is given one every 50 ms by each
    # falls behind for ever.
    counts: dict[int, int] = {}

    class Slow(FanOutServer):
        def _send_all(self, sender: int, count: int, frame: bytes) -> None:
            counts[sender] = counts.get(sender, 0) + 1

    server = opened(Slow(SIZE))

    run(server.port, kind="fanout", size=SIZE, timeout=0.75)

    # At once, then at 50, 100, 200 and 400 ms; without pauses that grow there would be 15.
    assert 3 <= max(counts.values()) <= 6


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("others_only", [False, True])
def test_the_account_is_right_after_members_have_left(run, opened, depth, others_only):
    # Goal: nobody awaits what those who left would have got or sent, so the run ends at its end.
    # Method: each is dropped for its first frame, and until both have been, no later one is passed
    # on. Otherwise, where a thread of the server is late, a first frame can be the last of the run,
    # which ends before the load has seen that its sender is gone.
    dropped: set[int] = set()

    class Dropping(FanOutServer):
        def _send_all(self, sender: int, count: int, frame: bytes) -> None:
            if sender in (1, 3) and count == 0:
                self.members.pop(sender).close()
                dropped.add(sender)
                both_dropped.notify_all()
            elif count not in (0, HELLO):
                both_dropped.wait_for(lambda: len(dropped) == 2, LIMIT)
            super()._send_all(sender, count, frame)

    server = opened(Dropping(SIZE, others_only=others_only))
    both_dropped = threading.Condition(server.lock)

    report = run(
        server.port, kind="fanout", size=SIZE, depth=depth, connections=5, messages=200,
        others_only=others_only, timeout=30.0, duration=30.0,
    )  # fmt: skip

    assert report.failed == report.counts.failed[FailureKind.CLOSED] == 2
    assert report.seconds < 20
    assert (report.counts.sent, report.counts.outstanding) == (200, 0)


def test_who_was_greeted_is_not_silent_while_others_are_still_opened(run, opened):
    server = opened(FanOutServer(SIZE))

    report = run(server.port, kind="fanout", size=SIZE, ramp=0.6, timeout=0.2, messages=10)

    assert report.is_right, report.failures()
