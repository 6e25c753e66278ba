"""``onex runs``"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from onex.cli.options import access_options, engine_options, home_option, output_options
from onex.cli.output import Output, counted, told_as_far_as_possible
from onex.cli.progress import run_observer
from onex.cli.watch import watch
from onex.domain.artifact_records import in_one_line
from onex.domain.errors import ExitCode, UsageError
from onex.domain.grant import RunAccess
from onex.domain.json_value import JsonValue
from onex.domain.result import NodeExecutionResult, RunStatus, StepStatus
from onex.domain.timeline import Timeline, timeline_of
from onex.domain.timeline_drawing import to_html, to_svg, to_text
from onex.domain.trust_table import read_span
from onex.domain.workflow import is_child
from onex.execution.cancellation import SignalCancellation
from onex.history.comparison import StepComparison, compare
from onex.history.journal import EVERY_RUN, RunFilter, RunRecord
from onex.history.replay import ReplayReport
from onex.registry import Registry


@click.group()
def runs() -> None:
    """The history of runs."""


runs.add_command(watch)


@runs.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many to list.",
)
@click.option("--status", type=click.Choice([s.value for s in RunStatus]), help="Only such runs.")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow, or node.")
@click.option("--since", metavar="WHEN", help="A date or time, or how long ago: 2d, 12h, 30m.")
@home_option
@output_options
def list_runs(
    output: Output,
    limit: int,
    status: str | None,
    workflow: str | None,
    since: str | None,
    home: Path | None,
) -> None:
    """List the latest runs."""
    which = RunFilter(
        None if status is None else RunStatus(status),
        workflow,
        None if since is None else _moment(since),
    )
    with Registry.open(home) as registry:
        records = registry.history.runs(limit, which)
    body: JsonValue = {"runs": [record.summary() for record in records]}

    def human() -> None:
        output.table(
            ("RUN", "WORKFLOW", "STATUS", "SECONDS"),
            [
                (
                    record.run_id,
                    record.workflow,
                    record.status.value,
                    "" if record.seconds is None else f"{record.seconds:.2f}",
                )
                for record in records
            ],
        )
        if not records:
            nothing = "nothing has run yet; onex run WORKFLOW runs something"
            output.note(nothing if which == EVERY_RUN else "no run is like that")

    output.emit(body, human)


def _moment(text: str) -> str:
    """A moment in UTC, from a date, a time, or how long ago it was; raises UsageError."""
    try:
        moment = datetime.now(UTC) - timedelta(seconds=read_span(text))
    except ValueError:
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise UsageError(
                f"{text!r} is no moment", hint="write 2026-03-01, 2026-03-01T12:00, 2d or 12h"
            ) from error
    except OverflowError as error:
        raise UsageError(f"{text!r} is too long ago", hint="write 2d or 12h") from error
    return moment.isoformat(timespec="microseconds")


@runs.command("cancel")
@click.argument("run_id", metavar="RUN")
@home_option
@output_options
def cancel(output: Output, run_id: str, home: Path | None) -> None:
    """Ask a run to end, wherever it runs; what has finished is kept, and it can be resumed."""
    with Registry.open(home) as registry:
        found = registry.history.run(run_id).run_id
        registry.history.cancel(found)
    output.emit(
        {"run_id": found, "asked": True},
        lambda: output.line(f"run {found} was asked to end; onex runs show {found} tells when"),
    )


@runs.command("compare")
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@home_option
@output_options
def compare_two(output: Output, before: str, after: str, home: Path | None) -> None:
    """Show how two runs differ: inputs, versions of nodes, outputs and times."""
    with Registry.open(home) as registry:
        found = compare(registry.history.run(before), registry.history.run(after))

    def human() -> None:
        for record in (found.before, found.after):
            took = "" if record.seconds is None else f" in {record.seconds:.2f} s"
            output.line(f"{record.run_id} of {record.workflow}: {record.status}{took}", "bold")
        for name, lines in (("inputs", found.inputs), ("outputs", found.outputs)):
            output.line(f"{name}: {'differ' if lines else 'the same'}")
            output.difference(lines, "  ", "dim")
        for step in found.steps:
            _print_comparison(output, step)

    output.emit(found.to_json(), human)


def _print_comparison(output: Output, step: StepComparison) -> None:
    times = " -> ".join("-" if s is None else f"{s:.3f} s" for s in step.seconds)
    output.line(f"{step.step_id}: {'the same' if step.is_same else 'differs'}  ({times})")
    for name, (before, after) in (("node", step.nodes), ("status", step.statuses)):
        if before != after:
            output.line(f"  {name}: {before or 'none'} -> {after or 'none'}", "yellow")
    output.difference(step.output, "  ", "dim")


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@home_option
@output_options
def show_run(output: Output, run_id: str, home: Path | None) -> None:
    """Show one run with its steps and their logs.

    RUN is its identifier, the start of it, or latest.

    As JSON or YAML it is also an ONEX execution result.
    """
    with Registry.open(home) as registry:
        record = registry.history.run(run_id)

    def human() -> None:
        seconds = "" if record.seconds is None else f" in {record.seconds:.2f} s"
        output.line(f"run {record.run_id} of {record.workflow}: {record.status}{seconds}", "bold")
        output.line(f"  started {record.started_at}")
        if record.plan.get("actor"):
            output.line(f"  in the name of {record.plan['actor']}")
        if record.replay_of:
            output.line(f"  a replay of {record.replay_of}")
        if record.error is not None:
            output.line(f"  {record.error.code}: {record.error.message}", "red")
        shown = [
            step
            for step in record.steps.values()
            if output.verbosity > 0 or not is_child(step.step_id) or step.error or _is_left(step)
        ]
        for step in sorted(shown, key=_start):
            _print_step(output, step)
        for kind, values in (("inputs", record.inputs), ("outputs", record.outputs)):
            if isinstance(values, dict):
                for name, value in values.items():
                    output.line(f"  {kind}.{name} = {in_one_line(value)}")

    output.emit(record.to_json(), human)


def _print_step(output: Output, step: NodeExecutionResult) -> None:
    cached = f" (from the cache, made by {step.cached_from})" if step.cached else ""
    output.line(f"  {step.step_id}  {_status(step)}{cached}  {step.node}")
    if step.error is not None:
        output.line(f"    {step.error.code}: {step.error.message}", "red")
        for line in (step.error.detail or "").splitlines():
            output.line(f"      {line}")
    for line in step.log.splitlines():
        output.line(f"    | {line}", "dim")


def _is_left(step: NodeExecutionResult) -> bool:
    return step.status is StepStatus.RUNNING


def _status(step: NodeExecutionResult) -> str:
    return "in flight when last heard of" if _is_left(step) else step.status.value


def _start(step: NodeExecutionResult) -> float:
    return float("inf") if step.started_seconds is None else step.started_seconds


@runs.command("timeline")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--output",
    "kind",
    type=click.Choice(["text", "svg", "html"]),
    default="text",
    show_default=True,
    help="What to print.",
)
@home_option
@output_options
def timeline(output: Output, run_id: str, kind: str, home: Path | None) -> None:
    """Show when each step of a run was at work."""
    with Registry.open(home) as registry:
        record = registry.history.run(run_id)
    drawn = timeline_of(record.steps, record.seconds or 0.0)
    if kind == "svg":
        click.echo(to_svg(drawn), nl=False)
    elif kind == "html":
        title = f"{record.workflow}: run {record.run_id}"
        summary = f"{record.status} in {drawn.seconds:.2f} s, started {record.started_at}"
        click.echo(to_html(drawn, title, summary), nl=False)
    else:
        output.emit(_timeline_body(record, drawn), lambda: _print_timeline(output, drawn))


def _timeline_body(record: RunRecord, drawn: Timeline) -> JsonValue:
    return {
        "run_id": record.run_id,
        "seconds": drawn.seconds,
        "steps": [
            {
                "id": row.step_id,
                "node": row.node,
                "status": row.status.value,
                "calls": len(row.calls),
                "cached": row.cached_calls,
                "started_seconds": row.start_seconds,
                "ended_seconds": row.end_seconds,
            }
            for row in drawn.rows
        ],
    }


def _print_timeline(output: Output, drawn: Timeline) -> None:
    for line, style in to_text(drawn, shutil.get_terminal_size((100, 24)).columns):
        output.line(line, style or None)


@runs.command("replay")
@click.argument("run_id", metavar="RUN")
@click.option("--check", is_flag=True, help="Exit with 1 where a result differs.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many calls run at once.")
@engine_options
@access_options
@home_option
@output_options
def replay(
    output: Output,
    run_id: str,
    check: bool,
    jobs: int | None,
    engine: str | None,
    scheduler: str | None,
    access: RunAccess,
    home: Path | None,
) -> int:
    """Execute a run once more, without the cache, and say where its results differ and why."""
    stopping = SignalCancellation().listening()
    with (
        Registry.open(home) as registry,
        run_observer(output) as observer,
        stopping as cancellation,
    ):
        report = registry.replay(
            run_id,
            access=access,
            jobs=jobs,
            engine=engine,
            scheduler=scheduler,
            observer=observer,
            cancellation=cancellation,
        )
    with told_as_far_as_possible():
        output.emit(report.to_json(), lambda: _print_replay(output, report))
    return ExitCode.EXECUTION_FAILED if check and report.differences else ExitCode.SUCCESS


def _print_replay(output: Output, report: ReplayReport) -> None:
    output.line(f"run {report.replay_id} repeated {report.run_id}")
    if not report.differences:
        output.line(f"{counted(report.compared, 'result')} compared, nothing differs", "green")
    else:
        first = report.differences[0]
        output.line(
            f"{len(report.differences)} of {counted(report.compared, 'result')} differ;"
            f" the first is that of {first.step_id}",
            "red",
        )
        output.line(f"  before: {first.before}")
        output.line(f"  now:    {first.after}")
        if first.causes:
            output.line(f"  what changed: {', '.join(first.causes)}")
        else:
            output.line("  neither code, input nor environment changed: it is not deterministic")
    if report.not_compared:
        output.line(
            f"  not compared, as they refer to the run itself: {', '.join(report.not_compared)}",
            "dim",
        )


@runs.command("prune")
@click.option("--keep", type=click.IntRange(0), help="How many of the latest runs stay.")
@click.option("--older-than", metavar="DAYS", type=click.FloatRange(0), help="Only older ones go.")
@click.option("--dry-run", is_flag=True, help="Say which runs would go, and remove nothing.")
@home_option
@output_options
def prune(
    output: Output,
    keep: int | None,
    older_than: float | None,
    dry_run: bool,
    home: Path | None,
) -> None:
    """Remove old runs, and results and artifacts that nothing refers to any more.

    Without a limit no run is removed. Artifacts of the last hour stay.
    """
    try:
        age = None if older_than is None else timedelta(days=older_than)
    except OverflowError as error:
        raise UsageError(f"{older_than} days is too long", hint="name fewer days") from error
    with Registry.open(home) as registry:
        report = registry.history.prune(keep=keep, older_than=age, dry_run=dry_run)

    def human() -> None:
        if dry_run:
            output.line(f"{counted(len(report.runs), 'run')} would be removed")
            for run_id in report.runs:
                output.line(f"  {run_id}")
            return
        output.line(
            f"removed {counted(len(report.runs), 'run')},"
            f" {counted(report.cached_results, 'cached result')} and"
            f" {counted(report.artifacts, 'artifact')} ({report.size_bytes} bytes)"
        )

    output.emit(report.to_json(), human)
