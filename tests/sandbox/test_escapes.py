"""Nodes that try to escape, through ``onex run``: none of them reaches what it was not granted."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from onex.sandbox.availability import why_not_strict
from tests.conftest import Project
from tests.sandbox.escapes import ATTEMPTS, code_of

pytestmark = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)

SECRET = "what only the user may read"
# What is granted by a limit on processes, and is no escape then.
OF_PROCESSES = {
    "programs: fork", "programs: fork by a raw call", "programs: vfork",
    "files: write to shared memory",
}  # fmt: skip


class Targets:
    """What nodes try to reach: files, a process, and servers that count who came."""

    def __init__(self, project: Project) -> None:
        self.root = project.root
        self.secret = project.write("secret.txt", SECRET)
        (project.root / "empty").mkdir()
        # Paths of sockets must be short.
        self.sockets_folder = Path(tempfile.mkdtemp(dir="/tmp"))
        self.victim = subprocess.Popen(["sleep", "600"])
        self.tcp = socket.create_server(("127.0.0.1", 0))
        port = self.tcp.getsockname()[1]
        self.tcp6 = socket.create_server(("::1", port), family=socket.AF_INET6)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.sockets_folder / "s"))
        self.abstract = socket.socket(socket.AF_UNIX)
        name = f"onex-{uuid.uuid4().hex}"
        self.abstract.bind(f"\0{name}")
        self.datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagrams.bind(str(self.sockets_folder / "d"))
        self.unix.listen()
        self.abstract.listen()
        self.inputs = {
            "secret": str(self.secret), "folder": str(project.root), "state": str(project.home),
            "home": str(Path.home()), "victim": self.victim.pid, "port": port,
            "socket": str(self.sockets_folder / "s"), "abstract": name,
            "datagrams": str(self.sockets_folder / "d"),
        }  # fmt: skip
        self.sockets = [self.tcp, self.tcp6, self.udp, self.unix, self.abstract, self.datagrams]
        for server in self.sockets:
            server.settimeout(0.05)

    def check(self) -> None:
        """Nothing of all this was reached, whatever the nodes say."""
        assert self.secret.read_text() == SECRET
        status = self.secret.stat()
        assert (status.st_mode & 0o7777, status.st_nlink) == (0o644, 1)
        assert status.st_mtime > 10
        assert not {"new", "made", "planted", "s"} & {p.name for p in self.root.iterdir()}
        assert (self.root / "empty").is_dir()
        assert self.victim.poll() is None, "the victim was killed"
        for server in self.sockets:
            ask = server.accept if server.type == socket.SOCK_STREAM else lambda: server.recv(9)  # noqa: B023
            with pytest.raises(TimeoutError):
                ask()

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for server in self.sockets:
            server.close()
        shutil.rmtree(self.sockets_folder)


@pytest.fixture
def targets(project: Project) -> Iterator[Targets]:
    made = Targets(project)
    yield made
    made.close()


def write_attempts(project: Project, inputs: Mapping[str, object], **fields: object) -> None:
    """A node for each attempt, and a workflow that makes them all."""
    steps = {}
    for number, body in enumerate(ATTEMPTS.values()):
        project.add(f"n{number}", code_of(body), **fields.get("node", {}))
        steps[f"n{number}"] = {
            "node": f"n{number}", "with": {"t": inputs}, "timeout": 30, **fields.get("step", {}),
        }  # fmt: skip
    project.workflow(steps, policy={"fail_fast": False, "breaker": False})


def escapes(
    steps: Mapping[str, Mapping[str, object]], outputs: Mapping[str, object]
) -> dict[str, object]:
    """The attempts that gave a proof."""
    names = list(ATTEMPTS)
    return {names[int(step[1:])]: outputs[step] for step in steps if outputs.get(step) is not None}


def run_all(project: Project) -> tuple[dict[str, object], dict[str, object]]:
    project.environment["HOST_ONLY"] = "1"
    done = project.onex_here("run", "test.workflow.yaml", "--jobs", "2", "--format", "json")
    steps = done.json["steps"]
    assert len(steps) == len(ATTEMPTS)
    assert {step["isolation"] for step in steps.values()} == {"strict"}
    shown = project.onex_here("runs", "show", done.json["run_id"], "--format", "json").json
    outputs = {name: step.get("output") for name, step in shown["steps"].items()}
    return escapes(steps, outputs), steps


def test_a_node_without_permissions_reaches_nothing(project: Project, targets: Targets) -> None:
    write_attempts(project, targets.inputs)
    project.scan()
    found, steps = run_all(project)
    assert found == {}
    targets.check()
    codes = {step["error"]["code"] for step in steps.values() if step["error"]}
    assert codes <= {"EXE001", "EXE004", "EXE006"}, codes


def test_other_permissions_open_nothing_else(project: Project, targets: Targets) -> None:
    allowed = project.root / "allowed"
    allowed.mkdir()
    permissions = [f"file.read:{allowed}/**", f"file.write:{allowed}/**",
                   "network.connect:localhost:9", "process.execute:/bin/cat"]  # fmt: skip
    write_attempts(
        project, targets.inputs, node={"capabilities": permissions},
        step={"limits": {"processes": 4}},
    )  # fmt: skip
    project.scan()
    found, _ = run_all(project)
    expected = OF_PROCESSES | {"network: names"}
    assert set(found) <= expected | {"network: every family"}
    families = found.get("network: every family")
    if families is not None:
        kinds = json.loads(families["escaped"].replace("(", "[").replace(")", "]"))
        assert {(family, kind) for family, kind, _ in kinds} == {(2, 1), (10, 1)}
    targets.check()


def test_a_node_of_an_untrusted_source_reaches_nothing(project: Project, targets: Targets) -> None:
    write_attempts(project, targets.inputs)
    project.write("onex.toml", '[[sources]]\npath = "nodes"\ntrusted = false\n')
    found, _ = run_all(project)
    assert found == {}
    targets.check()


@pytest.mark.slow
@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None,
    reason="ONLY THIS USER WAS TRIED: becoming another one needs root and unshare",
)
def test_an_ordinary_user_is_as_safe_as_root(project: Project) -> None:
    # Home folders are closed to others, and Python may live in one.
    keep, prefix = project.root / "keep", Path(sys.base_prefix)
    hidden = next((p for p in prefix.parents if not p.stat().st_mode & 0o001), None)
    mounts = ""
    if hidden is not None:
        mounts = (
            f"mkdir -p {keep} && mount --bind {prefix} {keep} && mount -t tmpfs -o mode=755 x {hidden}"
            f" && mkdir -p {prefix} && mount --move {keep} {prefix} && "
        )
    for folder in (project.root, *project.root.parents):
        if folder.owner() == "root" and folder != Path("/") and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    os.chown(project.root, 65534, 65534)
    for path in project.root.rglob("*"):
        os.chown(path, 65534, 65534)
    script = (
        f"{mounts}exec setpriv --reuid 65534 --regid 65534 --clear-groups {sys.executable} -m pytest"
        f" -q -p no:cacheprovider --basetemp={project.root}/inner {__file__}"
        " -k 'without_permissions or other_permissions'"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=Path(__file__).parents[2], text=True,
        capture_output=True, timeout=110, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(project.root), "COVERAGE_PROCESS_START": ""},
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


def test_threads_in_the_background_are_of_no_use(project: Project) -> None:
    """A node keeps a thread from its first call, which sees nothing of what the second is given."""
    code = (
        "import threading, time\nfound = []\n"
        "def spy(path):\n    while True:\n"
        "        try:\n            found.append(open(path).read())\n"
        "        except OSError:\n            time.sleep(0.001)\n"
        "def execute(context, *, file, other):\n"
        "    if not threading.active_count() > 1:\n"
        "        threading.Thread(target=spy, args=(other,), daemon=True).start()\n"
        "    time.sleep(0.05)\n    return [open(file).read(), found[:1]]\n"
    )
    path = {"type": "string", "format": "path"}
    project.add("spy", code, inputs={"file": path, "other": {"type": "string"}})
    project.scan()
    a, b = project.write("a.txt", "a"), project.write("b.txt", "b")
    project.workflow({
        "one": {"node": "spy", "with": {"file": str(a), "other": str(b)}},
        "two": {"node": "spy", "with": {"file": str(a), "other": str(b)}, "needs": ["one"]},
    }, outputs={"one": "${{ steps.one }}", "two": "${{ steps.two }}"})  # fmt: skip
    done = project.onex_here("run", "test.workflow.yaml", "--format", "json")
    assert done.json["outputs"] == {"one": ["a", []], "two": ["a", []]}


def test_the_attempts_work_where_nothing_confines(project: Project, targets: Targets) -> None:
    """Those that do no harm; otherwise being stopped would mean nothing."""
    harmless = [
        "files: read", "files: read by a raw call", "files: read by openat2", "files: read accounts",
        "files: read through the root of this process", "files: read through a folder",
        "files: read what was opened by path alone", "files: read through a link",
        "files: map into memory", "files: send a file", "files: list a folder",
        "files: read the registry", "files: read the history", "files: watch files",
        "processes: read an environment", "processes: list processes",
        "network: datagrams", "network: every family", "network: listen", "network: names",
        "programs: run a program", "programs: spawn", "programs: fork by a raw call",
    ]  # fmt: skip
    names = list(ATTEMPTS)
    write_attempts(project, targets.inputs)
    project.scan()
    numbers = [names.index(name) for name in harmless]
    steps = {f"n{n}": {"node": f"n{n}", "with": {"t": targets.inputs}} for n in numbers}
    project.workflow(steps, policy={"fail_fast": False})
    done = project.onex_here(
        "run", "test.workflow.yaml", "--isolation", "process", "--format", "json"
    )
    shown = project.onex_here("runs", "show", done.json["run_id"], "--format", "json").json
    outputs = {name: step.get("output") for name, step in shown["steps"].items()}
    assert set(escapes(done.json["steps"], outputs)) == set(harmless)
