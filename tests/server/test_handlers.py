"""The table that @handles makes of a class."""

from __future__ import annotations

import pytest

from proactor.server.handlers import handler_table, handles


class Base:
    @handles(1)
    def one(self, packet): ...

    @handles(2, 3)
    def two(self, packet): ...


class Derived(Base):
    def one(self, packet): ...

    @handles(3)
    def three(self, packet): ...


def test_each_id_leads_to_its_method():
    assert handler_table(Base) == {1: "one", 2: "two", 3: "two"}


def test_a_subclass_inherits_and_may_take_an_id_over():
    assert handler_table(Derived) == {1: "one", 2: "two", 3: "three"}


def test_two_methods_for_one_id_in_one_class_are_refused():
    class Both:
        @handles(7)
        def first(self, packet): ...

        @handles(7)
        def second(self, packet): ...

    with pytest.raises(TypeError, match=r"Both.first and Both.second both handle .* 7"):
        handler_table(Both)


def test_the_decorator_without_ids_is_refused():
    with pytest.raises(TypeError, match="packet ids"):
        handles()
    with pytest.raises(TypeError, match="in parentheses"):
        handles(lambda packet: None)
    with pytest.raises(TypeError, match="unhashable"):
        handles([1])
