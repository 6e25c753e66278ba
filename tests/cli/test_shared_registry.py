"""A registry that several users share, may only read, or have not made yet; files on full disks."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import CommandResult, Project

OTHER_USER = 12345

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user"
)


# The first run, on a scratch copy, imports what the second needs: another user may not be
# allowed to enter the folder of this Python.
AS_OTHER_USER = """
import contextlib, io, os, sys
from onex.cli.main import run
import onex.storage.sql.writer, encodings.idna
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    run([*sys.argv[3:], "--home", sys.argv[2]])
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(run(sys.argv[3:]))
"""


def as_other_user(project: Project, *arguments: str) -> CommandResult:
    scratch = project.root / "scratch"
    shutil.copytree(project.home, scratch, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", AS_OTHER_USER, str(OTHER_USER), str(scratch), *arguments],
        cwd="/", env=project.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return CommandResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def open_to_all() -> Iterator[Project]:
    """A project in a folder that every user may enter, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in ("nodes", "home"):
            (root / name).mkdir()
        yield Project(root)


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_colleague_reads_and_leaves_nothing(open_to_all: Project, mode: int) -> None:
    project = open_to_all
    project.add("a")
    project.scan()
    project.onex_here("run", "a")
    project.home.chmod(mode)
    before = {path.name: path.stat().st_uid for path in project.home.iterdir()}
    listed = as_other_user(project, "list", "--format", "json")
    assert listed.code == 0, listed.stderr
    assert listed.json["total"] == 1
    assert len(as_other_user(project, "runs", "list", "--format", "json").json["runs"]) == 1
    assert {path.name: path.stat().st_uid for path in project.home.iterdir()} == before
    refused = as_other_user(project, "yank", "a@1.0.0", "--format", "json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "STO001")
    assert project.onex_here("yank", "a@1.0.0").code == 0


@needs_root
def test_doctor_says_who_owns_what(open_to_all: Project) -> None:
    project = open_to_all
    project.add("a")
    project.scan()
    (project.home / "history.db").touch()
    os.chown(project.home / "history.db", OTHER_USER, OTHER_USER)

    def checks(result: CommandResult) -> dict[str, dict[str, str]]:
        return {check["name"]: check for check in result.json["checks"]}

    own = checks(project.onex_here("doctor", "--format", "json"))
    assert own["owners"]["status"] == "ok"
    assert f"history.db: uid-{OTHER_USER}" in own["owners"]["message"]
    theirs = as_other_user(project, "doctor", "--format", "json")
    found = checks(theirs)
    assert (found["home"]["status"], found["owners"]["status"]) == ("warning", "warning")
    assert "may not write .," in found["owners"]["message"]
    assert "registry.db" in found["owners"]["message"].partition("may not write")[2]
    assert "root" in found["owners"]["message"]
    assert found["registry"]["status"] == "ok"


def test_reading_makes_nothing(project: Project) -> None:
    for command in (["list"], ["runs", "list"], ["cache", "stats"], ["storage", "check"]):
        assert project.onex_here(*command).code == 0
    assert project.onex_here("resolve", "x").code == 3
    assert not project.home.exists()


def test_new_files_follow_umask_and_the_group_of_the_folder(project: Project) -> None:
    project.add("a")
    before = os.umask(0o002)
    try:
        project.onex_here("scan", "nodes")
        project.onex_here("run", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((project.home / "registry.db").stat().st_mode) == 0o664
    assert stat.S_IMODE((project.home / "history.db").stat().st_mode) == 0o664
    (unpacked,) = (project.home / "nodes").iterdir()
    assert stat.S_IMODE(unpacked.stat().st_mode) & 0o055 == 0o055


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_what_was_there(project: Project) -> None:
    project.add("a")
    project.workflow({"s": {"node": "test.a"}})
    toml = '[[sources]]\nname = "nodes"\npath = "nodes"\n'
    project.write("onex.toml", toml)
    project.onex_here("lock")
    lock = (project.root / "onex.lock").read_text()
    project.add("b")
    project.workflow({"s": {"node": "test.b"}})
    program = (
        "import os, sys, errno; import onex.local_machine as m\n"
        "def full(_): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "os.fsync = full\n"
        "from onex.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    for command in (["lock"], ["sources", "add", "other"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *command, "--format", "json"], cwd=project.root,
            env=project.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert '"USE004"' in done.stdout
    assert (project.root / "onex.lock").read_text() == lock
    assert (project.root / "onex.toml").read_text() == toml
    assert sorted(p.name for p in project.root.glob(".*")) == []


def test_files_keep_their_mode_line_ends_and_links(project: Project) -> None:
    real = project.root / "real.toml"
    real.write_bytes(b"# kept\r\n[config]\r\na = 1\r\n")
    real.chmod(0o640)
    (project.root / "onex.toml").unlink()
    (project.root / "onex.toml").symlink_to(real)
    assert project.onex_here("sources", "add", "nodes").code == 0
    content = real.read_bytes()
    assert content.startswith(b"# kept\r\n[config]\r\na = 1\r\n")
    assert content.count(b"\n") == content.count(b"\r\n") > 3
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (project.root / "onex.toml").is_symlink()


def test_sources_that_are_added_at_once_are_all_there(project: Project) -> None:
    project.write("onex.toml", "")
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda n: project.onex("sources", "add", f"s{n}").code, range(8)))
    assert codes == [0] * 8
    listed = project.onex_here("sources", "list", "--format", "json").json["sources"]
    assert sorted(s["name"] for s in listed) == [f"s{n}" for n in range(8)]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff[config]\n", "a = " + "9" * 5000, "a = " + "[" * 1500, "a = '\0'",
        '[[sources]]\npath = "n"\ntimeout = -1\n', '[[sources]]\npath = "n"\ntimeout = inf\n',
        '[[sources]]\npath = "n\\u0000"\n', '[[sources]]\npath = "n"\ntimeout = nan\n',
    ],
)  # fmt: skip
def test_an_odd_configuration_is_refused_by_name(project: Project, text: str) -> None:
    project.write("onex.toml", text)
    done = project.onex_here("list", "--format", "json")
    assert (done.code, done.json["error"]["code"]) == (2, "CFG001")


def test_users_without_name_home_or_folder(project: Project) -> None:
    gone = project.root / "gone"
    gone.mkdir()
    program = (
        "import os, shutil, sys; os.chdir(sys.argv[1]); shutil.rmtree(sys.argv[1])\n"
        "from onex.cli.main import run; sys.exit(run(['list', '--format', 'json']))"
    )
    environment = {k: v for k, v in project.environment.items() if k != "ONEX_HOME"}
    done = subprocess.run([sys.executable, "-c", program, str(gone)], env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert "--home" in done.stdout
    shutil.rmtree(project.root / "home")
    assert project.onex_here("init", "p").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("form", ["human", "json", "yaml"])
def test_output_that_cannot_be_written_is_told_and_the_work_is_done(
    project: Project, form: str
) -> None:
    project.add("a")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            project.command("scan", "nodes", "--format", form), cwd=project.root,
            env=project.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        silent = subprocess.run(
            project.command("list", "--format", form), cwd=project.root,
            env=project.environment, stdout=full, stderr=full, check=False,
        )  # fmt: skip
    assert (done.returncode, silent.returncode) == (2, 2)
    assert "USE005" in done.stderr
    assert project.onex_here("list", "--format", "json").json["total"] == 1


def test_closed_streams_are_no_failure_and_no_file_takes_their_place(project: Project) -> None:
    project.add("a", "import os\ndef execute(context):\n    os.write(1, b'noise')\n    return 1\n")
    project.scan()
    command = shlex.join(map(str, project.command("run", "a")))
    done = subprocess.run(
        ["sh", "-c", f"{command} <&- >&- 2>&-"], cwd=project.root, env=project.environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert project.onex_here("storage", "check").code == 0
    assert [
        r["status"] for r in project.onex_here("runs", "list", "--format", "json").json["runs"]
    ] == ["succeeded"]
    assert b"noise" not in (project.home / "registry.db").read_bytes()


def test_changes_of_files_with_odd_names_are_named(project: Project) -> None:
    project.add("a", folder="a")
    odd = project.write("nodes/a/odd\nname \\n.txt", "1")
    project.scan()
    odd.write_text("2")
    refused = project.onex_here("run", "a", "--format", "json").json["error"]
    assert refused["code"] == "SEC002"
    assert refused["changes"] == ["changed odd\\nname \\\\n.txt"]


def test_lines_that_end_in_another_way_are_told_as_that(project: Project) -> None:
    manifest = project.add("a", folder="a")
    code = manifest.parent / "node.py"
    project.scan()
    code.write_bytes(code.read_bytes().replace(b"\n", b"\r\n"))
    refused = project.onex_here("run", "a", "--format", "json").json["error"]
    assert refused["changes"] == ["changed node.py (only the ends of its lines)"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs limits on the size of files")
def test_a_backup_that_fails_leaves_nothing(project: Project) -> None:
    for number in range(60):
        project.add(f"n{number}")
    project.scan()
    command = shlex.join(map(str, project.command("storage", "backup", "saved.db")))
    limited = subprocess.run(
        ["sh", "-c", f"ulimit -f 100; {command}"], cwd=project.root, env=project.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert limited.returncode == 2
    assert "STO001" in limited.stderr
    assert not [path.name for path in project.root.iterdir() if "saved.db" in path.name]
    assert project.onex_here("storage", "backup", "saved.db").code == 0
    assert [path.name for path in project.root.iterdir() if "saved.db" in path.name] == ["saved.db"]
    refused = project.onex_here("storage", "backup", "saved.db", "--format", "json")
    assert refused.json["error"]["code"] == "USE001"
