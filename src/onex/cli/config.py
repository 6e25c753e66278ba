"""``onex config``"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.configuration.origins import settings_in
from onex.domain.json_value import JsonValue


@click.group()
def config() -> None:
    """The settings that apply in this folder, from onex.toml and elsewhere."""


@config.command("show")
@click.argument("pattern", required=False, metavar="[KEY]")
@click.option("--origin", "has_origin", is_flag=True, help="Show who set each, and who set it too.")
@home_option
@output_options
def show(output: Output, pattern: str | None, has_origin: bool, home: Path | None) -> None:
    """Show every setting that applies, or those whose key begins with KEY.

    A flag counts before a variable, a variable before the onex.toml of the user, that before the
    onex.toml of the project, and that before the default.
    """
    found = [
        setting
        for setting in settings_in(Path(), os.environ, home)
        if pattern is None or setting.key.startswith(pattern)
    ]

    def human() -> None:
        rows = []
        for setting in found:
            row = [setting.key, json.dumps(setting.value, ensure_ascii=False)]
            if has_origin:
                also = f" (not {', '.join(setting.hidden)})" if setting.hidden else ""
                row.append(setting.origin + also)
            rows.append(row)
        output.table(("KEY", "VALUE", "SET BY")[: 3 if has_origin else 2], rows)

    body: JsonValue = {"settings": [setting.to_json() for setting in found]}
    output.emit(body, human)
