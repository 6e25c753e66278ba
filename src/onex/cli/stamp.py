"""``onex stamp``"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from onex.cli.options import no_home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.errors import OutdatedStampError, PathNotReadableError
from onex.domain.json_value import JsonValue
from onex.local_machine import replace_file, user_name
from onex.manifests.stamp import stamp_text


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--check", is_flag=True, help="Change nothing; fail if a stamp is not current.")
@click.option("--author", help="Who is named in new blocks; by default you.")
@no_home_option
@output_options
def stamp(output: Output, files: tuple[Path, ...], check: bool, author: str | None) -> None:
    """Write metadata blocks with a hash, or renew the hash of those that are there.

    A file that did not change since it was stamped is left as it is.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    results: list[JsonValue] = []
    outdated: list[str] = []
    for file in files:
        try:
            if not file.is_file():
                raise PathNotReadableError(f"{file} is not a file", hint="check the path")
            text = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise PathNotReadableError(
                f"{file} is not in UTF-8", hint="save it in UTF-8"
            ) from error
        except OSError as error:
            raise PathNotReadableError(f"{file} cannot be read", hint="check the path") from error
        stamped = stamp_text(text, file, author or user_name(), now)
        if not stamped.is_current:
            outdated.append(str(file))
            if not check:
                replace_file(file, stamped.text.encode("utf-8"))
        state = "current" if stamped.is_current else "outdated" if check else "stamped"
        results.append({"path": str(file), "hash": stamped.hash, "state": state})

    def human() -> None:
        current = len(files) - len(outdated)
        if not check:
            output.line(f"{counted(len(outdated), 'file')} stamped, {current} current already")

    if check and outdated:
        raise OutdatedStampError(
            f"{counted(len(outdated), 'file')} changed since they were stamped: "
            + ", ".join(outdated),
            hint="look at the changes, then run onex stamp on them",
        )
    output.emit({"files": results}, human)
