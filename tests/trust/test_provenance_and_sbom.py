"""From a file on to who published the code that made it; and what is in a lock or a run."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest

from onex.artifacts.artifact_store import ARTIFACT_KEY
from tests.trust.conftest import Origin, Reader
from tests.trust.test_signed_index import Repository

WRITES = """
def execute(context):
    path = context.workdir / "out.txt"
    path.write_text("made")
    return {"file": context.artifact(path)}
"""


def schema() -> jsonschema_rs.Validator:
    """The schema of CycloneDX 1.6, as its project has it."""
    folder = files("cyclonedx.schema") / "_res"

    def read(name: str) -> Any:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    def retrieve(uri: str) -> Any:
        return read(uri.rpartition("/")[2])

    return jsonschema_rs.validator_for(read("bom-1.6.SNAPSHOT.schema.json"), retriever=retrieve)


@pytest.fixture
def signed(origin: Origin, reader: Reader) -> Repository:
    """A node that an owner signed, from a commit, in a signed index that the reader pinned."""
    manifest = origin.project.add("writer", WRITES, license="MIT", dependencies=["packaging>=20"])

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *who, *arguments], cwd=origin.project.nodes, check=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    origin.claim("test", "alice")
    origin.run("publish", manifest.parent, "--here", "--key", origin.key("alice"))
    repository = Repository(origin)
    repository.start()
    origin.export()
    reader.project.write("onex.toml", "")
    root = repository.latest("root")
    done = reader.project.onex_here("remote", "add", origin.tree, "--name", "hub", "--root", root)
    assert done.code == 0, done.stderr
    return repository


def test_a_file_leads_to_the_publisher_of_the_code_that_made_it(
    signed: Repository, reader: Reader
) -> None:
    done = reader.project.onex_here("run", "writer", "--json")
    assert done.code == 0, done.stderr
    digest = done.json["outputs"]["result"]["file"][ARTIFACT_KEY]
    found = reader.project.onex_here("provenance", digest, "--json")
    assert found.code == 0, found.stderr
    (release,) = found.json["releases"].values()
    assert release["level"] == "verified"
    (statement,) = release["statements"]
    assert len(statement["source"]["commit"]) == 40
    assert statement["entry"] <= release["log"]["size"]
    key = signed.origin.public("alice")
    owners = signed.origin.run("trust", "list", "--json").json["published"][0]["keys"]
    assert statement["signers"] == [owners[0]["id"]]
    assert owners[0]["key"] == key
    told = reader.project.onex_here("provenance", digest).stdout
    assert "trust verified, from hub" in told
    assert f"at {statement['source']['commit']}" in told


def test_the_bill_of_a_run_and_of_a_lock_are_as_cyclonedx_has_them(
    signed: Repository, reader: Reader
) -> None:
    workflow = reader.project.workflow({"a": {"node": "writer"}})
    assert reader.project.onex_here("lock", workflow).code == 0
    run = reader.project.onex_here("run", workflow, "--json").json["run_id"]
    validator = schema()
    for target in (reader.project.root / "onex.lock", run):
        done = reader.project.onex_here("sbom", target)
        assert done.code == 0, done.stderr
        bill = done.json
        problems = [error.message for error in validator.iter_errors(bill)]
        assert not problems, problems
        node, library = bill["components"]
        assert node["name"] == "tool://test.writer"
        assert node["hashes"][0]["alg"] == "SHA-256"
        assert {"name": "onex:trust", "value": "verified"} in node["properties"]
        assert library["name"] == "packaging"
        assert ("version" in library) == (target == run)
        (subject, of_node) = bill["dependencies"]
        assert subject["dependsOn"] == ["tool://test.writer@1.0.0"]
        assert of_node["dependsOn"] == [library["bom-ref"]]
    assert reader.project.onex_here("sbom", "nothing-like-it").code == 2
