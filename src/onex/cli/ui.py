"""``onex ui``"""

from __future__ import annotations

import contextlib
import html
import os
import secrets
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.cli.serve import project_of, require_server
from onex.registry import Registry


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="The port of 127.0.0.1 to listen on.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@home_option
@output_options
def ui(output: Output, port: int, no_browser: bool, home: Path | None) -> None:
    """Show this registry in a browser, until it is interrupted.

    The pages are for you alone: they are served on this machine only, and whoever opens them needs
    the key in the address that is printed.
    """
    require_server()
    start = project_of(home)
    with Registry.open(home, start=start) as registry:
        configuration = registry.configuration

    from onex.server.app import ServerSettings
    from onex.server.serving import Listening, serve

    key = secrets.token_urlsafe(24)
    settings = ServerSettings(configuration.home, configuration.project or start, owner_key=key)

    def ready(url: str) -> None:
        address = f"{url}login?key={key}"
        if output.is_human:
            output.line(f"serving {configuration.home} at {address}")
            output.note("interrupt it with Ctrl-C")
        else:
            output.json_line({"url": url, "address": address})
        if not no_browser:
            page = opening.enter_context(_private_page(address))
            # A browser in the terminal would hold up the server that it asks.
            threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()

    # The server ends by the signal again when it is done, and nothing would be cleaned up then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with contextlib.ExitStack() as opening, contextlib.suppress(KeyboardInterrupt):
        serve(settings, Listening("127.0.0.1", port), ready)


@contextlib.contextmanager
def _private_page(address: str) -> Iterator[Path]:
    """A file that leads a browser on: everybody on a machine can read the arguments of commands."""
    descriptor, name = tempfile.mkstemp(prefix="onex-", suffix=".html")
    page = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            target = html.escape(address)
            file.write(f'<meta http-equiv="refresh" content="0;url={target}">')
        yield page
    finally:
        page.unlink(missing_ok=True)
