"""Sources prove themselves, each kind in its own way; what cannot is not trusted."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from tests.conftest import Project

DECLARED = '[[sources]]\nname = "own"\npath = "nodes"\n'
PACKAGE = '[[sources]]\nname = "installed"\nkind = "package"\npath = "site"\n'


def is_trusted(project: Project, name: str = "greeter") -> bool:
    with project.registry() as registry:
        registry.refresh()
        (node,) = registry.storage.versions(registry.storage.find_nodes(name)[0])
        return registry.grants.is_trusted(node)


@pytest.fixture
def greeting(project: Project) -> Project:
    project.add("greeter", capabilities=["environment.read:HOME"])
    project.write("onex.toml", DECLARED)
    return project


@pytest.mark.parametrize(
    "place",
    [
        "nodes",
        "nodes/greeter-1.0.0",
        "nodes/greeter-1.0.0/node.onex.yaml",
        "nodes/greeter-1.0.0/node.py",
    ],
)
def test_a_source_that_everybody_can_write_to_is_not_trusted(greeting: Project, place: str) -> None:
    assert is_trusted(greeting)
    path = greeting.root / place
    path.chmod(path.stat().st_mode | 0o002)
    assert not is_trusted(greeting)
    done = greeting.onex_here("verify", "greeter")
    assert f"everybody can write to {path}" in done.stdout
    # It runs, confined, and is granted nothing that nobody approved.
    done = greeting.onex_here("run", "greeter")
    assert (done.code, "SEC006" in done.stderr) == (5, True)


def test_doctor_names_a_source_that_everybody_can_write_to(greeting: Project) -> None:
    greeting.nodes.chmod(0o777)
    checks = {c["name"]: c for c in greeting.onex_here("doctor", "--json").json["checks"]}
    found = checks["source own"]
    assert found["status"] == "warning"
    assert "everybody can write to" in found["message"]
    greeting.nodes.chmod(0o755)
    checks = {c["name"]: c for c in greeting.onex_here("doctor", "--json").json["checks"]}
    assert checks["source own"]["status"] == "ok"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")  # fmt: skip
def test_files_of_another_user_are_not_trusted(greeting: Project) -> None:
    manifest = greeting.nodes / "greeter-1.0.0" / "node.onex.yaml"
    os.chown(manifest, 4242, 4242)
    assert not is_trusted(greeting)
    # They are if the whole project is theirs.
    os.chown(greeting.root / "onex.toml", 4242, 4242)
    assert is_trusted(greeting)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")  # fmt: skip
def test_a_group_is_as_good_as_its_members(greeting: Project) -> None:
    import grp
    import pwd

    code = greeting.nodes / "greeter-1.0.0" / "node.py"
    code.chmod(0o664)
    assert is_trusted(greeting) == (not set(grp.getgrgid(0).gr_mem) - {"root"})
    somebody = next(user for user in pwd.getpwall() if user.pw_uid and user.pw_gid)
    for group in (somebody.pw_gid, 4242):
        os.chown(code, -1, group)
        assert not is_trusted(greeting)
    done = greeting.onex_here("verify", "greeter")
    assert f"a group of several users can write to {code}" in done.stdout
    code.chmod(0o644)
    assert is_trusted(greeting)


def install(project: Project) -> Path:
    """A node in a package, as an installer leaves it."""
    package = project.root / "site" / "greeting"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "node.py").write_text("def execute(context):\n    return 1\n")
    (package / "node.onex.yaml").write_text(
        'name: "greeter"\nnamespace: "test.greeter"\nversion: "1.0.0"\nmeta_type: "tool"\n'
        'lifecycle: "draft"\nentrypoint: "python@node.py"\n'
    )
    info = project.root / "site" / "greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[onex.nodes]\ngreeter = greeting\n")
    lines = []
    for file in sorted(package.iterdir()):
        content = file.read_bytes()
        hash_ = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"greeting/{file.name},sha256={hash_},{len(content)}")
    (info / "RECORD").write_text("\n".join([*lines, "greeting-1.0.dist-info/RECORD,,"]) + "\n")
    project.write("onex.toml", PACKAGE)
    return package


def test_installed_files_are_those_that_were_recorded(project: Project) -> None:
    package = install(project)
    assert is_trusted(project)
    (package / "node.py").write_text("def execute(context):\n    return 'evil'\n")
    assert not is_trusted(project)
    done = project.onex_here("verify", "greeter")
    assert "is not what its package recorded when it was installed" in done.stdout
    (package / "node.py").unlink()
    with project.registry() as registry:
        (node,) = registry.storage.versions(registry.storage.find_nodes("greeter")[0])
        assert "is not there any more" in str(registry.grants.fault_of(node.origins[0]))


def test_a_package_without_hashes_is_taken_as_a_folder(project: Project) -> None:
    package = install(project)
    (project.root / "site" / "greeting-1.0.dist-info" / "RECORD").unlink()
    (package / "node.py").write_text("def execute(context):\n    return 2\n")
    assert is_trusted(project)
    (package / "node.onex.yaml").chmod(0o666)
    assert not is_trusted(project)
