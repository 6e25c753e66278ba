"""``onex resolve``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.reference import NodeRef
from onex.registry import Registry


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@home_option
@output_options
def resolve(output: Output, references: tuple[str, ...], home: Path | None) -> None:
    """Choose versions for REFs and all they need, or explain why that cannot be."""
    with Registry.open(home) as registry:
        resolution = registry.resolve([NodeRef.parse(text) for text in references])

    def human() -> None:
        for node in resolution.execution_order:
            output.line(str(node.metadata.node_version))
        for warning in resolution.warnings:
            output.note(f"warning: {warning}", "yellow")

    output.emit(resolution.to_json(), human)
