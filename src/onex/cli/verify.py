"""``onex sign`` and ``onex verify``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.keys import keys_option, read_keys
from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.cli.publish import manifest_in
from onex.domain.errors import ExitCode
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.domain.trust_errors import KeyUnusableError
from onex.registry import Registry


@click.command()
@click.argument("target", metavar="REF|DIR")
@keys_option
@click.option("--to", "remote", metavar="REMOTE", help="Where REF is published.")
@click.option("--here", is_flag=True, help="REF is published in this registry itself.")
@home_option
@output_options
def sign(
    output: Output,
    target: str,
    key_files: tuple[Path, ...],
    remote: str | None,
    here: bool,
    home: Path | None,
) -> None:
    """Sign a version that is published, or the node in a folder.

    The statement about a folder is written beside its manifest, and is no part of the node.
    """
    from onex.remote.publisher import pack_folder
    from onex.remote.release_signing import sign_folder

    with Registry.open(home) as registry:
        keys = read_keys(registry.configuration, key_files)
        if not keys:
            raise KeyUnusableError(
                "there is no key to sign with",
                hint="make one: onex trust keygen, or name one: --key",
            )
        if Path(target).exists():
            manifest = manifest_in(Path(target))
            packed = pack_folder(manifest)
            node = packed.metadata.node_version
            file: str | None = str(sign_folder(manifest, packed, keys))
        else:
            node = registry.sign(NodeRef.parse(target), keys, remote, here=here)
            file = None
    where = f"in {file}" if file else "where it is published"
    names = [key.public.id for key in keys]
    body: JsonValue = {"node": str(node), "keys": names, "file": file}
    output.emit(body, lambda: output.line(f"{node} is signed {where}"))


@click.command()
@click.argument("target", metavar="REF|DIR")
@home_option
@output_options
def verify(output: Output, target: str, home: Path | None) -> int:
    """Say whether a node can be trusted, and why; exits with 5 if it must not be used."""
    from onex.remote.publisher import pack_folder
    from onex.remote.release_signing import verify_folder

    with Registry.open(home) as registry:
        if Path(target).exists():
            manifest = manifest_in(Path(target))
            node, validation = verify_folder(manifest, pack_folder(manifest), registry.validator)
        else:
            registered = registry.node(NodeRef.parse(target))
            node = registered.metadata.node_version
            validation = registry.validator.validate(registered)
    failure = validation.failure

    def human() -> None:
        state = "is refused" if failure is not None else f"is {validation.level}"
        output.line(f"{node} {state}")
        for check in validation.checks:
            output.line(f"  {'yes' if check.ok else 'NO '}  {check.name}: {check.detail}")

    output.emit({"node": str(node), **validation.to_json()}, human)
    return ExitCode.SUCCESS if failure is None else ExitCode.SECURITY_REFUSAL
