"""What confinement costs, beside a bare fork, a bare subprocess and bwrap, in the same run.

The budgets: a warm step through the orchestrator 300 us, a fresh one 12 ms, the zygote 60 ms once,
the demo at level strict 1.3 times that in plain processes.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from onex import NodeRef, Registry, Workflow
from onex.domain.grant import RunAccess
from onex.domain.result import IsolationLevel
from onex.domain.workflow import Step
from onex.engines.supervisor import Supervisor
from onex.engines.zygote import ConfinedStart, Zygote
from onex.sandbox.rules import SandboxRules

WARM_CALLS, FRESH_CALLS, ROUNDS = 1_000, 60, 5
IDLE_WORKERS = 100
MANIFEST = """\
name: {name}
namespace: bench.{name}
version: "1.0.0"
meta_type: tool
lifecycle: draft
entrypoint: python@node.py
capabilities: ["network.connect:127.0.0.1:{port}"]
inputs: {{i: {{type: integer, default: 0}}}}
"""
NOOP = "def execute(context, *, i=0):\n    return i\n"
CONNECT = """\
import socket, time
def execute(context, *, i=0):
    started = time.perf_counter()
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", {port})) as peer:
            peer.recv(1)
    return (time.perf_counter() - started) / 200
"""


def median(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    return statistics.median(measure() for _ in range(rounds))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_fork() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def project(place: str, port: int, *, trusted: bool) -> Registry:
    folder = Path(place)
    for name, code in {"noop": NOOP, "connect": CONNECT.format(port=port)}.items():
        node = folder / "nodes" / name
        node.mkdir(parents=True)
        (node / "node.onex.yaml").write_text(MANIFEST.format(name=name, port=port))
        (node / "node.py").write_text(code)
    word = "true" if trusted else "false"
    (folder / "onex.toml").write_text(f'[[sources]]\npath = "nodes"\ntrusted = {word}\n')
    return Registry.open(folder / "state", start=folder)


def seconds_a_call(registry: Registry, level: IsolationLevel, calls: int) -> float:
    step = Step("s", NodeRef.parse("bench.noop"), {"i": "${{ item }}"}, foreach=list(range(calls)))
    plan = registry.plan(Workflow("w", {"s": step}), {}, access=RunAccess(level))
    return registry.run(plan, jobs=1).seconds / calls


def connections(registry: Registry, level: IsolationLevel) -> float:
    step = Step("s", NodeRef.parse("bench.connect"))
    plan = registry.plan(
        Workflow("w", {"s": step}, outputs={"s": "${{ steps.s }}"}), {}, access=RunAccess(level)
    )
    return float(registry.run(plan, jobs=1).outputs["s"])


def idle_memory(folder: Path) -> float:
    """Bytes that each of many idle workers has for itself (PSS)."""
    file = folder / "node.py"
    file.write_text(NOOP)
    supervisor = Supervisor()
    zygote = Zygote(supervisor)
    forked = []
    try:
        for n in range(IDLE_WORKERS):
            place = folder / str(n)
            place.mkdir()
            command = (str(folder), str(file), "execute")
            rules = SandboxRules(read=(str(folder),))
            start = ConfinedStart("python", command, str(place), (str(place),), rules, {})
            forked.append(zygote.fork(start))
        time.sleep(2)
        total = 0
        for group, _ in forked:
            text = Path(f"/proc/{group.process_id}/smaps_rollup").read_text()
            total += int(text.partition("\nPss:")[2].split()[0]) * 1024
        return total / IDLE_WORKERS
    finally:
        zygote.close()
        supervisor.close()


def zygote_start() -> None:
    supervisor = Supervisor()
    zygote = Zygote(supervisor)
    folder = tempfile.mkdtemp()
    start = ConfinedStart(
        "program", ("/bin/true",), folder, (folder,), SandboxRules(execute=("/bin/true",)), {}
    )
    zygote.fork(start)[0].wait_for_end()
    zygote.close()
    supervisor.close()
    shutil.rmtree(folder)


def demo(level: str) -> float:
    onex, tree = [sys.executable, "-m", "onex"], Path(os.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        quiet_run([*onex, "demo", "d", "-q"], folder)
        run = [*onex, "run", "d/atlas.workflow.yaml", "-i", f"root={tree}", "--no-cache", "-q"]
        return timed(lambda: quiet_run([*run, "--isolation", level], folder))


def quiet_run(command: list[str], folder: str = "/") -> None:
    nowhere = subprocess.DEVNULL
    subprocess.run(command, cwd=folder, check=True, stdout=nowhere, stderr=nowhere)


def main() -> None:
    server = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            peer.sendall(b"x")
            peer.close()

    threading.Thread(target=serve, daemon=True).start()
    port = server.getsockname()[1]
    forked = median(lambda: timed(bare_fork))
    started = median(lambda: timed(lambda: quiet_run(["/bin/true"])))
    python = median(lambda: timed(lambda: quiet_run([sys.executable, "-I", "-c", ""])))
    print(f"fork {forked * 1e3:.2f} ms, /bin/true {started * 1e3:.2f}, Python {python * 1e3:.1f}")
    bwrap = shutil.which("bwrap")
    if bwrap:
        command = [bwrap, "--ro-bind", "/", "/", "--unshare-pid", "/bin/true"]
        print(f"bwrap /bin/true {median(lambda: timed(lambda: quiet_run(command))) * 1e3:.2f} ms")
    else:
        print("bwrap is not installed")
    print(f"zygote and first program {median(lambda: timed(zygote_start)) * 1e3:.0f} ms")
    levels = (IsolationLevel.PROCESS, IsolationLevel.STRICT)
    with tempfile.TemporaryDirectory() as name, project(name, port, trusted=True) as registry:
        for level in levels:
            warm = median(lambda level=level: seconds_a_call(registry, level, WARM_CALLS))
            print(f"warm call, {level}: {warm * 1e6:.0f} us a step")
        direct, brokered = (median(lambda v=v: connections(registry, v)) * 1e6 for v in levels)
        print(f"connect and read: {direct:.0f} us direct, {brokered:.0f} us by the broker")
    with tempfile.TemporaryDirectory() as name, project(name, port, trusted=False) as registry:
        registry.scan()
        registry.grants.approve(registry.node(NodeRef.parse("bench.noop")))
        fresh = median(lambda: seconds_a_call(registry, IsolationLevel.STRICT, FRESH_CALLS))
        print(f"fresh call, strict: {fresh * 1e3:.1f} ms a step")
    with tempfile.TemporaryDirectory() as name:
        print(f"{IDLE_WORKERS} idle workers: {idle_memory(Path(name)) / 2**20:.1f} MiB each (PSS)")
    strict, plain = (median(lambda v=v: demo(v), 3) for v in ("strict", "process"))
    print(f"demo: {strict:.2f} s strict, {plain:.2f} s plain, {strict / plain:.2f} times")
    server.close()


if __name__ == "__main__":
    main()
