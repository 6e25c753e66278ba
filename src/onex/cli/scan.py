"""``onex scan``"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.discovery.scan_report import ScanReport, SourceReport
from onex.domain.errors import ExitCode, Problem, Severity
from onex.domain.json_value import JsonValue
from onex.registry import Registry


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--force", is_flag=True, help="Read every manifest, even those that look unchanged.")
@click.option("--watch", is_flag=True, help="Go on, and scan again whenever a file changes.")
@home_option
@output_options
def scan(
    output: Output, paths: tuple[Path, ...], force: bool, watch: bool, home: Path | None
) -> int:
    """Discover nodes and register them.

    Without PATH the sources that onex.toml declares are scanned. With --watch
    every further scan that changes something is printed, as one line of JSON if
    JSON is asked for; Ctrl-C ends it.
    """
    with Registry.open(home) as registry:
        report = registry.scan(paths, force=force)
        _print(output, report)
        if watch:
            _watch(output, registry, paths)
    return ExitCode.USAGE if report.has_failed_source else ExitCode.SUCCESS


def _print(output: Output, report: ScanReport) -> None:
    problems = list(report.problems)
    if not any(source.found or source.rejected or source.skipped for source in report.sources):
        problems.append(
            Problem(
                "DSC006",
                Severity.WARNING,
                "no manifest was found",
                hint="manifests are files that end in .onex.yaml; onex new NAME writes one",
            )
        )

    def human() -> None:
        for source in report.sources:
            output.line(_line(source))
        output.problems(problems)
        output.line(f"the registry holds {counted(report.nodes, 'node version')}")

    output.emit(_body(report, problems), human)


def _body(report: ScanReport, problems: Sequence[Problem]) -> dict[str, JsonValue]:
    return {
        "sources": [source.to_json() for source in report.sources],
        "problems": [problem.to_json() for problem in problems],
        "nodes": report.nodes,
    }


def _line(source: SourceReport) -> str:
    state = "" if source.status == "ok" else f" {source.status}"
    return (
        f"{source.name}:{state} {counted(source.found, 'node')}"
        f" ({source.added} added, {source.updated} updated, {source.removed} removed,"
        f" {source.unchanged} unchanged), {source.rejected} rejected,"
        f" {source.skipped} skipped, in {source.seconds:.3f} s"
    )


def _watch(output: Output, registry: Registry, paths: Sequence[Path]) -> None:
    output.note("watching; Ctrl-C ends it")
    said: Sequence[Problem] = ()
    with contextlib.suppress(KeyboardInterrupt):
        for report in registry.sources.watch(paths):
            changes = [s for s in report.sources if s.added or s.updated or s.removed]
            new = [problem for problem in report.problems if problem not in said]
            said = report.problems
            if not changes and not new:
                continue
            if output.is_human:
                for source in changes:
                    output.line(_line(source))
                output.problems(new)
            else:
                output.json_line(_body(report, new))
