"""``onex register`` and ``onex unregister``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.reference import NodeRef
from onex.registry import Registry


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE|FOLDER")
@home_option
@output_options
def register(output: Output, file: Path, home: Path | None) -> None:
    """Register the node of one manifest, wherever it is.

    It stays until onex unregister, beside what the sources of onex.toml give. To register
    again after a change, run the command again.
    """
    with Registry.open(home) as registry:
        version = registry.sources.register(file)
        node = registry.node(NodeRef.parse(str(version)))
    output.emit(
        {"registered": node.summary()},
        lambda: output.line(f"registered {version}; onex run {node.metadata.name} runs it"),
    )


@click.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def unregister(output: Output, reference: str, home: Path | None) -> None:
    """Take a node out that onex register registered, in every version that REF allows."""
    wanted = NodeRef.parse(reference)
    with Registry.open(home) as registry:
        allowed = wanted.constraint
        found = [
            node for node in registry.versions(wanted) if allowed.allows(node.metadata.version)
        ]
        dropped = registry.sources.unregister(found or [registry.node(wanted)])
    output.emit(
        {"unregistered": [str(version) for version in dropped]},
        lambda: output.line(f"unregistered {', '.join(map(str, dropped))}"),
    )
