"""``onex init`` and ``onex new``"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output
from onex.configuration.settings import PROJECT_FILE, STATE_FOLDER
from onex.domain.errors import FolderNotEmptyError, Location, UsageError
from onex.local_machine import make_folder, replace_text, user_name

_PROJECT = """\
# Where this project's nodes are. Further tables: [config] holds values for context.get_config.

[[sources]]
name = "nodes"
path = "nodes"
"""

_WORKFLOW = """\
name: {name}
version: "1.0.0"
description: Calls the node {name} once.

inputs:
  who:
    type: string
    default: world

steps:
  greet:
    node: {type}://{namespace}@^0.1
    with:
      who: ${{{{ inputs.who }}}}

outputs:
  greeting: ${{{{ steps.greet.greeting }}}}
"""

_MANIFEST = """\
schema_version: "1.0.0"
name: {name}
namespace: {namespace}
version: "0.1.0"
uuid: {uuid}
meta_type: {type}
lifecycle: draft
author: {author}
description: Says what the node {name} does.
entrypoint: python@node.py
idempotent: true
tags: []
capabilities: []
dependencies: []
inputs:
  who:
    type: string
    default: world
outputs:
  greeting:
    type: string
"""

_CODE = '''\
"""The code of the node {name}."""


def execute(context, *, who: str = "world") -> dict:
    """Greet someone."""
    context.get_logger().info("greeting %s", who)
    return {{"greeting": f"Hello, {{who}}!"}}
'''

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@no_home_option
@output_options
def init(output: Output, folder: Path) -> None:
    """Make a folder a project.

    It gets an onex.toml and a folder for nodes.
    """
    project = folder / PROJECT_FILE
    if project.exists():
        raise FolderNotEmptyError(
            f"{project} is there already",
            hint="edit it, or choose another folder",
            location=Location(str(project)),
        )
    make_folder(folder / "nodes")
    replace_text(project, _PROJECT)
    ignore = folder / ".gitignore"
    lines = ignore.read_text(encoding="utf-8") if ignore.exists() else ""
    if f"{STATE_FOLDER}/" not in lines.split():
        replace_text(ignore, f"{lines}{STATE_FOLDER}/\n")
    body = {"project": str(folder.absolute()), "files": [str(project), str(ignore)]}

    def human() -> None:
        output.line(f"{folder} is a project now; onex new NAME adds a node")

    output.emit(body, human)


@click.command()
@click.argument("name")
@click.option("--type", "node_type", default="tool", show_default=True, help="The kind of node.")
@click.option("--namespace", help="By default local.NAME.")
@no_home_option
@output_options
def new(output: Output, name: str, node_type: str, namespace: str | None) -> None:
    """Write a node that runs, and a workflow for it."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a node", hint="use lower-case letters, digits and _"
        )
    folder = Path("nodes") / name
    workflow = Path(f"{name}.workflow.yaml")
    for path in (folder, workflow):
        if path.exists():
            raise FolderNotEmptyError(
                f"{path} is there already", hint="choose another name", location=Location(str(path))
            )
    values = {
        "name": name,
        "namespace": namespace or f"local.{name}",
        "type": node_type,
        "uuid": str(uuid.uuid4()),
        "author": user_name(),
    }
    files = {
        folder / "node.onex.yaml": _MANIFEST,
        folder / "node.py": _CODE,
        workflow: _WORKFLOW,
    }
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise FolderNotEmptyError(
            f"{folder} is there already", hint="choose another name"
        ) from error
    written: list[Path] = []
    try:
        for path, template in files.items():
            replace_text(path, template.format(**values))
            written.append(path)
    except BaseException:
        # Nothing half made stands in the way of the next try.
        for path in written:
            path.unlink(missing_ok=True)
        folder.rmdir()
        raise
    body = {"node": f"{node_type}://{values['namespace']}", "files": [str(path) for path in files]}

    def human() -> None:
        for path in files:
            output.line(f"wrote {path}")
        output.line(f"onex run {workflow} runs it")

    output.emit(body, human)
