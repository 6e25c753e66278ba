"""A browser of a person: keeps cookies, follows nothing, and reads what it is given."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlencode

import pytest

from tests.conftest import Project


@dataclass
class Shown:
    """A page as it came."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def words(self) -> str:
        """What a person reads of it."""
        bare = re.sub(r"<(script|style)\b.*?</\1>", "", self.text, flags=re.DOTALL)
        bare = re.sub(r"</?(bdi|a|code|strong|small|span)\b[^>]*>", "", bare)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", bare)).split())


@dataclass
class Pages:
    """The pages of one server, as one person sees them."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Shown:
        return self._ask("GET", path, b"", headers)

    def post(self, path: str, **fields: str) -> Shown:
        headers = {
            "origin": self.url.rstrip("/"),
            "content_type": "application/x-www-form-urlencoded",
        }
        return self._ask("POST", path, urlencode(fields).encode(), headers)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Shown:
        host, _, port = self.url.rstrip("/").rpartition("://")[2].rpartition(":")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request(method, path, body or None, sent)
            response = connection.getresponse()
            content = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        cookie = found.get("set-cookie", "").partition(";")[0]
        if cookie:
            name, _, value = cookie.partition("=")
            self.cookies[name] = value
        return Shown(response.status, found, content)


class Ui:
    """``onex ui`` of a project, in a process of its own."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had."""
        self.process = subprocess.Popen(
            self.project.command("ui", "--no-browser", "--json", "--port", str(self.port)),
            cwd=self.project.root, env=self.project.environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.url, self.address = ready["url"], ready["address"]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def owner(self) -> Pages:
        """The pages as the owner sees them."""
        pages = Pages(self.url)
        assert pages.get(self.address.removeprefix(self.url.rstrip("/"))).status == 200
        assert pages.cookies
        return pages

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start_ui() -> Iterator[Callable[[Project], Ui]]:
    started: list[Ui] = []

    def start(project: Project) -> Ui:
        started.append(Ui(project))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


def chromium() -> str | None:
    """The browser on this machine; preferably without windows, whose closing hangs at times."""
    given = os.environ.get("CHROMIUM")
    return given or shutil.which("chromium-headless-shell") or shutil.which("chromium")
