"""``onex trust init``, ``root``, ``rotate`` and ``sign-root``: the keys of a signed index"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.keys import ask_passphrase, keys_option, read_keys, read_public_key
from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.trust import trust
from onex.domain.errors import UsageError
from onex.domain.json_value import JsonValue
from onex.domain.trust_errors import KeyUnusableError
from onex.local_machine import replace_file
from onex.registry import Registry


@trust.command()
@click.option("--root-keys", "folder", required=True, metavar="FOLDER",
              type=click.Path(file_okay=False, path_type=Path),
              help="Where the root keys are written, such as on a stick.")  # fmt: skip
@click.option("--count", type=click.IntRange(1, 16), default=3, show_default=True,
              help="How many root keys are made.")  # fmt: skip
@click.option("--threshold", type=click.IntRange(1), default=2, show_default=True,
              help="How many of them must sign a later root.")  # fmt: skip
@home_option
@output_options
def init(output: Output, folder: Path, count: int, threshold: int, home: Path | None) -> None:
    """Sign the index of this registry from now on, and make the keys for it.

    Who reads it pins the fingerprint that is printed: onex remote add URL --fingerprint. The
    root keys are needed again to rotate keys, and nowhere else: keep them apart, and offline.
    """
    from onex.trust.index_roles import IndexRoles
    from onex.trust.signing import SigningKey

    if threshold > count:
        raise UsageError("the threshold is higher than the number of keys", hint="lower it")
    with Registry.open(home) as registry:
        signer = registry.index_signer
        if signer.fingerprint() is not None:
            raise UsageError(
                "the index of this registry is signed already", hint="see onex trust root"
            )
        keys = [SigningKey.generate() for _ in range(count)]
        files = [folder / f"root{number}.key" for number in range(1, count + 1)]
        there = [file for file in (*files, signer.key_file) if file.exists()]
        if there:
            raise KeyUnusableError(
                f"{there[0]} is there already, and was left alone",
                hint="name another folder, or move it away",
            )
        for key, file in zip(keys, files, strict=True):
            key.write(file)
        online = SigningKey.generate()
        online.write(signer.key_file)
        signer.install(IndexRoles.first(keys, threshold, online))
        fingerprint = signer.fingerprint()
    body: JsonValue = {"fingerprint": fingerprint, "root_keys": [str(file) for file in files]}

    def human() -> None:
        output.line(f"the index is signed; its root is {fingerprint}")
        output.note(f"keep the {count} root keys in {folder} apart, and offline;")
        output.note(f"{threshold} of them sign the next root")

    output.emit(body, human)


@trust.command()
@home_option
@output_options
def root(output: Output, home: Path | None) -> None:
    """Show the root of the signed index of this registry, which readers pin."""
    with Registry.open(home) as registry:
        signer = registry.index_signer
        fingerprint, roles = signer.fingerprint(), signer.roles()
    if fingerprint is None or roles is None:
        raise UsageError(
            "the index of this registry is not signed", hint="sign it: onex trust init"
        )
    signed = roles.root.signed
    role = signed.roles["root"]
    body: JsonValue = {
        "fingerprint": fingerprint,
        "version": signed.version,
        "threshold": role.threshold,
        "keys": list(role.keyids),
        "expires": signed.expires.isoformat(),
    }

    def human() -> None:
        output.line(fingerprint)
        output.note(
            f"version {signed.version}, good until {signed.expires:%Y-%m-%d};"
            f" {role.threshold} of {len(role.keyids)} keys sign the next one"
        )

    output.emit(body, human)


@trust.command()
@click.option("--online", "is_online", is_flag=True, help="Replace the key for daily signing.")
@click.option("--root-key", "root_keys", multiple=True, metavar="KEY",
              help="The public keys of the root from now on, or their files.")  # fmt: skip
@click.option("--threshold", type=click.IntRange(1), help="How many root keys sign a root.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the draft there, for root keys that are elsewhere.")  # fmt: skip
@keys_option
@home_option
@output_options
def rotate(
    output: Output,
    is_online: bool,
    root_keys: tuple[str, ...],
    threshold: int | None,
    out: Path | None,
    key_files: tuple[Path, ...],
    home: Path | None,
) -> None:
    """Make the next root: with other keys, or with the same for another year.

    It is signed with --key, by as many root keys as are there. With --out it is written to a file,
    which onex trust sign-root signs where the other keys are, and installs in the end.
    """
    from onex.trust.index_signer import NEXT_SUFFIX
    from onex.trust.signing import SigningKey

    with Registry.open(home) as registry:
        signer = registry.index_signer
        before = signer.roles()
        if before is None:
            raise UsageError("the index of this registry is not signed", hint="onex trust init")
        draft = before.following()
        if root_keys:
            fresh = [read_public_key(key) for key in root_keys]
            draft.trust(fresh, threshold or before.root.signed.roles["root"].threshold)
        elif threshold:
            draft.root.signed.roles["root"].threshold = threshold
            draft.root.signed.roles["targets"].threshold = threshold
        following = signer.key_file.with_suffix(NEXT_SUFFIX)
        if is_online:
            # One that an earlier draft was made for may be trusted by it any time.
            if following.exists():
                online = SigningKey.read(following, ask_passphrase)
            else:
                online = SigningKey.generate()
                online.write(following)
            draft.trust_online(online)
        draft.sign(read_keys(registry.configuration, key_files) if key_files else [])
        _finish(output, registry, draft.write(), out, draft.missing(before))


@trust.command("sign-root")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--install", "is_installed", is_flag=True, help="Have this registry take it over.")
@keys_option
@home_option
@output_options
def sign_root(
    output: Output,
    file: Path,
    is_installed: bool,
    key_files: tuple[Path, ...],
    home: Path | None,
) -> None:
    """Add signatures to the draft of a root, on any machine where a root key is."""
    from onex.trust.index_roles import IndexRoles

    draft = IndexRoles.read(file.read_bytes())
    with Registry.open(home) as registry:
        draft.sign(read_keys(registry.configuration, key_files) if key_files else [])
        if is_installed:
            _finish(output, registry, draft.write(), None, 0)
            return
    replace_file(file, draft.write().encode())
    signatures = len(draft.root.signatures)
    body: JsonValue = {"file": str(file), "signatures": signatures}
    output.emit(body, lambda: output.line(f"{file} has {counted(signatures, 'signature')}"))


def _finish(output: Output, registry: Registry, text: str, out: Path | None, missing: int) -> None:
    """Install a root, or write its draft to a file."""
    from onex.trust.index_roles import IndexRoles

    if out is not None:
        replace_file(out, text.encode())
        body: JsonValue = {"file": str(out), "missing": missing}
        output.emit(
            body,
            lambda: output.line(
                f"the draft is in {out}; {missing} signatures are missing before it is installed"
            ),
        )
        return
    signer = registry.index_signer
    signer.install(IndexRoles.read(text))
    fingerprint = signer.fingerprint()
    done: JsonValue = {"fingerprint": fingerprint, "missing": 0}
    output.emit(done, lambda: output.line(f"the root is {fingerprint} now; readers follow it"))
