"""Packets: what came out, as data."""

import pytest

from proactor import errors, statuses
from proactor.packets import CompletionPacket, PacketBatch


def test_a_packet_of_a_success_returns_its_count() -> None:
    packet = CompletionPacket("key", "overlapped", 5)

    assert packet.result() == 5
    assert packet.error is None
    assert repr(packet) == "<CompletionPacket key='key' overlapped='overlapped' 5>"


def test_a_packet_of_a_failure_raises_it_only_when_asked() -> None:
    error = errors.from_status(statuses.STATUS_CONNECTION_RESET, "recv", at_port=True)
    packet = CompletionPacket("key", "overlapped", 0, error)

    with pytest.raises(errors.ConnectionReset) as caught:
        packet.result()

    assert caught.value is error
    assert packet.transferred == 0
    assert "winerror 64" in repr(packet)


def test_a_posted_packet_carries_any_three_values() -> None:
    packet = CompletionPacket(None, None, "anything")

    assert packet.result() == "anything"
    assert packet.operation is None


def test_a_fresh_batch_is_an_empty_list_that_no_apc_ended() -> None:
    batch = PacketBatch()

    assert batch == []
    assert not batch.woken_by_apc
