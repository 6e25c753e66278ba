"""Servers that die and come back: PostgreSQL in a transaction, Valkey in a run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onex.domain.errors import StorageError
from onex.domain.metadata import Origin
from onex.storage.node_record import NodeRecord
from onex.storage.opening import open_storage
from onex.storage.query import MetadataQuery
from tests.conftest import PostgresServer, Project, ValkeyServer
from tests.storage.conftest import insert, node


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path / "pg")
    server.start()
    yield server
    server.stop()


def test_a_server_that_restarts_costs_the_transaction_and_no_more(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    storage = open_storage(own_postgres.url, tmp_path)
    insert(storage, node("before"))

    def write_while_the_server_dies() -> None:
        with storage.writing() as writer:
            writer.insert(NodeRecord.of(node("lost"), "d"), Origin("s", "/lost"))
            writer.flush()
            own_postgres.kill()
            writer.insert(NodeRecord.of(node("lost2"), "d"), Origin("s", "/lost2"))

    with pytest.raises(StorageError) as caught:
        write_while_the_server_dies()
    assert "does not answer" in caught.value.message
    with pytest.raises(StorageError):
        storage.count()
    own_postgres.start()
    assert storage.count() == 1
    insert(storage, node("after"))
    storage.check()
    names = [n.metadata.name for n in storage.query(MetadataQuery()).nodes]
    assert names == ["after", "before"]
    storage.close()


def test_a_reader_goes_on_when_the_server_was_restarted_between_questions(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    storage = open_storage(own_postgres.url, tmp_path)
    insert(storage, node("a"))
    own_postgres.kill()
    own_postgres.start()
    assert storage.count() == 1
    insert(storage, node("b"))
    assert storage.count() == 2
    storage.close()


def test_a_run_goes_on_while_valkey_dies(project: Project, own_valkey: ValkeyServer) -> None:
    project.add("slow", "import time\ndef execute(context, *, x=0):\n    time.sleep(0.05)\n    return x\n",
                inputs={"x": {"type": "integer"}})  # fmt: skip
    project.scan()
    project.environment["ONEX_CACHE"] = own_valkey.url
    project.workflow(
        {"a": {"node": "slow", "foreach": list(range(30)), "with": {"x": "${{ item }}"}}}
    )
    process = subprocess.Popen(
        project.command("run", "test.workflow.yaml", "--format", "json"),
        cwd=project.root, env=project.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.6)
    own_valkey.stop()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert project.onex("resolve", "slow").code == 0
