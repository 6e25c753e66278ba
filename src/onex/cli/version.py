"""``onex version``"""

from __future__ import annotations

import platform
import sqlite3

import click

from onex import __version__
from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output


@click.command()
@no_home_option
@output_options
def version(output: Output) -> None:
    """Show the versions of onex and of what it runs on."""
    body = {
        "onex": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
    }

    def human() -> None:
        for name, value in body.items():
            output.line(f"{name} {value}")

    output.emit(body, human)
