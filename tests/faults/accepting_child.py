"""Accepts while the process has no descriptor left, and goes on when it has again.

The parent connects; lines on the standard input lead through the parts. What was seen is printed as
JSON: the numbers of failures, what it cost to wait, and how many clients were served in the end.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from typing import Any

from proactor import CompletionPort, Overlapped, OverlappedSocket

QUIET = 0.4


def descriptors() -> int:
    """Return how many descriptors are open."""
    return len(os.listdir("/proc/self/fd")) - 1


def limit(count: int) -> None:
    """Allow `count` descriptors; what is open stays."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )


def accept(listener: OverlappedSocket, report: dict[str, Any]) -> bool:
    """Start an accept; a refusal is written down."""
    try:
        listener.accept(Overlapped())
    except OSError as error:
        report["refusals"].append(getattr(error, "winerror", error.errno))
        return False
    return True


def collect(port: CompletionPort, due: int, report: dict[str, Any], seconds: float) -> list[Any]:
    """Take what comes of `due` accepts within `seconds`."""
    accepted, deadline = [], time.monotonic() + seconds
    while due and (packet := port.get(max(0, deadline - time.monotonic()))) is not None:
        due -= 1
        if packet.error is None:
            accepted.append(packet.overlapped.accepted)
        else:
            report["failures"].append(packet.error.winerror)
    report["due"] = due
    return accepted


def main() -> None:
    """Run the parts."""
    report: dict[str, Any] = {"refusals": [], "failures": []}
    plain = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener, port = OverlappedSocket.adopt(plain), CompletionPort(4)
    port.attach(listener)
    port.get(0)
    print(listener.getsockname()[1], flush=True)

    due = sum(accept(listener, report) for _ in range(4))
    number = max(int(name) for name in os.listdir("/proc/self/fd"))
    while descriptors() <= number:  # No gaps below the limit, so that it counts.
        os.dup(0)
    limit(number + 3)
    print("limited", flush=True)
    sys.stdin.readline()  # The clients have connected.
    began = time.process_time()
    accepted = collect(port, due, report, QUIET)
    due = report["due"] + sum(accept(listener, report) for _ in range(2))
    accepted += collect(port, due, report, QUIET)
    report["cpu"] = time.process_time() - began
    report["within the limit"] = len(accepted)

    limit(256)
    clients = int(sys.stdin.readline() or "0")
    due = report["due"]
    while len(accepted) < clients and (due or accept(listener, report)):
        accepted += collect(port, due or 1, report, 5)
        due = report["due"]
    for sock in accepted:
        sock.send(b"served")
        sock.close()
    report["accepted"] = len(accepted)
    print(json.dumps(report), flush=True)
    listener.close()
    port.close()


if __name__ == "__main__":
    main()
