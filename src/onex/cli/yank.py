"""``onex yank``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.registry import Registry


@click.command()
@click.argument("reference", metavar="REF@VERSION")
@click.option("--undo", is_flag=True, help="Bring the version back.")
@click.option("--reason", help="Why; kept in the log.")
@click.option("--to", "remote", metavar="REMOTE", help="Decide there, not here alone.")
@home_option
@output_options
def yank(
    output: Output,
    reference: str,
    undo: bool,
    reason: str | None,
    remote: str | None,
    home: Path | None,
) -> None:
    """Withdraw a version from new resolutions.

    Locks and exact constraints still get it, with a warning.
    """
    if remote is not None:
        with Registry.open(home) as registry:
            version = NodeRef.parse(reference).whole_version()
            answer = registry.publisher(remote).yank(version, yanked=not undo, reason=reason)
        state = "is yanked" if answer["yanked"] else "can be chosen again"
        output.emit(answer, lambda: output.line(f"{version} {state} on {remote}"))
        return
    with Registry.open(home) as registry:
        node = registry.yank(NodeRef.parse(reference), yanked=not undo, reason=reason)
    body: JsonValue = {"node": str(node.metadata.node_version), "yanked": node.yanked}

    def human() -> None:
        state = "is yanked" if node.yanked else "can be chosen again"
        output.line(f"{node.metadata.node_version} {state}")

    output.emit(body, human)
