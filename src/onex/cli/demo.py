"""``onex demo``"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

import onex
from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.progress import run_observer
from onex.cli.run import exit_code, print_result
from onex.configuration.settings import PROJECT_FILE, STATE_FOLDER
from onex.domain.artifact_records import is_artifact
from onex.domain.errors import ExitCode, FolderNotEmptyError, InternalError, Location, UsageError
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel, RunResult
from onex.domain.workflow import Workflow, is_child
from onex.execution.cancellation import SignalCancellation
from onex.manifests.node_files import is_pruned
from onex.manifests.workflow_file import load_workflow
from onex.registry import Registry

_EXAMPLE = "stdlib-atlas"
_WORKFLOW = "atlas.workflow.yaml"
_RESULTS = "results"
_CURIOUS = "tool://atlas.python.curious"


@click.command()
@click.argument("words", nargs=-1, metavar="[agent] [FOLDER]")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="KEY=VALUE",
    help="root=DIR maps another Python tree than the standard library.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="How many calls run at once.")
@home_option
@output_options
def demo(
    output: Output,
    words: tuple[str, ...],
    inputs: tuple[str, ...],
    jobs: int | None,
    home: Path | None,
) -> int:
    """Run the stdlib-atlas example, or show what agents can do.

    The example is copied to FOLDER, scanned and run; its report and its picture
    are left there. Without --home its state is kept there too.

    With the word agent a script plays an agent that uses nodes as tools, and its user;
    no model is needed.
    """
    if words[:1] == ("agent",):
        return _play_agent(output, words[1:])
    if len(words) > 1:
        raise UsageError("name one folder", hint="onex demo FOLDER, or onex demo agent FOLDER")
    folder = Path(words[0] if words else "onex-demo")
    root = _root(inputs)
    _copy_example(folder)
    with Registry.open(home or folder / STATE_FOLDER, start=folder) as registry:
        report = registry.scan()
        output.problems(report.problems)
        output.line(f"found {counted(report.nodes, 'node version')} in {folder / 'nodes'}")
        plan = registry.plan(load_workflow(folder / _WORKFLOW), {"root": str(root)})
        for step, planned in plan.nodes.items():
            reference = plan.workflow.steps[step].node
            chosen = planned.node.metadata.version
            among = len(registry.versions(reference))
            output.line(
                f"  {step}: {reference} is {chosen}" + (f", of {among}" if among > 1 else "")
            )
        stopping = SignalCancellation().listening()
        with run_observer(output) as observer, stopping as cancellation:
            result = registry.run(plan, jobs=jobs, observer=observer, cancellation=cancellation)
        tried = _try_what_is_forbidden(registry)
    files = _collect(result, folder / _RESULTS)
    body = result.to_json() | {
        "files": {name: str(path) for name, path in files.items()},
        "tried": tried,
    }

    def human() -> None:
        print_result(output, _without_files(result, files))
        for name, step in result.steps.items():
            if step.cache_note and not is_child(name) and result.success:
                output.line(f"  {name} is run every time: {step.cache_note}", "dim")
        for name, path in files.items():
            output.line(f"{name}: {path}", "bold")
        if tried:
            output.line(f"{_CURIOUS} has no permissions, and tried all the same to")
        else:
            output.line("nodes are not confined on this machine; onex doctor says why")
        for attempt, outcome in tried.items():
            output.line(f"  {attempt}: {outcome}")

    output.emit(body, human)
    return exit_code(result)


def _play_agent(output: Output, words: tuple[str, ...]) -> int:
    from onex.cli.mcp import require_mcp

    require_mcp()
    if len(words) > 1:
        raise UsageError("name one folder", hint="onex demo agent FOLDER")
    from onex.cli.demo_agent import play

    body = play(output, Path(words[0] if words else "onex-demo-agent"))
    output.emit(body, lambda: None)
    return ExitCode.SUCCESS


def _try_what_is_forbidden(registry: Registry) -> JsonObject:
    """What a node without permissions tried, and what came of it; nothing if it is not confined."""
    inputs = {"home": str(Path.home())}
    plan = registry.plan(Workflow.of_node(NodeRef.parse(_CURIOUS), inputs), inputs)
    if any(planned.isolation is not IsolationLevel.STRICT for planned in plan.nodes.values()):
        return {}
    result = registry.run(plan, use_cache=False)
    if not result.success:
        return {"anything": "the node failed"}
    return as_object(as_object(as_object(result.outputs)["result"])["tried"])


def _root(inputs: tuple[str, ...]) -> Path:
    root = Path(sysconfig.get_path("stdlib"))
    for pair in inputs:
        key, _, value = pair.partition("=")
        if key != "root" or not value:
            raise UsageError(f"{pair!r} is not an input of the demo", hint="write --input root=DIR")
        root = Path(value)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", hint="name a folder of Python files")
    return root.absolute()


def _copy_example(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _WORKFLOW).is_file():
        raise FolderNotEmptyError(
            f"{folder} holds other files",
            hint="name another folder: onex demo DIR",
            location=Location(str(folder)),
        )
    source = _example()
    for file in _files(source):
        target = folder / file.relative_to(source)
        # An unchanged copy keeps its time, so that the scan need not read it again.
        if not target.is_file() or target.read_bytes() != file.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())


def _example() -> Path:
    """The example in the installed package, or in the source tree that it is run from."""
    package = Path(onex.__file__).parent
    for candidate in (package / "examples" / _EXAMPLE, package.parents[1] / "examples" / _EXAMPLE):
        if (candidate / PROJECT_FILE).is_file():
            return candidate
    raise InternalError(
        "the example is missing from this installation", hint="install onex-registry again"
    )


def _files(source: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")):
        if path.is_file() and not any(map(is_pruned, path.relative_to(source).parts)):
            yield path


def _without_files(result: RunResult, files: dict[str, Path]) -> RunResult:
    """The result without the outputs that are shown as files."""
    if not isinstance(result.outputs, dict):
        return result
    return replace(result, outputs={k: v for k, v in result.outputs.items() if k not in files})


def _collect(result: RunResult, folder: Path) -> dict[str, Path]:
    """Copy the files among a run's outputs to where a person finds them."""
    files: dict[str, Path] = {}
    outputs: JsonValue = result.outputs
    for name, value in outputs.items() if isinstance(outputs, dict) else ():
        if isinstance(value, dict) and is_artifact(value):
            target = folder / str(value["name"])
            folder.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(str(value["path"]), target)
            files[name] = target
    return files
