"""Writes the reference pages of the documentation from the code: ``docs/reference/*.md``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

import onex
from onex.cli.command_table import ALIASES, COMMANDS
from onex.cli.examples import EXAMPLES
from onex.cli.main import onex as command_line
from onex.domain.error_catalog import ERROR_CATALOG
from onex.domain.errors import ExitCode
from onex.schemas.editor_schemas import editor_schema

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

_EXIT_CODES = {
    ExitCode.SUCCESS: "success",
    ExitCode.EXECUTION_FAILED: "the execution failed",
    ExitCode.USAGE: "usage, configuration or environment",
    ExitCode.RESOLUTION_FAILED: "the resolution failed",
    ExitCode.INVALID_DOCUMENT: "an invalid manifest, workflow or contract",
    ExitCode.SECURITY_REFUSAL: "refused for security",
    ExitCode.CANCELLED: "cancelled by Ctrl-C or SIGTERM",
}


def pages() -> Mapping[str, str]:
    """The text of each page, by the name of its file."""
    return {
        "commands.md": "\n".join(_commands()) + "\n",
        "errors.md": "\n".join(_errors()) + "\n",
        "manifest.md": "\n".join(_schema("Manifest and workflow", ("manifest", "workflow"))) + "\n",
        "settings.md": "\n".join(_schema("Settings", ("config",))) + "\n",
        "interface.md": "\n".join(_interface()) + "\n",
    }


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Every command takes `--home`, `--format human|json|yaml`, `-q` and `-v`."
    yield ""
    yield "| exit code | |"
    yield "|---|---|"
    for code, told in _EXIT_CODES.items():
        yield f"| {code.value} | {told} |"
    context = click.Context(command_line, info_name="onex")
    for title, names in COMMANDS.items():
        yield ""
        yield f"## {title}"
        for name in names:
            command = command_line.get_command(context, name)
            if command is not None:
                yield from _command(command, name)


def _command(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.commands[name]
            yield from _command(below, f"{path} {name}")
        return
    context = click.Context(command, info_name=f"onex {path}")
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    yield ""
    yield f"### onex {' '.join([path, *arguments])}".rstrip()
    other = next((alias for alias, name in ALIASES.items() if name == path), None)
    yield ""
    yield inspect.cleandoc(command.help or "").replace("\b\n", "")
    if other:
        yield ""
        yield f"Also called `onex {other}`."
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in _COMMON]
    if options:
        yield ""
        yield "| option | |"
        yield "|---|---|"
        for option in options:
            yield f"| `{_named(option, context)}` | {_escaped(option.help or '')} |"
    yield ""
    yield "```sh"
    yield from EXAMPLES[path]
    yield "```"


_COMMON = frozenset({"format_", "is_json", "quiet", "verbose", "home"})


def _named(option: click.Option, context: click.Context) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    return _escaped(f"{names}{metavar}")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _errors() -> Iterator[str]:
    yield "# Errors"
    yield ""
    yield "Every error has a code, which `onex explain CODE` explains. Codes are never reused."
    yield ""
    yield "| code | |"
    yield "|---|---|"
    for code, text in sorted(ERROR_CATALOG.items()):
        yield f"| {code} | {_escaped(text).replace('${{', '$&#123;&#123;')} |"


def _schema(title: str, documents: tuple[str, ...]) -> Iterator[str]:
    yield f"# {title}"
    for document in documents:
        schema = editor_schema(document)
        yield ""
        yield f"## {schema['title']}"
        yield ""
        yield f"{schema['description']} `onex schema {document}` prints its JSON Schema."
        yield ""
        yield "| key | |"
        yield "|---|---|"
        yield from _members(schema, schema, "", 0)


def _members(
    schema: Mapping[str, object], root: Mapping[str, object], prefix: str, depth: int
) -> Iterator[str]:
    properties = schema.get("properties")
    for name, member in (properties if isinstance(properties, dict) else {}).items():
        told = _escaped(str(member.get("description", "")))
        choices = member.get("enum")
        if choices:
            told += f" One of {', '.join(map(json.dumps, choices))}."
        yield f"| `{prefix}{name}` | {told.strip()} |"
        if depth < 3:
            for inner in _inner(member, root):
                key = "[]" if "items" in member else ""
                yield from _members(inner, root, f"{prefix}{name}{key}.", depth + 1)


def _inner(member: Mapping[str, object], root: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The objects that a member may be, or hold."""
    reference = member.get("$ref")
    if isinstance(reference, str):
        found: object = root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part] if isinstance(found, dict) else {}
        if isinstance(found, dict):
            yield from _inner(found, root)
        return
    if "properties" in member:
        yield dict(member)
        return
    for key in ("items", "additionalProperties"):
        below = member.get(key)
        if isinstance(below, dict):
            yield from _inner(below, root)
    choices = member.get("anyOf")
    for choice in choices if isinstance(choices, list) else ():
        yield from _inner(choice, root)


def _interface() -> Iterator[str]:
    yield "# Python interface"
    yield ""
    yield "All of these are imported from `onex`."
    yield "[From Python](../python.md) shows how they are used, and"
    yield "[name by name](../python-names.md) has an example of each."
    for name in onex.__all__:
        thing = getattr(onex, name)
        if inspect.isclass(thing):
            is_error = issubclass(thing, BaseException)
            yield from _directive("autoexception" if is_error else "autoclass", thing, name)
        elif inspect.isfunction(thing):
            yield from _directive("autofunction", thing, name)


def _directive(kind: str, thing: object, name: str) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield "```{eval-rst}"
    yield f".. {kind}:: {thing.__module__}.{thing.__qualname__}"
    if kind == "autoclass":
        yield "   :members:"
    yield "   :no-index:"
    yield "```"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, text in pages().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")
