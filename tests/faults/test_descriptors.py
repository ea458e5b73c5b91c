"""Descriptors that run out, and numbers that are used again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from proactor import CompletionPort, Overlapped, OverlappedSocket
from tests.differential.engines import environment, native_engines
from tests.faults.compiling import ROOT
from tests.support.sockets import plain_client, plain_listener, plain_pair, read_to_end

if sys.platform != "linux":
    pytest.skip("descriptors are counted as Linux counts them", allow_module_level=True)

CLIENTS = 6
NO_DESCRIPTOR = {4, 10024}  # ERROR_TOO_MANY_OPEN_FILES at a port, WSAEMFILE in a call.


@pytest.mark.parametrize("engine", ["selectors", *native_engines()])
def test_without_descriptors_accepts_fail_and_go_on_when_there_are_some_again(engine: str) -> None:
    # Goal: an accept without a descriptor fails with a number that says so, costs no CPU, and
    # loses no client. Method: a child lowers its limit below what six clients need.
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.accepting_child"],
        cwd=ROOT,
        env=environment(engine),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        address = ("127.0.0.1", int(child.stdout.readline()))
        assert child.stdout.readline() == "limited\n"
        clients = [plain_client(address) for _ in range(CLIENTS)]
        child.stdin.write(f"connected\n{CLIENTS}\n")
        child.stdin.flush()
        report = json.loads(child.stdout.readline())
        answers = [read_to_end(client) for client in clients]
        for client in clients:
            client.close()

    assert 1 <= report["within the limit"] < CLIENTS, report
    assert {*report["failures"], *report["refusals"]} <= NO_DESCRIPTOR, report
    assert report["failures"] or report["refusals"], report
    assert report["cpu"] < 0.2, report
    assert report["accepted"] == CLIENTS and answers == [b"served"] * CLIENTS, report


def test_no_packet_of_a_dead_socket_reaches_one_with_its_number() -> None:
    # Goal: generations. Method: sockets are closed with packets queued and receives in flight, and
    # their numbers go to the next ones at once; each packet must bear its own key and bytes.
    rounds, seen = 300, set()
    with CompletionPort(8) as port:
        for generation in range(rounds):
            server, client = plain_pair()
            sock = OverlappedSocket.adopt(server)
            seen.add(sock.fileno())
            port.attach(sock, generation)
            text = generation.to_bytes(4, "big")
            done, pending = bytearray(4), bytearray(4)
            client.sendall(text)
            started = [Overlapped((generation, done)), Overlapped((generation, pending))]
            sock.recv(done, started[0])
            sock.recv(pending, started[1])
            if generation % 3 == 0:
                client.sendall(text)  # It may reach the second receive, or the close comes first.
            client.close()
            if generation % 2:
                sock.close()
            else:
                sock.abort()
            del sock
        batch = port.get_many(10_000, 5)
        while len(batch) < 2 * rounds and (more := port.get_many(10_000, 5)):
            batch += more

    assert len(seen) < rounds / 4, "the numbers were not used again: nothing was tested"
    assert len(batch) == 2 * rounds
    for packet in batch:
        generation, buffer = packet.overlapped.owner
        assert packet.key == generation
        assert not packet.overlapped.is_in_flight
        text = generation.to_bytes(4, "big")
        assert buffer[: packet.transferred] == text[: packet.transferred]
        assert not any(buffer[packet.transferred :])


def test_a_listener_whose_number_is_used_again_leaves_its_accepts_behind() -> None:
    with CompletionPort(8) as port:
        for generation in range(100):
            listener = OverlappedSocket.adopt(plain_listener())
            port.attach(listener, generation)
            listener.accept(Overlapped(generation))
            listener.close()
        packets = port.get_many(1000, 5)

    assert [(p.key, p.overlapped.owner) for p in packets] == [(n, n) for n in range(100)]
    assert all(packet.error is not None for packet in packets)
