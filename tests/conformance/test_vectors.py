"""Every vector is tested or explained: the table against the test modules of this folder."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.conformance import vectors, vectors_rest

EXPLAINED = vectors.NOT_APPLICABLE | vectors_rest.NOT_APPLICABLE

_IDS = re.compile(r"test((?:_[A-Z]\d\d)+)_")


def ids_in_test_names() -> Counter[str]:
    """Return how many tests bear each id, read from the names of the tests of this folder."""
    found: Counter[str] = Counter()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (match := _IDS.match(node.name)):
                found.update(match[1].strip("_").split("_"))
    return found


def test_every_vector_is_tested_or_explained() -> None:
    tested = set(ids_in_test_names())

    assert sorted(vectors.VECTORS - tested - set(EXPLAINED)) == [], "neither tested nor explained"
    assert sorted(tested & set(EXPLAINED)) == [], "explained as not applicable, and yet tested"


def test_no_test_or_explanation_names_an_unknown_vector() -> None:
    assert sorted(set(ids_in_test_names()) - vectors.VECTORS) == []
    assert sorted(set(EXPLAINED) - vectors.VECTORS) == []
    assert len(vectors.VECTORS) == 144


def test_no_vector_is_explained_in_both_tables() -> None:
    assert set(vectors.NOT_APPLICABLE) & set(vectors_rest.NOT_APPLICABLE) == set()


def test_every_explanation_is_a_sentence() -> None:
    assert [text for text in EXPLAINED.values() if len(text) < 20 or text[-1] != "."] == []
