"""The checker of the rows: a small tree that keeps every rule, broken in one place a test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.layers.__main__ import check, main

PYPROJECT = """
[project.scripts]
proactor = "proactor.cli.main:main"

[tool.proactor.layers]
package = "proactor"
rows = [
    { name = "words", parts = ["errors", "packets"] },
    { name = "engines", parts = ["engines"], asks_os = true },
    { name = "port", parts = ["port"] },
    { name = "products", parts = ["models", "server"], strangers = true },
    { name = "shell", parts = ["cli", "__main__"] },
]
facade = ["words", "port"]
entry_points = ["proactor.models.by_name_*"]
"""

GOOD_TREE = {
    "__init__.py": "from proactor.port import Port\n",
    "__main__.py": "from proactor.cli.main import main\n",
    "errors.py": "class PortClosed(Exception): ...\n",
    "packets.py": "import proactor.errors\n",
    "engines/__init__.py": "from sys import platform\nimport fcntl\n",
    "port.py": "from proactor import packets\nfrom . import engines\nclass Port: ...\n",
    "models/__init__.py": "from proactor.models.echo import serve\nfrom proactor import Port\n",
    "models/echo.py": "from proactor.port import Port\nserve = Port\n",
    "models/by_name_select.py": "from proactor.models.echo import serve\n",
    "server/__init__.py": "import proactor.port\n",
    "cli/__init__.py": "",
    "cli/main.py": "from proactor import models, server\nmain = None\n",
}

Break = Callable[[str, str], list[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for name, text in GOOD_TREE.items():
        path = tmp_path / "src" / "proactor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def after(root: Path) -> Break:
    """Append a text to one file of the good tree, and return what the checker says then."""

    def append(name: str, text: str) -> list[str]:
        path = root / "src" / "proactor" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return [str(finding).removeprefix("src/proactor/") for finding in check(root)]

    return append


def test_a_tree_that_keeps_the_rules_has_no_finding(root: Path) -> None:
    assert check(root) == []
    assert main([str(root)]) == 0


def test_an_error_is_printed_and_makes_the_exit_status_1(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "src/proactor/errors.py").write_text("import fcntl\n")

    assert main([str(root)]) == 1

    printed = capsys.readouterr().out
    assert "src/proactor/errors.py:1: system: fcntl asks about the operating system" in printed
    assert "1 errors, 0 over the habit" in printed


@pytest.mark.parametrize(
    "statement",
    [
        "import proactor.port",
        "import proactor.port as port",
        "from proactor import port",
        "from proactor.port import Port",
        "from . import port",
        "from .port import Port",
        "from proactor.port import *",
        "import importlib; importlib.import_module('proactor.port')",
        "def late():\n    from proactor.port import Port",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from proactor.port import Port",
    ],
)
def test_an_import_of_a_row_above_is_found_in_every_spelling(after: Break, statement: str) -> None:
    found = [line for line in after("packets.py", statement) if " rows: " in line]

    assert len(found) == 1
    assert "row words imports proactor.port of row port, which stands above it" in found[0]


def test_a_finding_names_the_line_of_the_import(after: Break) -> None:
    found = after("engines/__init__.py", "\n\nimport proactor.server\n")

    assert any(line.startswith("engines/__init__.py:5: rows: ") for line in found)


def test_a_relative_import_in_an_init_starts_at_its_own_folder(after: Break) -> None:
    assert after("server/__init__.py", "from .port import Port\n") == []
    assert "strangers" in after("server/__init__.py", "from ..models import echo\n")[0]


def test_products_are_strangers(after: Break) -> None:
    [found] = after("server/__init__.py", "from proactor.models.echo import serve\n")

    assert found == (
        "server/__init__.py:2: rows: products are strangers to each other: "
        "no import of proactor.models.echo"
    )


def test_parts_of_another_row_may_know_each_other(after: Break) -> None:
    assert after("errors.py", "def late():\n    pass\n") == []
    assert after("packets.py", "from proactor.errors import PortClosed\n") == []


def test_the_package_itself_imports_only_what_the_layout_allows(after: Break) -> None:
    [found] = after("__init__.py", "from proactor.server import Session\n")

    assert "rows: the package itself may not import proactor.server" in found


def test_a_lazy_part_is_allowed_and_does_not_lift_the_package(root: Path, after: Break) -> None:
    # Goal: `proactor.models` may import `proactor` although that names the server, lazily.
    layout = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(layout + 'lazy = ["server"]\n')

    assert after("__init__.py", "def late():\n    import proactor.server\n") == []


def test_a_low_row_does_not_import_the_whole_package(after: Break) -> None:
    found = after("engines/__init__.py", "from proactor import Port\n")

    assert "row engines imports proactor of the whole package" in found[-1]


def test_a_module_in_no_row_is_found(after: Break) -> None:
    found = after("extras/thing.py", "import proactor.errors\n")

    assert found[0] == ("extras/thing.py:1: reached: nothing imports proactor.extras.thing")
    assert found[1] == (
        "extras/thing.py:1: rows: proactor.extras.thing is in no row of [tool.proactor.layers]"
    )


def test_an_import_of_a_module_in_no_row_is_found(after: Break) -> None:
    assert (
        "rows: imports proactor.extras, which is in no row"
        in (after("port.py", "from proactor.extras import thing\n")[0])
    )


@pytest.mark.parametrize(
    "statement",
    [
        "from proactor.packets import Packet",
        "def late():\n    import proactor.packets",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import proactor.packets",
    ],
)
def test_a_cycle_is_found_wherever_its_imports_stand(after: Break, statement: str) -> None:
    [found] = after("errors.py", statement)

    assert "cycles: proactor.errors -> proactor.packets -> proactor.errors" in found


def test_a_long_cycle_is_reported_once(after: Break, root: Path) -> None:
    for name, target in [("a", "b"), ("b", "c"), ("c", "d")]:
        (root / f"src/proactor/engines/{name}.py").write_text(f"import proactor.engines.{target}\n")

    found = after("engines/d.py", "import proactor.engines.a\n")

    assert [line.partition(": ")[2] for line in found] == [
        "cycles: proactor.engines.a -> proactor.engines.b -> proactor.engines.c"
        " -> proactor.engines.d -> proactor.engines.a"
    ]


def test_a_file_that_nothing_imports_is_found(after: Break) -> None:
    assert after("models/forgotten.py", "") == [
        "models/forgotten.py:1: reached: nothing imports proactor.models.forgotten"
    ]


def test_an_import_of_itself_is_no_importer(after: Break) -> None:
    assert len(after("models/forgotten.py", "import proactor.models.forgotten\n")) == 1


def test_a_file_that_starts_a_program_needs_no_importer(after: Break) -> None:
    assert after("models/started.py", 'if __name__ == "__main__":\n    pass\n') == []


def test_a_table_of_names_counts_as_an_import(after: Break) -> None:
    after("models/listed.py", "")

    assert after("models/__init__.py", 'TABLE = {"l": "proactor.models.listed"}\n') == []


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("import sys\nsys.platform\n", "sys.platform"),
        ("import sys as system\nsystem.platform\n", "sys.platform"),
        ("from sys import platform\n", "sys.platform"),
        ("import os\nos.name\n", "os.name"),
        ("import platform\nplatform.system()\n", "platform.system"),
        ("import select\nhasattr(select, 'epoll')\n", "hasattr(select, 'epoll')"),
        ("import os\nhasattr(os, 'fork')\n", "hasattr(os, 'fork')"),
        ("import socket\ngetattr(socket, 'x', None)\n", "getattr(socket, 'x', None)"),
        ("import _overlapped\n", "_overlapped"),
        ("def late():\n    import _winapi\n", "_winapi"),
        ("from msvcrt import get_osfhandle\n", "msvcrt"),
        ("import fcntl\n", "fcntl"),
        ("import ctypes\nctypes.windll.kernel32\n", "ctypes.windll"),
        ("from ctypes import windll\n", "ctypes.windll"),
        ("from ctypes import wintypes\n", "ctypes.wintypes"),
    ],
)
def test_a_question_about_the_system_belongs_to_the_engines(
    after: Break, text: str, question: str
) -> None:
    [found] = after("port.py", text)

    assert f"system: {question} asks about the operating system; only engines may" in found
    assert after("engines/__init__.py", text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "import os, sys\nos.getpid(), sys.argv\n",
        "import socket\ngetattr(socket, 'AF_INET')\n",
        "class Player:\n    name = 'os.name'\n    platform = 1\nPlayer().name, Player.platform\n",
        "os = object()\nhasattr(os, 'fork')\n",
    ],
)
def test_what_only_looks_like_a_question_is_left_alone(after: Break, text: str) -> None:
    assert after("port.py", text) == []


def test_a_long_file_is_a_warning_and_a_longer_one_an_error(after: Break, root: Path) -> None:
    assert after("errors.py", "#\n" * 399) == []

    [warning] = after("errors.py", "#\n")
    assert warning == (
        "errors.py:1: warning: size: file has 401 lines; the habit is 400, the limit 600"
    )
    assert main([str(root)]) == 0

    [error] = after("errors.py", "#\n" * 200)
    assert error.startswith("errors.py:1: size: file has 601 lines")
    assert main([str(root)]) == 1


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_long_function_is_a_warning_and_a_longer_one_an_error(after: Break, keyword: str) -> None:
    assert after("errors.py", f"{keyword} run():\n" + "    0\n" * 69) == []

    assert after("errors.py", "    0\n") == [
        "errors.py:2: warning: size: run() has 71 lines; the habit is 70, the limit 100"
    ]
    assert after("errors.py", "    0\n" * 30) == [
        "errors.py:2: size: run() has 101 lines; the habit is 70, the limit 100"
    ]


@pytest.mark.parametrize(
    ("file", "text", "word"),
    [
        ("engines/socket_helpers.py", "", '"helpers" in socket_helpers'),
        ("engines/util/__init__.py", "", '"util" in util'),
        ("port.py", "class PortManager: ...\n", '"Manager" in PortManager'),
        ("port.py", "class UserData: ...\n", '"Data" in UserData'),
        ("port.py", "class IOInfo: ...\n", '"Info" in IOInfo'),
    ],
)
def test_a_name_that_says_nothing_is_found(after: Break, file: str, text: str, word: str) -> None:
    found = [line for line in after(file, text) if " names: " in line]

    assert len(found) == 1
    assert f"names: {word} says nothing" in found[0]


def test_a_word_that_only_begins_like_a_vague_one_is_left_alone(after: Break) -> None:
    assert after("port.py", "class Datagram: ...\nclass Utility: ...\n") == []


def test_a_comment_that_promises_work_is_found(after: Break) -> None:
    assert after("errors.py", "x = 1  # TODO: more\n") == ["errors.py:2: finished: # TODO: more"]


def test_only_comments_promise_work(after: Break) -> None:
    assert after("errors.py", 'TODO = "# TODO"\n') == []


def test_this_project_keeps_its_own_rules() -> None:
    root = Path(__file__).parents[2]

    assert [str(finding) for finding in check(root) if not finding.is_warning] == []
