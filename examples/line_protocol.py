"""A line protocol: a small store of keys, for nc and scripts.

SET key value       OK
GET key             VALUE value, or NONE
WATCH key           OK, and from then on: CHANGED key value
QUIT                BYE, and the end
"""

import sys
import threading

import proactor
from proactor import DelimiterFraming, Group, Session

store = {}
watchers = {}
lock = threading.Lock()  # Both are shared by all sessions, which run in several workers.


class Line(Session):
    framing = DelimiterFraming(b"\n", 4096)

    def on_packet(self, line):
        name, *words = line.decode(errors="replace").split(maxsplit=2) or [""]
        command = getattr(self, "do_" + name.lower(), None)
        try:
            answer = command(*words) if command else f"ERROR no such command: {name}"
        except TypeError:
            answer = f"ERROR wrong number of words for {name}"
        self.send(answer.encode())
        if answer == "BYE":
            self.close()  # Politely: the answer still arrives.

    def do_set(self, key, value):
        with lock:
            store[key] = value
            group = watchers.get(key)
        if group is not None:
            group.broadcast(f"CHANGED {key} {value}".encode(), exclude=self)
        return "OK"

    def do_get(self, key):
        value = store.get(key)
        return "NONE" if value is None else f"VALUE {value}"

    def do_watch(self, key):
        with lock:
            watchers.setdefault(key, Group()).add(self)
        return "OK"

    def do_quit(self):
        return "BYE"


if __name__ == "__main__":
    proactor.serve(
        Line,
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 7777,
        idle_timeout=300,
        max_per_address=100,
        drain_timeout=1,
        ready=lambda server: print("lines on port", server.address[1], flush=True),
    )
