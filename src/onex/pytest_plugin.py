"""The plugin of pytest: the fixture ``onex_registry``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from onex.testing import temporary_registry

if TYPE_CHECKING:
    from onex.registry import Registry


@pytest.fixture
def onex_registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry with the nodes of the project around the test, for this test alone."""
    with temporary_registry(request.path.parent) as registry:
        yield registry
