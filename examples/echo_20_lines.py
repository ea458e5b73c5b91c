"""An echo server on a completion port, with five workers; try it with nc 127.0.0.1 7777."""

import socket
import sys
from contextlib import suppress

from proactor import CompletionPort, OperationKind, Overlapped, OverlappedSocket, WorkerPool


def serve(packet):
    (client, buffer), operation = packet.key, packet.overlapped
    with suppress(OSError):
        if operation.kind is not OperationKind.RECV:  # It begins, or its echo is sent.
            return client.recv(buffer, operation)
        if packet.result():
            return client.send(memoryview(buffer)[: packet.transferred], operation)
    client.close()  # The end, or an error. Nothing is in flight: each packet starts one or ends.


address = ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7777)
port, listener = CompletionPort(), OverlappedSocket.adopt(socket.create_server(address))
with suppress(KeyboardInterrupt), port, listener, WorkerPool(port, serve):
    print("listening on port", listener.getsockname()[1], flush=True)
    while client := listener.accept():
        port.attach(client, key := (client, bytearray(4096)))
        port.post(key, Overlapped())
