"""``onex audit``"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import click

from onex.cli.advisory import list_advisories
from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.audit import AuditFilter, KnownTree, audit, audit_tree
from onex.domain.errors import ExitCode, UsageError
from onex.domain.event import ALLOWED, REFUSED, LogHead
from onex.domain.json_value import JsonValue, canonical_json
from onex.domain.trust_errors import StatementRefusedError
from onex.local_machine import replace_file
from onex.registry import Registry
from onex.resolution.historical_catalog import parse_moment
from onex.trust.index_layout import LOG_HEAD
from onex.trust.log_head import SignedHead


@click.group("audit")
def audit_group() -> None:
    """The log of every change and every refusal."""


@audit_group.command("log")
@click.option("--actor", metavar="GLOB", help="A user, or a token; with or without its address.")
@click.option("--object", "object_name", metavar="GLOB", help="Such as 'tool://atlas.*'.")
@click.option("--action", metavar="GLOB", help="Such as 'node.*' or 'access.*'.")
@click.option(
    "--outcome",
    type=click.Choice([ALLOWED, REFUSED]),
    help="Only what was allowed, or only what was refused.",
)
@click.option("--since", metavar="WHEN", help="A date (its beginning, in UTC) or a time.")
@click.option("--until", metavar="WHEN", help="A date (its end, in UTC) or a time.")
@click.option("--after", "after", type=click.IntRange(0), default=0, help="Entries behind this.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="How many to show."
)
@home_option
@output_options
def log(
    output: Output,
    actor: str | None,
    object_name: str | None,
    action: str | None,
    outcome: str | None,
    since: str | None,
    until: str | None,
    after: int,
    limit: int,
    home: Path | None,
) -> None:
    """Show entries of the log, oldest first."""
    wanted = AuditFilter(
        actor,
        object_name,
        action,
        outcome,
        None if since is None else parse_moment(f"{since}T00:00" if len(since) == 10 else since),
        None if until is None else parse_moment(until),
    )
    with Registry.open(home) as registry:
        events = list(islice(filter(wanted.admits, registry.storage.events(after)), limit))
    body: JsonValue = {"events": [event.to_json() for event in events]}

    def human() -> None:
        rows = [
            (str(e.serial), e.time[:19], e.actor, e.action, e.object, e.outcome,
             str(e.facts.get("reason") or ""))
            for e in events
        ]  # fmt: skip
        output.table(("SERIAL", "TIME", "WHO", "WHAT", "OBJECT", "OUTCOME", "REASON"), rows)
        if len(events) == limit:
            output.note(f"there may be more: --after {events[-1].serial}")

    output.emit(body, human)


audit_group.add_command(list_advisories, "advisories")


@audit_group.command()
@click.option("--head", "head_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A signed head, or an exported log: this one must go on from it.")  # fmt: skip
@home_option
@output_options
def verify(output: Output, head_file: Path | None, home: Path | None) -> int:
    """Check that no entry was changed, left out or moved; exits with 5 if one was."""
    with Registry.open(home) as registry:
        storage, signer = registry.storage, registry.index_signer
        signed = None if head_file is None else _signed_head(head_file)
        if head_file is not None and signed is None:
            before = audit(storage.events(), _read_head(head_file))
            report = audit_tree(storage.events()) if before.reason is None else before
        elif signed is not None:
            if not signed.is_signed_by_any(signer.online_keys()):
                raise StatementRefusedError(
                    f"{head_file} is no head that this registry signed",
                    hint="it may be that of another registry",
                )
            known = KnownTree(signed.size, bytes.fromhex(signed.root))
            report = audit_tree(storage.events(), known)
        else:
            report = audit_tree(storage.events())
        own = storage.signed_metadata(LOG_HEAD)
    signature = None
    if own is not None and (head := SignedHead.parse(own)).size == report.entries:
        signature = head.envelope.to_json()

    def human() -> None:
        if report.reason is None:
            output.line(f"the log is genuine: {report.entries} entries, root {report.root.hex()}")
        else:
            output.line(f"the log is not the one that was written: {report.reason}", "bold red")

    output.emit(report.to_json(signature), human)
    return ExitCode.SUCCESS if report.reason is None else ExitCode.SECURITY_REFUSAL


@audit_group.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@home_option
@output_options
def export(output: Output, file: Path, home: Path | None) -> None:
    """Write the log to a file, an entry a line, to be kept where nobody of here can change it."""
    with Registry.open(home) as registry, registry.storage.snapshot():
        lines = [canonical_json(event.to_json()) for event in registry.storage.events()]
        head = registry.storage.head()
    replace_file(file, "".join(f"{line}\n" for line in lines).encode())
    body: JsonValue = {"file": str(file), "head": {"size": head.serial, "root": head.hash}}
    output.emit(body, lambda: output.line(f"wrote {head.serial} entries, head {head.hash}"))


def _signed_head(file: Path) -> SignedHead | None:
    """The signed head in a file; None if it holds something else."""
    try:
        return SignedHead.parse(file.read_bytes())
    except ValueError:
        return None


def _read_head(file: Path) -> LogHead:
    """The head of a log that was exported: its last line."""
    lines = file.read_bytes().splitlines()
    try:
        last = json.loads(lines[-1])
        return LogHead(int(last["serial"]), str(last["hash"]))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file} is no exported log", hint="see onex audit export") from error
