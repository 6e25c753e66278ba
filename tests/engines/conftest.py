"""A Dask cluster of two worker processes, which the tests of one process share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import LocalCluster

SECRET = "s3cret-of-the-workers"


@contextmanager
def local_cluster(
    folder: Path, environment: Mapping[str, str] | None = None, **options: object
) -> Iterator[LocalCluster]:
    """A cluster whose workers have a secret, as a platform would give it to them."""
    settings = {"n_workers": 2, "threads_per_worker": 2, "memory_limit": 0} | options
    own = {"ONEX_SECRET_KEY": SECRET, "ONEX_SETTINGS_FOLDER": str(folder / "settings")}
    with LocalCluster(
        host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
        local_directory=str(folder), env=dict(os.environ) | own | dict(environment or {}), **settings,
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("dask")) as started:
        yield started
