"""``onex trust``"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onex.cli.keys import default_key, keys_option, read_keys, read_public_key
from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.domain.envelope import Envelope
from onex.domain.errors import UsageError
from onex.domain.json_value import JsonValue
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.reference import NAMESPACE
from onex.domain.statement import (
    NO_STATEMENT,
    PAYLOAD_TYPE,
    OwnerKey,
    OwnersStatement,
    RevokedKey,
)
from onex.domain.trust_errors import KeyUnusableError
from onex.registry import Registry

if TYPE_CHECKING:
    from onex.trust.signing import SigningKey

_to_option = click.option(
    "--to", "remote", metavar="REMOTE", help="By default the only remote there is."
)
_here_option = click.option(
    "--here", is_flag=True, help="In this registry itself, which is served."
)


@click.group()
def trust() -> None:
    """Keys, the owners of namespaces, and whom this registry believes."""


@trust.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--passphrase", "is_protected", is_flag=True, help="Ask for a passphrase.")
@home_option
@output_options
def keygen(output: Output, file: Path | None, is_protected: bool, home: Path | None) -> None:
    """Make a key to sign with: an Ed25519 key that you alone can read.

    The passphrase is asked for, or taken from ONEX_KEY_PASSPHRASE. Keys of OpenSSH can be used in
    its place: --key ~/.ssh/id_ed25519.
    """
    from onex.trust.signing import PUBLIC_SUFFIX, SigningKey

    with Registry.open(home) as registry:
        chosen = file or default_key(registry.configuration)
    words = None
    if is_protected or "ONEX_KEY_PASSPHRASE" in os.environ:
        words = os.environ.get("ONEX_KEY_PASSPHRASE")
        if words is None and sys.stdin is not None and sys.stdin.isatty():
            words = click.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
        if not words:
            raise KeyUnusableError(
                "there is no passphrase",
                hint="set ONEX_KEY_PASSPHRASE, or make the key at a terminal",
            )
    key = SigningKey.generate()
    key.write(chosen, words)
    body: JsonValue = {"key": str(key.public), "id": key.public.id, "file": str(chosen)}

    def human() -> None:
        output.line(str(key.public))
        output.note(f"the private key is in {chosen}, the public one in")
        output.note(f"{chosen}{PUBLIC_SUFFIX}; keep a copy of the private key safe")

    output.emit(body, human)


@trust.command()
@click.argument("namespace")
@click.option("--name", default="", help="Whose key it is, in a word.")
@click.option("--add", "added", multiple=True, metavar="KEY[=NAME]", help="A further owner.")
@click.option("--threshold", type=click.IntRange(1), default=1, show_default=True,
              help="How many owners must sign a later change.")  # fmt: skip
@keys_option
@_to_option
@_here_option
@home_option
@output_options
def claim(
    output: Output,
    namespace: str,
    name: str,
    added: tuple[str, ...],
    threshold: int,
    key_files: tuple[Path, ...],
    remote: str | None,
    here: bool,
    home: Path | None,
) -> None:
    """Make your key the owner of a namespace that has none, and of all below it.

    From then on nothing is published there that no owner signed, whoever has a token.
    """
    with Registry.open(home) as registry:
        keys = _required_keys(registry, key_files)
        owners = [OwnerKey(key.public, name) for key in keys] + list(map(_owner, added))
        statement = OwnersStatement(namespace, 1, NO_STATEMENT, tuple(owners), threshold)
        changed = _change(registry, statement, keys, remote, here=here)
    _emit_owners(output, changed)


@trust.command("owners")
@click.argument("namespace")
@click.option("--add", "added", multiple=True, metavar="KEY[=NAME]", help="A further owner.")
@click.option("--remove", "removed", multiple=True, metavar="ID",
              help="No owner any more; what it signed before holds.")  # fmt: skip
@click.option("--revoke", "revoked", multiple=True, metavar="ID",
              help="No owner any more, and nothing it signed holds (since --since).")  # fmt: skip
@click.option("--since", metavar="TIME", help="With --revoke: since when the key was not safe.")
@click.option("--reason", default="", help="With --revoke: why, in a sentence.")
@click.option("--threshold", type=click.IntRange(1), help="How many owners must sign a change.")
@keys_option
@_to_option
@_here_option
@home_option
@output_options
def change_owners(
    output: Output,
    namespace: str,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    revoked: tuple[str, ...],
    since: str | None,
    reason: str,
    threshold: int | None,
    key_files: tuple[Path, ...],
    remote: str | None,
    here: bool,
    home: Path | None,
) -> None:
    """Show the owners of a namespace, or change them, which an owner must sign."""
    with Registry.open(home) as registry:
        known = _owners(registry, namespace, remote, here=here)
        if known is None:
            raise UsageError(
                f"{namespace} has no owners", hint=f"become its owner: onex trust claim {namespace}"
            )
        if (since or reason) and not revoked:
            raise UsageError(
                "--since and --reason go with --revoke", hint="name the key: --revoke ID"
            )
        if not (added or removed or revoked or threshold):
            _emit_owners(output, known)
            return
        keys = _required_keys(registry, key_files)
        current = known.current
        gone = [_owner_key(current, text) for text in (*removed, *revoked)]
        fresh = [RevokedKey(_key_id(current, text), reason, _utc(since)) for text in revoked]
        statement = replace(
            current,
            sequence=current.sequence + 1,
            previous=hashlib.sha256(known.links[-1].envelope.payload).hexdigest(),
            keys=(*(o for o in current.keys if o not in gone), *map(_owner, added)),
            threshold=threshold or current.threshold,
            revoked=(*current.revoked, *fresh),
        )
        changed = _change(registry, statement, keys, remote, here=here)
    _emit_owners(output, changed)


@trust.command()
@click.argument("namespace")
@click.argument("key")
@home_option
@output_options
def add(output: Output, namespace: str, key: str, home: Path | None) -> None:
    """Believe owners of a namespace only if this key signed a statement about them."""
    public = read_public_key(key)
    if not NAMESPACE.fullmatch(namespace):
        raise UsageError(f"{namespace!r} is no namespace", hint="write it as acme or acme.tools")
    with Registry.open(home) as registry:
        registry.remembered_owners.pin(namespace, public)
    body: JsonValue = {"namespace": namespace, "key": str(public)}
    output.emit(body, lambda: output.line(f"{public.short_id} is pinned for {namespace}"))


@trust.command()
@click.argument("namespace")
@home_option
@output_options
def remove(output: Output, namespace: str, home: Path | None) -> None:
    """Give up the keys that are pinned for a namespace."""
    with Registry.open(home) as registry:
        was_there = registry.remembered_owners.unpin(namespace)
    state = "no key is pinned for" if was_there else "no key was pinned for"
    body: JsonValue = {"namespace": namespace, "removed": was_there}
    output.emit(body, lambda: output.line(f"{state} {namespace}"))


@trust.command()
@click.argument("namespace")
@home_option
@output_options
def forget(output: Output, namespace: str, home: Path | None) -> None:
    """Forget the owners that a namespace had, so that others are believed from now on."""
    with Registry.open(home) as registry:
        was_there = registry.remembered_owners.forget(namespace)
    state = "are forgotten" if was_there else "were not known here"
    body: JsonValue = {"namespace": namespace, "removed": was_there}
    output.emit(body, lambda: output.line(f"the owners of {namespace} {state}"))


@trust.command("list")
@home_option
@output_options
def list_trust(output: Output, home: Path | None) -> None:
    """List the owners that were seen, the keys that are pinned, and the owners here."""
    with Registry.open(home) as registry:
        known = registry.remembered_owners.known()
        published = registry.published_owners.all()
    pinned = [(name, key) for name, keys in sorted(known.pinned.items()) for key in sorted(keys)]
    body: JsonValue = {
        "seen": [owners.to_json() for owners in known.all()],
        "pinned": [{"namespace": name, "key": str(key), "id": key.id} for name, key in pinned],
        "published": [owners.to_json() for _, owners in sorted(published.items())],
    }

    def human() -> None:
        rows = [
            (o.namespace, "owner, seen", _named(k)) for o in known.all() for k in o.current.keys
        ]
        rows += [(name, "pinned", key.short_id) for name, key in pinned]
        rows += [
            (name, "owner, here", _named(key))
            for name, owners in sorted(published.items())
            for key in owners.current.keys
        ]
        output.table(("NAMESPACE", "KIND", "KEY"), rows)
        if not rows:
            output.note("no owner is known; onex trust claim NAMESPACE makes you one")

    output.emit(body, human)


def _required_keys(registry: Registry, files: Sequence[Path]) -> list[SigningKey]:
    keys = read_keys(registry.configuration, files)
    if not keys:
        raise KeyUnusableError(
            "there is no key to sign with", hint="make one: onex trust keygen, or name one: --key"
        )
    return keys


def _owners(
    registry: Registry, namespace: str, remote: str | None, *, here: bool
) -> NamespaceOwners | None:
    if here:
        return registry.published_owners.all().get(namespace)
    return registry.publisher(remote).owners(namespace)


def _change(
    registry: Registry,
    statement: OwnersStatement,
    keys: Sequence[SigningKey],
    remote: str | None,
    *,
    here: bool,
) -> NamespaceOwners:
    """Sign a statement about owners and have it taken; returns the owners then."""
    try:
        statement.check()
    except ValueError as error:
        raise UsageError(f"these owners cannot be: {error}", hint="see --help") from error
    envelope = Envelope(PAYLOAD_TYPE, statement.payload())
    for key in keys:
        envelope = key.sign(envelope)
    if here:
        return registry.published.change_owners(envelope)
    publisher = registry.publisher(remote)
    publisher.change_owners(statement.namespace, envelope)
    changed = publisher.owners(statement.namespace)
    if changed is None or changed.links[-1].envelope.payload != envelope.payload:
        raise UsageError(
            f"the owners of {statement.namespace} were changed by somebody else meanwhile",
            hint=f"look at them: onex trust owners {statement.namespace}",
        )
    return changed


def _emit_owners(output: Output, owners: NamespaceOwners) -> None:
    def human() -> None:
        current = owners.current
        rows = [(owner.name or "-", owner.key.short_id, str(owner.key)) for owner in current.keys]
        output.table(("OWNER", "ID", "KEY"), rows)
        for key in current.revoked:
            since = f" since {key.since}" if key.since else ""
            output.line(f"revoked{since}: {key.key_id[:16]}: {key.reason or 'no reason given'}")
        output.note(
            f"{owners.namespace}, statement {current.sequence};"
            f" {counted(current.threshold, 'owner')} must sign a change"
        )

    output.emit(owners.to_json(), human)


def _named(owner: OwnerKey) -> str:
    return f"{owner.key.short_id} {owner.name}".strip()


def _owner(text: str) -> OwnerKey:
    """``KEY=NAME``; the key itself may end with signs of equality."""
    key, _, name = text.rpartition("=")
    return OwnerKey(read_public_key(key), name) if key and name else OwnerKey(read_public_key(text))


def _owner_key(current: OwnersStatement, text: str) -> OwnerKey:
    """The owner whose key's identifier begins so, or who has this key or this name."""
    found = [
        owner
        for owner in current.keys
        if text in (str(owner.key), owner.name)
        or (len(text) >= 8 and owner.key.id.startswith(text))
    ]
    if len(found) != 1:
        raise UsageError(
            f"{text!r} is the key of {counted(len(found), 'owner')} of {current.namespace}",
            hint="name one by its ID: onex trust owners " + current.namespace,
        )
    return found[0]


def _key_id(current: OwnersStatement, text: str) -> str:
    return _owner_key(current, text).key.id


def _utc(text: str | None) -> str | None:
    """A time that somebody wrote, in UTC."""
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no time", hint="write it as RFC 3339 has it: 2026-05-01T12:00:00Z"
        ) from error
    return moment.isoformat(timespec="seconds")
