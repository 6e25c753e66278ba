"""Options that every command has, and the registry they lead to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from onex.cli.output import Format, Output
from onex.domain.result import IsolationLevel

P = ParamSpec("P")
R = TypeVar("R")


def output_options(command: Callable[Concatenate[Output, P], R]) -> Callable[..., R]:
    """Add ``--format``, ``-q`` and ``-v``; the command receives an Output first."""

    @click.option(
        "--format",
        "format_",
        type=click.Choice(["human", "json", "yaml"]),
        default="human",
        help="How to print the result.",
    )
    @click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
    @click.option("-v", "--verbose", count=True, help="Print more.")
    @functools.wraps(command)
    def wrapped(format_: Format, quiet: bool, verbose: int, *args: P.args, **kwargs: P.kwargs) -> R:
        return command(Output(format_, -1 if quiet else verbose), *args, **kwargs)

    return wrapped


no_home_option = click.option(
    "--home",
    type=click.Path(),
    expose_value=False,
    help="Taken by every command; this one keeps no state.",
)

isolation_option = click.option(
    "--isolation",
    type=click.Choice([level.value for level in IsolationLevel]),
    help="How far nodes are kept apart; by default process, or as the run was that goes on.",
)

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the registry's state.",
)
