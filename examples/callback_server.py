"""The overlapped server with completion routines, after the C++ program of the article.

    python examples/callback_server.py [port]       and, elsewhere:  nc 127.0.0.1 7777

It keeps the program's names and order. Its "TODO: for an echo server, WSASend" is done, and where a
comment says *Fault*, the program did something that has been put right.
"""

import socket
import sys

from proactor import Event, Overlapped, OverlappedSocket, sleep_ex, wait_for_multiple_events

BUFSIZE = 1000

sessions = set()


class Session(Overlapped):
    """``struct Session``: the overlapped comes first, so a session *is* its overlapped."""

    def __init__(self, client_socket):
        super().__init__()
        # Fault: `Session{ clientSocket }` filled the overlapped's first member. `socket` stayed
        # invalid, so no client was ever closed.
        self.socket = client_socket
        self.recv_buffer = bytearray(BUFSIZE)
        sessions.add(self)

    def start(self, call, buffer, routine):
        # Fault: a second WSARecv was posted on an overlapped that was still in flight. Here the
        # only one who starts the next operation is the routine of the one before.
        self.routine = routine
        try:
            call(buffer, self)
        except OSError as error:
            self.end(error)

    def end(self, why):
        print("Client Disconnected !", why, flush=True)
        sessions.discard(self)
        self.socket.close()


def recv_callback(error, recv_len, overlapped, flags):
    session = overlapped  # (Session*)overlapped
    # Fault: neither was looked at. After a FIN it printed "0" for ever, after a reset as well.
    if error or recv_len == 0:
        session.end(error or "it has sent all")
        return
    # Fault: bytes that were there at once were reported twice, by the call and by the routine.
    # Every operation has one indication, and this is it.
    print("Data Recv Len Callback =", recv_len, flush=True)
    session.start(session.socket.send, memoryview(session.recv_buffer)[:recv_len], send_callback)


def send_callback(error, send_len, overlapped, flags):
    session = overlapped
    if error:
        session.end(error)
    else:
        session.start(session.socket.recv, session.recv_buffer, recv_callback)


def accept_next(listen_socket, accept):
    while True:
        try:
            return listen_socket.accept(accept)
        except OSError as error:  # Out of descriptors. The others are served meanwhile.
            print("accept:", error, flush=True)
            sleep_ex(0.05)


def serve(listen_socket, connected):
    accept = Overlapped(event=connected)
    accept_next(listen_socket, accept)
    while True:
        # Fault: one client at a time, and a busy loop until it came. Accepting has no completion
        # routine; but it can signal an event, and the wait for that event is alertable: it
        # returns when a client has come, and in the meantime runs the routines of the others.
        if not wait_for_multiple_events([connected]).is_signaled:
            continue  # WAIT_IO_COMPLETION: routines have run.
        if accept.error is None:
            print("Client Connected !", flush=True)
            session = Session(accept.accepted)
            session.start(session.socket.recv, session.recv_buffer, recv_callback)
        accept_next(listen_socket, accept)
        sleep_ex(0)  # A signaled event wins over routines: newcomers must not keep the others off.


def main():
    address = ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7777)
    listen_socket = OverlappedSocket.adopt(socket.create_server(address))
    with listen_socket, Event() as connected:
        print("Accept on port", listen_socket.getsockname()[1], flush=True)
        try:
            serve(listen_socket, connected)
        except KeyboardInterrupt:
            for session in list(sessions):
                session.socket.close()
            while sessions and sleep_ex(1.0):  # Each close ends an operation: run its routine.
                pass


if __name__ == "__main__":
    main()
