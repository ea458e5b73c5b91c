"""The pages are true: links lead somewhere, code is code that runs, names are those that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import proactor
from proactor.engines import choose
from proactor.models import MODELS

ROOT = Path(__file__).parents[2]

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """Return the text of a page without its code blocks."""
    return FENCE.sub("", read(path))


def anchors(path: Path) -> set[str]:
    """Return the anchors that a page's headings make, as the usual viewers build them."""
    titles = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page):
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue  # Another site: not ours to keep.
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_piece_of_python_is_in_a_file_that_tests_run(page):
    # Goal: code in a page cannot rot: it is an example, or part of a module of the package.
    folders = (ROOT / "examples", ROOT / "src")
    sources = [read(path) for folder in folders for path in folder.rglob("*.py")]
    for language, code in FENCE.findall(read(page)):
        if language == "python":
            assert code.strip(), "an empty piece of code"
            assert any(code in source for source in sources), f"in no example:\n{code}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_one_title_and_it_comes_first(page):
    titles = re.findall(r"^# .*$", prose(page), re.MULTILINE)

    assert len(titles) == 1
    assert read(page).startswith(titles[0])


def test_the_readme_shows_the_twenty_lines_whole():
    example = read(ROOT / "examples" / "echo_20_lines.py")

    assert f"```python\n{example}```" in read(ROOT / "README.md")


def test_the_readme_names_the_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    pages = (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    named = {
        name for page in pages for name in re.findall(r"(?:^|`)make ([a-z-]+)", read(page), re.M)
    }

    assert {"serve", "test"} <= named
    assert named <= targets, "a page names a target that the Makefile has not"


def test_the_readme_has_a_row_of_figures_for_each_model():
    measured = read(ROOT / "README.md").split("<!-- measured")[1].split("<!-- /measured")[0]

    rows = re.findall(r"^\| `([\w-]+)` \|.*\| [\d,]+ \| \d\.\d\d \|", measured, re.MULTILINE)

    assert rows == list(MODELS)


def test_the_list_of_public_names_is_whole_and_names_nothing_else():
    listed = re.findall(r"^\| `(\w+)` \|", read(ROOT / "docs" / "api.md"), re.MULTILINE)

    assert sorted(listed) == sorted(proactor.__all__)


def test_every_decision_is_in_the_index_with_its_own_title():
    folder = ROOT / "docs" / "decisions"
    index = read(folder / "README.md")
    for page in folder.glob("0*.md"):
        number, _, title = read(page).splitlines()[0].removeprefix("# ").partition(": ")
        assert page.name.startswith(f"{number}-")
        assert f"[{number}]({page.name}) | {title}" in index


def test_the_architecture_names_every_module():
    # Method: a module in a folder is named with that folder, `cli/serve`.
    named = set(re.findall(r"`([\w/]+)`", read(ROOT / "ARCHITECTURE.md")))
    package = ROOT / "src" / "proactor"
    modules = {
        "/".join(path.relative_to(package).with_suffix("").parts[-2:])
        for path in package.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }

    assert modules - named == set()


def test_every_function_that_the_architecture_names_exists():
    # Method: `file.py:name` is how that page points into the code.
    package = ROOT / "src" / "proactor"
    text = read(ROOT / "ARCHITECTURE.md")
    pointers = re.findall(r"`([\w/]+\.py):(?:\w+\.)?(\w+)`", text)
    assert len(pointers) > 10
    for file, name in pointers:
        found = re.search(rf"\b(def|class) {name}\b", read(package / file))
        assert found, f"{file} has no {name}"


def test_the_engines_that_the_pages_name_are_those_that_exist():
    text = read(ROOT / "README.md")

    named = set(re.findall(r"(?<=PROACTOR_ENGINE=)[\w-]+|(?<=`=)[\w-]+", text))

    assert named == set(choose.NAMES)
