"""The ``onex`` command: its groups, its options, and how errors become exit codes."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Sequence

import click

from onex.cli.output import Output, close_output, flush_output
from onex.domain.errors import (
    ExitCode,
    InternalError,
    OnexError,
    OutputNotWrittenError,
    RunCancelledError,
    SystemRefusedError,
    UsageError,
)

_COMMANDS = {
    "advisory": "onex.cli.advisory:advisory",
    "audit": "onex.cli.audit:audit_group",
    "backup": "onex.cli.backup:backup",
    "cache": "onex.cli.cache:cache",
    "compat": "onex.cli.dependencies:compat",
    "demo": "onex.cli.demo:demo",
    "doctor": "onex.cli.doctor:doctor",
    "explain": "onex.cli.explain:explain",
    "grant": "onex.cli.grants:grant",
    "fetch": "onex.cli.remote:fetch",
    "graph": "onex.cli.dependencies:graph",
    "health": "onex.cli.health:health",
    "impact": "onex.cli.impact:impact",
    "init": "onex.cli.project:init",
    "lifecycle": "onex.cli.lifecycle:lifecycle",
    "list": "onex.cli.nodes:list_nodes",
    "lock": "onex.cli.lock:lock",
    "login": "onex.cli.remote:login",
    "logout": "onex.cli.remote:logout",
    "metrics": "onex.cli.health:metrics",
    "new": "onex.cli.project:new",
    "outdated": "onex.cli.dependencies:outdated",
    "policy": "onex.cli.policy:policy",
    "publish": "onex.cli.publish:publish",
    "provenance": "onex.cli.provenance:provenance",
    "remote": "onex.cli.remote:remote",
    "resolve": "onex.cli.resolve:resolve",
    "restore": "onex.cli.backup:restore",
    "run": "onex.cli.run:run",
    "runs": "onex.cli.runs:runs",
    "sbom": "onex.cli.sbom:sbom",
    "scan": "onex.cli.scan:scan",
    "search": "onex.cli.nodes:search",
    "serve": "onex.cli.serve:serve",
    "show": "onex.cli.nodes:show",
    "sources": "onex.cli.sources:sources",
    "sign": "onex.cli.verify:sign",
    "stamp": "onex.cli.stamp:stamp",
    "storage": "onex.cli.storage:storage",
    "token": "onex.cli.token:token",
    "top": "onex.cli.top:top",
    "tree": "onex.cli.dependencies:tree",
    "trust": "onex.cli.trust_index:trust",
    "ui": "onex.cli.ui:ui",
    "validate": "onex.cli.validate:validate",
    "verify": "onex.cli.verify:verify",
    "version": "onex.cli.version:version",
    "why": "onex.cli.dependencies:why",
    "why-not": "onex.cli.dependencies:why_not",
    "yank": "onex.cli.yank:yank",
}
_ALIASES = {"list-nodes": "list", "node-info": "show"}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(_ALIASES.get(cmd_name, cmd_name))
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is not a command")
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    package_name="onex-registry", prog_name="onex", message="%(prog)s %(version)s"
)
def onex() -> None:
    """A registry of versioned, executable nodes that runs what it resolves."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code. Every error has been printed then."""
    output = _output_for_errors(arguments)
    try:
        _write_logs()
        # Not ``onex.main``: that one answers a closed pipe by itself, and as a failure.
        with onex.make_context("onex", list(arguments)) as context:
            outcome = onex.invoke(context)
        flush_output()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return ExitCode.USAGE
    except click.ClickException as error:
        return _report(output, _usage_error(error))
    except OutputNotWrittenError as error:
        close_output()
        return _report(Output(), error)
    except OnexError as error:
        return _report(output, error)
    except (KeyboardInterrupt, click.Abort):
        return _report(output, RunCancelledError("cancelled", hint="nothing else was changed"))
    except BrokenPipeError:
        # The reader has gone, as with ``onex list | head``.
        close_output()
        return ExitCode.SUCCESS
    except OSError as error:
        if os.environ.get("ONEX_DEBUG"):
            raise
        return _report(output, _system_refused(error))
    except Exception as error:
        if os.environ.get("ONEX_DEBUG"):
            raise
        defect = InternalError(
            f"onex failed: {type(error).__name__}: {error}",
            hint="this is a defect of onex; set ONEX_DEBUG=1 to see where",
        )
        return _report(output, defect)
    return outcome if isinstance(outcome, int) else ExitCode.SUCCESS


def _write_logs() -> None:
    """Write log records if the environment asks for them; raises UsageError."""
    if os.environ.get("ONEX_LOG"):
        from onex.telemetry.logs import wanted_logs, write_logs

        write_logs(wanted_logs(os.environ))


def _report(output: Output, error: OnexError) -> int:
    """Print an error, if there is room where errors go; returns its exit code."""
    with contextlib.suppress(OutputNotWrittenError):
        output.error(error)
    return error.exit_code


def _system_refused(error: OSError) -> SystemRefusedError:
    """What the system refused, such as a write to a full disk."""
    place = f"{error.filename}: " if error.filename is not None else ""
    return SystemRefusedError(
        f"{place}{error.strerror or error}",
        hint="check that the folder is there, that you may write to it, and that there is space",
    )


def _output_for_errors(arguments: Sequence[str]) -> Output:
    """The format asked for, found without parsing, since parsing may be what fails."""
    if "--json" in arguments:
        return Output("json")
    for position, argument in enumerate(arguments):
        following = arguments[position + 1] if position + 1 < len(arguments) else ""
        value = following if argument == "--format" else argument.removeprefix("--format=")
        if argument.startswith("--format"):
            if value == "json":
                return Output("json")
            if value == "yaml":
                return Output("yaml")
    return Output()


def _usage_error(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if isinstance(context, click.Context) else "onex"
    return UsageError(error.format_message(), hint=f"see {command} --help")
