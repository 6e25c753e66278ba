"""What commands print: tables on a terminal, plain lines in a pipe, JSON or YAML on request."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TextIO

from onex.domain.errors import (
    DocumentError,
    OnexError,
    OutputNotWrittenError,
    Problem,
    Severity,
)
from onex.domain.json_value import JsonValue

Format = Literal["human", "json", "yaml"]

SHOWN_OF_A_CODE = 3
_OF_A_DIFFERENCE = {"-": "red", "+": "green", "@": "dim"}
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFORMATION: "dim"}


@dataclass(slots=True)
class Output:
    """How this command prints; ``verbosity`` is negative for quiet."""

    format: Format = "human"
    verbosity: int = 0

    @property
    def is_human(self) -> bool:
        """Whether a person reads the output."""
        return self.format == "human"

    @property
    def is_terminal(self) -> bool:
        """Whether tables and colours make sense."""
        return self.is_human and sys.stdout.isatty()

    def emit(self, body: JsonValue, human: Callable[[], None]) -> None:
        """Print a command's result: the body for programs, or by ``human`` for people."""
        if self.format == "json":
            _print(json.dumps(body, indent=2, ensure_ascii=not _takes_any_text()))
        elif self.format == "yaml":
            import yaml_rs

            _print(yaml_rs.dumps(body).removesuffix("\n"))
        elif self.verbosity >= 0:
            human()

    def json_line(self, body: JsonValue) -> None:
        """Print one result of a series as one line of JSON, at once."""
        _print(json.dumps(body, ensure_ascii=not _takes_any_text()))
        flush_output()

    def line(self, text: str = "", style: str | None = None) -> None:
        """Print one line for people; control characters are shown, not sent."""
        if self.is_human and self.verbosity >= 0:
            _write(sys.stdout, printable(text), style)

    def note(self, text: str, style: str | None = None) -> None:
        """Print one line to standard error for people."""
        if self.is_human and self.verbosity >= 0:
            _write(sys.stderr, printable(text), style)

    def warning(self, text: str) -> None:
        """Print a warning to standard error for people."""
        self.note(f"warning: {text}", "yellow")

    def difference(
        self, lines: Sequence[str], indent: str = "", unmarked: str | None = None
    ) -> None:
        """Print how two things differ; ``unmarked`` is the style of lines that are in both."""
        for line in lines:
            self.line(f"{indent}{line}", _OF_A_DIFFERENCE.get(line[:1], unmarked))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows: a table on a terminal, tab-separated lines without headings in a pipe."""
        if not self.is_terminal:
            for row in rows:
                _print("\t".join(map(printable, row)))
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        Console().print(table)

    def problems(self, problems: Sequence[Problem]) -> None:
        """Print findings to standard error.

        Of each code the first few stand with their places and the rest is counted; all of them,
        and those for information, are printed if more is asked for.
        """
        if not self.is_human or self.verbosity < 0:
            return
        if self.verbosity > 0:
            for problem in problems:
                _write_problem(problem)
            return
        groups: dict[tuple[Severity, str], list[Problem]] = {}
        for problem in problems:
            if problem.severity is not Severity.INFORMATION:
                groups.setdefault((problem.severity, problem.code), []).append(problem)
        for (severity, code), found in groups.items():
            for problem in found[:SHOWN_OF_A_CODE]:
                _write_problem(problem)
            more = len(found) - SHOWN_OF_A_CODE
            if more > 0:
                text = f"{severity} {code}: {more} more like this; -v shows them"
                _write(sys.stderr, text, _STYLES[severity])

    def error(self, error: OnexError) -> None:
        """Print an error: to standard error for people, to standard output for programs."""
        if not self.is_human:
            self.emit({"error": _json_error(error)}, lambda: None)
            return
        _write(sys.stderr, printable(f"{error.code}: {error.message}"), "bold red")
        if error.location is not None:
            _write(sys.stderr, printable(f"  at {error.location}"), None)
        explanation = error.details.get("explanation")
        if isinstance(explanation, str):
            for line in explanation.splitlines():
                _write(sys.stderr, printable(f"  {line}"), None)
        if error.hint:
            _write(sys.stderr, printable(f"  {error.hint}"), "dim")
        if isinstance(error, DocumentError):
            self.problems(error.problems)


def _write_problem(problem: Problem) -> None:
    place = f"{problem.location}: " if problem.location.path else ""
    text = printable(f"{problem.severity} {problem.code}: {place}{problem.message}")
    _write(sys.stderr, text, _STYLES[problem.severity])
    if problem.hint:
        _write(sys.stderr, printable(f"    {problem.hint}"), "dim")


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 node``, ``2 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _json_error(error: OnexError) -> JsonValue:
    body: JsonValue = json.loads(json.dumps(error.to_json()))
    return body


def _takes_any_text() -> bool:
    """Whether standard output can hold every character; escapes of its own would spoil JSON."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _print(text: str, stream: TextIO | None = None) -> None:
    """Write a line; raises OutputNotWrittenError, or BrokenPipeError if the reader has gone.

    What goes to standard error is said beside the result, so its loss changes nothing.
    """
    try:
        print(text, file=stream)
    except (OSError, ValueError) as error:
        if stream is not None and stream is not sys.stdout:
            return
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise _not_written(error) from error
        raise


@contextmanager
def told_as_far_as_possible() -> Iterator[None]:
    """Print what came of something that is done; that nobody can read it changes nothing of it."""
    try:
        yield
        flush_output()
    except (BrokenPipeError, OutputNotWrittenError) as error:
        close_output()
        if isinstance(error, OutputNotWrittenError):
            with contextlib.suppress(OSError, OutputNotWrittenError):
                _write(sys.stderr, printable(f"{error.code}: {error.message}"), "bold red")


def close_output() -> None:
    """Send what is still held back nowhere, so that closing does not complain again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def flush_output() -> None:
    """Write what is held back for standard output; raises as ``_print`` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_written(error) from error


def _not_written(error: OSError) -> OutputNotWrittenError:
    return OutputNotWrittenError(
        f"what onex prints cannot be written: {error.strerror}",
        hint="make room, or print to another place; then look whether the command was done",
    )


def _write(stream: TextIO, text: str, style: str | None) -> None:
    if not stream.isatty():
        _print(text, stream)
        return
    from rich.console import Console
    from rich.text import Text

    Console(file=stream, soft_wrap=True).print(Text(text, style=style or ""))


def printable(text: str) -> str:
    """The text with every character that could steer a terminal written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() and unicodedata.category(c) != "Cf" else _escape(c) for c in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
