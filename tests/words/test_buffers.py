"""Buffers: what may be sent from and received into, and that Python guards it meanwhile."""

import array
import mmap

import pytest

from proactor import errors
from proactor.buffers import readable_views, writable_views


def test_one_buffer_and_a_list_of_one_are_the_same() -> None:
    assert readable_views(b"abc") == readable_views([b"abc"]) == readable_views((b"abc",))


@pytest.mark.parametrize(
    "buffer",
    [b"abcd", bytearray(b"abcd"), memoryview(b"xabcdx")[1:5], array.array("B", b"abcd")],
    ids=lambda buffer: type(buffer).__name__,
)
def test_any_contiguous_buffer_can_be_sent(buffer) -> None:
    [view] = readable_views(buffer)

    assert bytes(view) == b"abcd"


def test_a_buffer_of_wider_items_is_seen_as_bytes() -> None:
    numbers = array.array("I", [1, 2, 3])

    [view] = writable_views(numbers)

    assert (len(view), view.format, view.ndim) == (12, "B", 1)
    view[:] = bytes(12)
    assert numbers.tolist() == [0, 0, 0]


def test_a_table_of_bytes_is_seen_as_one_row() -> None:
    table = memoryview(bytearray(6)).cast("B", (2, 3))

    [view] = writable_views(table)

    assert (len(view), view.ndim) == (6, 1)


@pytest.mark.parametrize("buffer", [b"", bytearray(), array.array("I")])
def test_an_empty_buffer_is_a_buffer(buffer) -> None:
    [view] = readable_views(buffer)

    assert len(view) == 0


@pytest.mark.parametrize("views", [readable_views, writable_views])
@pytest.mark.parametrize("nothing", [[], ()], ids=["list", "tuple"])
def test_no_buffer_at_all_is_refused(views, nothing) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        views(nothing)

    assert caught.value.winerror == 10022


@pytest.mark.parametrize(
    "wrong",
    ["text", 5, None, [b"good", "text"], [[b"nested"]], memoryview(bytearray(8))[::2]],
    ids=["str", "int", "None", "str in a list", "nested list", "every second byte"],
)
def test_what_is_no_contiguous_buffer_is_a_type_error(wrong) -> None:
    with pytest.raises(TypeError):
        readable_views(wrong)


@pytest.mark.parametrize(
    "buffer", [b"abc", memoryview(b"abc"), memoryview(bytearray(3)).toreadonly()]
)
def test_receiving_into_a_read_only_buffer_is_refused(buffer) -> None:
    with pytest.raises(errors.ProactorError, match="read-only") as caught:
        writable_views(buffer)

    assert caught.value.winerror == 10014


def test_a_refused_list_leaves_its_good_buffers_free() -> None:
    good = bytearray(4)

    with pytest.raises(errors.ProactorError):
        writable_views([good, b"read-only"])

    good.append(0)
    assert len(good) == 5


def test_several_views_keep_their_order() -> None:
    first, second = bytearray(2), bytearray(3)

    views = writable_views([first, second])
    views[0][:] = b"ab"
    views[1][:] = b"cde"

    assert (first, second) == (b"ab", b"cde")


def test_a_viewed_bytearray_cannot_be_resized_and_survives_its_name() -> None:
    buffer = bytearray(b"abcd")
    [view] = writable_views(buffer)

    with pytest.raises(BufferError):
        buffer.extend(b"more")
    del buffer

    assert bytes(view) == b"abcd"


def test_a_viewed_mmap_cannot_be_closed() -> None:
    with mmap.mmap(-1, 4096) as memory:
        [view] = writable_views(memory)
        with pytest.raises(BufferError):
            memory.close()
        view.release()
