"""The host's own hands: what it opens, copies, changes and removes in the name of a node."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from onex.engines.supervisor import Supervisor
from onex.engines.zygote import ConfinedStart, Zygote
from onex.local_machine import remove_tree
from onex.sandbox.availability import why_not_strict
from onex.sandbox.rules import SandboxRules
from tests.conftest import Project
from tests.sandbox.escapes import PRELUDE

pytestmark = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)

PATH = {"type": "string", "format": "path"}


def outcome(project: Project, *arguments: str) -> dict:
    done = project.onex_here("run", *arguments, "--format", "json")
    assert "steps" in done.json, done.stdout
    return done.json


@pytest.fixture
def secret(project: Project) -> Path:
    return project.write("outside/secret.txt", "secret")


@pytest.mark.parametrize(
    "plant",
    [
        "os.symlink(t + '/secret.txt', 'secret.txt')",
        "os.symlink(t, 'sub'); name = 'sub/secret.txt'",
        "here = os.getcwd(); os.rename(here, here + 'x'); os.symlink(t, here)",
        "os.mkfifo('secret.txt')",
        "name = '../../../../outside/secret.txt'",
    ],
)
def test_no_link_leads_the_host_to_a_file(project: Project, secret: Path, plant: str) -> None:
    project.add("plant", f"import os\ndef execute(context, *, t):\n    name = 'secret.txt'\n    {plant}\n    return {{'$artifact': name}}\n")  # fmt: skip
    project.scan()
    done = outcome(project, "plant", "-i", f"t={secret.parent}")
    assert done["status"] == "failed"
    assert not list((project.home / "artifacts").rglob("secret.txt"))
    assert secret.read_text() == "secret"


def test_clean_up_follows_no_link_and_goes_as_deep_as_it_must(
    project: Project, secret: Path
) -> None:
    code = (
        "import os\ndef execute(context, *, t):\n"
        "    here = os.getcwd()\n    os.mkdir('sub'); os.symlink(t, 'sub/link'); os.symlink(t, 'link')\n"
        "    for _ in range(3000):\n        os.mkdir('d'); os.chdir('d')\n"
        "    os.chmod('.', 0o500)\n"
        "    os.rename(here, here + 'x'); os.symlink(t, here)\n"
    )
    project.add("deep", code)
    project.scan()
    secret.parent.chmod(0o755)
    outcome(project, "deep", "-i", f"t={secret.parent}")
    assert (secret.read_text(), secret.parent.stat().st_mode & 0o777) == ("secret", 0o755)
    assert not list((project.home / "runs").iterdir())


def test_removing_a_tree_removes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(kept)
    (tree / "a" / "b" / "file").write_text("x")
    for folder in (tree / "a" / "b", tree / "a", tree):
        folder.chmod(0o000)
    remove_tree(tree)
    assert not tree.exists()
    (tmp_path / "link").symlink_to(kept)
    remove_tree(tmp_path / "link")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").read_text() == "x"


def test_a_warm_process_cannot_choose_the_folder_of_a_new_one(project: Project) -> None:
    """The first call plants links where a call that gets a process of its own might work."""
    victim = project.root / "victim"
    victim.mkdir()
    code = (
        "import os\ndef execute(context, *, t, file=None):\n"
        "    above = os.path.dirname(os.getcwd())\n"
        "    if file is None:\n"
        "        for n in range(9):\n"
        "            for name in (str(n), f'{n}.shared'):\n"
        "                if not os.path.lexists(f'{above}/{name}'):\n"
        "                    os.symlink(t, f'{above}/{name}')\n"
        "    else:\n        open('planted', 'w').write(open(file).read())\n"
        "    (context.workdir / 'out').write_text('x')\n    return context.artifact('out')\n"
    )
    project.add("plant", code)
    project.scan()
    project.workflow({
        "one": {"node": "plant", "with": {"t": str(victim)}},
        "two": {"node": "plant", "with": {"t": str(victim), "file": "${{ steps.one }}"}},
    })  # fmt: skip
    outcome(project, "test.workflow.yaml")
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize(
    "calls",
    [
        "call(nr(90, 53) if X86 else 53, -1, 0o600)",
        "call(nr(257, 56), -100, -1, 0, 0)",
        "call(nr(280, 88), -100, b'f', -1, 0)",
        "call(nr(280, 88), -100, b'f', struct.pack('4q', 2**62, 2**40, 2**62, 0), 0)",
        "call(nr(42, 203), 3, -1, 16)",
        "call(nr(42, 203), socket.socket().fileno(), struct.pack('=H', 0) + bytes(14), 16)",
        "call(nr(42, 203), 99999, struct.pack('=HH12x', 2, 9), 16)",
        "open('/run/onex/hosts/' + 'a' * 70 + '.example.org')",
        "open('/run/onex/hosts/..')",
        "open(b'/\\xff\\xfe' * 500)",
    ],
)
def test_calls_that_make_no_sense_fail_and_harm_nobody(project: Project, calls: str) -> None:
    code = f"{PRELUDE}    open('f', 'w').close()\n    try:\n        {calls}\n    except OSError:\n        return 'refused'\n"
    project.add("odd", code + "def execute(context, *, p=None):\n    return attempt(context, {})\n",
                capabilities=["network.connect:*.example.org"], inputs={"p": PATH})  # fmt: skip
    project.scan()
    done = outcome(project, "odd", "-i", f"p={project.root}/nodes")
    assert done["outputs"] == {"result": "refused"}


def test_a_folder_that_was_handed_over_is_itself_and_not_what_is_put_there(
    project: Project, secret: Path
) -> None:
    """A node that may write around a folder that is handed over puts a link in its place."""
    data = project.root / "data"
    (data / "in").mkdir(parents=True)
    (data / "in" / "secret.txt").write_text("harmless")
    code = (
        "import os\ndef execute(context, *, folder, t):\n"
        "    os.rename(folder, folder + 'x')\n    os.symlink(t, folder)\n"
        "    return open(folder + '/secret.txt').read()\n"
    )
    project.add(
        "swap",
        code,
        inputs={"folder": PATH, "t": {"type": "string"}},
        capabilities=[f"file.write:{data}/**"],
    )
    project.scan()
    done = outcome(project, "swap", "-i", f"folder={data}/in", "-i", f"t={secret.parent}")
    assert done["status"] == "failed", done["outputs"]


def test_a_node_finds_nothing_of_what_others_were_given(project: Project) -> None:
    seek = (
        "import os, re\ndef execute(context, *, after=None):\n"
        "    found = 0\n"
        "    import ctypes\n"
        "    for line in open('/proc/self/maps'):\n"
        "        area, rights = line.split()[:2]\n"
        "        if rights.startswith('rw') and '[v' not in line:\n"
        "            start, end = (int(x, 16) for x in area.split('-'))\n"
        "            data = ctypes.string_at(start, end - start)\n"
        "            found += len(re.findall(b'tell[-]nobody[-]else', data))\n"
        "    return found\n"
    )
    project.add(
        "has",
        "import os\ndef execute(context):\n    return bool(os.environ['MINE'])\n",
        environment=["MINE"],
    )
    project.add("seek", seek)
    project.scan()
    project.environment["MINE"] = "tell-nobody-else"
    project.workflow(
        {"has": {"node": "has"}, "seek": {"node": "seek", "with": {"after": "${{ steps.has }}"}}},
        outputs={"found": "${{ steps.seek }}"},
    )
    assert outcome(project, "test.workflow.yaml")["outputs"] == {"found": 0}


@pytest.mark.slow
def test_connections_that_nobody_answers_hold_up_nobody(project: Project) -> None:
    """Sixteen threads wait for a server whose queue is full; another node connects meanwhile."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    good = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        good.settimeout(0.1)
        while not stop.is_set():
            try:
                good.accept()[0].close()
            except TimeoutError:
                continue

    server = threading.Thread(target=serve)
    server.start()
    try:
        ports = [s.getsockname()[1] for s in (full, good)]
        stuck = (
            "import socket, threading, time\ndef execute(context):\n"
            "    def wait():\n        try:\n"
            f"            socket.socket().connect(('127.0.0.1', {ports[0]}))\n"
            "        except OSError:\n            pass\n"
            "    for _ in range(20):\n        threading.Thread(target=wait, daemon=True).start()\n"
            "    time.sleep(6)\n    return 1\n"
        )
        connect = f"import socket, time\ndef execute(context):\n    time.sleep(0.5)\n    started = time.time()\n    socket.create_connection(('127.0.0.1', {ports[1]}), 5)\n    return time.time() - started\n"
        project.add("stuck", stuck, capabilities=[f"network.connect:127.0.0.1:{ports[0]}"])
        project.add("connect", connect, capabilities=[f"network.connect:127.0.0.1:{ports[1]}"])
        project.scan()
        project.workflow({"s": {"node": "stuck"}, "c": {"node": "connect"}},
                         outputs={"seconds": "${{ steps.c }}"})  # fmt: skip
        started = time.monotonic()
        done = project.onex("run", "test.workflow.yaml", "--jobs", "2", "--format", "json")
        assert done.json["status"] == "succeeded"
        assert done.json["outputs"]["seconds"] < 4
        assert time.monotonic() - started < 60, "it ends though connections wait"
    finally:
        stop.set()
        server.join()
        for each in (full, good, *fillers):
            each.close()


def test_shells_with_pipes_work_for_programs_that_are_granted(project: Project) -> None:
    code = "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do x=$(echo $i | cat); done\necho $x\n"
    project.add("shell", code, entrypoint={"type": "cli", "target": "node.py"},
                capabilities=["process.execute:cat"])  # fmt: skip
    (project.nodes / "shell-1.0.0" / "node.py").chmod(0o755)
    project.scan()
    for _ in range(5):
        assert outcome(project, "shell")["outputs"] == {"result": 10}
    project.add(
        "more", code.replace("cat", "sed p"), entrypoint={"type": "cli", "target": "node.py"}
    )
    (project.nodes / "more-1.0.0" / "node.py").chmod(0o755)
    project.scan()
    assert outcome(project, "more")["outputs"] != {"result": 10}


def test_a_zygote_that_was_killed_is_started_anew(tmp_path: Path) -> None:
    supervisor = Supervisor()
    zygote = Zygote(supervisor)
    file = tmp_path / "node.py"
    file.write_text("def execute(context):\n    return 1\n")
    folder, rules = str(tmp_path), SandboxRules(read=(str(tmp_path),))
    start = ConfinedStart("python", (folder, str(file), "execute"), folder, (folder,), rules, {})
    try:
        first, channel = zygote.fork(start)
        channel.close()
        killed = zygote._group
        assert killed is not None
        os.kill(killed.process_id, signal.SIGKILL)
        first.wait_for_end()
        second, channel = zygote.fork(start)
        second.stdin.close()
        second.wait_for_end()
        channel.close()
        assert second.exit_code == 0
    finally:
        zygote.close()
        supervisor.close()
