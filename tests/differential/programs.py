"""Programs that Hypothesis writes: lists of steps for the interpreter."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SOCK = st.integers(0, 7)
THREAD = st.sampled_from([0, 0, 0, 1, 2])
HOW = st.sampled_from(["packet", "packet", "packet", "packet", "event", "silent", "routine"])
SIZE = st.sampled_from([0, 1, 3, 4, 4, 10, 60])
# Of a file: bytes before it, its offset and count, bytes after it. The first of them that sends at
# all fills what may be waiting to receive: how the rest is split is free.
PARTS = [
    [10, 6000, 0, 0],
    [0, 0, 0, 60],
    [0, 100, 4900, 3],
    [0, 0, 7, 0],
    [0, 6000, 0, 4],
    [0, 6000, 0, 0],
]
SIZES = st.lists(SIZE, min_size=1, max_size=3)


def _step(do: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"do": st.just(do), **parts})


_RECV = _step("recv", sock=SOCK, sizes=SIZES, how=HOW, thread=THREAD)
_SEND = _step("send", sock=SOCK, sizes=SIZES, how=HOW, thread=THREAD)
_TAKE = _step("take", limit=st.integers(1, 5), timeout=st.sampled_from([0, 0, 0, 0.002]))

STEPS = st.one_of(
    _RECV,
    _RECV,
    _RECV,
    _SEND,
    _SEND,
    _SEND,
    _TAKE,
    _TAKE,
    _step("post", key=st.sampled_from(["red", "blue"]), count=st.integers(0, 9), thread=THREAD),
    _step("flood", sock=SOCK, how=HOW),
    _step("drain", sock=SOCK),
    _step("transmit", sock=SOCK, how=HOW, parts=st.sampled_from(PARTS)),
    _step("try_recv", sock=SOCK, size=SIZE),
    _step("try_send", sock=SOCK, size=SIZE),
    _step("cancel", sock=SOCK, op=st.none() | st.integers(0, 9), thread=THREAD),
    _step("cancel_own", sock=SOCK, thread=THREAD),
    _step("cancel_accepts"),
    _step("close", sock=SOCK, reset=st.booleans()),
    _step("shutdown", sock=SOCK, how=st.sampled_from([0, 1, 1, 2])),
    _step("disconnect", sock=SOCK, how=HOW, reuse=st.booleans()),
    _step("accept", first=st.sampled_from([0, 0, 4]), acceptor=st.booleans(), thread=THREAD),
    _step("dial", heard=st.sampled_from([True, True, False]), size=SIZE, thread=THREAD),
    _step("redial", sock=SOCK, size=SIZE),
    _step("wait"),
    _step("alertable", thread=THREAD),
    _step("end_thread", thread=st.sampled_from([1, 2])),
)

PROGRAMS = st.lists(STEPS, min_size=1, max_size=25)
