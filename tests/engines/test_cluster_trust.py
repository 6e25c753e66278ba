"""What workers make sure of before they run a node: what was granted, who signed it, their policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from onex.domain.envelope import Envelope
from onex.domain.errors import ConfigurationError, OnexError, WorkerUnfitError
from onex.domain.evidence import Evidence, SignedStatement
from onex.domain.limits import Limits
from onex.domain.result import IsolationLevel
from onex.domain.statement import PAYLOAD_TYPE, ReleaseStatement
from onex.domain.trust_errors import NotVerifiedError, PolicyRefusedError
from onex.engines.cluster_call import ClusterNode
from onex.engines.cluster_trust import POLICY_VARIABLE, WorkerPolicy, require_trusted
from onex.manifests.node_files import NodeFiles
from onex.remote.archived_node import files_of, read_files
from onex.trust.signing import SigningKey
from tests.conftest import Project, RegistryServer
from tests.engines.conftest import local_cluster

MANIFEST = """\
name: made
namespace: test.made
version: "1.0.0"
meta_type: tool
lifecycle: draft
license: MIT
entrypoint: python@node.py
capabilities: ["file.read:{place}/**", "network.connect:example.org"]
"""
KEY = SigningKey.generate()


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    manifest = MANIFEST.format(place=tmp_path / "link").encode()
    return files_of({"node.onex.yaml": manifest, "node.py": b"def execute(context): pass\n"})


@pytest.fixture
def node(files: NodeFiles) -> ClusterNode:
    return ClusterNode(
        identity="tool://test.made@1.0.0", digest=files.digest, archive="", kind="python",
        target="node.py", folder="", callable_name="execute", isolation=IsolationLevel.STRICT,
        permissions=(), limits=Limits(), asks_for_files=False, is_trusted=False,
        is_idempotent=False, variables={}, libraries={}, hidden=(), manifest="node.onex.yaml",
        evidence=None,
    )  # fmt: skip


def signed(files: NodeFiles, key: SigningKey = KEY, **changes: object) -> Evidence:
    metadata = read_files(files, "node.onex.yaml").metadata
    release = replace(ReleaseStatement.about(metadata, files.digest), **changes)
    envelope = key.sign(Envelope(PAYLOAD_TYPE, release.payload()))
    return Evidence("2026-01-01T00:00:00+00:00", 1, (SignedStatement(envelope, 2, "2026-01-01T00:00:00+00:00"),))  # fmt: skip


def policy(tmp_path: Path, text: str) -> WorkerPolicy:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    return WorkerPolicy.of({POLICY_VARIABLE: str(file)})


def test_what_the_manifest_asks_for_may_be_granted(
    node: ClusterNode, files: NodeFiles, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for granted in (
        (),
        ("network.connect:example.org",),
        (f"file.read:{tmp_path}/link/**", "network.connect:example.org"),
        (f"file.read:{tmp_path}/real/**",),
    ):
        require_trusted(replace(node, permissions=granted), files, None, WorkerPolicy())


@pytest.mark.parametrize(
    "more", ["network.connect:example.com", "file.write:/tmp/**", "file.read:/etc/passwd", "process.execute:/bin/sh"]
)  # fmt: skip
def test_what_it_does_not_ask_for_is_refused(
    node: ClusterNode, files: NodeFiles, more: str
) -> None:
    with pytest.raises(WorkerUnfitError, match="does not ask for"):
        require_trusted(replace(node, permissions=(more,)), files, None, WorkerPolicy())


@pytest.mark.parametrize(
    "change",
    [
        {"target": "/etc/passwd"}, {"target": "../other.py"}, {"target": "node.onex.yaml"},
        {"callable_name": "helper"}, {"kind": "cli"}, {"is_idempotent": True},
        {"variables": {"LD_PRELOAD": "x"}},
    ],
    ids=str,
)  # fmt: skip
def test_it_runs_as_its_manifest_says(
    node: ClusterNode, files: NodeFiles, change: dict[str, object]
) -> None:
    with pytest.raises(WorkerUnfitError):
        require_trusted(replace(node, **change), files, signed(files), WorkerPolicy())


@pytest.mark.parametrize(
    ("written", "target"),
    [("python@src/nodes/node.py", "node.py"), ("python://made.nodes.node", "nodes/node.py"),
     ("python://made.node:other", "node.py")],
)  # fmt: skip
def test_a_manifest_may_name_its_file_from_further_up(
    node: ClusterNode, files: NodeFiles, written: str, target: str
) -> None:
    asked = files.contents["node.onex.yaml"].replace(b"python@node.py", written.encode())
    found = files_of({"node.onex.yaml": asked, target: b"def execute(context): pass\n"})
    name = "other" if written.endswith(":other") else "execute"
    there = replace(node, digest=found.digest, target=target, callable_name=name)
    require_trusted(there, found, None, WorkerPolicy())


def test_a_file_is_no_tree(node: ClusterNode, files: NodeFiles, tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    asked = files.contents["node.onex.yaml"].replace(b"/**", b"/one.txt")
    narrow = files_of({**files.contents, "node.onex.yaml": asked})
    changed = replace(
        node, digest=narrow.digest, permissions=(f"file.read:{tmp_path}/link/one.txt/**",)
    )
    with pytest.raises(WorkerUnfitError, match="does not ask for"):
        require_trusted(changed, narrow, None, WorkerPolicy())


def test_a_statement_must_be_true_and_about_it(node: ClusterNode, files: NodeFiles) -> None:
    require_trusted(node, files, signed(files), WorkerPolicy())
    good = signed(files)
    (one,) = good.statements
    (elsewhere,) = signed(files, digest="sha256:" + "0" * 64).statements
    (more,) = signed(files, permissions=("file.read:/etc/**",)).statements
    forged = replace(one, envelope=replace(one.envelope, signatures=elsewhere.envelope.signatures))
    for wrong in (forged, elsewhere, more):
        with pytest.raises(NotVerifiedError):
            require_trusted(node, files, replace(good, statements=(wrong,)), WorkerPolicy())


def test_the_policy_of_the_worker_decides(
    node: ClusterNode, files: NodeFiles, tmp_path: Path
) -> None:
    asked = policy(tmp_path, '[policy.trust."test.*"]\nrun = "signed"\n')
    require_trusted(node, files, signed(files), asked)
    with pytest.raises(PolicyRefusedError, match="is unverified"):
        require_trusted(node, files, None, asked)
    weak = replace(node, isolation=IsolationLevel.PROCESS)
    with pytest.raises(PolicyRefusedError, match="asks for strict"):
        require_trusted(
            weak, files, signed(files), policy(tmp_path, '[policy]\nisolation = "strict"\n')
        )
    for text in ('[policy]\nforbidden_licenses = ["MIT"]\n', '[policy]\nforbidden_permissions = ["network.*"]\n'):  # fmt: skip
        with pytest.raises(PolicyRefusedError):
            require_trusted(node, files, signed(files), policy(tmp_path, text))


def test_a_policy_that_cannot_be_read_is_no_policy_that_allows_all(tmp_path: Path) -> None:
    with pytest.raises(OnexError):
        WorkerPolicy.of({POLICY_VARIABLE: str(tmp_path / "absent.toml")})
    with pytest.raises(ConfigurationError):
        policy(tmp_path, "[policy]\nrun = 3\n")
    with pytest.raises(ConfigurationError, match="limits"):
        policy(tmp_path, "[policy.limits]\nmemory = '1GB'\n")
    assert policy(tmp_path, "").is_empty


@pytest.mark.slow
def test_a_cluster_runs_what_its_own_policy_lets_run(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer], tmp_path: Path
) -> None:
    server = serve(make_project("server"))
    project = make_project("one")
    server.declare(project)
    key = tmp_path / "key"
    assert project.onex_here("trust", "keygen", key).code == 0
    for name, how in (("open", []), ("closed", ["--key", key])):
        manifest = project.add(name, "def execute(context):\n    return 1\n", idempotent=True)
        done = project.onex_here("publish", manifest.parent, "--to", "hub", "--json", *how)
        assert done.code == 0, done.stdout
        project.onex_here("grant", "approve", name)
    (tmp_path / "policy.toml").write_text('[policy.trust."*"]\nrun = "signed"\n')
    project.environment["ONEX_ARTIFACTS"] = str(tmp_path / "store")
    with local_cluster(tmp_path / "dask", environment={POLICY_VARIABLE: str(tmp_path / "policy.toml")}) as cluster:  # fmt: skip
        options = ["--engine", "dask", "--scheduler", cluster.scheduler_address, "--json"]
        done = project.onex("run", "closed", *options)
        assert done.code == 0, done.stdout + done.stderr
        refused = project.onex("run", "open", *options)
    (step,) = refused.json["steps"].values()
    assert step["error"]["code"] == PolicyRefusedError.code
    assert "policy of the worker" in step["error"]["hint"]
