"""The two tables of numbers: row by row as Windows has them, and without a hole."""

import errno

import pytest

from proactor import statuses

# Row A0 of the contracts: NTSTATUS -> Win32 at the port, Winsock at a routine. Written out here a
# second time on purpose: these are Windows' numbers and never change.
ROWS = {
    0xC0000120: (995, 995),
    0xC000020D: (64, 10054),
    0xC0000241: (1236, 10053),
    0xC000013C: (64, 10054),
    0xC000013B: (64, 10053),
    0xC0000236: (1225, 10061),
    0xC00000B5: (121, 10060),
    0xC000023C: (1231, 10051),
    0xC000023D: (1232, 10065),
    0xC000023F: (1234, 10054),
    0x80000005: (234, 10040),
    0xC00000B0: (233, 10058),
    0xC000009A: (1450, 10055),
    0x00000103: (996, 996),
}


@pytest.mark.parametrize(("status", "numbers"), ROWS.items(), ids=lambda value: f"{value}")
def test_a_status_has_the_win32_and_the_winsock_number_of_windows(status, numbers) -> None:
    assert (statuses.win32_number(status), statuses.wsa_number(status)) == numbers


def test_each_named_status_has_numbers_and_words_of_its_own() -> None:
    named = {name: value for name, value in vars(statuses).items() if name.startswith("STATUS_")}
    assert len(named) > 20
    for name, status in named.items():
        if name == "STATUS_SUCCESS":
            continue
        assert "status 0x" not in statuses.words(status), f"{name} has no row in the table"


def test_an_unknown_status_has_the_general_numbers_and_is_named_in_hexadecimal() -> None:
    assert statuses.win32_number(0xC0001234) == statuses.ERROR_GEN_FAILURE
    assert statuses.wsa_number(0xC0001234) == statuses.WSAEINVAL
    assert statuses.posix_number(0xC0001234) == errno.EIO
    assert statuses.words(0xC0001234) == "status 0xC0001234"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (statuses.STATUS_SUCCESS, False),
        (statuses.STATUS_PENDING, False),
        (statuses.STATUS_BUFFER_OVERFLOW, False),  # A warning: the call fails, yet it indicates.
        (statuses.STATUS_CANCELLED, True),
        (statuses.STATUS_CONNECTION_RESET, True),
    ],
)
def test_only_severity_error_is_an_error_to_nt(status, expected) -> None:
    assert statuses.is_error(status) is expected


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ECONNREFUSED, 0xC0000236),
        (errno.ECONNRESET, 0xC000020D),
        (errno.EPIPE, 0xC000020D),
        (errno.ECONNABORTED, 0xC0000241),
        (errno.ETIMEDOUT, 0xC00000B5),
        (errno.ENOTCONN, 0xC0000140),
        (errno.EMSGSIZE, 0x80000005),
        (errno.ENETUNREACH, 0xC000023C),
        (errno.EHOSTUNREACH, 0xC000023D),
        (errno.EISCONN, 0xC000023B),
        (errno.EMFILE, 0xC000011F),
        (errno.ENFILE, 0xC000011F),
        (errno.ENOBUFS, 0xC000009A),
        (errno.ENOMEM, 0xC000009A),
        (errno.EADDRINUSE, 0xC000020A),
        (errno.ECANCELED, 0xC0000120),
    ],
)
def test_a_posix_error_becomes_the_status_that_windows_would_store(number, status) -> None:
    assert statuses.from_errno(number) == status


def test_an_unknown_posix_error_is_a_plain_failure() -> None:
    assert statuses.from_errno(99999) == statuses.STATUS_UNSUCCESSFUL
