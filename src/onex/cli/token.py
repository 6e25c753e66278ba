"""``onex token``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.access_control import Role
from onex.domain.json_value import JsonValue
from onex.registry import Registry


@click.group()
def token() -> None:
    """Tokens with which others may use this registry when it is served."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([str(role) for role in Role]), default="reader",
              show_default=True, help="What its bearer may do.")  # fmt: skip
@click.option("--namespace", "namespaces", multiple=True, metavar="PATTERN",
              help="acme or acme.*; by default every namespace.")  # fmt: skip
@click.option("--days", type=click.FloatRange(0, 3660, min_open=True), help="How long it is good.")
@home_option
@output_options
def create(
    output: Output,
    name: str,
    role: str,
    namespaces: tuple[str, ...],
    days: float | None,
    home: Path | None,
) -> None:
    """Create a token. Its text is printed this once, and kept nowhere."""
    seconds = None if days is None else days * 86_400
    with Registry.open(home) as registry:
        created = registry.tokens.create(name, Role.of(role), namespaces or ("*",), seconds)
    body: JsonValue = {"token": created.text} | dict(created.token.to_json())
    # Not even -q may lose it.
    output.emit(body, lambda: click.echo(created.text))


@token.command("list")
@home_option
@output_options
def list_tokens(output: Output, home: Path | None) -> None:
    """List the tokens, without their texts."""
    with Registry.open(home) as registry:
        tokens = registry.tokens.all()
        uses = registry.tokens.last_uses()
    body: JsonValue = {"tokens": [token.to_json(uses.get(token.id)) for token in tokens]}

    def human() -> None:
        rows = [
            (t.id, t.name, str(t.role), ", ".join(t.namespaces), t.expires_at or "never",
             "revoked" if t.revoked_at else uses.get(t.id, "never used"))
            for t in tokens
        ]  # fmt: skip
        output.table(("ID", "NAME", "ROLE", "NAMESPACES", "EXPIRES", "LAST USED"), rows)
        if not tokens:
            output.note("there is no token; onex token create NAME creates one")

    output.emit(body, human)


@token.command()
@click.argument("token_id", metavar="ID")
@home_option
@output_options
def revoke(output: Output, token_id: str, home: Path | None) -> None:
    """Make a token good for nothing, at once."""
    with Registry.open(home) as registry:
        revoked = registry.tokens.revoke(token_id)
    output.emit(revoked.to_json(), lambda: output.line(f"revoked {revoked.id} ({revoked.name})"))
