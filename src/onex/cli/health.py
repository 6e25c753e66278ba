"""``onex health`` and ``onex metrics``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.errors import ExitCode
from onex.registry import Registry
from onex.telemetry.health_check import Health

_STYLES = {Health.HEALTHY: "green", Health.DEGRADED: "yellow", Health.UNHEALTHY: "red"}


@click.command()
@home_option
@output_options
def health(output: Output, home: Path | None) -> int:
    """Check the parts of this registry: storage, caches, sources, remotes, disk, keys.

    What is degraded works on with something missing. The exit code is 1 if a part is unhealthy,
    without which nothing works.
    """
    from onex.monitoring.health_checks import health_checks

    report = health_checks(lambda: Registry.open(home)).run()

    def human() -> None:
        for check in report.checks:
            found = check.found
            output.line(f"{found.status:<10} {check.name}: {found.message}", _STYLES[found.status])
        output.line(f"the registry is {report.status}", "bold")

    output.emit(report.to_json(), human)
    return ExitCode.EXECUTION_FAILED if report.status is Health.UNHEALTHY else ExitCode.SUCCESS


@click.command()
@click.option("--openmetrics", is_flag=True, help="In the format OpenMetrics.")
@home_option
@output_options
def metrics(output: Output, openmetrics: bool, home: Path | None) -> None:
    """Print the metrics of this registry, as Prometheus reads them.

    They are what all commands measured that used this registry, and its state now.
    """
    from onex.monitoring.state_metrics import measure
    from onex.telemetry.exposition import OPENMETRICS, export

    with Registry.open(home) as registry:
        measured = measure(registry)
    text = export(measured, OPENMETRICS if openmetrics else "")[0].decode()
    output.emit({"text": text}, lambda: click.echo(text, nl=False))
