"""The package's face: what it names is there, and what is there it names."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import proactor

PROJECT = Path(__file__).parents[2]


def test_all_names_exactly_what_is_public() -> None:
    for name in proactor.__all__:
        getattr(proactor, name)  # Some are there only when they are asked for.
    public = {
        name
        for name, value in vars(proactor).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }

    assert set(proactor.__all__) == public


def test_all_names_each_thing_once_and_sorted() -> None:
    names = proactor.__all__

    assert len(set(names)) == len(names)
    for kind in (str.isupper, str.islower):
        group = [name for name in names if kind(name.replace("_", "").rstrip("0123456789"))]
        assert group == sorted(group)


def test_the_server_core_is_imported_when_it_is_asked_for() -> None:
    # Goal: whoever wants a port does not wait for the rest.
    program = (
        "import proactor, sys\n"
        "assert 'proactor.server' not in sys.modules and 'Session' in dir(proactor)\n"
        "proactor.Session\n"
        "assert 'proactor.server' in sys.modules and 'Session' in vars(proactor)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_the_names_of_the_server_core_are_those_that_it_exports() -> None:
    # Goal: three lists in one module, none of which the interpreter holds against another.
    import proactor.server

    names = set(proactor.server.__all__)
    tree = ast.parse(Path(proactor.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "proactor.server"
        for alias in node.names
    }

    assert names == proactor._OF_THE_SERVER
    assert typed == names
    assert names <= set(proactor.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'proactor' has no attribute 'nothing'"):
        proactor.nothing  # noqa: B018


def test_a_star_import_brings_every_name() -> None:
    namespace: dict[str, object] = {}

    exec("from proactor import *", namespace)

    assert set(proactor.__all__) <= set(namespace)


def test_everything_public_says_what_it_is() -> None:
    for name in proactor.__all__:
        value = getattr(proactor, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert proactor.__version__ == project["version"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(proactor.__file__).parent / "py.typed").is_file()
