"""``onex scan``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.errors import ExitCode, Problem, Severity
from onex.domain.json_value import JsonValue
from onex.registry import Registry


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--force", is_flag=True, help="Read every manifest, even those that look unchanged.")
@home_option
@output_options
def scan(output: Output, paths: tuple[Path, ...], force: bool, home: Path | None) -> int:
    """Discover nodes and register them.

    Without PATH the sources that onex.toml declares are scanned.
    """
    with Registry.open(home) as registry:
        report = registry.scan(paths, force=force)
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
    body: dict[str, JsonValue] = {
        "sources": [source.to_json() for source in report.sources],
        "problems": [problem.to_json() for problem in problems],
        "nodes": report.nodes,
    }

    def human() -> None:
        for source in report.sources:
            output.line(
                f"{source.name}: {counted(source.found, 'node')}"
                f" ({source.added} added, {source.updated} updated, {source.removed} removed,"
                f" {source.unchanged} unchanged), {source.rejected} rejected,"
                f" {source.skipped} skipped, in {source.seconds:.3f} s"
            )
        output.problems(problems)
        output.line(f"the registry holds {counted(report.nodes, 'node version')}")

    output.emit(body, human)
    return ExitCode.USAGE if report.has_failed_source else ExitCode.SUCCESS
