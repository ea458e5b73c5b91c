"""Our port driven from Python, with streams: `get_many` in a loop, `take`, one `send` a message.

    python -m benchmarks.peers.stream_port_echo [--workers N]

The receive is the stream's own and goes on by itself; its turn comes out of the port as a packet
whose key is the sink and whose overlapped is the stream.
"""

from __future__ import annotations

from benchmarks.peers.stream_echo import StreamEcho, serve, workers_asked_for


class StreamPortEcho(StreamEcho):
    """The same listener and streams, served by a loop of the user's own."""

    def work(self) -> None:
        """Take packets until one without an overlapped comes."""
        get_many, port = self.port.get_many, self.port
        while True:
            for packet in get_many():
                stream = packet.overlapped
                if packet.key is not None:
                    for received in stream.take():
                        stream.send(received)
                elif stream is not None:
                    self.welcome(packet)
                else:
                    port.post()  # For the next worker: one packet ends them all.
                    return


if __name__ == "__main__":
    serve(StreamPortEcho(), workers_asked_for())
