"""``onex init``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output
from onex.configuration.settings import PROJECT_FILE, STATE_FOLDER
from onex.domain.errors import FolderNotEmptyError, Location
from onex.local_machine import make_folder, replace_text

_PROJECT = """\
# Where this project's nodes are. Further tables: [config] holds values for context.get_config.

[[sources]]
name = "nodes"
path = "nodes"
"""


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
