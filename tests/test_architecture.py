"""The rules that the tree keeps: imports point one way, requirements name no host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]


def test_imports_point_one_way() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_worker_imports_the_standard_library_and_four_modules_of_the_domain() -> None:
    graph = grimp.build_graph("onex", include_external_packages=True, cache_dir=None)
    inside = {"onex.worker", *graph.find_descendants("onex.worker")}
    imported = {m for module in inside for m in graph.find_modules_directly_imported_by(module)}
    ours = {module for module in imported - inside if module.startswith("onex.")}
    assert ours == {
        "onex.domain.json_value",
        "onex.domain.permission",
        "onex.domain.errors",
        "onex.domain.node_function",
    }
    others = {module.partition(".")[0] for module in imported} - {"onex"}
    assert others <= sys.stdlib_module_names


def test_the_picture_of_the_rooms_is_current() -> None:
    command = [sys.executable, ROOT / "scripts" / "draw_architecture.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_requirements_are_hashed_and_name_no_host() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert entries
        assert text.count("\n    --hash=sha256:") >= len(entries)


def test_every_dependency_has_its_reason_on_record() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    record = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for requirement in declared:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert name
        assert f"`{name[0]}`" in record, (
            f"docs/decisions/dependencies.md does not mention {name[0]}"
        )


def test_version_costs_no_import() -> None:
    program = (
        "import sys; sys.argv = ['onex', '--version']; from onex.__main__ import main; main();"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('click', 'rich', 'sqlite3', 'yaml_rs')))"
    )
    # Without the measuring of coverage, which imports modules of its own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
