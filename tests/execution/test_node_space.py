"""A node's own modules, files and state: none of them another node's, or another call's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project

LEVELS = ["inline", "process", "strict"]


def result(project: Project, target: str | Path, *arguments: str) -> object:
    project.scan()
    done = project.onex_here("run", target, *arguments, "--format", "json")
    assert done.code == 0, done.stdout + done.stderr
    outputs = done.json["outputs"]
    return outputs.get("result", outputs)


def calls_of(project: Project, node: str, items: list[int]) -> Path:
    """A workflow that calls a node once for each item and gives all results."""
    step = {"node": node, "foreach": items, "with": {"x": "${{ item }}"}}
    return project.workflow({"calls": step}, outputs={"result": "${{ steps.calls }}"})


@pytest.mark.parametrize("isolation", LEVELS)
def test_helpers_of_one_name_are_each_node_s_own(project: Project, isolation: str) -> None:
    for name in ("a", "b"):
        project.add(
            name,
            "import helper\nimport inner.deep\nfrom inner import deep as same\n"
            "def execute(context):\n"
            "    import helper as again\n"
            "    import late\n"
            "    return [helper.NAME, again.NAME, late.NAME, inner.deep.NAME, same.NAME]\n",
            folder=name,
        )
        for file in ("helper.py", "late.py", "inner/deep.py"):
            project.write(f"nodes/{name}/{file}", f"NAME = '{name}'\n")
    workflow = project.workflow(
        {"a": {"node": "a"}, "b": {"node": "b"}},
        outputs={"a": "${{ steps.a }}", "b": "${{ steps.b }}"},
    )
    found = result(project, workflow, "--isolation", isolation)
    assert found == {"a": ["a"] * 5, "b": ["b"] * 5}


@pytest.mark.unconfined
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_a_node_starts_import_its_modules(project: Project, method: str) -> None:
    project.add(
        "pool",
        "import multiprocessing\nimport helper\n"
        "class Box:\n    def __init__(self, n): self.n = n\n"
        "def double(box): return Box(helper.twice(box.n))\n"
        "def execute(context):\n"
        f"    with multiprocessing.get_context('{method}').Pool(2) as pool:\n"
        "        return [box.n for box in pool.map(double, [Box(1), Box(2)])]\n",
        folder="pool",
    )
    project.write("nodes/pool/helper.py", "def twice(n): return 2 * n\n")
    assert result(project, "pool") == [2, 4]


def test_each_call_works_in_a_folder_of_its_own(project: Project) -> None:
    project.add(
        "write",
        "import os, time\nfrom pathlib import Path\n"
        "def execute(context, *, x):\n"
        "    before = os.listdir()\n"
        "    Path('tmp.txt').write_text(str(x))\n"
        "    time.sleep(0.1)\n"
        "    same = Path.cwd() == context.workdir.resolve()\n"
        "    return [Path('tmp.txt').read_text(), before, same]\n",
    )
    workflow = calls_of(project, "write", [1, 2, 3, 4, 5])
    assert result(project, workflow, "--jobs", "4") == [[str(n), [], True] for n in range(1, 6)]


@pytest.mark.parametrize("isolation", LEVELS)
def test_own_files_are_found_and_cannot_be_changed(project: Project, isolation: str) -> None:
    project.add(
        "own",
        "from pathlib import Path\n"
        "def execute(context):\n"
        "    beside = Path(__file__).with_name('data.txt')\n"
        "    modes = [oct(p.stat().st_mode & 0o777) for p in (beside, beside.parent)]\n"
        "    return [beside.read_text(), (context.node_dir / 'data.txt').read_text(), modes]\n",
        folder="own",
    )
    project.write("nodes/own/data.txt", "mine")
    found = result(project, "own", "--isolation", isolation)
    assert found == ["mine", "mine", ["0o444", "0o555"]]


@pytest.mark.parametrize("isolation", LEVELS)
def test_what_was_planted_beside_the_verified_files_does_not_run(
    project: Project, isolation: str
) -> None:
    project.add("n", "import helper\ndef execute(context):\n    return helper.VALUE\n", folder="n")
    project.write("nodes/n/helper.py", "VALUE = 'hashed'\n")
    assert result(project, "n", "--isolation", isolation) == "hashed"
    (copy,) = (project.home / "nodes").iterdir()
    copy.chmod(0o755)
    evil = project.write("evil/helper.py", "VALUE = 'evil!!'\n")
    source = copy / "helper.py"
    os.utime(evil, ns=(source.stat().st_mtime_ns, source.stat().st_mtime_ns))
    (copy / "__pycache__").mkdir()
    code = (
        "import importlib.util, py_compile, sys\n"
        "py_compile.compile(sys.argv[1], importlib.util.cache_from_source(sys.argv[2]),"
        " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\n"
    )
    subprocess.run(["python3", "-c", code, evil, source], check=True, timeout=60, cwd=project.root)
    assert result(project, "n", "--isolation", isolation, "--no-cache") == "hashed"
    assert not (copy / "__pycache__").exists()


CHANGES = {
    "environment": ("os.environ['HOME'] = 'x'", "os.environ.get('HOME') == 'x'"),
    "folder": ("os.chdir('/')", "os.getcwd() == '/'"),
    "umask": ("os.umask(0o777)", "os.umask(0) == 0o777"),
    "search path": ("sys.path.append('/leak')", "'/leak' in sys.path"),
    "locale": (
        "locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
        "locale.setlocale(locale.LC_ALL) == 'C.UTF-8'",
    ),
    "thread": (
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "threading.active_count() > 2",
    ),
    "signal": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGTERM) is signal.SIG_IGN",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_call_changed_does_not_reach_the_next(project: Project, what: str) -> None:
    change, found = CHANGES[what]
    project.add(
        "n",
        "import locale, os, signal, sys, threading, time\n"
        f"def execute(context, *, x):\n    found = {found}\n    {change}\n    return found\n",
    )
    workflow = calls_of(project, "n", [1, 2, 3])
    assert result(project, workflow, "--jobs", "1") == [False] * 3


CALLABLES = {
    "a coroutine": "async def execute(context, *, x):\n    import asyncio\n"
    "    await asyncio.sleep(0)\n    return x + 1\n",
    "a partial": "import functools\ndef add(context, *, x, y):\n    return x + y\n"
    "execute = functools.partial(add, y=1)\n",
    "a bound method": "class Adder:\n    def add(self, context, *, x):\n        return x + 1\n"
    "execute = Adder().add\n",
    "an object": "class Adder:\n    def __call__(self, context, *, x):\n        return x + 1\n"
    "execute = Adder()\n",
    "an async method": "class Adder:\n    async def add(self, context, *, x):\n"
    "        return x + 1\nexecute = Adder().add\n",
}


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("kind", CALLABLES)
def test_entry_points_of_every_form(project: Project, kind: str, isolation: str) -> None:
    project.add("n", CALLABLES[kind])
    found = result(project, "n", "--args", '{"x": 1}', "--isolation", isolation)
    assert found == 2


@pytest.mark.parametrize("isolation", LEVELS)
def test_causes_notes_and_groups_are_recorded(project: Project, isolation: str) -> None:
    project.add(
        "n",
        "import helper\ndef execute(context):\n"
        "    try:\n        helper.fail()\n"
        "    except KeyError as error:\n"
        "        failure = RuntimeError('outer')\n"
        "        failure.__cause__ = error\n"
        "        raise ExceptionGroup('several', [failure, ValueError('other')])\n",
        folder="n",
    )
    project.write(
        "nodes/n/helper.py",
        "def fail():\n    error = KeyError('the cause')\n"
        "    error.__notes__ = ['a note of it']\n    raise error\n",
    )
    project.scan()
    done = project.onex_here("run", "n", "--isolation", isolation, "--format", "json")
    error = done.json["steps"]["node"]["error"]
    for text in ("the cause", "a note of it", "outer", "several", "other", "helper.py"):
        assert text in error["detail"]
    assert str(project.nodes / "n" / "helper.py") in error["detail"]
    assert "onex_node_" not in error["detail"]
    assert "node_code.py" not in error["detail"]


@pytest.mark.parametrize("isolation", LEVELS)
def test_an_error_without_words_is_told(project: Project, isolation: str) -> None:
    project.add(
        "n",
        "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError('no words')\n"
        "def execute(context):\n    raise Odd\n",
    )
    project.scan()
    done = project.onex_here("run", "n", "--isolation", isolation, "--format", "json")
    error = done.json["steps"]["node"]["error"]
    assert error["code"] == "EXE001"
    assert "Odd" in error["message"]


def test_a_node_that_closes_its_channel_is_not_said_to_be_out_of_memory(project: Project) -> None:
    project.add(
        "n",
        "import contextlib, fcntl, os, time\n"
        "def execute(context):\n"
        "    for number in range(3, 100):\n"
        "        with contextlib.suppress(OSError):\n"
        "            if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:\n"
        "                os.close(number)\n"
        "    time.sleep(600)\n",
    )
    project.scan()
    done = project.onex_here("run", "n", "--format", "json")
    error = done.json["steps"]["node"]["error"]
    assert "ended its channel" in error["message"]
    assert "SIGKILL" not in error["message"]


def test_runs_that_begin_at_once_share_one_copy(project: Project) -> None:
    project.add(
        "n",
        "import time\ndef execute(context):\n    time.sleep(0.2)\n    import late\n    return late.VALUE\n",
        folder="n",
    )
    project.write("nodes/n/late.py", "VALUE = 1\n")
    project.scan()
    running = [project.start("run", "n", "--no-cache") for _ in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert len(list((project.home / "nodes").iterdir())) == 1


@pytest.mark.parametrize("isolation", LEVELS)
def test_the_code_of_a_package_is_whole_for_every_thread(project: Project, isolation: str) -> None:
    manifest = project.add("n", folder="n")
    manifest.write_text(manifest.read_text().replace("python@node.py", "python@inner/node.py"))
    project.write("nodes/n/inner/__init__.py", "import time\ntime.sleep(0.1)\nX = 1\n")
    project.write(
        "nodes/n/inner/node.py",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def one(_):\n    from . import X\n    return X\n"
        "def execute(context, *, x):\n"
        "    with ThreadPoolExecutor(3) as pool:\n        return list(pool.map(one, range(3)))\n",
    )
    workflow = calls_of(project, "n", list(range(6)))
    found = result(project, workflow, "--jobs", "6", "--isolation", isolation)
    assert found == [[1, 1, 1]] * 6


@pytest.mark.unconfined
@pytest.mark.parametrize(
    "change",
    ["signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "signal.alarm(30)",
     "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})",
     "_thread.start_new_thread(time.sleep, (600,)); time.sleep(0.1)",
     "subprocess.Popen(['sleep', '600'])"],
)  # fmt: skip
def test_a_process_with_leftovers_is_not_used_again(project: Project, change: str) -> None:
    project.add(
        "n",
        "import _thread, os, signal, subprocess, time\n"
        f"def execute(context, *, x):\n    {change}\n    return os.getpid()\n",
    )
    workflow = calls_of(project, "n", [1, 2, 3])
    found = result(project, workflow, "--jobs", "1")
    assert len(set(found)) == 3


@pytest.mark.unconfined
def test_python_that_a_node_starts_writes_nothing_beside_its_files(project: Project) -> None:
    project.add(
        "n",
        "import subprocess, sys\ndef execute(context):\n"
        "    program = str(context.node_dir / 'program.py')\n"
        "    return subprocess.run([sys.executable, program], capture_output=True, text=True,"
        " check=True).stdout\n",
        folder="n",
    )
    project.write("nodes/n/program.py", "import helper\nprint(helper.VALUE, end='')\n")
    project.write("nodes/n/helper.py", "VALUE = 1\n")
    assert result(project, "n") == "1"
    (copy,) = (project.home / "nodes").iterdir()
    assert not (copy / "__pycache__").exists()
