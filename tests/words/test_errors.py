"""Exceptions: each has both vocabularies, the right class, and a text that says what was tried."""

import errno

import pytest

from proactor import errors, statuses

# status, winerror at the port, winerror at a routine, class, built-in class, errno.
FAILURES = [
    (0xC0000120, 995, 995, errors.OperationAborted, OSError, errno.ECANCELED),
    (0xC000020D, 64, 10054, errors.ConnectionReset, ConnectionResetError, errno.ECONNRESET),
    (0xC000013C, 64, 10054, errors.ConnectionReset, ConnectionResetError, errno.ECONNRESET),
    (0xC000013B, 64, 10053, errors.ConnectionAborted, ConnectionAbortedError, errno.ECONNABORTED),
    (0xC0000241, 1236, 10053, errors.ConnectionAborted, ConnectionAbortedError, errno.ECONNABORTED),
    (0xC0000236, 1225, 10061, errors.ConnectionRefused, ConnectionRefusedError, errno.ECONNREFUSED),
    (0xC00000B5, 121, 10060, errors.TimedOut, TimeoutError, errno.ETIMEDOUT),
    (0xC000023C, 1231, 10051, errors.ProactorError, OSError, errno.ENETUNREACH),
    (0xC000023D, 1232, 10065, errors.ProactorError, OSError, errno.EHOSTUNREACH),
    (0xC000023F, 1234, 10054, errors.ConnectionReset, ConnectionResetError, errno.ECONNRESET),
    (0x80000005, 234, 10040, errors.MessageTruncated, OSError, errno.EMSGSIZE),
    (0xC00000B0, 233, 10058, errors.Disconnected, BrokenPipeError, errno.EPIPE),
    (0xC000009A, 1450, 10055, errors.ProactorError, OSError, errno.ENOBUFS),
    (0x00000103, 996, 996, errors.IoIncomplete, OSError, errno.EINPROGRESS),
    (0xC00000A3, 21, 10035, errors.WouldBlock, BlockingIOError, errno.EAGAIN),
]
IDS = [f"{row[0]:08X}" for row in FAILURES]


@pytest.mark.parametrize("row", FAILURES, ids=IDS)
def test_the_port_reports_the_win32_number(row) -> None:
    status, winerror, wsaerror, kind, builtin, number = row

    error = errors.from_status(status, "recv on s", at_port=True)

    assert type(error) is kind
    assert isinstance(error, builtin)
    assert (error.winerror, error.wsaerror, error.status) == (winerror, wsaerror, status)
    assert error.errno == number


@pytest.mark.parametrize("row", FAILURES, ids=IDS)
def test_a_routine_and_get_result_report_the_winsock_number(row) -> None:
    status, _, wsaerror, kind, _, number = row

    error = errors.from_status(status, "recv on s", at_port=False)

    assert type(error) is kind
    assert (error.winerror, error.wsaerror, error.status) == (wsaerror, wsaerror, status)
    assert error.errno == number


def test_success_is_no_error() -> None:
    assert errors.from_status(statuses.STATUS_SUCCESS, "recv", at_port=True) is None


def test_the_text_says_what_was_tried_and_the_number_of_the_reporting_side() -> None:
    at_port = errors.from_status(0xC000020D, "recv on session 7", at_port=True)
    at_routine = errors.from_status(0xC000020D, "recv on session 7", at_port=False)

    assert str(at_port) == "[winerror 64] recv on session 7: the peer reset the connection"
    assert str(at_routine) == "[winerror 10054] recv on session 7: the peer reset the connection"


REFUSALS = [
    (6, errors.ProactorError, errno.EBADF),
    (31, errors.ProactorError, errno.ESRCH),
    (87, errors.InvalidParameter, errno.EINVAL),
    (996, errors.IoIncomplete, errno.EINPROGRESS),
    (1168, errors.ProactorError, errno.ENOENT),
    (10014, errors.ProactorError, errno.EFAULT),
    (10022, errors.InvalidParameter, errno.EINVAL),
    (10035, errors.WouldBlock, errno.EAGAIN),
    (10038, errors.SocketClosed, errno.ENOTSOCK),
    (10053, errors.ConnectionAborted, errno.ECONNABORTED),
    (10054, errors.ConnectionReset, errno.ECONNRESET),
    (10056, errors.ProactorError, errno.EISCONN),
    (10057, errors.ProactorError, errno.ENOTCONN),
    (10058, errors.Disconnected, errno.EPIPE),
    (10060, errors.TimedOut, errno.ETIMEDOUT),
    (10061, errors.ConnectionRefused, errno.ECONNREFUSED),
]


@pytest.mark.parametrize(("number", "kind", "posix"), REFUSALS, ids=[str(r[0]) for r in REFUSALS])
def test_a_refused_call_has_one_number_and_no_status(number, kind, posix) -> None:
    error = errors.refused(number, "connect on s: no")

    assert type(error) is kind
    assert (error.winerror, error.wsaerror, error.status) == (number, number, 0)
    assert error.errno == posix
    assert str(error) == f"[winerror {number}] connect on s: no"


def test_an_invalid_parameter_is_a_value_error_too() -> None:
    assert isinstance(errors.refused(87, "limit is 1 or more"), ValueError)


@pytest.mark.parametrize(("while_waiting", "number"), [(True, 735), (False, 6)])
def test_a_closed_port_says_whether_it_closed_during_the_wait(while_waiting, number) -> None:
    error = errors.port_closed("get", while_waiting=while_waiting)

    assert isinstance(error, errors.PortClosed)
    assert isinstance(error, errors.Closed)
    assert (error.winerror, error.errno) == (number, errno.EBADF)


def test_an_overlapped_used_twice_and_a_parents_object_have_classes_of_their_own() -> None:
    busy = errors.overlapped_busy("in flight")
    forked = errors.forked("made before fork")

    assert (type(busy), busy.winerror) == (errors.OverlappedBusy, 10022)
    assert (type(forked), forked.winerror) == (errors.ForkedError, 6)


def test_every_error_of_the_package_is_an_os_error_but_the_missing_engine() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, Exception):
            assert issubclass(kind, errors.ProactorError) != (kind is errors.EngineUnavailable)
    assert issubclass(errors.ProactorError, OSError)
    assert issubclass(errors.EngineUnavailable, RuntimeError)
