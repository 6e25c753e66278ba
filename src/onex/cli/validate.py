"""``onex validate``"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.errors import (
    DocumentError,
    ExitCode,
    Location,
    OnexError,
    PathNotReadableError,
    Problem,
    ResolutionError,
    Severity,
    UsageError,
)
from onex.domain.json_value import JsonValue
from onex.domain.metadata import Entrypoint, NodeMetadata
from onex.domain.workflow import Workflow
from onex.engines.engine import RUNNABLE
from onex.manifests.code_hints import code_hints
from onex.manifests.function_manifest import drift
from onex.manifests.function_signature import read_function
from onex.manifests.ignore_rules import rules_in
from onex.manifests.local_node import link_problems, read_manifest_content
from onex.manifests.manifest import MANIFEST_SUFFIX, ManifestReading, read_manifest
from onex.manifests.metadata_block import find_block
from onex.manifests.node_files import (
    CONTRACT_FILE,
    NodeFilesError,
    collect_files,
    is_pruned,
    locate_target,
)
from onex.manifests.workflow_file import WORKFLOW_SUFFIX, read_workflow
from onex.manifests.yaml_document import YamlDocument, parse_yaml, read_limited
from onex.registry import Registry
from onex.resolution.run_target import RunTarget
from onex.schemas.node_schemas import schema_problems

_NOT_CHECKED = ("the values of inputs", "secrets")
"""What only a run can tell of a workflow."""

_NOT_CHECKED_ALONE = ("which nodes there are", "what they take and give", *_NOT_CHECKED)
"""The same without a registry, whose nodes are not known."""


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@home_option
@output_options
def validate(output: Output, paths: tuple[Path, ...], home: Path | None) -> int:
    """Check manifests and workflows.

    A PATH is a file, or a folder of which every manifest and workflow is checked. If there is
    a registry here, each step of a workflow is compared with what its node takes and gives.
    """
    outcomes: dict[str, list[Path]] = {
        name: [] for name in ("accepted", "with_warnings", "templates", "rejected")
    }
    problems: list[Problem] = []
    with Registry.open(home) as registry:
        nodes = _Nodes(registry)
        for path in paths:
            for file in _documents(path, problems):
                outcome, found = _check(file, nodes)
                outcomes[outcome].append(file)
                problems += found
    is_valid = not any(problem.severity is Severity.ERROR for problem in problems)
    total = sum(map(len, outcomes.values()))
    counts: dict[str, JsonValue] = {name: len(files) for name, files in outcomes.items()}
    missing = _NOT_CHECKED if nodes.is_there else _NOT_CHECKED_ALONE
    not_checked = missing if any(map(_is_workflow, chain(*outcomes.values()))) else ()
    body: dict[str, JsonValue] = {
        "valid": is_valid,
        "files": total,
        "problems": [p.to_json() for p in problems],
        **counts,
        "not_checked": list(not_checked),
    }

    def human() -> None:
        output.problems(problems)
        output.line(
            f"{counted(total, 'file')}: {counts['accepted']} accepted,"
            f" {counts['with_warnings']} with warnings,"
            f" {counts['templates']} templates skipped, {counts['rejected']} rejected"
        )
        if not_checked:
            output.note(f"not checked: {', '.join(not_checked)}; onex run --dry-run does", "dim")

    output.emit(body, human)
    return ExitCode.SUCCESS if is_valid else ExitCode.INVALID_DOCUMENT


def _is_workflow(file: Path) -> bool:
    return file.name.endswith(WORKFLOW_SUFFIX)


def _documents(path: Path, problems: list[Problem]) -> Iterator[Path]:
    """The file itself, or every manifest and workflow below a folder."""
    if not path.absolute().exists():
        raise PathNotReadableError(
            f"{path} does not exist", hint="check the path", location=Location(str(path))
        )
    if not path.is_dir():
        yield path
        return

    def refuse(error: OSError) -> None:
        message = f"the folder cannot be listed: {error.strerror}"
        location = Location(str(error.filename))
        problems.append(
            Problem("DSC001", Severity.ERROR, message, location, "check its permissions")
        )

    for folder, names, files in os.walk(path, onerror=refuse):
        names[:] = sorted(name for name in names if not is_pruned(name))
        for name in sorted(files):
            is_contract = name == CONTRACT_FILE and not any(
                f.endswith(MANIFEST_SUFFIX) for f in files
            )
            if is_contract or name.endswith((MANIFEST_SUFFIX, WORKFLOW_SUFFIX)):
                yield Path(folder, name)


class _Nodes:
    """The nodes of the registry here, if there is one; it is scanned when it is first asked."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._is_scanned = False
        found = registry.configuration
        is_kept = found.storage is not None or (found.home / "registry.db").exists()
        self.is_there = bool(found.sources) or is_kept

    def problems(self, file: Path, document: YamlDocument, workflow: Workflow) -> Iterator[Problem]:
        """What is wrong between the steps of a workflow and their nodes, with its place."""
        if not self.is_there:
            return
        if not self._is_scanned:
            self._is_scanned = True
            self._registry.refresh()
        try:
            found = self._registry.check(RunTarget(workflow, file))
        except OnexError as error:
            place = error.location or _place_of_node(document, workflow, error)
            is_unsolved = isinstance(error, ResolutionError)
            hint = f"onex tree {file} explains why" if is_unsolved else error.hint
            yield Problem(error.code, Severity.ERROR, error.message, place, hint)
            return
        for problem in found:
            place = document.locate((problem.location.path or "").split("."))
            yield replace(problem, location=place)


def _place_of_node(document: YamlDocument, workflow: Workflow, error: OnexError) -> Location:
    """Where a workflow asks for the node that an error is about; its beginning if unknown."""
    for step in workflow.steps.values():
        if step.node.without_constraint() in error.message:
            return document.locate(("steps", step.id, "node"))
    return document.locate(("steps",))


def _check(file: Path, nodes: _Nodes) -> tuple[str, list[Problem]]:
    try:
        content = read_limited(file, follow_link=True)
        if _is_workflow(file):
            document = parse_yaml(content, str(file))
            workflow, found = read_workflow(document)
            is_template, is_usable = False, workflow is not None
            if workflow is not None:
                found += tuple(_schemas(document, "WFL013", {"inputs": workflow.inputs}))
                found += tuple(nodes.problems(file, document, workflow))
        else:
            reading = _manifest(file, content)
            found, is_template = reading.problems, reading.is_template
            is_usable = reading.metadata is not None
            if reading.metadata is not None:
                metadata = reading.metadata
                found += _links(file, metadata.entrypoint)
                members = {"inputs": metadata.inputs, "outputs": metadata.outputs}
                places = _document(file, content)
                found += tuple(_schemas(places, "MAN014", members))
                found += tuple(_entry_point(file, places, metadata.entrypoint))
                found += tuple(hint.to_problem() for hint in code_hints(file, metadata))
                found += tuple(_drift(file, metadata))
    except DocumentError as error:
        return "rejected", list(error.problems)
    if is_template:
        return "templates", list(found)
    if not is_usable or any(problem.severity is Severity.ERROR for problem in found):
        return "rejected", list(found)
    has_warnings = any(problem.severity is Severity.WARNING for problem in found)
    return ("with_warnings" if has_warnings else "accepted"), list(found)


def _document(file: Path, content: bytes) -> YamlDocument | None:
    """The manifest as YAML with places; None for one that stands in another file."""
    if not file.name.endswith(MANIFEST_SUFFIX):
        return None
    return parse_yaml(content, str(file))


def _schemas(
    document: YamlDocument | None, code: str, members: Mapping[str, Mapping[str, JsonValue]]
) -> Iterator[Problem]:
    """What is wrong with the schemas of inputs and outputs."""
    for kind, schemas in members.items():
        for name, message in schema_problems(schemas):
            place = document.locate((kind, name)) if document is not None else Location()
            text = f"{kind.removesuffix('s')} {name}: {message}"
            yield Problem(code, Severity.ERROR, text, place, "correct the JSON Schema")


def _entry_point(
    file: Path, document: YamlDocument | None, entrypoint: Entrypoint
) -> Iterator[Problem]:
    """That the code is missing, unless this is a collection of manifests alone."""
    if entrypoint.type not in RUNNABLE or locate_target(file, entrypoint) is not None:
        return
    if len(list(file.absolute().parent.glob(f"*{MANIFEST_SUFFIX}"))) > 1:
        return
    place = document.locate(("entrypoint",)) if document is not None else Location(str(file))
    yield Problem(
        "MAN015",
        Severity.WARNING,
        f"the entry point {entrypoint.target} is not there, so the node cannot run",
        place,
        "add the file below the manifest, or correct entrypoint",
    )


def _drift(file: Path, metadata: NodeMetadata) -> Iterator[Problem]:
    """That a function which knows nothing of onex says something else than its manifest."""
    entrypoint = metadata.entrypoint
    code = file.absolute().parent / entrypoint.target
    if entrypoint.type != "python" or code.suffix != ".py" or not metadata.inputs:
        return
    try:
        signature = read_function(code, entrypoint.callable_name)
    except UsageError:
        return
    if not signature.takes_context and drift(signature, metadata):
        place = f"{os.path.relpath(code)}:{entrypoint.callable_name}"
        yield Problem(
            "MAN019",
            Severity.WARNING,
            f"the function {entrypoint.callable_name} and the manifest differ",
            Location(str(file)),
            f"see how: onex new --from {place} --check; take it over: --update",
        )


def _links(file: Path, entrypoint: Entrypoint) -> tuple[Problem, ...]:
    """The links that a scan would leave out of the node."""
    try:
        rules = rules_in(str(file.absolute().parent), None)
        return link_problems(file, collect_files(file, entrypoint, rules))
    except (NodeFilesError, OSError):
        return ()


def _manifest(file: Path, content: bytes) -> ManifestReading:
    """What a file is asked to be: one that carries no block is taken for a manifest."""
    if file.name == CONTRACT_FILE or find_block(content.decode("utf-8", "replace")) is not None:
        return read_manifest_content(file, content)
    return read_manifest(parse_yaml(content, str(file)))
