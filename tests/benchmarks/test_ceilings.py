"""The C echo servers: a ceiling that loses bytes would be no ceiling."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import subprocess
import sys

from tests.benchmarks.programs import noise, run_load

MIB = 1024 * 1024


def received_all(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_many_connections_are_echoed_byte_exactly(echo_program, serve, load_program):
    server = serve(echo_program)

    run = run_load(load_program, server.port, "--connections", "300", "--depth", "3")

    assert (run.code, run.story) == (0, "")
    assert run.figures["messages"] > 300


def test_messages_larger_than_every_buffer_are_echoed_byte_exactly(
    echo_program, serve, load_program
):
    # Method: messages above all socket buffers, so that sends are short and buffers run out.
    server = serve(echo_program)

    run = run_load(load_program, server.port, "--connections", "5", "--size", "3000000")

    assert (run.code, run.story) == (0, "")


def test_after_a_half_close_all_of_the_echo_comes_and_then_the_end(echo_program, serve, in_thread):
    server = serve(echo_program)
    sent = noise(2 * MIB)
    with server.connect() as client:
        receiving = in_thread(received_all, client)

        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)

        assert receiving.result() == sent


def test_a_client_that_does_not_read_gets_everything_when_it_does(echo_program, serve, in_thread):
    # Goal: what the client's window does not take is kept, and nothing of it is lost or doubled;
    # and the server stops receiving, so that it need not keep more and more.
    server = serve(echo_program)
    sent = noise(24 * MIB)
    with server.connect() as client:
        count = 0
        while select.select([], [client], [], 0.15)[1]:
            count += client.send(sent[count : count + 65536])
        assert 0 < count < len(sent)
        sending = in_thread(client.sendall, memoryview(sent)[count:])

        got = bytearray()
        while len(got) < len(sent):
            got += client.recv(65536)
        sending.result()

        assert got == sent


def test_a_reset_in_the_middle_leaves_the_others_served(echo_program, serve):
    server = serve(echo_program)
    with server.connect() as other:
        for _ in range(20):
            client = server.connect()
            client.sendall(noise(65536))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

        other.sendall(b"still there?")

        assert other.recv(100) == b"still there?"


def test_a_descriptor_is_used_again_by_a_new_connection(echo_program, serve):
    server = serve(echo_program)
    for number in range(100):
        message = b"%d" % number
        with server.connect() as client:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)

            assert received_all(client) == message


# Refuses one system call to the process and to what it becomes: a filter of four instructions,
# which load the number of the call, compare it, and return EPERM or leave.
FILTER = """
import ctypes, os, struct, sys
steps = ((0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_where_the_kernel_refuses_io_uring_it_says_so_and_exits_with_3(echo_program):
    # Method: a seccomp filter, as containers have one, answers io_uring_setup with EPERM.
    run = subprocess.run(
        [sys.executable, "-c", FILTER, echo_program],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.returncode != 77, f"no seccomp here: errno {ctypes.get_errno()}"

    if "uring" in echo_program.name:
        assert run.returncode == 3
        assert "the kernel refuses io_uring_setup: Operation not permitted" in run.stderr
    else:
        assert run.returncode == 0
