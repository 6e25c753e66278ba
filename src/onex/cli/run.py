"""``onex run``"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from onex.artifacts.exporting import export_results
from onex.cli.grants import ask_for_grants
from onex.cli.options import access_options, engine_options, home_option, output_options
from onex.cli.output import Output, counted, told_as_far_as_possible
from onex.cli.progress import run_observer
from onex.cli.targets import override_option, parse_overrides, read_target
from onex.configuration.loading import project_folder
from onex.domain.artifact_records import in_one_line
from onex.domain.errors import (
    DocumentError,
    ExitCode,
    OnexError,
    Problem,
    Severity,
    UsageError,
)
from onex.domain.grant import RunAccess
from onex.domain.json_value import JsonObject, as_number, as_object, as_texts
from onex.domain.metadata import RegisteredNode
from onex.domain.result import RunResult, RunStatus
from onex.domain.workflow import calls_among, is_child
from onex.execution.cancellation import SignalCancellation
from onex.execution.forecast import RunForecast
from onex.execution.plan import ExecutionPlan
from onex.local_machine import replace_text
from onex.registry import Registry
from onex.resolution.run_target import RunTarget
from onex.resolver.lockfile import LockedRequest, Lockfile
from onex.trust.grants import told_of_request

# Problems of a source as a whole.
_SOURCE_CODES = frozenset({"DSC001", "DSC010", "DSC011", "USE002"})


@click.command()
@click.argument("target", required=False, metavar="WORKFLOW|REF")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="KEY=VALUE",
    help="An input of the workflow or node, such as -i top=10; may be repeated.",
)
@click.option(
    "--inputs",
    "inputs_file",
    type=click.Path(path_type=Path),
    help="Take inputs from a JSON or YAML file.",
)
@click.option("--args", "arguments", metavar="JSON", help="All inputs as one JSON object.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many calls run at once.")
@click.option(
    "--fail-fast/--keep-going", default=None, help="Whether the first failure ends the run."
)
@engine_options
@access_options
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path),
    help="Run the versions in this lock file; by default in the project's onex.lock, if any.",
)
@override_option
@click.option(
    "--relock", is_flag=True, help="Take local changes into onex.lock first, and show them."
)
@click.option("--no-cache", is_flag=True, help="Run every step, whatever earlier runs gave.")
@click.option(
    "--refresh",
    multiple=True,
    metavar="STEP",
    help="Run this step, whatever earlier runs gave, and keep its result.",
)
@click.option("--resume", "resumed", metavar="RUN", help="Go on with a run that ended early.")
@click.option(
    "--rerun-in-flight",
    is_flag=True,
    help="With --resume: make calls again that had started, though their nodes are not idempotent.",
)
@click.option(
    "--accept-changed",
    multiple=True,
    metavar="STEP",
    help="With --resume: go on with this step's code as it is registered now, and run it again.",
)
@click.option(
    "--events",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write what happens as lines of JSON to a file, or to standard output for -.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the outputs to a folder: outputs.json, and each file under its name.",
)
@home_option
@output_options
def run(
    output: Output,
    target: str | None,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    arguments: str | None,
    dry_run: bool,
    jobs: int | None,
    fail_fast: bool | None,
    engine: str | None,
    scheduler: str | None,
    access: RunAccess,
    lock_file: Path | None,
    overrides: tuple[str, ...],
    relock: bool,
    no_cache: bool,
    refresh: tuple[str, ...],
    resumed: str | None,
    rerun_in_flight: bool,
    accept_changed: tuple[str, ...],
    events: Path | None,
    results: Path | None,
    home: Path | None,
) -> int:
    """Run a workflow file, or one node by its reference.

    With --resume a run that was killed, cancelled or failed goes on with the
    versions and inputs it had; what had succeeded is not run again.
    """
    if (target is None) is (resumed is None):
        raise UsageError(
            "name a workflow or a node, or a run to --resume, and not both",
            hint="see onex run --help",
        )
    if resumed is not None and (inputs or inputs_file or arguments or lock_file or overrides):
        raise UsageError(
            "a run goes on with the inputs and versions it had",
            hint="leave inputs, --lock and --override out, or start a new run",
        )
    if resumed is not None and (dry_run or refresh or relock):
        raise UsageError(
            "--resume goes with none of --dry-run, --refresh and --relock", hint="leave them out"
        )
    if resumed is None and (rerun_in_flight or accept_changed):
        raise UsageError(
            "--rerun-in-flight and --accept-changed are about a run that goes on",
            hint="name the run: --resume RUN",
        )
    with Registry.open(home, start=_project_of(output, target)) as registry:
        if resumed is not None:
            stopping = SignalCancellation().listening()
            with run_observer(output, events) as observer, stopping as cancellation:
                result = registry.resume(
                    resumed,
                    access=access,
                    jobs=jobs,
                    engine=engine,
                    scheduler=scheduler,
                    fail_fast=fail_fast,
                    use_cache=not no_cache,
                    rerun_in_flight=rerun_in_flight,
                    accept_changed=accept_changed,
                    observer=observer,
                    cancellation=cancellation,
                )
            return _report(output, result, events, results)
        found, given = read_target(str(target), inputs, inputs_file, arguments)
        problems = registry.refresh()
        forced = parse_overrides(overrides)
        try:
            found = registry.in_full(found, lock_file)
            with found.places():
                if relock:
                    _relock(output, registry, found, lock_file)
                lock = registry.lock_of(found, lock_file)

                def make_plan() -> ExecutionPlan:
                    workflow = found.workflow
                    return registry.plan(workflow, given, lock, overrides=forced, access=access)

                plan = make_plan()
                if not dry_run and ask_for_grants(output, registry, plan.pending):
                    plan = make_plan()
        except DocumentError as error:
            _report_scan(output, [p for p in problems if p not in error.problems], ())
            raise
        except OnexError:
            _report_scan(output, problems, ())
            raise
        _report_scan(output, problems, [planned.node for planned in plan.nodes.values()])
        for warning in plan.warnings:
            output.warning(warning)
        if dry_run:
            forecast = registry.forecast(plan, jobs=jobs, use_cache=not no_cache, refresh=refresh)
            for warning in forecast.warnings:
                output.warning(warning)
            for request in plan.pending:
                for line in told_of_request(request).splitlines():
                    output.warning(line)
            levels = sorted({planned.isolation for planned in plan.nodes.values()})
            body = plan.to_json() | {
                "isolation": ", ".join(levels),
                "forecast": forecast.to_json(),
            }
            output.emit(body, lambda: _print_plan(output, plan, forecast))
            return ExitCode.SUCCESS
        stopping = SignalCancellation().listening()
        with run_observer(output, events) as observer, stopping as cancellation:
            result = registry.run(
                plan,
                jobs=jobs,
                engine=engine,
                scheduler=scheduler,
                fail_fast=fail_fast,
                use_cache=not no_cache,
                refresh=refresh,
                observer=observer,
                cancellation=cancellation,
            )
    return _report(output, result, events, results)


def _project_of(output: Output, target: str | None) -> Path:
    """Where to look for the project: around the workflow, and around the shell's folder if none
    is there."""
    here = Path()
    if target is None or not Path(target).is_file():
        return here
    around, own = (project_folder(place) for place in (Path(target).absolute().parent, here))
    if around is None or around == own:
        return here
    output.note(f"the project is that of the workflow: {around}")
    return around


def _relock(output: Output, registry: Registry, target: RunTarget, lock_file: Path | None) -> None:
    """Take local changes into the lock, if there is one, and show them."""
    path = lock_file or registry.lock_path
    lock = registry.read_lock(lock_file)
    if lock is None:
        return
    name = target.name_in_lock(path.parent)
    known = lock.request_of(name) or LockedRequest()
    request, _ = registry.lock(target.workflow.references(), name, known)
    others = [r for r in lock.requests if r.workflow != name]
    after = Lockfile((request, *others))
    for change in lock.changes_to(after):
        output.note(change)
    replace_text(path, after.to_toml())


def _report_scan(
    output: Output,
    problems: Sequence[Problem],
    nodes: Iterable[RegisteredNode],
) -> None:
    """Print what the scan found of nodes that run and of whole sources; count the rest."""
    files = {origin.path for node in nodes for origin in node.origins}
    errors = _errors(problems)
    near = [p for p in errors if p.location.path in files or p.code in _SOURCE_CODES]
    output.problems(near)
    if len(errors) > len(near):
        count = counted(len(errors) - len(near), "error")
        output.warning(f"{count} in other manifests; onex scan shows them")


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def _report(output: Output, result: RunResult, events: Path | None, results: Path | None) -> int:
    """Print the end of a run, unless its events have standard output for themselves."""
    if results is not None and result.success:
        written = export_results(result, results)
        output.note(f"wrote {', '.join(map(str, written))}")
    if str(events) != "-":
        with told_as_far_as_possible():
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
    steps = (result.steps[name] for name in calls_among(result.steps))
    calls = [step for step in steps if step.attempts or step.cached]
    cached = sum(step.cached for step in calls)
    output.line(
        f"run {result.run_id} {result.status} in {result.seconds:.2f} s"
        + (f"; {cached} of {len(calls)} results came from the cache" if cached else "")
    )
    for name, step in result.steps.items():
        if step.error is not None and not is_child(name):
            output.note(f"  {name} {step.status}: {step.error.code}: {step.error.message}", "red")
            if step.error.detail:
                for line in step.error.detail.rstrip().splitlines():
                    output.note(f"      {line}")
            if step.error.hint and not step.error.detail:
                output.note(f"      {step.error.hint}", "dim")
        elif step.cache_note and output.verbosity > 0:
            output.note(f"  {name} was not taken from the cache: {step.cache_note}", "dim")
    if result.error is not None:
        output.note(f"  {result.error.code}: {result.error.message}", "red")
        if result.error.hint:
            output.note(f"      {result.error.hint}", "dim")
    if isinstance(result.outputs, dict):
        for name, value in result.outputs.items():
            output.line(f"  {name} = {in_one_line(value)}")
    if not result.success:
        output.note(f"  onex runs show {result.run_id} has the whole record")


def _print_plan(output: Output, plan: ExecutionPlan, forecast: RunForecast) -> None:
    steps = as_object(plan.to_json()["steps"])
    expected = as_object(forecast.to_json()["steps"])
    rows = []
    for name, value in steps.items():
        step, cache = as_object(value), as_object(expected[name])
        seconds = cache["seconds"]
        rows.append(
            (
                name,
                str(step["node"]),
                ", ".join(as_texts(step["needs"])),
                ", ".join(as_texts(step["permissions"])),
                _cache_words(cache),
                "?" if seconds is None else f"{as_number(seconds):.2f} s",
            )
        )
    output.table(("STEP", "NODE", "NEEDS", "PERMISSIONS", "CACHE", "FORECAST"), rows)
    if forecast.seconds is None:
        output.line("no forecast: some of these nodes have not run here before", "dim")
    else:
        output.line(f"about {forecast.seconds:.2f} s, judging by earlier runs")


def _cache_words(cache: JsonObject) -> str:
    calls, hits = cache["calls"], cache["hits"]
    if cache["cache"] == "partial":
        return f"{hits} of {calls}"
    return str(cache["cache"])
