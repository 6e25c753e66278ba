"""``onex resolve``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.cli.targets import override_option, parse_overrides
from onex.domain.errors import UsageError
from onex.registry import Registry


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path),
    help="Keep to the versions in this lock file, if they fit.",
)
@override_option
@click.option(
    "--as-of",
    metavar="WHEN",
    help="As the registry stood at a date (its end, in UTC) or a time, such as 2026-05-01.",
)
@home_option
@output_options
def resolve(
    output: Output,
    references: tuple[str, ...],
    lock_file: Path | None,
    overrides: tuple[str, ...],
    as_of: str | None,
    home: Path | None,
) -> None:
    """Choose versions, or explain why none fit.

    The answer covers the REFs and all that they need.
    """
    if as_of and (lock_file or overrides):
        raise UsageError(
            "--as-of goes with neither --lock nor --override", hint="leave one of them out"
        )
    forced = parse_overrides(overrides)
    with Registry.open(home) as registry:
        lock = registry.read_lock(lock_file) if lock_file else None
        resolution = registry.resolve(references, lock, overrides=forced, as_of=as_of)

    def human() -> None:
        for node in resolution.execution_order:
            output.line(str(node.metadata.node_version))
        for warning in resolution.warnings:
            output.warning(warning)

    output.emit(resolution.to_json(), human)
