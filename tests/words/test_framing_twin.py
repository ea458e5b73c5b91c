"""Framing in C gives what framing in Python gives: the numbers, the frames, and the faults."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings

from proactor.framing import (
    DelimiterFraming,
    FixedFraming,
    FrameFault,
    Framing,
    LengthFraming,
    Packet,
    PacketFraming,
    RawFraming,
    VarintFraming,
)
from proactor.framing.base import FramingKind
from tests.words.framing_streams import (
    CUTS,
    Outcome,
    any_stream,
    byte_by_byte,
    cut_at,
    outcome,
    streams,
    unhurried,
)
from tests.words.test_framing import EMPTY, FAULTS

CORE = Path(__file__).parents[2] / "src/proactor/engines/native/core"
HEADER = (CORE / "framing.h").read_text(encoding="utf-8")


def test_the_numbers_in_the_header_are_those_of_python() -> None:
    numbers = {name: int(number) for name, number in re.findall(r"PA_(\w+) = (-?\d+),", HEADER)}
    sizes = {name: numbers.pop(name, None) for name in ("LONGEST_DELIMITER",)}

    assert sizes == {"LONGEST_DELIMITER": 16}
    assert numbers == {
        **{fault.name: fault.value for fault in FrameFault},
        **{f"{kind.name}_FRAMING": kind.value for kind in FramingKind},
    }


class Parameters(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int),
        ("max_frame", ctypes.c_uint32),
        ("length_offset", ctypes.c_uint32),
        ("length_bytes", ctypes.c_uint8),
        ("id_bytes", ctypes.c_uint8),
        ("big_endian", ctypes.c_bool),
        ("includes_header", ctypes.c_bool),
        ("length_adjustment", ctypes.c_int64),
        ("strip", ctypes.c_uint32),
        ("fixed_size", ctypes.c_uint32),
        ("delimiter", ctypes.c_uint8 * 16),
        ("delimiter_length", ctypes.c_uint8),
        ("strip_delimiter", ctypes.c_bool),
    ]


class Frame(ctypes.Structure):
    _fields_ = [
        ("total", ctypes.c_size_t),
        ("body_offset", ctypes.c_size_t),
        ("body_length", ctypes.c_size_t),
        ("id", ctypes.c_uint64),
    ]


def test_the_parameters_have_the_names_of_the_fields() -> None:
    body = HEADER[HEADER.index("typedef struct {") : HEADER.index("} pa_framing;")]
    fields = re.findall(r"^    \w+ (\w+)(?:\[\w+\])?;", body, re.MULTILINE)

    assert fields == [field[0] for field in Parameters._fields_]
    for framing in EACH:
        assert set(framing.native_parameters()) <= set(fields)


EACH = [
    RawFraming(),
    LengthFraming(byteorder="big", length_adjustment=-2),
    PacketFraming(),
    DelimiterFraming(),
    FixedFraming(4),
    VarintFraming(),
]


def test_each_framing_of_ours_has_its_kind() -> None:
    assert [framing.native_parameters()["kind"] for framing in EACH] == list(FramingKind)


def test_a_subclass_of_ours_is_cut_natively_unless_it_cuts_or_encodes_otherwise() -> None:
    class Named(PacketFraming):
        name = "lobby"

    class OtherDecoder(Named):
        def decoder(self):
            return RawFraming().decoder()

    class OtherEncode(Named):
        def encode(self, item):
            return b""

    assert Named().native_parameters() == PacketFraming().native_parameters()
    assert OtherDecoder().native_parameters() is None
    assert OtherEncode().native_parameters() is None


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The C code alone, in a library of its own."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("the twin is for Linux, and needs a C compiler to be asked")
    library = tmp_path_factory.mktemp("twin") / "framing.so"
    subprocess.run(
        [compiler, "-std=gnu11", "-O1", "-shared", "-fPIC", CORE / "framing.c", "-o", library],
        check=True,
        timeout=50,
    )
    return ctypes.CDLL(str(library))


def outcome_in_c(twin: ctypes.CDLL, framing: Framing, pieces: Iterable[bytes]) -> Outcome:
    """Do in C what `outcome` does with the decoder in Python."""
    parameters = parameters_of(framing)
    kept, items = b"", []
    seen, frame, detail = ctypes.c_size_t(), Frame(), ctypes.c_uint64()
    for piece in pieces:
        kept += piece
        while found := twin.pa_frame_next(
            ctypes.byref(parameters),
            kept,
            ctypes.c_size_t(len(kept)),
            ctypes.byref(seen),
            ctypes.byref(frame),
            ctypes.byref(detail),
        ):
            if found < 0:
                return Outcome(items, framing.error_of(found, detail.value).reason, 0, "")
            items.append(item_of(framing, frame, kept))
            kept = kept[frame.total :]
    return Outcome(items, "", len(kept), broken_off_in_c(len(kept), frame.total))


def parameters_of(framing: Framing) -> Parameters:
    given = framing.native_parameters()
    assert given is not None
    delimiter = given.pop("delimiter", b"")
    parameters = Parameters(**given, delimiter_length=len(delimiter))
    parameters.delimiter[: len(delimiter)] = delimiter
    return parameters


def item_of(framing: Framing, frame: Frame, kept: bytes) -> bytes | Packet:
    if not isinstance(framing, PacketFraming):
        return kept[frame.body_offset : frame.body_offset + frame.body_length]
    packet = Packet.__new__(Packet)
    packet.id, packet.frame, packet.framing = frame.id, kept[: frame.total], framing
    assert packet.body == kept[frame.body_offset : frame.body_offset + frame.body_length]
    return packet


def broken_off_in_c(came: int, total: int) -> str:
    if not came:
        return ""
    words = f": {came} of its {total} bytes came" if total else f" after {came} bytes"
    return f"the last frame broke off{words}"


@settings(unhurried, max_examples=300)
@given(case=streams(), cuts=CUTS)
def test_any_cut_of_any_stream_gives_the_same_in_c_as_in_python(twin, case, cuts) -> None:
    framing, stream = case
    for pieces in ([stream], cut_at(stream, cuts), byte_by_byte(stream)):
        assert outcome_in_c(twin, framing, pieces) == outcome(framing, pieces)


@settings(unhurried, max_examples=300)
@given(case=any_stream(), cuts=CUTS)
def test_any_bytes_at_all_give_the_same_in_c_as_in_python(twin, case, cuts) -> None:
    framing, stream = case
    for pieces in ([stream], cut_at(stream, cuts), byte_by_byte(stream)):
        assert outcome_in_c(twin, framing, pieces) == outcome(framing, pieces)


@pytest.mark.parametrize(("framing", "stream"), [row[:2] for row in FAULTS + EMPTY], ids=repr)
def test_each_fault_and_each_empty_frame_is_the_same_in_c(twin, framing, stream) -> None:
    assert outcome_in_c(twin, framing, [stream]) == outcome(framing, [stream])
    assert outcome_in_c(twin, framing, byte_by_byte(stream)) == outcome(framing, [stream])


@pytest.mark.parametrize("adjustment", [0, 2**31 - 1, 1 - 2**31])
@pytest.mark.parametrize("length", [0, 65528, 2**31, 2**32, 2**32 + 1, 2**63, 2**64 - 1])
def test_lengths_at_the_edges_of_a_word_are_the_same_in_c(twin, length, adjustment) -> None:
    framing = LengthFraming(length_bytes=8, length_adjustment=adjustment)
    stream = length.to_bytes(8, "little")

    assert outcome_in_c(twin, framing, [stream]) == outcome(framing, [stream])
