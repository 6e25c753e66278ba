"""The ``onex`` command: its groups, its options, and how errors become exit codes."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Sequence

import click

from onex.cli.command_table import ALIASES, COMMANDS, command_names, meant_by, target_of
from onex.cli.examples import add_examples
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


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return command_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = target_of(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is not a command")
        add_examples(command, ALIASES.get(cmd_name, cmd_name))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and target_of(args[0]) is None and not args[0].startswith("-"):
            meant = meant_by(args[0])
            raise UsageError(
                f"there is no command {args[0]!r}",
                hint=f"did you mean onex {meant}?" if meant else "see onex --help",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, command_names()))
        for title, group in COMMANDS.items():
            with formatter.section(title):
                rows = []
                for name in group:
                    command = self.get_command(ctx, name)
                    room = formatter.width - width - 6
                    help_text = "" if command is None else command.get_short_help_str(room)
                    rows.append((name.ljust(width), help_text))
                formatter.write_dl(rows)


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
    return UsageError(" ".join(error.format_message().split()), hint=f"see {command} --help")
