"""``onex schema``"""

from __future__ import annotations

import json

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output
from onex.schemas.editor_schemas import DOCUMENTS, editor_schema


@click.command()
@click.argument("document", type=click.Choice(DOCUMENTS))
@no_home_option
@output_options
def schema(output: Output, document: str) -> None:
    """Print the JSON Schema of manifests, workflows or onex.toml, for editors.

    Editors that know JSON Schema complete keys by it, show what they mean, and underline slips.
    onex validate is what decides whether a file is valid.
    """
    body = editor_schema(document)
    output.emit(body, lambda: click.echo(json.dumps(body, indent=2)))
