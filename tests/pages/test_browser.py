"""The pages in a real browser: widths, contrast, without scripts, live, and fifty at once."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.conftest import Project
from tests.pages.conftest import Ui, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium() is None,
        reason="there is no Chromium: install it, or name it by CHROMIUM; no page is tried in one",
    ),
]

WIDTHS = (390, 820, 1280)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"]
SLOW = """
import time
def execute(context, seconds):
    print("about to wait", flush=True)
    time.sleep(seconds)
    return seconds
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ui, dict[str, str]]]:
    """A registry with a few of everything, and the address of one page of each kind."""
    root = tmp_path_factory.mktemp("browser")
    for folder in ("nodes", "home"):
        (root / folder).mkdir()
    project = Project(root)
    project.write("onex.toml", '[[sources]]\nname = "mine"\npath = "nodes"\n')
    project.add("echo", description="Gives back what it is given.", tags=["text", "demo"],
                inputs={"x": {"type": "integer", "default": 1, "description": "A number."}})  # fmt: skip
    project.add("echo", version="1.1.0", capabilities=["network.connect:example.org"])
    project.add("long", description="w" * 3_000, tags=["x" * 300], author="ñ" * 200)
    project.add("user", dependencies=["tool://test.echo@^1", "tool://test.long@^1"])
    project.add("fail", "def execute(context):\n    raise ValueError('no ' * 400)\n")
    project.onex_here("scan")
    path = project.workflow({
        "many": {"node": "tool://test.echo@1.0.0", "foreach": list(range(60)), "with": {"x": 1}},
        "fail": {"node": "fail", "needs": ["many"]}, "last": {"node": "long", "needs": ["fail"]},
    })  # fmt: skip
    run = project.onex_here("run", path, "--json").json["run_id"]
    ui = Ui(project)
    places = {
        "catalogue": "", "search": "?q=echo", "node": "node/tool/test.echo",
        "long": "node/tool/test.long", "graph": "graph/tool/test.user", "runs": "runs",
        "run": f"runs/{run}", "step": f"runs/{run}?step=many", "health": "health",
        "audit": "audit", "resolve": "resolve?refs=tool://test.user",
        "unresolved": "resolve?refs=tool://test.echo@^9", "impact": "impact?ref=tool://test.echo@1.2.0",
        "login": "login", "missing": "node/tool/no.such",
    }  # fmt: skip
    yield ui, places
    ui.stop()


def entered(browser: Browser, ui: Ui, **options: object) -> BrowserContext:
    """A browser whose user opened the address that ``onex ui`` printed."""
    context = browser.new_context(**options)
    context.new_page().goto(ui.address)
    return context


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_every_width_and_nobody_is_left_out(
    browser: Browser, site: tuple[Ui, dict[str, str]], scheme: str, tmp_path: Path
) -> None:
    ui, places = site
    context = entered(browser, ui, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for name, place in places.items():
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            page.goto(ui.url + place)
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert overflow <= 0, (name, width, overflow)
        found = Axe().run(page)
        serious = [
            (v["id"], v["nodes"][0]["html"][:200])
            for v in found.response["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], (name, scheme, serious)
        page.screenshot(path=tmp_path / f"{name}.png")
    # The page of what is not there is answered with 404, which browsers tell.
    assert [text for text in complaints if "404" not in text] == []
    context.close()


def test_everything_works_with_scripts_blocked(
    browser: Browser, site: tuple[Ui, dict[str, str]]
) -> None:
    ui, places = site
    context = entered(browser, ui, java_script_enabled=False)
    page = context.new_page()
    page.goto(ui.url)
    page.fill("#q", "echo")
    page.press("#q", "Enter")
    page.wait_for_url("**/?q=echo")
    page.get_by_role("link", name="echo").first.click()
    assert "test.echo" in page.inner_text("h1 + p")
    page.get_by_role("link", name="Graph").click()
    assert page.locator("svg .edge").count() == 0
    page.goto(ui.url + places["graph"])
    assert page.locator("svg .edge").count() == 2
    page.locator("svg a", has_text="test.echo").click()
    assert "tool://test.user needs tool://test.echo" in page.inner_text("main")
    page.goto(ui.url + places["run"])
    assert "ValueError" in page.inner_text("#detail")
    page.get_by_role("link", name="many").last.click()
    assert "the slowest" in page.inner_text("#detail")
    context.close()


def test_search_follows_what_one_types_and_the_address_follows_too(
    browser: Browser, site: tuple[Ui, dict[str, str]]
) -> None:
    ui, _ = site
    context = entered(browser, ui)
    page = context.new_page()
    page.goto(ui.url)
    page.keyboard.press("/")
    page.keyboard.type("ech", delay=20)
    page.wait_for_url("**/?q=ech")
    expect(page.locator(".cards li")).to_have_count(1)
    assert page.evaluate("document.activeElement.id") == "q"
    page.reload()
    expect(page.locator(".cards li")).to_have_count(1)
    context.close()


def test_all_can_be_reached_by_the_keyboard(
    browser: Browser, site: tuple[Ui, dict[str, str]]
) -> None:
    ui, places = site
    context = entered(browser, ui)
    page = context.new_page()
    page.goto(ui.url + places["node"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "document.activeElement.getAttribute('href') || document.activeElement.tagName"
            )
        )
    assert {"/runs", "#versions", "BUTTON"} <= seen
    context.close()


@pytest.fixture
def workshop(make_project: Callable[[str], Project]) -> Project:
    project = make_project("workshop")
    project.write("onex.toml", '[[sources]]\npath = "nodes"\n')
    project.add("slow", SLOW)
    project.onex_here("scan")
    return project


def test_a_run_is_followed_live_through_a_restart_of_the_server(
    browser: Browser, workshop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    path = workshop.workflow({
        "first": {"node": "slow", "with": {"seconds": 3}},
        "second": {"node": "slow", "with": {"seconds": 8}, "needs": ["first"]},
    })  # fmt: skip
    ui = start_ui(workshop)
    context = entered(browser, ui)
    page = context.new_page()
    page.goto(ui.url + "runs")
    process = workshop.start("run", path)
    # The list follows without a hand.
    page.get_by_role("link", name=re.compile(r"^2\d{7}-")).first.click(timeout=30_000)
    expect(page.locator("main")).to_contain_text("about to wait", timeout=20_000)
    expect(page.locator("tbody tr", has_text="first")).to_contain_text("succeeded", timeout=20_000)
    ui.stop()
    ui.start()
    # The key of the owner is a new one after a restart; the page stays as it is until they enter.
    again = context.new_page()
    again.goto(ui.address)
    expect(page.locator("h1 + p")).to_contain_text("succeeded", timeout=40_000)
    assert process.wait(60) == 0
    context.close()


def test_fifty_browsers_follow_one_run(
    workshop: Project, start_ui: Callable[[Project], Ui]
) -> None:
    ui = start_ui(workshop)
    owner = ui.owner()
    path = workshop.workflow({"only": {"node": "slow", "with": {"seconds": 4}}})
    heard = [0] * 50
    cookie = "; ".join(f"{name}={value}" for name, value in owner.cookies.items())
    host, port = ui.url.rstrip("/").rpartition("://")[2].split(":")
    stop = threading.Event()

    def follow(place: int) -> None:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"cookie": cookie, "accept": "text/event-stream"}
        connection.request("GET", "/live?of=runs", headers=headers)
        response = connection.getresponse()
        assert response.status == 200
        for line in response:
            heard[place] += line.startswith(b"event: change")
            if stop.is_set() and heard[place] > 1:
                break
        connection.close()

    followers = [threading.Thread(target=follow, args=(place,)) for place in range(50)]
    for follower in followers:
        follower.start()
    deadline = time.monotonic() + 60
    while min(heard) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stop.set()
    assert workshop.onex("run", path).code == 0
    for follower in followers:
        follower.join(30)
    assert min(heard) > 1
    assert owner.get("/runs").status == 200


def test_pictures_for_the_docs_are_there() -> None:
    images = Path(__file__).parents[2] / "docs" / "images"
    shown = (images.parent.parent / "README.md").read_text() + (
        images.parent / "pages.md"
    ).read_text()
    named = set(re.findall(r"images/(pages-[\w-]+\.png)", shown))
    assert named
    assert all((images / name).is_file() for name in named)
