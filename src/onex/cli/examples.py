"""Examples of every command, as its help shows them. Each runs as it stands."""

from __future__ import annotations

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[str, ...]] = {}


def add_examples(command: click.Command, path: str) -> None:
    """Put the examples of a command, and of those below it, at the end of their help."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            add_examples(below, f"{path} {name}")
    lines = EXAMPLES.get(path, ())
    if lines:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
