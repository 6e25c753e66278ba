"""``onex publish``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.keys import keys_option, read_keys
from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.errors import UsageError
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.node_files import CONTRACT_FILE
from onex.registry import Registry


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--to", "remote", metavar="REMOTE", help="By default the only remote there is.")
@click.option("--here", is_flag=True, help="Publish to this registry itself, which is served.")
@click.option("--override", metavar="REASON", help="Why a release may break those who call it.")
@keys_option
@click.option("--dry-run", is_flag=True, help="Check everything, and store nothing.")
@home_option
@output_options
def publish(
    output: Output,
    directory: Path,
    remote: str | None,
    here: bool,
    override: str | None,
    key_files: tuple[Path, ...],
    dry_run: bool,
    home: Path | None,
) -> None:
    """Publish the node in a folder, or of a manifest.

    Everything is checked before anything is stored. The same files again are a success; other
    files of a version that is published are refused.
    """
    if here and remote is not None:
        raise UsageError("--here and --to exclude each other", hint="leave one of them out")
    manifest = manifest_in(directory)
    with Registry.open(home) as registry:
        keys = read_keys(registry.configuration, key_files)
        if here:
            answer = registry.publish_here(manifest, override=override, keys=keys, dry_run=dry_run)
        else:
            answer = registry.publish(
                manifest, remote, override=override, keys=keys, dry_run=dry_run
            )

    def human() -> None:
        if dry_run:
            state = "can be published" if answer.created else "is published already"
        else:
            state = "is published" if answer.created else "was published before, the same"
        by = f", signed by {', '.join(k.public.short_id for k in keys)}" if keys else ""
        output.line(f"{answer.node} {state}, as {answer.digest}{by}")
        for warning in answer.warnings:
            output.warning(warning)

    output.emit(answer.to_json(), human)


def manifest_in(path: Path) -> Path:
    """The manifest that a path means; raises UsageError if it means none, or several."""
    if path.is_file():
        return path
    found = sorted(p for p in path.iterdir() if p.name.endswith(MANIFEST_SUFFIX))
    found = found or [p for p in (path / CONTRACT_FILE,) if p.is_file()]
    if len(found) != 1:
        raise UsageError(
            f"{path} holds {len(found)} manifests",
            hint="name the folder of one node, or its manifest",
        )
    return found[0]
