"""For tests of nodes in Python: a registry that a test has for itself.

With pytest nothing needs to be imported: the fixture ``onex_registry`` is there as soon as onex
is installed. Other test runners use ``temporary_registry``::

    def test_it_greets(onex_registry):
        result = onex_registry.run("greeter", {"who": "Ada"}).raise_for_status()
        assert result["node"].output == {"greeting": "Hello, Ada!"}
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onex.registry import Registry

__all__ = ["temporary_registry"]


@contextmanager
def temporary_registry(project: str | os.PathLike[str] = ".") -> Iterator[Registry]:
    """A registry with the nodes of a project, whose state goes with the block.

    Nothing that is registered, granted, cached or recorded elsewhere is seen or changed.

    Args:
        project: where to look for ``onex.toml``, upwards.

    Raises:
        ConfigurationError: ``onex.toml`` is not valid.
    """
    # Every run of pytest imports this module, so the rest is imported when a test asks for it.
    from onex.configuration.loading import load_configuration
    from onex.registry import Registry

    variables = ("ONEX_HOME", "ONEX_STORAGE", "ONEX_CACHE", "ONEX_ARTIFACTS")
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    found = load_configuration(Path(project), environment)
    with tempfile.TemporaryDirectory(prefix="onex-test-") as home:
        # The database, the cache and the store that onex.toml names are for work, not for tests.
        alone = replace(found, home=Path(home), storage=None, cache=None, artifacts=None)
        with Registry(alone, environment) as registry:
            yield registry
