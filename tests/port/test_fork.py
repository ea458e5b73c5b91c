"""A forked child: its parent's objects refuse it, it makes its own, the parent is undisturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import proactor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SOURCE = Path(proactor.__file__).parents[1]

# Runs in a process of its own: a fork of the test runner would take its threads and its output
# along. The child writes what it saw to a pipe, as JSON, and leaves by os._exit or by its end.
PRELUDE = """
import gc, json, os, socket, sys, threading
import proactor
from proactor import *

def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.settimeout(10)
    return OverlappedSocket.adopt(server), client

def outcome(call):
    try:
        call()
    except proactor.ProactorError as error:
        return [type(error).__name__, error.winerror]
    except BaseException as error:
        return [type(error).__name__, str(error)]
    return None

def in_child(function):
    # Returns what `function` returns in a forked child, once that has ended.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            result = function()
        except BaseException as error:
            result = "the child failed: %r" % error
        with open(writing, "w") as pipe:
            json.dump(result, pipe)
        return None
    os.close(writing)
    with open(reading) as pipe:
        result = json.load(pipe)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    return result

def echo_through_a_port():
    with CompletionPort() as own:
        sock, peer = pair()
        with sock, peer:
            own.attach(sock, "own")
            sock.recv(bytearray(8), Overlapped())
            peer.sendall(b"hello")
            packet = own.get(10)
            return [packet.key, packet.result()]

port, event, queue = CompletionPort(), Event(), MessageQueue()
ours, peer = pair()
port.attach(ours, "parent")
buffer = bytearray(8)
ours.recv(buffer, Overlapped())
"""

POSTLUDE = """
if seen is not None:  # The parent: its receive is still pending, and all of its things work.
    peer.sendall(b"hello")
    packet = port.get(10)
    event.set()
    port.post("posted")
    works = [packet.key, packet.result(), event.wait(0), port.get(10).key, echo_through_a_port()]
    print(json.dumps([seen, works]))
    for resource in (ours, port, event, queue):
        resource.close()
    peer.close()
"""

PARENT_WORKS = ["parent", 5, True, "posted", ["own", 5]]


def seen_in_child(body: str) -> Any:
    """Run `body`, a function named `child`, in a fork; return what it saw."""
    code = PRELUDE + body + "\nseen = in_child(child)\n" + POSTLUDE
    path = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    ended = subprocess.run(
        # Python warns of a fork in a process with threads, which an engine may have.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=40,
        stdin=subprocess.DEVNULL,
    )
    assert ended.stderr == ""
    assert ended.returncode == 0
    seen, works = json.loads(ended.stdout)
    assert works == PARENT_WORKS
    return seen


def test_every_object_of_the_parent_refuses_the_child() -> None:
    seen = seen_in_child(
        """
def child():
    fresh = OverlappedSocket()
    calls = {
        "get": lambda: port.get(0),
        "get_many": lambda: port.get_many(1, 0, alertable=True),
        "post": lambda: port.post("lost"),
        "attach": lambda: port.attach(fresh),
        "recv": lambda: ours.recv(bytearray(8)),
        "recv overlapped": lambda: ours.recv(bytearray(8), Overlapped()),
        "send": lambda: ours.send(b"stray"),
        "cancel": lambda: ours.cancel(),
        "select": lambda: select([ours], timeout=0),
        "event_select": lambda: event_select(ours, Event(), FD_READ),
        "event.set": lambda: event.set(),
        "event.wait": lambda: event.wait(0),
        "queue.get": lambda: queue.get(0),
    }
    seen = {name: outcome(call) for name, call in calls.items()}
    fresh.close()
    return seen
"""
    )

    assert {name: result and result[0] for name, result in seen.items()} == dict.fromkeys(
        seen, "ForkedError"
    )
    assert {result[1] for result in seen.values()} == {6}


def test_a_child_makes_its_own_port_and_uses_it() -> None:
    assert seen_in_child("child = echo_through_a_port") == ["own", 5]


def test_a_child_that_closes_what_it_inherited_leaves_the_parents_alone() -> None:
    seen = seen_in_child(
        """
def child():
    return [outcome(resource.close) for resource in (ours, port, event, queue, peer)]
"""
    )

    assert seen == [None] * 5


def test_a_child_that_drops_what_it_inherited_leaves_the_parents_alone() -> None:
    seen = seen_in_child(
        """
def child():
    global ours, port, event, queue, peer
    import warnings
    warnings.simplefilter("ignore")
    del ours, port, event, queue, peer
    gc.collect()
    return echo_through_a_port()
"""
    )

    assert seen == ["own", 5]


def test_apcs_that_were_queued_in_the_parent_do_not_run_in_the_child() -> None:
    seen = seen_in_child(
        """
ran = []
queue_user_apc(threading.current_thread(), ran.append, "parent's")

def child():
    woken = sleep_ex(0)
    queue_user_apc(threading.current_thread(), ran.append, "child's")
    return [woken, sleep_ex(0), ran]
"""
    )

    assert seen == [False, True, ["child's"]]
