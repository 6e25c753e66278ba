"""What strangers, narrow tokens and hostile runs tried on the pages."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onex.domain.access_control import Role
from tests.conftest import Project, RegistryServer
from tests.pages.conftest import Pages, Ui

Serve = Callable[..., RegistryServer]


def wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def guarded(make_project: Callable[[str], Project], serve: Serve) -> RegistryServer:
    """A server with a private node that needs a public one, and another that needs it."""
    project = make_project("guarded")
    project.write("onex.toml", '[server]\nprivate_namespaces = ["test.hush"]\n')
    for version in ("1.0.0", "2.0.0"):
        project.onex_here("publish", "--here", project.add("low", version=version).parent)
    project.onex_here(
        "publish", "--here", project.add("hush", dependencies=["tool://test.low@^1"]).parent
    )
    project.onex_here(
        "publish", "--here", project.add("open", dependencies=["tool://test.hush@^1"]).parent
    )
    project.add("local")
    project.onex_here("scan", "nodes")
    return serve(project)


def test_the_impact_on_private_nodes_is_told_to_nobody_else(guarded: RegistryServer) -> None:
    for version in ("2.0.0", "9.0.0"):
        page = Pages(guarded.url).get(f"/impact?ref=tool://test.low@{version}")
        assert "hush 1" not in page.text
        assert "test.hush" not in page.text
    server_root = str(guarded.project.root)
    narrow = Pages(guarded.url)
    with guarded.project.registry() as registry:
        token = registry.tokens.create("narrow", Role.READER, ["test.low"]).text
    assert narrow.post("/login", token=token, next="/").status == 303
    for place in ("/", "/node/tool/test.local", "/node/tool/test.low", "/health"):
        assert server_root not in narrow.get(place).text, place


def test_too_many_questions_do_not_tell_what_is_private(guarded: RegistryServer) -> None:
    stranger = Pages(guarded.url)
    answers = {stranger.get("/node/tool/test.hush").status for _ in range(90)}
    assert answers == {404}
    tree = {stranger.get("/index/tool/test/hush.jsonl").status for _ in range(90)}
    assert tree == {404}
    assert stranger.get("/node/tool/test.none").status == 404


def test_only_known_things_are_followed(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    owner = start_ui(make_project("one")).owner()
    for topic in ("", "log2", "run:../../x", "run:%00", "runs/", "run:"):
        assert owner.get(f"/live?of={topic}").status == 404, topic


def test_a_stream_ends_with_its_token(guarded: RegistryServer) -> None:
    created = guarded.project.onex_here("token", "create", "x", "--role", "admin", "--json").json
    host, port = guarded.url.rstrip("/").rpartition("://")[2].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    headers = {"authorization": f"Bearer {created['token']}", "accept": "text/event-stream"}
    connection.request("GET", "/live?of=log", headers=headers)
    response = connection.getresponse()
    assert response.status == 200
    guarded.project.onex_here("token", "revoke", created["id"])
    # It ends by itself, after no more than what it had begun to say.
    assert response.read().count(b"event: change") <= 1
    connection.close()


def test_the_key_of_the_owner_is_in_no_argument_of_a_browser(
    make_project: Callable[[str], Project],
) -> None:
    project = make_project("mine")
    seen = project.root / "seen"
    browser = project.write("browser", f'#!/bin/sh\nprintf "%s" "$*" > {seen}.part\n'
                                       f'cat "${{1#file://}}" > {seen}.page\nmv {seen}.part {seen}\n')  # fmt: skip
    browser.chmod(0o755)
    process = subprocess.Popen(
        project.command("ui", "--json"), cwd=project.root,
        env=project.environment | {"BROWSER": str(browser)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        wait(seen.exists)
        key = ready.decode().rpartition("key=")[2].split('"')[0]
        assert len(key) > 20
        assert key not in seen.read_text()
        assert key in (project.root / "seen.page").read_text()
        page = seen.read_text().removeprefix("file://")
        assert Path(page).stat().st_mode & 0o077 == 0
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
    assert not Path(page).exists()


def test_a_token_in_an_address_logs_nobody_in(guarded: RegistryServer) -> None:
    person = Pages(guarded.url)
    person.get(f"/login?key={guarded.token}")
    assert person.cookies == {}


def test_a_dense_graph_is_a_list(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("dense")
    for number in range(40):
        needs = [f"tool://test.n{other}@^1" for other in range(number + 1, 40)]
        project.add(f"n{number}", dependencies=needs)
    project.scan()
    page = start_ui(project).owner().get("/graph/tool/test.n0")
    assert "too many lines" in page.words
    assert "tool://test.n39@1.0.0" in page.words
    assert len(page.content) < 100_000


def test_the_end_of_a_long_log_is_shown(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("long")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    project.add("talk", "import time\ndef execute(context):\n    print('word ' * 4_000)\n"
                        "    print('the latest', flush=True)\n    time.sleep(60)\n")  # fmt: skip
    project.onex_here("scan")
    owner = start_ui(project).owner()
    process = project.start("run", "talk")
    try:
        wait(lambda: "/runs/2" in owner.get("/runs").text)
        run = owner.get("/runs").text.partition('href="/runs/')[2].partition('"')[0]
        wait(lambda: "the latest" in owner.get(f"/runs/{run}").words)
    finally:
        process.terminate()
        process.wait(60)
    assert "the latest" in owner.get(f"/runs/{run}?step=node").words


def test_a_run_that_pages_began_and_that_is_killed_can_be_resumed(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("killed")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    flag = project.root / "flag"
    project.add(
        "slow", "import os, time\ndef execute(context, path):\n    print('x', flush=True)\n"
        "    time.sleep(60 if open(path).read() == 'slow' else 0)\n    return 1\n",
        inputs={"path": {"type": "string", "format": "path"}}, idempotent=True,
    )  # fmt: skip
    project.onex_here("scan")
    flag.write_text("slow")
    process = project.start("run", "slow", "--input", f"path={flag}")
    owner = start_ui(project).owner()
    wait(lambda: "running" in owner.get("/runs").words)
    run = owner.get("/runs").text.partition('href="/runs/')[2].partition('"')[0]
    wait(lambda: bool(list((project.home / "live").glob("*.json"))))
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    wait(lambda: "interrupted" in owner.get(f"/runs/{run}").words)
    assert owner.post(f"/runs/{run}/resume").status == 303
    wait(lambda: "▸ running" in owner.get("/runs").words)
    pids = [
        int(line.split()[0])
        for line in subprocess.run(
            ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if f"--resume {run}" in line
    ]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait(lambda: "interrupted" in owner.get("/runs").words)
    flag.write_text("quick")
    again = project.onex_here("run", "--resume", run, "--json")
    assert again.json.get("success") or again.json["error"]["code"] != "RUN002", again.stdout
    project.onex_here("runs", "prune", "--keep", "0")
    assert not list((project.home / "live").glob("*"))


def test_any_content_has_a_preview(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    contents = {
        "cr.csv": "'a\\rb,c\\n'", "deep.json": "'[' * 15_000", "bytes.bin": "'\\0\\1\\2'",
        "cut.txt": "'\\u00e4' * 30_000", "wide.tsv": "'\\t'.join(map(str, range(4_000)))",
    }  # fmt: skip
    project = make_project("content")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    lines = [
        f"    (context.workdir / {name!r}).write_text({text})" for name, text in contents.items()
    ]
    project.add("save", "def execute(context):\n" + "\n".join(lines) + "\n"
                        f"    return [context.artifact(name) for name in {list(contents)}]\n")  # fmt: skip
    done = project.onex_here("run", "save", "--json").json
    owner = start_ui(project).owner()
    for one in done["outputs"]["result"]:
        page = owner.get(f"/artifacts/{one['$artifact']}")
        assert page.status == 200, one
        assert len(page.content) < 100_000


def test_an_old_cookie_fills_no_log(guarded: RegistryServer) -> None:
    person = Pages(guarded.url)
    person.post("/login", token=guarded.token, next="/")
    (name,) = person.cookies
    person.cookies[name] = guarded.token[:-1] + "x"
    before = guarded.ask("api/v1/audit?limit=1000", token=guarded.token).json["events"]
    assert {person.get("/").status for _ in range(80)} == {200}
    assert person.get("/runs").status == 403
    assert guarded.ask("api/v1/audit?limit=1000", token=guarded.token).json["events"] == before
