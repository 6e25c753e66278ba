"""``onex grant``: who may do what, in plain words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted, printable
from onex.domain.errors import ExitCode
from onex.domain.grant import Grant
from onex.domain.permission import Permission
from onex.domain.reference import NodeRef
from onex.registry import Registry
from onex.trust.grants import PendingGrant, told_of_request


@click.group()
def grant() -> None:
    """Show, approve and revoke what nodes may do."""


@grant.command(name="list")
@home_option
@output_options
def list_grants(output: Output, home: Path | None) -> int:
    """List what was granted, and which nodes ask for more than they are granted.

    Nodes of trusted sources are granted what they declare, and are not listed.
    """
    with Registry.open(home) as registry:
        grants, pending = registry.grants.current(), registry.grants.pending()
    body = {
        "grants": [one.to_json() for one in grants],
        "pending": [request.to_json() for request in pending],
    }
    output.emit(body, lambda: _print_grants(output, grants, pending))
    return ExitCode.SUCCESS


@grant.command()
@click.argument("reference", metavar="REF")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar="KIND:RESOURCE",
    help="Approve this alone of what the node asks for.",
)
@home_option
@output_options
def approve(output: Output, reference: str, permissions: tuple[str, ...], home: Path | None) -> int:
    """Grant a node what it asks for.

    Later versions that ask for the same or less have it too; one that asks for more
    is not run before that is approved.
    """
    chosen = tuple(map(Permission.parse, permissions)) or None
    with Registry.open(home) as registry:
        node = registry.node(NodeRef.parse(reference))
        granted = registry.grants.approve(node, chosen)
    output.emit({"grant": granted.to_json()}, lambda: _print_grant(output, granted))
    return ExitCode.SUCCESS


@grant.command()
@click.argument("reference", metavar="REF")
@home_option
@output_options
def revoke(output: Output, reference: str, home: Path | None) -> int:
    """Take back all that was granted to a node, in every version."""
    with Registry.open(home) as registry:
        revoked = registry.grants.revoke(NodeRef.parse(reference))
    output.emit(
        {"revoked": revoked.to_json()},
        lambda: output.line(f"{revoked.node} is granted nothing any more"),
    )
    return ExitCode.SUCCESS


def ask_for_grants(output: Output, registry: Registry, pending: Sequence[PendingGrant]) -> bool:
    """Ask the user at a terminal whether nodes may have what they ask for; returns if all may.

    What is approved is stored. Nothing is asked if nobody is there to answer.
    """
    if not pending or not output.is_human or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    for request in pending:
        for line in told_of_request(request).splitlines():
            click.echo(printable(line), err=True)
        if not click.confirm("Grant it that?", default=False, err=True):
            return False
        registry.grants.approve(request.node, request.missing)
    return True


def _print_grants(output: Output, grants: Sequence[Grant], pending: Sequence[PendingGrant]) -> None:
    for granted in grants:
        _print_grant(output, granted)
    for request in pending:
        for line in told_of_request(request).splitlines():
            output.line(line)
        output.line(f"  onex grant approve {request.node.metadata.node_version}", "dim")
    output.line(
        f"{counted(len(grants), 'grant')}, {counted(len(pending), 'node')} that asks for more"
    )


def _print_grant(output: Output, granted: Grant) -> None:
    output.line(f"{granted.node}, granted by {granted.by} at {granted.at[:19]}Z", "bold")
    for permission in granted.permissions:
        output.line(f"    {permission.in_words()}")
