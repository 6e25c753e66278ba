"""``onex test`` and ``onex dev``"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import click

from onex.cli.junit import junit_xml
from onex.cli.options import access_options, home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.errors import ExitCode, OnexError, Severity, UsageError
from onex.domain.grant import RunAccess
from onex.domain.reference import NodeRef
from onex.execution.example_run import ExampleOutcome
from onex.local_machine import make_folder, replace_text
from onex.manifests.node_files import is_owned_file, is_pruned
from onex.manifests.override import find_manifest
from onex.registry import Registry
from onex.storage.query import MetadataQuery


@click.command()
@click.argument("nodes", nargs=-1, metavar="[NODE|MANIFEST]...")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the outcomes to a file, as continuous integration reads them (JUnit XML).",
)
@access_options
@home_option
@output_options
def test(
    output: Output,
    nodes: tuple[str, ...],
    junit: Path | None,
    access: RunAccess,
    home: Path | None,
) -> int:
    """Run the examples in manifests, and compare what comes of them.

    Each example is run as any run is, confined and with its inputs and outputs checked, and
    is in the history afterwards. Without NODE, the nodes of the sources of onex.toml that are
    folders. A path names a node that need not be registered.
    """
    outcomes: list[ExampleOutcome] = []
    without: list[str] = []
    refused: list[OnexError] = []
    with Registry.open(home) as registry:
        problems = [p for p in registry.refresh() if p.severity is Severity.ERROR]
        for target in [_target(text) for text in nodes] or _of_project(registry):
            try:
                found = registry.test(target, access=access)
            except OnexError as error:
                refused.append(error)
                continue
            outcomes += found
            if not found:
                without.append(str(target))
            for outcome in found:
                _tell(output, outcome)
    if junit is not None:
        make_folder(junit.parent)
        replace_text(junit, junit_xml(outcomes))
    if refused:
        for other in refused[1:]:
            output.warning(f"{other.code}: {other.message}")
        raise refused[0]
    if nodes and without:
        raise UsageError(
            f"{', '.join(without)} has no examples",
            hint="add examples: to the manifest; onex new NAME shows how they look",
        )
    # A manifest that cannot be read has examples that nobody ran.
    broken = [] if nodes else problems
    failed = [outcome for outcome in outcomes if not outcome.passed]

    def human() -> None:
        output.problems(broken)
        _tell_all(output, outcomes)
        if not (outcomes or without):
            output.note("the sources of onex.toml have no nodes; name one, or a manifest")
        if without:
            output.note(f"{counted(len(without), 'node')} without examples: {', '.join(without)}")

    output.emit(
        {
            "passed": not (failed or broken),
            "examples": [outcome.to_json() for outcome in outcomes],
            "without": list(without),
            "problems": [problem.to_json() for problem in broken],
        },
        human,
    )
    if failed:
        return ExitCode.EXECUTION_FAILED
    return ExitCode.INVALID_DOCUMENT if broken else ExitCode.SUCCESS


@click.command()
@click.argument("node", metavar="NODE|MANIFEST")
@access_options
@home_option
@output_options
def dev(output: Output, node: str, access: RunAccess, home: Path | None) -> None:
    """Run the examples of a node again whenever one of its files is saved; Ctrl-C ends it."""
    with Registry.open(home) as registry, contextlib.suppress(KeyboardInterrupt):
        for outcomes in _at_every_save(registry, _target(node), access, output):
            for outcome in outcomes:
                _tell(output, outcome)
            if output.is_human:
                _tell_all(output, outcomes, "; waiting for a save")
            else:
                output.json_line(
                    {
                        "passed": all(outcome.passed for outcome in outcomes),
                        "examples": [outcome.to_json() for outcome in outcomes],
                    }
                )


def _at_every_save(
    registry: Registry, target: str | Path, access: RunAccess, output: Output
) -> Iterator[Sequence[ExampleOutcome]]:
    """The outcomes of a node's examples, now and after every change of its folder, without end."""
    from onex.discovery.watch import changes_below, require_watching

    require_watching()
    registry.refresh()
    manifest = find_manifest(target) if isinstance(target, Path) else _manifest(registry, target)
    tried: object = None
    for _ in chain((None,), changes_below(lambda: [manifest.parent], None)):
        found = _files_as_they_are(manifest.parent)
        if found == tried:
            continue
        tried = found
        try:
            yield registry.test(manifest, access=access)
        except OnexError as error:
            # What is being edited may be wrong for a moment.
            output.error(error)


def _files_as_they_are(folder: Path) -> set[tuple[str, int, int]]:
    """The files of a node by path, time of change and size."""
    found = set()
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_pruned(name)]
        for name in filter(is_owned_file, names):
            path = os.path.join(at, name)  # noqa: PTH118 - os.walk gives texts
            # What is gone by now is told as a change soon.
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                found.add((path, status.st_mtime_ns, status.st_size))
    return found


def _manifest(registry: Registry, reference: str) -> Path:
    node = registry.node(NodeRef.parse(reference))
    manifest = Path(node.origins[0].path)
    if not manifest.is_file():
        raise UsageError(
            f"{node.metadata.node_version} does not lie in a folder here, so nobody edits it",
            hint="name a manifest",
        )
    return manifest


def _target(text: str) -> str | Path:
    """A path if there is one, or if the text can be nothing else; else a reference."""
    path = Path(text)
    is_path = path.exists() or text.endswith(".yaml") or (path.name != text and "://" not in text)
    return path if is_path else text


def _of_project(registry: Registry) -> list[str | Path]:
    """The nodes in folders that onex.toml declares; raises UsageError without one."""
    names = {s.name for s in registry.configuration.sources if s.kind == "filesystem"}
    if not names:
        raise UsageError(
            "onex.toml declares no folder with nodes", hint="name a node, or a manifest"
        )
    found: list[str | Path] = []
    for name in sorted(names):
        page = registry.query(MetadataQuery(source=name, limit=None))
        found += [str(node.metadata.node_version) for node in page]
    return found


def _tell_all(output: Output, outcomes: Sequence[ExampleOutcome], further: str = "") -> None:
    """Tell how many examples passed."""
    passed = sum(outcome.passed for outcome in outcomes)
    told = f"{passed} of {counted(len(outcomes), 'example')} passed"
    style = "green" if passed == len(outcomes) else "red"
    if not outcomes:
        told, style = "no example was run", "yellow"
    output.line(told + further, style)


def _tell(output: Output, outcome: ExampleOutcome) -> None:
    """Tell of one example on its own, as soon as it ended."""
    name = f"{outcome.node} {outcome.example.name!r}"
    if outcome.passed:
        output.line(f"✓ {name} in {outcome.seconds:.2f} s", "green")
        return
    output.line(f"✗ {name}", "red")
    output.difference(outcome.problems, "    ")
    for line in outcome.log.splitlines():
        output.line(f"    | {line}", "dim")
