"""Each scenario runs against each of the six models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.serving import ALL_MODELS, Served


@pytest.fixture(params=ALL_MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """The name of a model."""
    name: str = request.param
    return name


@pytest.fixture
def served(model: str) -> Iterator[Served]:
    """A server of that model, serving; afterwards nothing of it may be left."""
    with Served(model) as running:
        yield running
