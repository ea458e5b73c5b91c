"""Socket addresses, as Winsock lays them out. Nothing here asks Windows: it runs everywhere."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from proactor.engines.python.iocp import addresses


@pytest.mark.parametrize("address", [("127.0.0.1", 7777), ("255.255.255.255", 65535)])
def test_an_ipv4_address_survives(address: tuple[str, int]) -> None:
    raw = addresses.encode(socket.AF_INET, address)

    assert len(raw) == 16
    assert raw[2:4] == address[1].to_bytes(2, "big")
    assert addresses.decode(raw) == address


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("::1", 7777), ("::1", 7777, 0, 0)),
        (("fe80::1", 1, 5, 9), ("fe80::1", 1, 5, 9)),
        (("", 80), ("::", 80, 0, 0)),
    ],
)
def test_an_ipv6_address_survives(given: Any, kept: Any) -> None:
    raw = addresses.encode(socket.AF_INET6, given)

    assert len(raw) == 28
    assert addresses.decode(raw + bytes(100)) == kept


def test_the_names_that_the_socket_module_knows_are_known() -> None:
    assert addresses.decode(addresses.encode(socket.AF_INET, ("", 1))) == ("0.0.0.0", 1)
    everybody = addresses.encode(socket.AF_INET, ("<broadcast>", 1))
    assert addresses.decode(everybody) == ("255.255.255.255", 1)
    assert addresses.decode(addresses.encode(socket.AF_INET, ("localhost", 1)))[0] == "127.0.0.1"


def test_no_address_is_none() -> None:
    assert addresses.decode(bytes(128)) is None


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(OverflowError, match="port"):
        addresses.encode(socket.AF_INET, ("127.0.0.1", port))


def test_another_family_is_refused() -> None:
    with pytest.raises(TypeError, match="family"):
        addresses.encode(12345, ("127.0.0.1", 1))
