"""``onex serve``"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.configuration.settings import PROJECT_FILE
from onex.domain.access_control import Role
from onex.domain.errors import UsageError
from onex.domain.json_value import JsonValue
from onex.registry import Registry


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8351, show_default=True,
              help="0 takes a free one.")  # fmt: skip
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many processes answer.",
)
@click.option("--public-name", "names", multiple=True, metavar="NAME",
              help="A host name that it answers for, beside its address.")  # fmt: skip
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="For TLS.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="For TLS.")
@click.option("--insecure", is_flag=True, help="Let others come without TLS.")
@click.option("--init", is_flag=True, help="Create the first admin token, and print it.")
@home_option
@output_options
def serve(
    output: Output,
    host: str,
    port: int,
    workers: int,
    names: tuple[str, ...],
    certificate: str | None,
    key: str | None,
    insecure: bool,
    init: bool,
    home: Path | None,
) -> None:
    """Serve this registry to others, until it is interrupted.

    What was published to it is offered by the index protocol (docs/protocol.md), and everything
    by the interface for programs below /api/v1.
    """
    require_server()
    if bool(certificate) != bool(key):
        raise UsageError("TLS needs --certificate and --key", hint="give both")
    if not (_is_loopback(host) or certificate or insecure):
        raise UsageError(
            f"{host} can be reached by others, and nothing would be encrypted",
            hint="give --certificate and --key, or --insecure behind a proxy that has TLS",
        )
    start = project_of(home)
    with Registry.open(home, start=start) as registry:
        if init:
            _require_no_admin(registry)
        configuration = registry.configuration
        # Creates the database, so that processes do not race for it.
        registry.storage.serial()

    from onex.server.app import ServerSettings
    from onex.server.serving import Listening, serve

    hosts = {host, *names}
    if _is_loopback(host):
        hosts |= {"127.0.0.1", "localhost", "::1"}
    if host in ("0.0.0.0", "::") and not names:  # noqa: S104 - compared, not bound
        hosts = {"*"}
    settings = ServerSettings(configuration.home, configuration.project or start, sorted(hosts))
    tls = (certificate, key) if certificate and key else None

    def ready(url: str) -> None:
        token = None
        if init:
            # Only now, so that no token is lost with a server that could not begin.
            with Registry.open(home, start=start) as registry:
                token = registry.tokens.create("first", Role.ADMIN).text
        body: dict[str, JsonValue] = {"url": url, "pid": os.getpid()}
        if token:
            body["token"] = token
        if not output.is_human:
            output.json_line(body)
            return
        output.line(f"serving {configuration.home} at {url}")
        private = ", ".join(configuration.private_namespaces) or "none"
        output.line(f"private namespaces: {private}")
        if token:
            output.line(f"the admin token, shown this once: {token}")

    # Ctrl-C is how it ends.
    with contextlib.suppress(KeyboardInterrupt):
        serve(settings, Listening(host, port, workers, tls), ready)


def require_server() -> None:
    """Raise UsageError if what serving needs is not installed."""
    needed = ("fastapi", "uvicorn", "jinja2", "markdown_it", "nh3")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"serving needs {', '.join(missing)}", hint="pip install 'onex-registry[server]'"
        )


def project_of(home: Path | None) -> Path:
    """Where to look for onex.toml: beside the state that is named, or from here upwards.

    The rules of access of a registry must not depend on where its server is started.
    """
    if home is not None and (home.absolute().parent / PROJECT_FILE).is_file():
        return home.absolute().parent
    return Path.cwd()


def _require_no_admin(registry: Registry) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tokens = registry.tokens
    if any(t.role is Role.ADMIN and t.refusal(now) is None for t in tokens.all()):
        raise UsageError(
            "this registry has an admin token already", hint="see onex token list; create others"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
