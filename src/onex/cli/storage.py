"""``onex storage``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.errors import Location, PathNotReadableError, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.url import without_secrets
from onex.history.copying import copy_history_to, require_no_history
from onex.registry import Registry
from onex.storage import copying
from onex.storage.copying import CopyReport, back_up, copy_to
from onex.storage.opening import SQLITE_SCHEME
from onex.storage.query import MetadataQuery


@click.group()
def storage() -> None:
    """Where the registry is kept: copy, back up, restore, check."""


def _print_copy(
    output: Output, report: CopyReport, verb: str, place: str, runs: int | None = None
) -> None:
    """``runs`` is how many runs were copied, None if the history stays where it is."""
    body = {"events": report.events, "nodes": report.nodes, "runs": runs, "place": place}
    history = "" if runs is None else f" and {counted(runs, 'run')}"
    output.emit(
        body,
        lambda: output.line(
            f"{verb} {report.events} log entries,"
            f" {counted(report.nodes, 'node version')}{history}: both sides say the same"
        ),
    )


@storage.command()
@click.option(
    "--to",
    "url",
    metavar="URL",
    envvar="ONEX_STORAGE_TO",
    help="postgresql://... or sqlite:///PATH; also from ONEX_STORAGE_TO.",
)
@click.option(
    "--to-file",
    "url_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that holds the URL, so that no list of processes shows its password.",
)
@home_option
@output_options
def migrate(output: Output, url: str | None, url_file: Path | None, home: Path | None) -> None:
    """Copy the registry to another, empty database, and prove that both say the same.

    The history of runs goes along to PostgreSQL, and comes back from there.

    Set storage in onex.toml, or ONEX_STORAGE, to use it from then on.
    """
    if url_file is not None:
        try:
            url = url_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PathNotReadableError(
                f"{url_file} cannot be read", hint="check the path and its permissions"
            ) from error
    if not url:
        raise UsageError(
            "no database to copy to was named", hint="use --to, --to-file or ONEX_STORAGE_TO"
        )
    with Registry.open(home) as registry:
        home, storage = registry.configuration.home, registry.configuration.storage
        require_no_history(url, storage, home)
        report = copy_to(registry.storage, url, home)
        runs = copy_history_to(url, storage, home)
    place = without_secrets(url)
    _print_copy(output, report, "copied", place, runs=runs)


@storage.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@home_option
@output_options
def backup(output: Output, file: Path, home: Path | None) -> None:
    """Write the registry to a file; others may go on using it meanwhile."""
    with Registry.open(home) as registry:
        report = back_up(registry.storage, file, registry.configuration.home)
    _print_copy(output, report, "saved", str(file))


@storage.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@home_option
@output_options
def restore(output: Output, file: Path, home: Path | None) -> None:
    """Take the registry over from a backup. The registry must be empty."""
    if not file.is_file():
        raise PathNotReadableError(
            f"{file} does not exist", hint="check the path", location=Location(str(file))
        )
    with Registry.open(home) as registry:
        report = copying.restore(
            registry.storage, f"{SQLITE_SCHEME}{file.absolute()}", registry.configuration.home
        )
    _print_copy(output, report, "restored", str(file))


@storage.command()
@home_option
@output_options
def check(output: Output, home: Path | None) -> None:
    """Check the database, the chain of its log, and its tables against the log."""
    with Registry.open(home) as registry:
        registry.storage.check()
        nodes = registry.query(MetadataQuery(all_versions=True, limit=0)).total
    body: JsonValue = {"ok": True, "nodes": nodes}
    output.emit(body, lambda: output.line(f"sound: {counted(nodes, 'node version')}"))


@storage.command()
@home_option
@output_options
def rebuild(output: Output, home: Path | None) -> None:
    """Make the tables anew from the log, which alone says what is true."""
    with Registry.open(home) as registry:
        nodes = registry.storage.rebuild()
    output.emit({"nodes": nodes}, lambda: output.line(f"rebuilt {counted(nodes, 'node version')}"))


@storage.command()
@home_option
@output_options
def vacuum(output: Output, home: Path | None) -> None:
    """Give unused space back."""
    with Registry.open(home) as registry:
        registry.storage.vacuum()
    output.emit({"vacuumed": True}, lambda: output.line("unused space was given back"))
