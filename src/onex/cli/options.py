"""Options that every command has, and the registry they lead to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from onex.cli.output import Format, Output
from onex.domain.grant import RunAccess
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
    @click.option("--json", "is_json", is_flag=True, help="The same as --format json.")
    @click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
    @click.option("-v", "--verbose", count=True, help="Print more.")
    @functools.wraps(command)
    def wrapped(
        format_: Format,
        is_json: bool,
        quiet: bool,
        verbose: int,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        chosen: Format = "json" if is_json else format_
        return command(Output(chosen, -1 if quiet else verbose), *args, **kwargs)

    return wrapped


def access_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add what a user says about access; the command receives a RunAccess as ``access``."""

    @click.option(
        "--isolation",
        type=click.Choice([level.value for level in IsolationLevel]),
        help="strict: the system confines nodes. process: a process of their own, without that."
        " inline: in this process, for code of your own. By default as strict as can be had.",
    )
    @click.option(
        "--allow",
        multiple=True,
        metavar="KIND:RESOURCE",
        help="For this run, grant a permission to the nodes that ask for it.",
    )
    @click.option(
        "--deny",
        multiple=True,
        metavar="KIND:RESOURCE",
        help="For this run, grant a permission to no node.",
    )
    @click.option(
        "--allow-unsandboxed",
        multiple=True,
        metavar="NODE",
        help="Run this node without confinement, though its source is not trusted.",
    )
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        isolation = kwargs.pop("isolation")
        kwargs["access"] = RunAccess.of(
            None if isolation is None else IsolationLevel(str(isolation)),
            _texts(kwargs.pop("allow")),
            _texts(kwargs.pop("deny")),
            _texts(kwargs.pop("allow_unsandboxed")),
        )
        return command(*args, **kwargs)

    return wrapped


def engine_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add where nodes run; the command receives ``engine`` and ``scheduler``, None by default."""
    command = click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="With --engine dask: the scheduler of a cluster, such as tcp://host:8786. Without"
        " one, and without one in Dask's own configuration, a cluster is started here.",
    )(command)
    return click.option(
        "--engine", metavar="local|dask", help="Where nodes run; by default as onex.toml says."
    )(command)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()


no_home_option = click.option(
    "--home",
    type=click.Path(),
    expose_value=False,
    help="Taken by every command, and not used by this one.",
)

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder in which the registry keeps its databases; by default .onex of the project.",
)
