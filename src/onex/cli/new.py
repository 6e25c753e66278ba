"""``onex new``"""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output
from onex.configuration.loading import load_configuration
from onex.domain.errors import ExitCode, FolderNotEmptyError, Location, UsageError
from onex.domain.json_value import JsonValue
from onex.domain.metadata import NodeMetadata
from onex.domain.reference import NodeId
from onex.local_machine import replace_text, user_name
from onex.manifests.function_manifest import FunctionPlace, drift, manifest_of, updated
from onex.manifests.function_signature import FunctionSignature, read_function
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.node_template import BUILT_IN, built_in_files, filled_files, write_files
from onex.manifests.shared_folder import lost_imports
from onex.schemas.node_schemas import schema_problems

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


@click.command()
@click.argument("name", required=False)
@click.option(
    "--type",
    "code",
    type=click.Choice(BUILT_IN),
    default="python",
    show_default=True,
    help="What its code is: a Python function, or a program (cli).",
)
@click.option("--meta-type", default="tool", show_default=True, help="The kind of node.")
@click.option("--namespace", help="By default local.NAME.")
@click.option(
    "--from",
    "function",
    metavar="PATH.py:FUNCTION",
    help="Write a manifest for this function, beside its file.",
)
@click.option("--check", is_flag=True, help="With --from: exit with 4 if the manifest differs.")
@click.option(
    "--update", is_flag=True, help="With --from: write inputs and outputs of the manifest anew."
)
@click.option(
    "--template",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Take the files of a folder, with NAME in the place of {NODE_NAME}.",
)
@no_home_option
@output_options
def new(
    output: Output,
    name: str | None,
    code: str,
    meta_type: str,
    namespace: str | None,
    function: str | None,
    check: bool,
    update: bool,
    template: Path | None,
) -> int:
    """Write a node that runs, with an example, a test and a workflow.

    With --from the node is a function that you have: its manifest is written from the
    signature, the annotations and the docstring, which are read and never run. The function
    stays as it is, and need not know of onex.
    """
    place = None if function is None else FunctionPlace.parse(function)
    if (check or update) and place is None:
        raise UsageError(
            "--check and --update are about a function", hint="add --from path.py:function"
        )
    if place is not None and template is not None:
        raise UsageError("--from goes without --template", hint="leave one out")
    chosen = name or (None if place is None else place.function.lower())
    if chosen is None or not _NAME.fullmatch(chosen):
        raise UsageError(
            "the node needs a name" if chosen is None else f"{chosen!r} is not a name for a node",
            hint="use lower-case letters, digits and _",
        )
    values = {
        "NODE_NAME": chosen,
        "NAMESPACE": namespace or f"local.{chosen}",
        "NODE_TYPE": meta_type,
        "UUID": str(uuid.uuid4()),
        # For the inside of quotes in YAML.
        "AUTHOR": json.dumps(user_name(), ensure_ascii=False)[1:-1],
    }
    NodeId.parse(f"{meta_type}://{values['NAMESPACE']}")
    if place is not None:
        signature = read_function(place.file, place.function)
        if check:
            return _check(output, place, signature)
        if update:
            return _update(output, place, signature)
        for member, wrong in schema_problems({**signature.inputs, **signature.outputs}):
            raise UsageError(
                f"{place.target}: the schema of {member} cannot be used: {wrong}",
                hint="correct the annotation or the default",
            )
        _write_manifest(output, place, signature, values)
        return ExitCode.SUCCESS
    found = filled_files(template, values) if template else built_in_files(code, values)
    write_files(found)
    body: JsonValue = {
        "node": f"{meta_type}://{values['NAMESPACE']}",
        "files": [str(file.path) for file in found],
    }

    def human() -> None:
        for file in found:
            output.line(f"wrote {file.path}")
        output.line(f"onex test {chosen} runs its example, and onex run {chosen} the node")

    output.emit(body, human)
    return ExitCode.SUCCESS


def _write_manifest(
    output: Output, place: FunctionPlace, signature: FunctionSignature, values: dict[str, str]
) -> None:
    file = place.file.parent / f"{values['NODE_NAME']}{MANIFEST_SUFFIX}"
    there = place.manifest()
    if there is not None or file.exists():
        path = file if there is None else there[0]
        raise FolderNotEmptyError(
            f"{path} is there already",
            hint="compare it with the function: add --check, or write it anew: --update",
            location=Location(str(path)),
        )
    text = manifest_of(
        signature,
        place,
        name=values["NODE_NAME"],
        namespace=values["NAMESPACE"],
        meta_type=values["NODE_TYPE"],
        author=user_name(),
    )
    replace_text(file, text)
    body: JsonValue = {
        "node": f"{values['NODE_TYPE']}://{values['NAMESPACE']}",
        "files": [str(file)],
        "notes": [note.to_json() for note in signature.notes],
    }

    def human() -> None:
        output.line(f"wrote {file}")
        output.problems(signature.notes)
        for code, module in lost_imports(file.absolute().parent):
            output.warning(
                f"{code.name} imports {module}, which lies beside it: nodes that share a folder do"
                " not share files, so give it a folder of its own"
            )
        output.line(_next_step(file, values["NODE_NAME"]))

    output.emit(body, human)


def _next_step(manifest: Path, name: str) -> str:
    """What makes a manifest known, by whether a source of the project has it."""
    found = load_configuration(Path(), os.environ)
    folder = manifest.absolute().parent
    if any(source.path and folder.is_relative_to(source.path) for source in found.sources):
        return f"onex run {name} runs it"
    if found.project is not None and folder != found.project:
        return f"onex sources add {manifest.parent} makes it known; then onex run {name} runs it"
    return f"onex register {manifest} makes it known; then onex run {name} runs it"


def _update(output: Output, place: FunctionPlace, signature: FunctionSignature) -> int:
    path, metadata = _manifest_of(place)
    text = path.read_bytes().decode("utf-8")
    changed = updated(text, signature, metadata)
    if changed != text:
        replace_text(path, changed)
    body: JsonValue = {"manifest": str(path), "changed": changed != text}

    def human() -> None:
        output.problems(signature.notes)
        said = "was written anew" if changed != text else "is current"
        output.line(f"{path} {said}; onex test {path} runs its examples")

    output.emit(body, human)
    return ExitCode.SUCCESS


def _manifest_of(place: FunctionPlace) -> tuple[Path, NodeMetadata]:
    found = place.manifest()
    if found is None:
        raise UsageError(
            f"no manifest beside {place.file} is about {place.function}",
            hint="leave --check and --update out to write one",
        )
    return found


def _check(output: Output, place: FunctionPlace, signature: FunctionSignature) -> int:
    path, metadata = _manifest_of(place)
    lines = drift(signature, metadata)
    body: JsonValue = {"manifest": str(path), "current": not lines, "difference": lines}

    def human() -> None:
        output.difference(lines)
        says = "differs from" if lines else "says what is in"
        output.line(f"{path} {says} {place.file}:{place.function}")
        if lines:
            output.line("--update in the place of --check takes over what the code says")

    output.emit(body, human)
    return ExitCode.INVALID_DOCUMENT if lines else ExitCode.SUCCESS
