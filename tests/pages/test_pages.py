"""The pages over HTTP: what each says, to whom, and what hostile content cannot do."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from onex.domain.metadata import Origin
from onex.domain.version import Version
from onex.storage.node_record import NodeRecord
from onex.storage.query import MetadataQuery
from tests.conftest import Project, RegistryServer
from tests.pages.conftest import Pages, Shown, Ui

MAXIMUM_BYTES = 100_000
HOSTILE = '<script>alert(1)</script>\u202e\u0007" onmouseover="x' + "n" * 10_000


def require_safe(page: Shown) -> None:
    """What holds for every page."""
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert len(page.content) <= MAXIMUM_BYTES, len(page.content)
    text = page.text
    # The policy would stop them; a page that has them is broken by it.
    assert not re.search(r"<[^>]+\son\w+\s*=", text), re.search(r"<[^>]+\son\w+\s*=", text)
    assert not re.search(r"<[^>]+\sstyle\s*=", text)
    assert "<style" not in text
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert "\u202e" not in text
    assert "\x07" not in text


@pytest.fixture
def shop(make_project: Callable[[str], Project]) -> Project:
    """A registry with versions, dependencies, a yank, runs, failures and artifacts."""
    project = make_project("shop")
    project.write("onex.toml", '[[sources]]\nname = "mine"\npath = "nodes"\n')
    inputs = {"text": {"type": "string", "description": "What to count.", "examples": ["a b"]},
              "top": {"type": "integer", "default": 3}}  # fmt: skip
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        extra = {"limit": {"type": "integer"}} if version == "2.0.0" else {}
        manifest = project.add(
            "count", "def execute(context, **inputs):\n    print('counting')\n    return {'words': 2}\n",
            version=version, description="Counts words.", tags=["text"], lifecycle="draft",
            inputs=inputs | extra, outputs={"words": {"type": "integer"}},
            capabilities=["counting", "network.connect:example.org"] if extra else ["counting"],
        )  # fmt: skip
    (manifest.parent / "README.md").write_text(
        "# Count\n\nSee [this](https://example.org) <b>bold</b> ![x](http://evil.example/p.png)\n"
        "<script>alert(2)</script>\n\n[bad](javascript:alert(3))\n"
    )
    project.add("report", dependencies=["tool://test.count@^1"])
    project.add(
        "save", "def execute(context):\n    (context.workdir / 'a.csv').write_text('x,y\\n1,2\\n')\n"
        "    (context.workdir / 'p.svg').write_text('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')\n"
        "    return {'table': context.artifact('a.csv'), 'picture': context.artifact('p.svg')}\n",
    )  # fmt: skip
    project.add("fail", "def execute(context):\n    raise ValueError('it <b>broke</b>')\n")
    project.onex_here("scan")
    project.onex_here("yank", "tool://test.count@1.0.0", "--reason", "too <slow>")
    return project


def test_every_page_is_whole_safe_and_small(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    path = shop.workflow({
        "all": {"node": "count", "foreach": list(range(40)), "with": {"text": "a", "limit": 1}},
        "save": {"node": "save"}, "fail": {"node": "fail", "needs": ["all", "save"]},
    })  # fmt: skip
    first = shop.onex_here("run", path, "--allow", "network.connect:example.org", "--json").json
    second = shop.onex_here("run", path, "--allow", "network.connect:example.org", "--json").json
    owner = start_ui(shop).owner()
    run = f"/runs/{second['run_id']}"
    record = shop.onex_here("runs", "show", second["run_id"], "--json").json
    artifacts = record["steps"]["save"]["output"]
    expected = {
        "/": "count Counts words.",
        "/?q=count": "tool://test.count",
        "/?tag=text": "tag: text",
        "/node/tool/test.count": "What to count.",
        "/node/tool/test.count/1.0.0": "This version was withdrawn: too <slow>",
        "/node/tool/test.report": "tool://test.count ^1",
        "/graph/tool/test.report": "All of it.",
        "/graph/tool/test.report?why=tool%3A%2F%2Ftest.count":
            "tool://test.report needs tool://test.count",
        "/graph/tool/test.report?why_not=tool%3A%2F%2Ftest.count%402.0.0": "report",
        "/runs": "failed",
        run: "it <b>broke</b>",
        f"{run}?step=all": "the slowest",
        f"{run}?step=all[3]": "counting",
        f"{run}/compare?with={first['run_id']}": "are the same",
        f"/artifacts/{artifacts['table']['$artifact']}": "1 2",
        f"/artifacts/{artifacts['picture']['$artifact']}": "p.svg",
        "/health": "choosing versions",
        "/audit": "entries is whole",
        "/audit?action=yank": "tool://test.count@1.0.0",
        "/resolve": "References",
        "/resolve?refs=tool://test.report": "tool://test.count 1.1.0",
        "/resolve?refs=tool://test.count@^9": "RES001",
        "/impact?ref=tool://test.count@1.5.0": "moves",
        "/login": "Token",
    }  # fmt: skip
    for place, said in expected.items():
        page = owner.get(place)
        assert page.status == 200, (place, page.words)
        require_safe(page)
        assert said in page.words, (place, said, page.words)
    node = owner.get("/node/tool/test.count").text
    assert "onex run tool://test.count@2.0.0 --input limit=LIMIT --input &#39;text=a b&#39;" in node
    assert 'href="https://example.org" rel="nofollow noopener noreferrer"' in node
    for bad in ("evil.example", 'href="javascript', "<script>alert", "<b>bold"):
        assert bad not in node
    assert "open connections to example.org" in node or "example.org" in node
    raw = owner.get(f"/artifacts/{artifacts['picture']['$artifact']}/raw")
    assert raw.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in raw.headers["content-security-policy"]
    table = owner.get(f"/artifacts/{artifacts['table']['$artifact']}/raw")
    assert table.headers["content-disposition"].startswith("attachment")


def test_hostile_names_and_texts_do_nothing(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("hostile")
    project.add(
        "bad", "def execute(context, **inputs):\n    print('<img src=x onerror=alert(1)>\\x1b[31m')\n    return inputs\n",
        description=HOSTILE, tags=[HOSTILE[:200]], author=HOSTILE[:500], license=HOSTILE[:200],
        inputs={HOSTILE[:100]: {"type": "string", "description": HOSTILE, "default": HOSTILE[:99]}},
    )  # fmt: skip
    project.scan()
    done = project.onex_here(
        "run",
        "bad",
        "--inputs",
        project.write("in.json", json.dumps({HOSTILE[:100]: HOSTILE})),
        "--json",
    )
    owner = start_ui(project).owner()
    pages = ["/", "/?q=%3Cscript%3E", "/node/tool/test.bad", "/graph/tool/test.bad", "/runs",
             "/resolve?refs=%3Cscript%3Ealert(1)%3C/script%3E", "/impact?ref=%3Cscript%3E",
             "/audit?action=%22%3E%3Cscript%3E", "/graph/tool/test.bad?why_not=%3Cscript%3E"]  # fmt: skip
    if "run_id" in done.json:
        pages.append(f"/runs/{done.json['run_id']}?step=node")
    for place in pages:
        page = owner.get(place)
        assert page.status == 200, (place, page.words[:400])
        require_safe(page)
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


ODD_ADDRESSES = [
    "/?lifecycle=nonsense", "/?trust=x", "/?after=%00", "/?tag=" + "x" * 3_000,
    "/graph/tool/test.count?depth=abc", "/graph/tool/test.count?depth=-4", "/graph/tool/test.count?version=x",
    "/node/tool/test.count?from=-1", "/node/tool/test.count?from=99999", "/node/tool/test.count/not.a.version",
    "/node/tool/..%2f..", "/node/%20/x", "/node/tool/test.count/1.0.0+build", "/runs/nothing",
    "/runs/x/compare?with=y", "/artifacts/sha256:zz", "/artifacts/..%2f..%2fetc/raw", "/audit?before=x",
    "/audit?before=99999999999999999999", "/audit?outcome=x", "/resolve?refs=%40%40", "/impact?ref=%F0%9F%92%A9",
    "/static/x/style.css", "/static/x/../../site.py", "/?part=1", "/health?part=1",
]  # fmt: skip


def test_odd_addresses_are_answered_and_never_a_failure(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    owner = start_ui(shop).owner()
    for place in ODD_ADDRESSES:
        assert owner.get(place).status < 500, place


@pytest.mark.slow
def test_five_thousand_versions_fit_on_pages(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("many")
    project.add("old", version="1.0.0")
    project.scan()
    with project.registry() as registry:
        (first,) = registry.query(MetadataQuery()).nodes
        with registry.storage.writing() as writer:
            for number in range(1, 5_000):
                metadata = replace(first.metadata, version=Version(1, number, 0))
                record = NodeRecord.of(metadata, f"sha256:{number:064x}")
                place = Origin("s", f"/nowhere/{number}/node.onex.yaml")
                writer.expect([record.node_version], [place])
                writer.insert(record, place)
    owner = start_ui(project).owner()
    page = owner.get("/node/tool/test.old")
    require_safe(page)
    assert "Versions 5000" in page.words
    seen, place = set(), "/node/tool/test.old"
    for _ in range(4):
        page = owner.get(place)
        seen |= set(re.findall(r"/node/tool/test\.old/(1\.\d+\.0)\"", page.text))
        following = re.search(r'href="(\?from=\d+)#versions"', page.text)
        assert following is not None
        place = f"/node/tool/test.old{following[1]}"
    assert seen == {f"1.{number}.0" for number in range(4_920, 5_000)}
    last = owner.get("/node/tool/test.old?from=4980")
    assert "the first version" in last.words
    assert "Earlier versions" not in last.words


def test_filters_combine_and_the_address_is_the_state(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    owner = start_ui(shop).owner()
    page = owner.get("/")
    link = next(
        m for m in re.findall(r'href="(/\?[^"]*)"', page.text) if "capability=counting" in m
    )
    narrowed = owner.get(link)
    assert "tool://test.count" in narrowed.words
    assert "tool://test.report" not in narrowed.words
    assert 'aria-current="true"' in narrowed.text
    both = owner.get(link + "&tag=nothing")
    assert "No node matches." in both.words


def test_strangers_see_public_nodes_and_nothing_of_those_who_run_them(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer]
) -> None:
    project = make_project("server")
    project.write("onex.toml", '[server]\nprivate_namespaces = ["test.hush"]\n')
    project.onex_here("publish", "--here", project.add("open").parent)
    project.onex_here(
        "publish", "--here", project.add("hush", dependencies=["tool://test.open@^1"]).parent
    )
    server = serve(project)
    stranger = Pages(server.url)
    everything = "".join(
        stranger.get(place).text
        for place in ("/", "/?q=hush", "/node/tool/test.open", "/graph/tool/test.open", "/health",
                      "/resolve?refs=tool://test.open", "/impact?ref=tool://test.open@2.0.0")
    )  # fmt: skip
    assert "test.open" in everything
    assert "test.hush" not in everything.replace('value="hush"', "")
    assert str(project.root) not in everything
    assert stranger.get("/node/tool/test.hush").status == 404
    hidden, absent = (stranger.get(f"/node/tool/test.{name}").text for name in ("hush", "none"))
    assert hidden.replace("hush", "none") == absent
    for place in ("/runs", "/audit"):
        page = stranger.get(place)
        assert page.status == 403
        assert "Token" in page.words
    assert stranger.get("/live?of=runs").status == 403
    assert stranger.get("/live?of=log").status == 403


def test_a_token_logs_in_and_out(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer]
) -> None:
    server = serve(make_project("server"))
    person = Pages(server.url)
    assert person.post("/login", token="onex_nonsense", next="/runs").status == 403
    entered = person.post("/login", token=server.token, next="/runs")
    assert (entered.status, entered.headers["location"]) == (303, "/runs")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "SameSite=strict" in entered.headers["set-cookie"]
    assert person.get("/audit").status == 200
    assert "Log out" in person.get("/").words
    assert person.post("/logout").status == 303
    person.cookies = {name: value for name, value in person.cookies.items() if value.strip('"')}
    assert person.get("/audit").status == 403
    for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
        away = Pages(server.url).post("/login", token=server.token, next=target)
        assert away.headers["location"] == "/", target


def test_pages_of_other_sites_cannot_act(shop: Project, start_ui: Callable[[Project], Ui]) -> None:
    done = shop.onex_here("run", "fail", "--json").json
    ui = start_ui(shop)
    owner = ui.owner()
    foreign = owner._ask(
        "POST", f"/runs/{done['run_id']}/resume", b"", {"origin": "https://evil.example"}
    )
    assert foreign.status == 403
    stranger = Pages(ui.url)
    assert stranger.post(f"/runs/{done['run_id']}/resume").status == 403
    assert owner.get(f"/runs/{done['run_id']}/resume").status == 405
    assert len(shop.onex_here("runs", "list", "--json").json["runs"]) == 1


def test_the_owner_resumes_replays_and_cancels(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("mine")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    project.add("slow", "import time\ndef execute(context):\n    print('half way', flush=True)\n"
                        "    time.sleep(60)\n    return 1\n")  # fmt: skip
    project.add("flag", "def execute(context, path):\n    return open(path).read()\n",
                inputs={"path": {"type": "string", "format": "path"}})  # fmt: skip
    project.onex_here("scan")
    owner = start_ui(project).owner()

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    process = project.start("run", "slow")
    wait(lambda: "half way" in owner.get("/runs").words or bool(running(project)))
    (run_id,) = running(project)
    wait(lambda: "half way" in owner.get(f"/runs/{run_id}").words)
    assert "running" in owner.get("/runs").words
    assert owner.post(f"/runs/{run_id}/cancel").status == 303
    assert process.wait(60) == 130
    wait(lambda: "cancelled" in owner.get(f"/runs/{run_id}").words)
    assert not list((project.home / "live").glob("*"))
    again = owner.post(f"/runs/{run_id}/cancel")
    assert again.status >= 400
    assert "cannot be cancelled" in again.words

    wanted = project.root / "there.txt"
    failed = project.onex_here("run", "flag", "--input", f"path={wanted}", "--json").json
    assert not failed["success"]
    wanted.write_text("now")
    assert owner.post(f"/runs/{failed['run_id']}/resume").status == 303
    wait(lambda: status_of(project, failed["run_id"]) == "succeeded")
    assert owner.post(f"/runs/{failed['run_id']}/replay").status == 303
    assert owner.post(f"/runs/{failed['run_id']}/explode").status == 404
    wait(lambda: f"replay of {failed['run_id']}" in owner.get("/runs").words)


def status_of(project: Project, run_id: str) -> str:
    return project.onex_here("runs", "show", run_id, "--json").json["status"]


def running(project: Project) -> list[str]:
    runs = project.onex_here("runs", "list", "--json").json["runs"]
    return [run["run_id"] for run in runs if run["status"] == "running"]


def test_streams_tell_of_changes_and_end_with_the_server(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    import http.client

    ui = start_ui(shop)
    owner = ui.owner()
    heard: list[str] = []

    def listen() -> None:
        host, port = ui.url.rstrip("/").rpartition("://")[2].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        cookie = "; ".join(f"{n}={v}" for n, v in owner.cookies.items())
        headers = {"cookie": cookie, "accept": "text/event-stream"}
        connection.request("GET", "/live?of=log", headers=headers)
        response = connection.getresponse()
        assert response.getheader("content-type", "").startswith("text/event-stream")
        heard.extend(line.decode() for line in response)
        connection.close()

    listener = threading.Thread(target=listen)
    listener.start()
    deadline = time.monotonic() + 60
    while sum(line.startswith("event: change") for line in heard) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shop.onex_here("yank", "tool://test.count@1.1.0")
    while sum(line.startswith("event: change") for line in heard) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ui.stop()
    listener.join(30)
    assert not listener.is_alive()


def test_a_changed_log_is_told_on_its_page(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    owner = start_ui(shop).owner()
    assert "is whole" in owner.get("/audit").words
    shop.onex_here("yank", "tool://test.count@1.1.0")
    assert "is whole" in owner.get("/audit").words
    with sqlite3.connect(shop.home / "registry.db") as connection:
        connection.execute("UPDATE events SET actor = 'somebody else' WHERE serial = 1")
    connection.close()
    other = start_ui(shop).owner()
    assert "entry 1 was changed after it was written" in other.get("/audit").words


def test_texts_of_pages_are_not_stored_by_shared_caches(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    owner = start_ui(shop).owner()
    page = owner.get("/")
    assert page.headers["cache-control"] == "private, no-cache"
    style = re.search(r'href="(/static/[^"]+style\.css)"', page.text)
    assert style is not None
    assert "immutable" in owner.get(style[1]).headers["cache-control"]


def test_facets_count_what_is_found(shop: Project, start_ui: Callable[[Project], Ui]) -> None:
    owner = start_ui(shop).owner()

    def counts(place: str) -> dict[str, str]:
        text = owner.get(place).text
        pattern = r"<bdi>([^<]*)</bdi> <span class=\"number\">([\d,]+)</span>"
        return dict(re.findall(pattern, text))

    assert counts("/")["tool"] == "4"
    # Sources are counted by versions.
    assert counts("/")["mine"] == "6"
    assert counts("/?tag=text")["tool"] == "1"
    assert counts("/?q=report")["tool"] == "1"
    assert "counting" not in counts("/?q=save")


def test_two_registries_on_one_machine_do_not_log_each_other_out(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    one, two = (start_ui(make_project(name)) for name in ("one", "two"))
    person = one.owner()
    other = Pages(two.url, person.cookies)
    assert other.get("/runs").status == 403
    assert other.get(two.address.removeprefix(two.url.rstrip("/"))).status == 200
    assert other.get("/runs").status == 200
    assert person.get("/runs").status == 200


def test_the_owner_sees_in_metrics_and_checks_what_they_may(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    ui = start_ui(shop)
    assert 'source="mine"' in ui.owner().get("/metrics").text
    assert 'source="mine"' not in Pages(ui.url).get("/metrics").text
    assert str(shop.root) in ui.owner().get("/readyz?verbose").text


def test_versions_say_what_they_add_and_which_was_the_first(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    words = start_ui(shop).owner().get("/node/tool/test.count").words
    assert "the input limit is new and must be given" in words
    assert "adds the input limit" in words
    assert "asks for network.connect:example.org" in words
    assert "the first version" in words


def test_servers_tell_nobody_where_files_are(
    make_project: Callable[[str], Project], serve: Callable[..., RegistryServer]
) -> None:
    project = make_project("server")
    for number in ("1.0.0", "2.0.0"):
        project.onex_here("publish", "--here", project.add("low", version=number).parent)
    project.add("high", dependencies=["tool://test.low@^1"])
    project.onex_here("scan", "nodes")
    server = serve(project)
    stranger = Pages(server.url)
    pages = [
        stranger.get("/impact?ref=tool://test.low@2.0.0"),
        stranger.get("/resolve?refs=tool://test.high%0Atool://test.low@^2"),
        stranger.get("/graph/tool/test.high?why_not=tool://test.low@2.0.0"),
    ]
    assert all(page.status == 200 for page in pages)
    assert "test.high" in pages[1].words
    body = {"references": ["tool://test.high", "tool://test.low@^2"]}
    told = server.ask("api/v1/resolve", method="POST", body=body)
    assert told.status == 422
    for content in (*(page.content for page in pages), told.content):
        assert str(project.root).encode() not in content


def test_a_running_step_is_drawn_and_large_runs_stay_small(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    project = make_project("large")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    project.add("slow", "import time\ndef execute(context):\n    time.sleep(60)\n")
    project.add("echo")
    project.onex_here("scan")
    owner = start_ui(project).owner()
    fans = {
        f"fan{n}": {"node": "echo", "foreach": list(range(300)), "with": {"x": n}} for n in range(6)
    }
    path = project.workflow(fans)
    done = project.onex_here("run", path, "--isolation", "inline", "--json").json
    page = owner.get(f"/runs/{done['run_id']}?step=fan3")
    require_safe(page)
    assert "succeeded 300" in page.words
    process = project.start("run", "slow")
    try:
        deadline = time.monotonic() + 60
        while (
            not (found := running(project))
            or 'class="bar running"' not in owner.get(f"/runs/{found[0]}").text
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(60)


def test_what_is_not_there_is_a_page_for_people_and_json_for_programs(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    owner = start_ui(shop).owner()
    person = owner.get("/nothing/here", accept="text/html,*/*")
    assert (person.status, "no such page" in person.words) == (404, True)
    require_safe(person)
    program = owner.get("/nothing/here")
    assert program.headers["content-type"] == "application/problem+json"
    assert owner.get("/api/v1/nothing", accept="text/html").headers["content-type"] == (
        "application/problem+json"
    )


def test_artifacts_of_any_name_are_shown_and_saved(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    # HarnessRouter/harnessrouter#187: names beyond Latin-1 in a header were a status 500.
    names = ["报告 🚀.txt", 'a"b\\c.csv', "new\nline.txt", "x" * 200 + ".json"]
    project = make_project("names")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    project.add("save", "def execute(context, name):\n"
                        "    (context.workdir / name).write_text('1,2' + name)\n"
                        "    return context.artifact(name)\n")  # fmt: skip
    path = project.workflow(
        {"all": {"node": "save", "foreach": names, "with": {"name": "${{ item }}"}}}
    )
    done = project.onex_here("run", path, "--json").json
    assert done["success"], done
    record = project.onex_here("runs", "show", done["run_id"], "--json").json
    owner = start_ui(project).owner()
    for place, name in enumerate(names):
        digest = record["steps"][f"all[{place}]"]["output"]["$artifact"]
        page = owner.get(f"/artifacts/{digest}")
        assert page.status == 200
        require_safe(page)
        raw = owner.get(f"/artifacts/{digest}/raw")
        assert (raw.status, raw.content) == (200, f"1,2{name}".encode())
        assert raw.headers["content-disposition"].startswith("attachment")


def test_a_run_that_began_in_the_future_is_drawn_all_the_same(
    shop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    run = shop.onex_here("run", "report", "--json").json["run_id"]
    with sqlite3.connect(shop.home / "history.db") as connection:
        connection.execute("UPDATE runs SET started_at = '2099-01-01T00:00:00.000000+00:00'")
    connection.close()
    page = start_ui(shop).owner().get(f"/runs/{run}")
    assert page.status == 200
    assert 'width="-' not in page.text
    assert "2099-01-01 00:00:00 UTC" in page.words


def test_a_filter_begins_at_the_first_page(
    make_project: Callable[[str], Project], start_ui: Callable[[Project], Ui]
) -> None:
    # PrestaShop/PrestaShop#15608: a filter kept the page, and showed nothing.
    project = make_project("pages")
    for number in range(40):
        project.add(f"n{number:02}", tags=["few"] if number < 2 else [])
    project.scan()
    owner = start_ui(project).owner()
    following = re.search(r'rel="next" href="([^"]+)"', owner.get("/").text)
    assert following is not None
    second = owner.get(following[1].replace("&amp;", "&"))
    assert "test.n39" in second.words
    link = re.search(r'href="([^"]*tag=few[^"]*)"', second.text)
    assert link is not None
    assert "test.n00" in owner.get(link[1].replace("&amp;", "&")).words
