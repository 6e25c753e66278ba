"""The examples that come with onex, as their READMEs say: validated, tested, and run."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Project

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Project]:
    def copy(name: str) -> Project:
        shutil.copytree(EXAMPLES / name, tmp_path / name)
        (tmp_path / name / "home").mkdir()
        return Project(tmp_path / name)

    return copy


@pytest.mark.parametrize("name", NAMES)
def test_manifests_and_workflows_are_valid_and_examples_pass(
    copied: Callable[[str], Project], name: str
) -> None:
    project = copied(name)
    checked = project.onex_here("validate", ".", "--json")
    assert checked.code == 0, checked.stdout
    assert "MAN019" not in checked.stdout
    tested = project.onex_here("test", "--json")
    assert tested.code == 0, tested.stdout
    if name != "stdlib-atlas":
        assert tested.json["examples"]


def test_csv_files_are_held_against_rules(copied: Callable[[str], Project]) -> None:
    project = copied("csv-quality")
    done = project.onex_here("run", "quality.workflow.yaml", "--results", "out", "--json")
    assert done.json["outputs"]["broken"] == 3
    report = (project.root / "out" / "report.md").read_text()
    assert "line 8, radius_km: 24103 is not from 1 to 3000" in report
    strict = project.onex_here("run", "quality.workflow.yaml", "-i", "strict=true", "--json")
    assert (strict.code, strict.json["steps"]["report"]["error"]["code"]) == (1, "EXE001")


def test_a_release_is_checked(copied: Callable[[str], Project]) -> None:
    project = copied("release-check")
    done = project.onex_here("run", "release.workflow.yaml", "--json")
    assert done.json["outputs"]["version"] == "1.2.0"
    assert all(check["ok"] for check in done.json["outputs"]["checks"])
    (project.root / "sample" / "LICENSE").unlink()
    refused = project.onex_here("run", "release.workflow.yaml", "--json")
    assert "there is a license" in refused.json["steps"]["judge"]["error"]["message"]


def test_thumbnails_are_made_and_shown(copied: Callable[[str], Project]) -> None:
    project = copied("photo-thumbnails")
    done = project.onex_here("run", "thumbnails.workflow.yaml", "--results", "out", "--json")
    assert done.code == 0, done.stdout
    (made,) = done.json["outputs"]["thumbnails"]
    assert 0 < made["height"] <= 160
    assert (project.root / "out" / "phone.png").read_bytes().startswith(b"\x89PNG")
    page = (project.root / "out" / "thumbnails.html").read_text()
    assert "data:image/png;base64," in page
    assert "phone.png" in page


def test_a_small_model_is_trained_and_reported(copied: Callable[[str], Project]) -> None:
    project = copied("small-model")
    done = project.onex_here("run", "model.workflow.yaml", "--results", "out", "--json")
    assert 1.49 < done.json["outputs"]["exponent"] < 1.51
    assert (project.root / "out" / "law.svg").read_text().startswith("<svg")
    again = project.onex_here("run", "model.workflow.yaml", "--refresh", "train", "--json")
    assert again.json["steps"]["train"]["cached"] is False


@pytest.fixture
def service(copied: Callable[[str], Project]) -> Iterator[tuple[Project, list[str | None], str]]:
    """The nightly job beside its service, which is away for the first two requests."""
    project = copied("nightly-job")
    tokens: list[str | None] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers["authorization"])
            if len(tokens) < 3:
                self.send_error(503)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(project.root / "data"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield project, tokens, str(server.server_address[1])
    server.shutdown()
    server.server_close()


def test_a_nightly_job_tries_again_and_keeps_its_secret(
    service: tuple[Project, list[str | None], str],
) -> None:
    project, tokens, port = service
    manifest = project.root / "nodes" / "fetch" / "node.onex.yaml"
    manifest.write_text(manifest.read_text().replace("8377", port))
    secrets = project.write("secrets.toml", 'SERVICE_TOKEN = "let-me-in-please"\n')
    secrets.chmod(0o600)
    options = ("-i", "day=2026-03-01", "-i", f"service=http://127.0.0.1:{port}")
    done = project.onex("run", "nightly.workflow.yaml", *options, "--json", "-v")
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["steps"]["fetch"]["attempts"] == 3
    assert tokens == ["Bearer let-me-in-please"] * 3
    assert "let-me-in" not in done.stdout + done.stderr
    written = json.loads((project.root / "summaries" / "2026-03-01.json").read_text())
    assert written == {"count": 3, "amounts": {"order": 42.5, "refund": -5.0}}
    wrong = project.onex_here("run", "nightly.workflow.yaml", "-i", "day=yesterday", "--json")
    assert wrong.json["error"]["code"] == "WFL010"
