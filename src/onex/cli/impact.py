"""``onex impact``"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.targets import workflow_files
from onex.domain.errors import ExitCode
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.manifests.workflow_file import load_workflow
from onex.registry import Registry

_STYLES = {"moves": "green", "held": "yellow", "breaks": "red", "unresolved": "dim"}


@click.command()
@click.argument("proposed", metavar="REF@VERSION|MANIFEST")
@click.option(
    "--workflow",
    "workflows",
    multiple=True,
    metavar="FILE",
    help="By default every workflow in the project's folder.",
)
@home_option
@output_options
def impact(output: Output, proposed: str, workflows: tuple[str, ...], home: Path | None) -> int:
    """Show what would break or change if a new version of a node were used.

    Each dependent and each workflow is resolved without the version and with it:
    it moves, it is held, or it breaks. The version may be registered, or be
    proposed by a manifest, or be a mere number; then it is taken to need what the
    newest version needs. Exits with 3 if anything breaks.
    """
    path = Path(proposed)
    is_path = proposed.endswith((".yaml", ".yml")) or path.is_dir()
    with Registry.open(home) as registry:
        files = workflows or workflow_files(registry)
        loaded = {os.path.relpath(file): load_workflow(Path(file)) for file in files}
        metadata, found = registry.impact(path if is_path else NodeRef.parse(proposed), loaded)
    counts = Counter(entry.effect for entry in found)
    body: JsonValue = {
        "node": str(metadata.node),
        "version": str(metadata.version),
        "dependants": [entry.to_json() for entry in found],
        "summary": {effect: counts[effect] for effect in ("moves", "held", "breaks", "unresolved")},
    }

    def human() -> None:
        output.line(f"{metadata.node_version}: {counted(len(found), 'dependent')}", "bold")
        for entry in found:
            output.line(f"{entry.dependent} {entry.effect}", _STYLES[entry.effect])
            for change in entry.changes:
                output.line(f"    {change}")
            for line in entry.reason.splitlines():
                output.line(f"    {line}")

    output.emit(body, human)
    return ExitCode.RESOLUTION_FAILED if counts["breaks"] else ExitCode.SUCCESS
