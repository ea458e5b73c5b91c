"""The article's server once more, on streams: its accept thread, five workers, and session list.

    python examples/article_server.py [port]        and, elsewhere:  nc 127.0.0.1 7777

`completion_port_server.py` keeps every receive and send in its own hands. Here the port does: a
session is called with what came, and sends without counting operations. What is left of the program
is its structure, which is also what `proactor.serve` does inside.
"""

import socket
import sys
import threading
import traceback

from proactor import CompletionPort, OverlappedSocket

WORKERS = 5

sessions = set()
sessions_lock = threading.Lock()


class Session:
    """One client. Its methods run one at a time, in whichever worker is free."""

    def __init__(self, client_socket, port):
        # From here on the connection belongs to the stream, and the stream to the port.
        self.stream = port.open_stream(client_socket, self)
        with sessions_lock:
            sessions.add(self)
        print("Client Connected !", flush=True)
        self.stream.start()

    def received(self, recv_buffer):
        print("Recv Data IOCP =", len(recv_buffer), flush=True)
        self.stream.send(recv_buffer)  # Queued; it leaves at the end of the worker's turns.

    def told(self, news):
        """Called when the send queue is long, and when it is short again."""

    def failed(self, error):
        traceback.print_exception(error)
        self.stream.abort()

    def ended(self, end, detail):
        # Exactly once, and the last call ever: the one place where a session goes.
        with sessions_lock:
            sessions.discard(self)
        print("Client Disconnected !", end.value, flush=True)


def worker_thread_main(port):
    while not any(packet.key == "end" for packet in port.serve(1)):
        pass  # `serve` has called the sessions.


def accept_thread_main(listen_socket, port):
    while True:
        try:
            client_socket = listen_socket.accept()
        except ConnectionError:
            continue  # This one client had gone already.
        except OSError:
            return  # The listener is closed: the program ends.
        try:
            Session(client_socket, port)
        except OSError:
            client_socket.close()  # Gone, in this moment.


def main():
    address = ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7777)
    listen_socket = OverlappedSocket.adopt(socket.create_server(address))
    port = CompletionPort()
    threads = [threading.Thread(target=worker_thread_main, args=[port]) for _ in range(WORKERS)]
    accepting = threading.Thread(target=accept_thread_main, args=[listen_socket, port])
    for thread in [*threads, accepting]:
        thread.start()
    try:
        print("Accept on port", listen_socket.getsockname()[1], flush=True)
        accepting.join()
    except KeyboardInterrupt:
        listen_socket.close()
        accepting.join()
    for session in list(sessions):
        session.stream.abort()
    for _ in threads:
        port.post("end")
    for thread in threads:
        thread.join()
    port.close()


if __name__ == "__main__":
    main()
