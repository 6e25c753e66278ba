"""What ordinary nodes do works in confinement: libraries, threads, processes, programs, HTTP."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from onex.sandbox.availability import why_not_strict
from tests.conftest import Project

pytestmark = pytest.mark.skipif(
    why_not_strict() is not None, reason=f"NOTHING IS CONFINED HERE: {why_not_strict()}"
)

ORDINARY = {
    "temporary files": "import tempfile\n    with tempfile.NamedTemporaryFile() as f, tempfile.TemporaryDirectory() as d:\n        f.write(b'x')\n    return True",
    "copies": "import shutil\n    open('a', 'w').write('x')\n    shutil.copy2('a', 'b')\n    shutil.copytree('.', 'tree')\n    shutil.rmtree('tree')\n    return open('b').read() == 'x'",
    "archives": "import tarfile, zipfile\n    open('a', 'w').write('x')\n    tarfile.open('t.tar', 'w').add('a')\n    t = tarfile.open('t2.tar.gz', 'w:gz')\n    t.add('a')\n    t.close()\n    tarfile.open('t2.tar.gz').extractall('out')\n    with zipfile.ZipFile('z', 'w') as z:\n        z.write('a')\n    zipfile.ZipFile('z').extractall('out2')\n    return open('out/a').read() == open('out2/a').read()",
    "a database": "import sqlite3\n    c = sqlite3.connect('db')\n    c.execute('pragma journal_mode=wal')\n    c.execute('create table t (a)')\n    c.execute('insert into t values (1)')\n    c.commit()\n    return c.execute('select a from t').fetchone() == (1,)",
    "threads": "from concurrent.futures import ThreadPoolExecutor\n    return list(ThreadPoolExecutor(4).map(abs, range(9))) == list(range(9))",
    "asyncio": "import asyncio\n    async def f():\n        return await asyncio.gather(*(asyncio.to_thread(abs, -1) for _ in range(3)))\n    return asyncio.run(f()) == [1, 1, 1]",
    "zones and locales": "import datetime, zoneinfo, locale\n    return datetime.datetime.now(zoneinfo.ZoneInfo('Europe/Paris')).utcoffset() is not None and locale.getlocale() is not None",
    "certificates": "import ssl\n    return ssl.create_default_context() is not None",
    "logging to a file": "import logging\n    logging.basicConfig(filename='log', force=True)\n    logging.warning('x')\n    return 'x' in open('log').read()",
    "signals": "import signal, time\n    got = []\n    signal.signal(signal.SIGALRM, lambda *_: got.append(1))\n    signal.setitimer(signal.ITIMER_REAL, 0.01)\n    time.sleep(0.1)\n    return got == [1]",
    "pipes by name": "import os\n    os.mkfifo('p')\n    return os.path.exists('p')",
    "numpy": "import numpy\n    return float(numpy.ones((200, 200)).dot(numpy.ones((200, 200))).sum()) == 8e6",
    "pandas": "import io, pandas\n    d = pandas.read_csv(io.StringIO('a,b\\n1,2\\n'))\n    d.to_csv('out.csv')\n    return int(d.a.sum()) == 1",
}  # fmt: skip
PROCESSES = {
    "fork": "import os\n    child = os.fork()\n    if not child:\n        os._exit(7)\n    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7",
    "a pool": "import multiprocessing\n    with multiprocessing.get_context('fork').Pool(2) as pool:\n        return pool.map(abs, [-1, -2]) == [1, 2]",
    "a queue": "import multiprocessing\n    m = multiprocessing.get_context('fork')\n    q = m.Queue()\n    p = m.Process(target=q.put, args=(5,))\n    p.start()\n    found = q.get()\n    p.join()\n    return found == 5",
    "shared memory": "from multiprocessing import resource_tracker, shared_memory\n    resource_tracker.register = resource_tracker.unregister = lambda *_: None\n    s = shared_memory.SharedMemory(create=True, size=10, name='mine')\n    t = shared_memory.SharedMemory(name='mine')\n    s.buf[0] = 3\n    found = t.buf[0] == 3\n    t.close()\n    s.close()\n    s.unlink()\n    return found",
    "a pool of executors": "import multiprocessing\n    from concurrent.futures import ProcessPoolExecutor\n    with ProcessPoolExecutor(2, multiprocessing.get_context('fork')) as pool:\n        return list(pool.map(abs, [-1])) == [1]",
}  # fmt: skip
PROGRAMS = {
    "a program": "import subprocess\n    return subprocess.run(['cat'], input=b'x', capture_output=True).stdout == b'x'",
    "a program by asyncio": "import asyncio\n    async def f():\n        p = await asyncio.create_subprocess_exec('cat', '/dev/null')\n        return await p.wait()\n    return asyncio.run(f()) == 0",
}


def outputs_of(project: Project, bodies: dict[str, str], step: dict[str, object], **fields: object):
    steps = {}
    for number, body in enumerate(bodies.values()):
        project.add(f"n{number}", f"def execute(context):\n    {body}\n", **fields)
        steps[f"n{number}"] = {"node": f"n{number}", **step}
    project.scan()
    project.workflow(steps, policy={"fail_fast": False})
    done = project.onex_here("run", "test.workflow.yaml", "--jobs", "2", "--format", "json").json
    shown = project.onex_here("runs", "show", done["run_id"], "--format", "json").json["steps"]
    failed = {}
    for number, name in enumerate(bodies):
        result = shown[f"n{number}"]
        if result["output"] is not True:
            failed[name] = result["error"] or result["output"]
    return failed


def test_libraries_work(project: Project) -> None:
    assert outputs_of(project, ORDINARY, {}) == {}


def test_processes_work_with_a_limit_for_them(project: Project) -> None:
    assert outputs_of(project, PROCESSES, {"limits": {"processes": 8}}) == {}


def test_programs_that_are_granted_work(project: Project) -> None:
    granted = ["process.execute:cat"]
    assert outputs_of(project, PROGRAMS, {}, capabilities=granted) == {}


@pytest.fixture
def port() -> Iterator[int]:
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_clients_of_hosts_that_are_granted_work_unmodified(project: Project, port: int) -> None:
    clients = {
        "urllib": f"import urllib.request\n    return urllib.request.urlopen('http://localhost:{port}/', timeout=5).read() == b'hello'",
        "http.client": f"import http.client\n    c = http.client.HTTPConnection('localhost', {port})\n    c.request('GET', '/')\n    return c.getresponse().read() == b'hello'",
        "asyncio": f"import asyncio\n    async def f():\n        r, w = await asyncio.open_connection('localhost', {port})\n        w.write(b'GET / HTTP/1.0\\r\\n\\r\\n')\n        return await r.read()\n    return asyncio.run(f()).endswith(b'hello')",
        "not blocking": f"import errno, select, socket\n    s = socket.socket()\n    s.setblocking(False)\n    assert s.connect_ex(('127.0.0.1', {port})) in (0, errno.EINPROGRESS)\n    select.select([], [s], [], 5)\n    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0",
        "options": f"import socket\n    s = socket.socket()\n    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n    s.settimeout(5)\n    s.connect(('localhost', {port}))\n    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0",
    }
    granted = [f"network.connect:localhost:{port}"]
    assert outputs_of(project, clients, {}, capabilities=granted) == {}


def test_hosts_that_are_not_granted_are_refused_by_name(project: Project, port: int) -> None:
    project.add(
        "ask", f"import urllib.request\ndef execute(context):\n    urllib.request.urlopen('http://127.0.0.1:{port}/')\n",
        capabilities=["network.connect:localhost:1"],
    )  # fmt: skip
    project.add(
        "name",
        "import socket\ndef execute(context):\n    socket.create_connection(('api.example.org', 443))\n",
    )
    project.scan()
    for node, permission in (
        ("ask", f"network.connect:127.0.0.1:{port}"),
        ("name", "network.connect:api.example.org:443"),
    ):
        done = project.onex_here("run", node, "--format", "json").json
        error = done["steps"]["node"]["error"]
        assert f"- {permission}'" in error["hint"], error
