"""An echo server on the server core, in ten lines; try it with nc 127.0.0.1 7777."""

import sys

import proactor


class Echo(proactor.Session):
    def on_received(self, received):
        self.send(received)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 7777
proactor.serve(Echo, port=port, drain_timeout=1, ready=lambda s: print(s.address[1], flush=True))
