"""``onex fit`` and ``onex compose``"""

from __future__ import annotations

import os
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.errors import FolderNotEmptyError, Location, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.local_machine import replace_text
from onex.manifests.workflow_file import WORKFLOW_SUFFIX, read_workflow
from onex.manifests.yaml_document import parse_yaml
from onex.registry import Registry
from onex.schemas.contract_fit import propose_workflow, rank_fits
from onex.schemas.workflow_text import workflow_text


@click.command()
@click.argument("reference", metavar="REF")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many to show."
)
@home_option
@output_options
def fit(output: Output, reference: str, limit: int, home: Path | None) -> None:
    """Show which nodes give what this node needs: their outputs meet its inputs.

    Outputs and inputs are compared by name and by JSON Schema. The best comes first; SCORE is
    1 if all inputs are met by outputs of the same name and type.
    """
    with Registry.open(home) as registry:
        target = registry.node(NodeRef.parse(reference)).metadata
        others = [node.metadata for node in registry.query()]
    fits = rank_fits(target, others)[:limit]
    body: JsonValue = {
        "node": str(target.node_version),
        "fits": [found.to_json() for found in fits],
    }

    def human() -> None:
        rows = [
            (
                f"{found.score:.2f}",
                str(found.source.node_version),
                ", ".join(f"{link.input} from {_plain(link.value)}" for link in found.links)
                + (f", for each of {_plain(found.foreach)}" if found.foreach else ""),
                ", ".join(found.missing),
            )
            for found in fits
        ]
        output.table(("SCORE", "NODE", "GIVES", "NOT GIVEN"), rows)
        if not rows:
            needs = ", ".join(target.inputs) or "nothing"
            output.note(f"no registered node gives what {target.name} needs: {needs}")

    output.emit(body, human)


def _plain(reference: str) -> str:
    return reference.removeprefix("steps.")


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="FROM... TO")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file to write, - for standard output; by default TO.workflow.yaml.",
)
@home_option
@output_options
def compose(
    output: Output, references: tuple[str, ...], file: Path | None, home: Path | None
) -> None:
    """Propose a workflow that calls nodes one after the other, and joins them.

    What a node needs is taken from the nodes before it, as onex fit finds it; the rest
    becomes an input of the workflow. The file says beside each link why it was made.
    """
    if len(references) < 2:
        raise UsageError("one node cannot be joined", hint="name two nodes or more: FROM... TO")
    with Registry.open(home) as registry:
        chosen = registry.resolve(references)
    nodes = [chosen.selected[root].metadata for root in chosen.roots]
    proposed = propose_workflow(nodes)
    name = f"{nodes[0].name}-{nodes[-1].name}"
    text = workflow_text(proposed, name)
    workflow, problems = read_workflow(parse_yaml(text.encode(), name))
    if workflow is None:
        raise UsageError(
            f"no workflow can be written of these nodes: {problems[0].message}",
            hint="write one by hand",
        )
    path = file or Path(f"{nodes[-1].name}{WORKFLOW_SUFFIX}")
    is_printed = str(file) == "-"
    if not is_printed:
        if os.path.lexists(path):
            raise FolderNotEmptyError(
                f"{path} is there already",
                hint="name another file: -o FILE",
                location=Location(str(path)),
            )
        replace_text(path, text)
    body: JsonValue = {
        "file": None if is_printed else str(path),
        "workflow": text,
        "inputs": list(proposed.inputs),
        "unconnected": proposed.unconnected,
        "unused": proposed.unused,
    }

    def human() -> None:
        if is_printed:
            click.echo(text, nl=False)
            return
        for step in proposed.steps:
            for wanted, link in step.arguments.items():
                output.line(f"{step.id}.{wanted} from {link.value}: {link.reason}")
        given = " ".join(f"-i {name}=..." for name in proposed.inputs)
        output.line(f"wrote {path}; onex run {path} {given}".rstrip())
        for step_id in proposed.unconnected:
            output.warning(f"{step_id} uses nothing of the steps before it")
        for step_id in proposed.unused:
            declared = next(s.node.outputs for s in proposed.steps if s.id == step_id)
            why = "" if declared else "; it declares no outputs"
            output.warning(f"nothing uses the result of {step_id}{why}")

    output.emit(body, human)
