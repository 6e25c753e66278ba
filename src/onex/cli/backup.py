"""``onex backup`` and ``onex restore``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.backup import backing_up, restoring
from onex.backup.report import BackupReport
from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.json_value import JsonObject
from onex.registry import Registry


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@home_option
@output_options
def backup(output: Output, folder: Path, home: Path | None) -> None:
    """Write the whole registry to a new folder: log, history, files and keys.

    Others may go on using it meanwhile. onex restore takes it back.
    """
    with Registry.open(home) as registry:
        report = backing_up.back_up(registry.storage, registry.configuration, folder)
    body = _body(report, folder)

    def tell() -> None:
        output.line(f"saved {_told(report)}")
        _tell_missing(output, report)

    output.emit(body, tell)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@home_option
@output_options
def restore(output: Output, folder: Path, home: Path | None) -> None:
    """Take the whole registry over from a backup. The registry must be empty."""
    with Registry.open(home) as registry:
        report = restoring.restore(registry.storage, registry.configuration, folder)
    body = _body(report, folder)

    def tell() -> None:
        output.line(f"restored {_told(report)}")
        _tell_missing(output, report)
        if report.configuration is not None:
            output.line(f"its configuration was {report.configuration}: compare it with yours")

    output.emit(body, tell)


def _body(report: BackupReport, folder: Path) -> JsonObject:
    return {
        "place": str(folder),
        "events": report.events,
        "nodes": report.nodes,
        "runs": report.runs,
        "files": report.files,
        "size_bytes": report.size_bytes,
        "configuration": None if report.configuration is None else str(report.configuration),
        "missing_artifacts": report.missing_artifacts,
        "left_out": report.left_out,
    }


def _tell_missing(output: Output, report: BackupReport) -> None:
    if report.missing_artifacts:
        where = report.left_out or "on the machines that made them"
        output.line(f"not in it: {counted(report.missing_artifacts, 'artifact')}, {where}")


def _told(report: BackupReport) -> str:
    return (
        f"{report.events} log entries, {counted(report.nodes, 'node version')},"
        f" {counted(report.runs, 'run')} in {counted(report.files, 'file')}"
    )
