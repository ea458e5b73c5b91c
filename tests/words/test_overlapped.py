"""Overlapped and Operation: one operation at a time, from its start to the taking."""

import pytest

from proactor import errors, statuses
from proactor.overlapped import Operation, OperationKind, Overlapped


class FakeEvent:
    """An event whose wait completes the operation, as an engine does from another thread."""

    def __init__(self, on_wait):
        self.on_wait = on_wait

    def wait(self):
        self.on_wait()


def started(overlapped, kind=OperationKind.RECV, socket="the socket"):
    operation = Operation(kind, overlapped, [memoryview(bytearray(4))])
    operation.begin(socket)
    return operation


def complete(operation, transferred=0, status=statuses.STATUS_SUCCESS):
    operation.transferred = transferred
    operation.status = status
    operation.publish()


def test_a_fresh_overlapped_is_complete_and_not_in_flight() -> None:
    overlapped = Overlapped("session 7")

    assert overlapped.owner == "session 7"
    assert overlapped.kind is OperationKind.NONE
    assert overlapped.is_complete
    assert not overlapped.is_in_flight
    assert overlapped.error is None
    assert overlapped.get_result() == 0


def test_a_started_one_is_pending_and_bears_kind_and_socket() -> None:
    overlapped = Overlapped()

    started(overlapped)

    assert overlapped.is_in_flight
    assert not overlapped.is_complete
    assert overlapped.status == statuses.STATUS_PENDING
    assert (overlapped.kind, overlapped.socket) == (OperationKind.RECV, "the socket")
    assert overlapped.error is None
    with pytest.raises(errors.IoIncomplete) as caught:
        overlapped.get_result()
    assert caught.value.winerror == 996


def test_a_second_start_is_refused_and_leaves_the_first_alone() -> None:
    overlapped = Overlapped()
    first = started(overlapped)

    with pytest.raises(errors.OverlappedBusy, match="still in flight for recv on 'the socket'"):
        started(overlapped, OperationKind.SEND, "another socket")

    assert (overlapped.kind, overlapped.socket) == (OperationKind.RECV, "the socket")
    complete(first, 3)
    assert overlapped.get_result() == 3


def test_abandoning_the_refused_second_start_does_not_untie_the_first() -> None:
    overlapped = Overlapped()
    first = started(overlapped)
    second = Operation(OperationKind.SEND, overlapped, [])

    second.abandon()

    assert overlapped.is_in_flight
    assert not overlapped.is_complete
    first.abandon()
    assert not overlapped.is_in_flight
    assert overlapped.is_complete


def test_a_completed_one_stays_in_flight_until_it_is_taken() -> None:
    # Goal: the time in which re-use would make two indications look like one is covered.
    overlapped = Overlapped()
    operation = started(overlapped)

    complete(operation, 4)

    assert overlapped.is_complete
    assert overlapped.is_in_flight
    with pytest.raises(errors.OverlappedBusy):
        started(overlapped)
    operation.release()
    assert not overlapped.is_in_flight
    assert overlapped.get_result() == 4
    started(overlapped)
    assert overlapped.transferred == 0


def test_release_gives_the_buffers_back() -> None:
    buffer = bytearray(4)
    operation = Operation(OperationKind.RECV, Overlapped(), [memoryview(buffer)])
    operation.begin("the socket")
    with pytest.raises(BufferError):
        buffer.append(0)

    complete(operation)
    operation.release()

    buffer.append(0)
    assert len(buffer) == 5


def test_a_late_release_does_not_touch_the_next_operation() -> None:
    overlapped = Overlapped()
    first = started(overlapped)
    complete(first)
    first.release()
    started(overlapped)

    first.release()

    assert overlapped.is_in_flight


def test_a_failure_is_raised_in_the_winsock_vocabulary() -> None:
    overlapped = Overlapped()
    complete(started(overlapped), status=statuses.STATUS_CONNECTION_RESET)

    with pytest.raises(errors.ConnectionReset) as caught:
        overlapped.get_result()

    assert caught.value.winerror == 10054
    assert "recv on 'the socket'" in str(caught.value)


def test_an_operation_reports_its_failure_in_either_vocabulary() -> None:
    operation = started(Overlapped())
    complete(operation, status=statuses.STATUS_CONNECTION_RESET)

    assert operation.error(at_port=True).winerror == 64
    assert operation.error(at_port=False).winerror == 10054


def test_an_operation_that_succeeded_has_no_error() -> None:
    operation = started(Overlapped())
    complete(operation, 4)

    assert operation.error(at_port=True) is None


def test_a_synchronous_operation_names_its_kind_in_its_error() -> None:
    operation = Operation(OperationKind.SEND, None, [])
    operation.status = statuses.STATUS_CONNECTION_RESET
    operation.publish()
    operation.release()
    operation.abandon()

    assert "send" in str(operation.error(at_port=False))


def test_waiting_for_a_result_waits_on_the_event() -> None:
    overlapped = Overlapped()
    overlapped.event = FakeEvent(lambda: complete(operation, 9))
    operation = started(overlapped)

    assert overlapped.get_result(wait=True) == 9


def test_waiting_for_a_result_without_an_event_is_refused_while_it_is_pending() -> None:
    overlapped = Overlapped()
    operation = started(overlapped)

    with pytest.raises(errors.InvalidParameter, match="only an operation with an event"):
        overlapped.get_result(wait=True)

    complete(operation, 2)
    assert overlapped.get_result(wait=True) == 2


def test_publish_copies_what_the_indication_says() -> None:
    overlapped = Overlapped()
    operation = started(overlapped, OperationKind.RECV_FROM)
    operation.flags = 2
    operation.peer = ("127.0.0.1", 9)

    complete(operation, 5)

    assert (overlapped.transferred, overlapped.flags) == (5, 2)
    assert overlapped.address == ("127.0.0.1", 9)
    assert overlapped.accepted is None


@pytest.mark.parametrize(
    ("status", "accepted"),
    [(statuses.STATUS_SUCCESS, "the acceptor"), (statuses.STATUS_CANCELLED, None)],
)
def test_only_a_successful_accept_hands_out_the_accepted_socket(status, accepted) -> None:
    overlapped = Overlapped()
    operation = started(overlapped, OperationKind.ACCEPT)
    operation.acceptor = "the acceptor"

    complete(operation, status=status)

    assert overlapped.accepted == accepted


def test_an_operation_keeps_the_event_and_the_routine_of_its_start() -> None:
    # Goal: a user who prepares the overlapped for its next use does not redirect this one.
    def routine(*arguments):
        return None

    overlapped = Overlapped(event="an event", routine=routine)
    operation = started(overlapped)

    overlapped.event = overlapped.routine = None
    overlapped.suppress_packet = True

    assert (operation.event, operation.routine) == ("an event", routine)
    assert not operation.suppress_packet


def test_a_session_may_be_its_own_overlapped() -> None:
    class Session(Overlapped):
        def __init__(self, name):
            super().__init__()
            self.name = name

    session = Session("seven")
    complete(started(session), 3)

    assert session.get_result() == 3
    assert repr(session) == "<Session recv in flight>"


def test_the_repr_says_how_many_bytes_when_it_is_done() -> None:
    overlapped = Overlapped()
    operation = started(overlapped, OperationKind.SEND)
    complete(operation, 12)
    operation.release()

    assert repr(overlapped) == "<Overlapped send 12 bytes>"
