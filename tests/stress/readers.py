"""Clients that speak once and then read to the end: a process of their own.

    python -m tests.stress.readers PORT COUNT

It says ``connected``, begins to read when it is sent a line, and then says how they ended and how
many bytes each of them got, as JSON.
"""

from __future__ import annotations

import json
import sys

from proactor import Packet
from tests.server.serving import FRAMING, Crowd
from tests.support.system import allow_descriptors


def main() -> None:
    """Be them all."""
    port, count = map(int, sys.argv[1:])
    allow_descriptors(count + 100)
    crowd = Crowd(("127.0.0.1", port), count, FRAMING.encode(Packet(0)))
    print("connected", flush=True)
    sys.stdin.readline()
    crowd.read()
    crowd.wait(60)
    print(json.dumps({"ended": crowd.ended, "got": sorted(set(crowd.received.values()))}))


if __name__ == "__main__":
    main()
