"""The completion-port server with five workers, after the C++ program of the article.

    python examples/completion_port_server.py [port]       and, elsewhere:  nc 127.0.0.1 7777

It keeps the program's names and order. Its "TODO: disconnected" is done, it echoes, and where a
comment says *Fault*, the program did something that has been put right.
"""

import enum
import socket
import sys
import threading
import time

from proactor import CompletionPort, Overlapped, OverlappedSocket

BUFSIZE = 1000

sessions = set()


class IoType(enum.Enum):
    READ = enum.auto()
    WRITE = enum.auto()


class OverlappedEx(Overlapped):
    # Fault: the program made a new one for each client and never freed it. Two belong to the
    # session, and go with it.
    def __init__(self, type):
        super().__init__()
        self.type = type


class Session:
    """One client. Exactly one operation is in flight for it, until it ends."""

    def __init__(self, client_socket):
        self.socket = client_socket
        self.recv_buffer = bytearray(BUFSIZE)
        self.read = OverlappedEx(IoType.READ)
        self.write = OverlappedEx(IoType.WRITE)
        sessions.add(self)

    def recv(self):
        # Fault: a refused receive (10038, 10054) went unseen, and the client was never read again.
        try:
            self.socket.recv(self.recv_buffer, self.read)
        except OSError as error:
            self.end(error)

    def send(self, count):
        try:
            self.socket.send(memoryview(self.recv_buffer)[:count], self.write)
        except OSError as error:
            self.end(error)

    def end(self, why):
        # Fault: `delete s`, right after the first receive was started. The next client got the
        # same memory, and its socket was read in the name of both. Here a session ends when the
        # operation that was in flight is over and none has been started: in this one place.
        print("Client Disconnected !", why, flush=True)
        sessions.discard(self)
        self.socket.close()  # Fault: it never was, and stayed in CLOSE_WAIT.


def worker_thread_main(port):
    while True:
        packet = port.get()
        session, overlapped_ex = packet.key, packet.overlapped
        if overlapped_ex is None:
            return  # Posted by main: the end.
        # Fault: "failed or 0 bytes" was one case, and was dropped. First the error, then the kind
        # of the operation, and only a receive of 0 bytes is the end of a stream.
        if packet.error is not None:
            session.end(packet.error)
        elif overlapped_ex.type is IoType.WRITE:
            session.recv()
        elif packet.transferred == 0:
            session.end("it has sent all")
        else:
            print("Recv Data IOCP =", packet.transferred, flush=True)
            session.send(packet.transferred)


def accept_clients(listen_socket, port):
    while True:
        try:
            client_socket = listen_socket.accept()
        except OSError as error:  # Fault: any failure ended the program.
            print("accept:", error, flush=True)
            time.sleep(0.05)
            continue
        print("Client Connected !", flush=True)
        session = Session(client_socket)
        port.attach(client_socket, session)
        session.recv()


def main():
    address = ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7777)
    listen_socket = OverlappedSocket.adopt(socket.create_server(address))
    with listen_socket, CompletionPort() as port:
        print("Accept on port", listen_socket.getsockname()[1], flush=True)
        workers = [threading.Thread(target=worker_thread_main, args=[port]) for _ in range(5)]
        for worker in workers:
            worker.start()
        try:
            accept_clients(listen_socket, port)
        except KeyboardInterrupt:
            for session in list(sessions):
                session.socket.close()
        for _ in workers:
            port.post()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main()
