"""``onex run``"""

from __future__ import annotations

import json
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.cli.progress import progress_observer
from onex.cli.targets import override_option, parse_overrides
from onex.domain.errors import (
    ExitCode,
    Location,
    PathNotReadableError,
    UsageError,
)
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel, RunResult, RunStatus
from onex.domain.template import INPUT_NAME
from onex.domain.workflow import Workflow
from onex.execution.artifacts import is_artifact
from onex.manifests.workflow_file import load_workflow
from onex.registry import Registry


@click.command()
@click.argument("target", metavar="WORKFLOW|REF")
@click.option("-i", "--input", "inputs", multiple=True, metavar="KEY=VALUE", help="One input.")
@click.option(
    "--inputs", "inputs_file", type=click.Path(path_type=Path), help="A JSON or YAML file."
)
@click.option("--args", "arguments", metavar="JSON", help="All inputs as one JSON object.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many calls run at once.")
@click.option(
    "--fail-fast/--keep-going", default=None, help="Whether the first failure ends the run."
)
@click.option(
    "--isolation",
    type=click.Choice([level.value for level in IsolationLevel]),
    default=IsolationLevel.PROCESS.value,
    show_default=True,
    help="How far nodes are kept apart.",
)
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path),
    help="By default the project's onex.lock.",
)
@override_option
@click.option("--no-cache", is_flag=True, help="Run every step, whatever earlier runs gave.")
@home_option
@output_options
def run(
    output: Output,
    target: str,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    arguments: str | None,
    dry_run: bool,
    jobs: int | None,
    fail_fast: bool | None,
    isolation: str,
    lock_file: Path | None,
    overrides: tuple[str, ...],
    no_cache: bool,
    home: Path | None,
) -> int:
    """Run a workflow file, or one node by its reference."""
    given = _read_inputs(inputs_file, arguments)
    workflow = _workflow(target)
    if workflow is None:
        given |= _read_pairs(inputs, {})
        workflow = _workflow_of_node(target, given)
    else:
        given |= _read_pairs(inputs, workflow.inputs)
    with Registry.open(home) as registry:
        if registry.configuration.sources:
            output.problems([p for p in registry.scan().problems if p.severity == "error"])
        forced = parse_overrides(overrides)
        lock = registry.read_lock(lock_file)
        plan = registry.plan(workflow, given, lock, overrides=forced)
        for warning in plan.warnings:
            output.note(f"warning: {warning}", "yellow")
        if dry_run:
            output.emit(plan.to_json(), lambda: _print_plan(output, plan.to_json()))
            return ExitCode.SUCCESS
        with progress_observer(output, list(workflow.steps)) as observer:
            result = registry.run(
                plan,
                isolation=IsolationLevel(isolation),
                jobs=jobs,
                fail_fast=fail_fast,
                use_cache=not no_cache,
                observer=observer,
            )
    output.emit(result.to_json(), lambda: print_result(output, result))
    return exit_code(result)


def exit_code(result: RunResult) -> ExitCode:
    """What a command that ran a workflow returns."""
    match result.status:
        case RunStatus.SUCCEEDED:
            return ExitCode.SUCCESS
        case RunStatus.CANCELLED:
            return ExitCode.CANCELLED
        case _:
            return ExitCode.EXECUTION_FAILED


def print_result(output: Output, result: RunResult) -> None:
    """The end of a run for people: outputs, failures, and where to look further."""
    fanned_out = {name.partition("[")[0] for name in result.steps if "[" in name}
    calls = [
        step
        for name, step in result.steps.items()
        if name not in fanned_out and (step.attempts or step.cached)
    ]
    cached = sum(step.cached for step in calls)
    output.line(
        f"run {result.run_id} {result.status} in {result.seconds:.2f} s"
        + (f"; {cached} of {len(calls)} results came from the cache" if cached else "")
    )
    for name, step in result.steps.items():
        if step.error is not None and "[" not in name:
            output.note(f"  {name} {step.status}: {step.error.code}: {step.error.message}", "red")
            if step.error.detail:
                for line in step.error.detail.rstrip().splitlines():
                    output.note(f"      {line}")
            if step.error.hint:
                output.note(f"      {step.error.hint}", "dim")
        elif step.cache_note and output.verbosity > 0:
            output.note(f"  {name} was not taken from the cache: {step.cache_note}", "dim")
    if result.error is not None:
        output.note(f"  {result.error.code}: {result.error.message}", "red")
        if result.error.hint:
            output.note(f"      {result.error.hint}", "dim")
    if isinstance(result.outputs, dict):
        for name, value in result.outputs.items():
            output.line(f"  {name} = {_brief(value)}")
    if not result.success:
        output.note(f"  onex runs show {result.run_id} has the whole record")


def _brief(value: JsonValue) -> str:
    if isinstance(value, dict) and is_artifact(value):
        return str(value["path"])
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:397] + "..."


def _print_plan(output: Output, plan: JsonObject) -> None:
    steps = plan["steps"]
    if isinstance(steps, dict):
        output.table(
            ("STEP", "NODE", "NEEDS", "PERMISSIONS"),
            [
                (name, str(s["node"]), ", ".join(s["needs"]), ", ".join(s["permissions"]))
                for name, s in steps.items()
            ],
        )


def _workflow(target: str) -> Workflow | None:
    """The workflow in a file; None when the target is a reference to a node."""
    path = Path(target)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.exists():
            raise PathNotReadableError(
                f"{path} does not exist", hint="check the path", location=Location(str(path))
            )
        return load_workflow(path)
    return None


def _workflow_of_node(target: str, given: JsonObject) -> Workflow:
    reference = NodeRef.parse(target)
    for name in given:
        if not INPUT_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not the name of an input", hint="use letters, digits, _ and -"
            )
    return Workflow.of_node(reference, tuple(given))


def _read_inputs(file: Path | None, arguments: str | None) -> dict[str, JsonValue]:
    given: dict[str, JsonValue] = {}
    if file is not None:
        from onex.manifests.yaml_document import read_yaml

        given |= read_yaml(file).data
    if arguments is not None:
        try:
            value = json.loads(arguments)
        except ValueError as error:
            raise UsageError(
                f"--args is not JSON: {error}", hint="quote it for the shell"
            ) from error
        if not isinstance(value, dict):
            raise UsageError("--args is not a JSON object", hint="write --args '{\"name\": 1}'")
        given |= value
    return given


def _read_pairs(pairs: tuple[str, ...], schemas: JsonObject) -> dict[str, JsonValue]:
    """``KEY=VALUE`` pairs: values are JSON where they can be, unless the schema asks for text."""
    given: dict[str, JsonValue] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"{pair!r} is not KEY=VALUE", hint="write --input top=10")
        schema = schemas.get(key)
        if isinstance(schema, dict) and schema.get("type") == "string":
            given[key] = text
        else:
            try:
                given[key] = json.loads(text)
            except ValueError:
                given[key] = text
    return given
