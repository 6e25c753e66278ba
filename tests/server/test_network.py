"""Two hosts of our own, in network namespaces, with a link between that is slow, loses, or is cut."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import CommandResult, Project

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@dataclass
class Hosts:
    """Two hosts: one that serves, and one that asks."""

    server: str
    client: str

    def on(self, host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", host, *command]

    def run(self, host: str, *command: str) -> None:
        subprocess.run(self.on(host, *command), check=True, capture_output=True, timeout=20)

    def set_link(self, state: str) -> None:
        self.run(self.server, "ip", "link", "set", "wire", state)

    def limit_link(self, *words: str) -> None:
        for host in (self.server, self.client):
            self.run(host, "tc", "qdisc", "replace", "dev", "wire", "root", "tbf", *words)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    name = uuid.uuid4().hex[:8]
    made = Hosts(f"onex-s-{name}", f"onex-c-{name}")
    try:
        for host in (made.server, made.client):
            ip("netns", "add", host)
        ip("link", "add", "wire", "netns", made.server, "type", "veth", "peer", "name", "wire",
           "netns", made.client)  # fmt: skip
        for host, address in ((made.server, SERVER), (made.client, CLIENT)):
            made.run(host, "ip", "address", "add", f"{address}/24", "dev", "wire")
            made.run(host, "ip", "link", "set", "wire", "up")
            made.run(host, "ip", "link", "set", "lo", "up")
        made.limit_link("rate", "1gbit", "burst", "1mb", "latency", "50ms")
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", b"") or str(error)
        _remove(made)
        pytest.skip(f"this machine makes no network namespaces with links: {told!r}")
    yield made
    _remove(made)


def _remove(hosts: Hosts) -> None:
    for host in (hosts.server, hosts.client):
        subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)


@pytest.mark.slow
def test_a_link_that_is_slow_loses_and_is_cut(
    hosts: Hosts, make_project: Callable[[str], Project]
) -> None:
    served, user = make_project("server"), make_project("user")
    for name in ("one", "two"):
        manifest = served.add(name)
        (manifest.parent / "data.bin").write_bytes(os.urandom(300_000))
        assert served.onex_here("publish", "--here", manifest.parent).code == 0
    process = subprocess.Popen(
        hosts.on(hosts.server, *served.command("serve", "--host", SERVER, "--port", "0", "--insecure", "--json")),
        cwd=served.root, env=served.environment, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        user.write("onex.toml", f'[[sources]]\nname = "hub"\nkind = "remote"\nurl = "{url}"\n')

        def onex(*arguments: str) -> CommandResult:
            done = subprocess.run(
                hosts.on(hosts.client, *user.command(*arguments)), cwd=user.root, env=user.environment,
                capture_output=True, text=True, timeout=100, check=False,
            )  # fmt: skip
            return CommandResult(done.returncode, done.stdout, done.stderr)

        # Half a megabit a second: 300 kB take five seconds.
        hosts.limit_link("rate", "500kbit", "burst", "4kb", "latency", "100ms")
        started = time.monotonic()
        assert onex("run", "one", "--json").json["success"]
        assert time.monotonic() - started > 2
        # A queue of two packets drops whatever comes faster than it goes.
        hosts.limit_link("rate", "4mbit", "burst", "2kb", "limit", "4000")
        assert onex("fetch", "two", "--json").json["fetched"] == 1
        hosts.limit_link("rate", "1gbit", "burst", "1mb", "latency", "50ms")

        hosts.set_link("down")
        started = time.monotonic()
        done = onex("run", "one", "--json")
        assert done.json["success"], done.stdout
        assert time.monotonic() - started < 15
        done = onex("resolve", "three")
        assert done.code == 3
        assert "passed over" in done.stderr
        hosts.set_link("up")
        served.onex_here("publish", "--here", served.add("three").parent)
        assert onex("remote", "check").code == 0
        assert onex("resolve", "three").code == 0
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
