"""Signals during waits: Ctrl-C ends one and leaves all usable, a handled signal does not end it."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    Event,
    Overlapped,
    OverlappedSocket,
    queue_user_apc,
    select,
    sleep_ex,
    wait_for_multiple_events,
)
from tests.support.packets import take
from tests.support.sockets import LIMIT, PeerPair
from tests.support.streams import InThread

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no signal that one can send to oneself"
)

WAITS: dict[str, Callable[[CompletionPort, Event, OverlappedSocket], Any]] = {
    "get": lambda port, event, sock: port.get(LIMIT),
    "get_many alertable": lambda port, event, sock: port.get_many(4, LIMIT, alertable=True),
    "event": lambda port, event, sock: event.wait(LIMIT),
    "events": lambda port, event, sock: wait_for_multiple_events([event], timeout=LIMIT),
    "sleep_ex": lambda port, event, sock: sleep_ex(LIMIT),
    "select": lambda port, event, sock: select([sock], timeout=LIMIT),
    "recv": lambda port, event, sock: sock.recv(bytearray(8)),
}


@pytest.fixture
def handled() -> Iterator[Callable[[Callable[[], None]], None]]:
    """``handled(call)`` makes `call` the handler of SIGUSR1."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda call: signal.signal(signal.SIGUSR1, lambda *_: call()) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture(params=[False, True], ids=["alone", "beside another that waits"])
def company(request: pytest.FixtureRequest, in_thread: InThread) -> Iterator[None]:
    """Let the thread of the test wait alone, and beside one that waits at another port.

    An engine may let one of its waiting threads do more than the others.
    """
    if not request.param:
        yield
        return
    with CompletionPort() as other:
        waiting = in_thread(other.get)
        yield
        other.post("end")
        assert waiting.result().key == "end"


def kill_soon(number: int) -> None:
    """Send this process the signal when it probably waits; before that is right, too."""
    timer = threading.Timer(0.03, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_ends_a_wait_at_once_and_everything_goes_on(
    port: CompletionPort, peer_pair: PeerPair, name: str
) -> None:
    ours, peer = peer_pair
    with Event() as event:
        begin = time.monotonic()

        with pytest.raises(KeyboardInterrupt):
            kill_soon(signal.SIGINT)
            WAITS[name](port, event, ours)

        assert time.monotonic() - begin < LIMIT - 1.0
        port.attach(ours, "key")
        ours.recv(bytearray(8), Overlapped())
        peer.sendall(b"hello")
        packet = take(port)
        assert (packet.key, packet.result()) == ("key", 5)
        event.set()
        assert event.wait(0)
        queue_user_apc(threading.main_thread(), int)
        assert sleep_ex(LIMIT)


@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_in_the_moment_before_a_wait_is_heeded_a_little_later(
    port: CompletionPort, peer_pair: PeerPair, name: str
) -> None:
    # Method: another thread notes the interrupt, as the C handler does, and interrupts no system
    # call: as if it had come between the interpreter's last look and the call that waits.
    with Event() as event:
        begin = time.monotonic()
        timer = threading.Timer(0.05, _thread.interrupt_main)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            WAITS[name](port, event, peer_pair[0])

        assert time.monotonic() - begin < LIMIT / 2
    timer.join()


NOTED_BY_ANOTHER = """
import _thread, threading, time, proactor

main = threading.current_thread()
other = threading.Thread(target=proactor.queue_user_apc, args=[main, int])
other.start()
other.join()
with proactor.CompletionPort() as port:
    began = time.monotonic()
    threading.Timer(0.05, _thread.interrupt_main).start()
    try:
        port.get(LIMIT)
    except KeyboardInterrupt:
        print(time.monotonic() - began < LIMIT / 2)
"""


def test_it_is_heeded_also_where_another_thread_was_the_first_to_speak_of_the_main_one():
    # Goal: which thread is the main one is asked in it, not in the one that made its record.
    program = NOTED_BY_ANOTHER.replace("LIMIT", str(LIMIT))
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=2 * LIMIT
    )

    assert (result.stdout, result.stderr) == ("True\n", "")


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("name", [name for name in WAITS if name != "recv"])
def test_a_signal_that_is_handled_does_not_end_a_wait(
    port: CompletionPort, peer_pair: PeerPair, handled: Any, name: str
) -> None:
    # Method: the handler itself makes what the wait waits for: the wait goes on, and ends by that.
    ours, peer = peer_pair
    with Event() as event:

        def make_it_happen() -> None:
            port.post("from the handler")
            event.set()
            peer.sendall(b"hello")
            if name == "sleep_ex":
                queue_user_apc(threading.main_thread(), int)

        handled(make_it_happen)
        kill_soon(signal.SIGUSR1)

        assert WAITS[name](port, event, ours)


def test_a_handler_may_post_at_any_moment(port: CompletionPort, handled: Any) -> None:
    # Goal: SIGTERM stops a pool by posting packets; the signal may come inside any call of ours.
    # Method: signals come as fast as they can while this thread posts, takes and waits.
    posted = taken = 0

    def post() -> None:
        nonlocal posted
        posted += 1
        port.post("from the handler")

    handled(post)
    signal.signal(signal.SIGALRM, lambda *_: post())
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    end = time.monotonic() + 0.4
    own = 0
    while time.monotonic() < end:
        port.post("own")
        own += 1
        taken += len(port.get_many(8, 0.001))
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while packets := port.get_many(64, 0):
        taken += len(packets)

    assert posted > 20
    assert taken == posted + own
