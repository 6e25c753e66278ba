"""Every block of code in the documentation is one: commands exist, settings and files are valid."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema_rs
import pytest

from onex.cli.command_table import ALIASES
from onex.cli.main import onex
from onex.manifests.manifest import read_manifest
from onex.manifests.workflow_file import read_workflow
from onex.manifests.yaml_document import parse_yaml
from onex.schemas.editor_schemas import editor_schema
from tests.docs.blocks import DOCS, Block, blocks_of

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
SHELLS = ("sh", "console", "text", "ini")


_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")


def commands() -> Iterator[tuple[str, list[str]]]:
    """The calls of onex on all pages, each with the place where it stands."""
    for page in PAGES:
        for language in SHELLS:
            for block in blocks_of(page, language):
                for number, line in enumerate(block.text.splitlines(), block.line + 1):
                    for words in calls_in(line):
                        yield f"{page.relative_to(ROOT)}:{number}", words


def calls_in(line: str) -> Iterator[list[str]]:
    """The calls of onex in a line of a shell, also those within ``$(...)``."""
    for inner in _SUBSTITUTION.findall(line):
        yield from calls_in(inner)
    try:
        words = shlex.split(_SUBSTITUTION.sub("VALUE", line).removeprefix("$ "), comments=True)
    except ValueError:
        words = line.split()
    for place, word in enumerate(words):
        if (
            word in ("onex", "onexr")
            and "=" not in word
            and (place == 0 or words[place - 1] not in ("which", "install", "-c"))
        ):
            ends = [
                i
                for i, w in enumerate(words)
                if i > place and w in ("&&", "|", ";", ")", ">", "<", "&", "||")
            ]
            yield words[place + 1 : min(ends, default=len(words))]


CALLS = list(commands())


def test_there_are_many() -> None:
    assert len(CALLS) > 100


@pytest.mark.parametrize(("place", "words"), CALLS, ids=[place for place, _ in CALLS])
def test_a_command_exists_with_its_options(place: str, words: list[str]) -> None:
    command: click.Command = onex
    context = click.Context(onex, info_name="onex")
    words = list(words)
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            return
        name = words.pop(0)
        below = command.get_command(context, ALIASES.get(name, name))
        assert below is not None, f"{place}: onex has no command {name}"
        command = below
    try:
        command.make_context("onex", words, resilient_parsing=False)
    except click.exceptions.NoSuchOption as error:
        pytest.fail(f"{place}: {error.format_message()}")
    except click.exceptions.Exit:
        pass
    except click.MissingParameter as error:
        pytest.fail(f"{place}: {error.format_message()}")
    except click.UsageError:
        # Such as a file that is not there.
        pass


def of_pages(language: str) -> list[tuple[Path, Block]]:
    return [(page, block) for page in PAGES for block in blocks_of(page, language)]


@pytest.mark.parametrize(
    ("page", "block"), of_pages("toml"), ids=lambda x: getattr(x, "name", None) or str(x.line)
)
def test_settings_are_valid(page: Path, block: Block) -> None:
    body = tomllib.loads(block.text)
    if set(body) & {"project", "tool"}:
        return
    if all(isinstance(value, str) for value in body.values()) and not set(body) & {
        "storage",
        "cache",
        "artifacts",
        "engine",
    }:
        # A file of secrets.
        return
    validator = jsonschema_rs.validator_for(dict(editor_schema("config")))
    assert [error.message for error in validator.iter_errors(body)] == []


@pytest.mark.parametrize(
    ("page", "block"), of_pages("yaml"), ids=lambda x: getattr(x, "name", None) or str(x.line)
)
def test_files_are_valid(page: Path, block: Block) -> None:
    document = parse_yaml(block.text.encode(), page.name)
    if "steps" in document.data:
        workflow, problems = read_workflow(document)
        assert workflow is not None, problems
    elif "entrypoint" in document.data:
        reading = read_manifest(document)
        assert reading.metadata is not None, reading.problems


@pytest.mark.parametrize(
    ("page", "block"), of_pages("python"), ids=lambda x: getattr(x, "name", None) or str(x.line)
)
def test_python_is_python(page: Path, block: Block) -> None:
    # A notebook awaits at the top of a cell.
    compile(block.text, page.name, "exec", flags=0x2000)
