"""``onex lock``"""

from __future__ import annotations

import json
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.cli.targets import override_option, parse_overrides, references, targets_argument
from onex.domain.errors import ExitCode
from onex.domain.reference import NodeRef
from onex.registry import Registry
from onex.resolver.lockfile import LOCKFILE, Lockfile


@click.command()
@targets_argument
@click.option(
    "--upgrade", multiple=True, metavar="REF", help="Let this node move; may be repeated."
)
@click.option("--upgrade-all", is_flag=True, help="Let every node move.")
@click.option("--check", is_flag=True, help="Change nothing; exit with 3 if it would change.")
@override_option
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the versions as JSON, such as resolved_versions.json for ONEX tools.",
)
@home_option
@output_options
def lock(
    output: Output,
    targets: tuple[str, ...],
    upgrade: tuple[str, ...],
    upgrade_all: bool,
    check: bool,
    overrides: tuple[str, ...],
    export: Path | None,
    home: Path | None,
) -> int:
    """Write the chosen versions and digests to onex.lock.

    Without a target every workflow in the project's folder is locked. Versions
    that are locked stay, unless they no longer fit or --upgrade names them.
    """
    with Registry.open(home) as registry:
        if registry.configuration.sources:
            registry.scan()
        path = (registry.configuration.project or Path()) / LOCKFILE
        before = (registry.read_lock(path) if path.is_file() else None) or Lockfile()
        wanted = references(registry, targets)
        free = [str(registry.node(NodeRef.parse(text)).metadata.node) for text in upgrade]
        kept = Lockfile() if upgrade_all else before.without(free)
        resolution = registry.resolve(wanted, kept, overrides=parse_overrides(overrides))
    after = Lockfile.of(resolution.requirements, resolution.selected, resolution.needs)
    changes = _changes(before, after)
    is_current = before == after
    if not check and not is_current:
        path.write_text(after.to_toml(), encoding="utf-8")
    if export is not None:
        text = json.dumps(after.to_resolved_versions(), indent=2, sort_keys=True)
        export.write_text(f"{text}\n", encoding="utf-8")
    body = after.to_json() | {"path": str(path), "current": is_current, "changes": list(changes)}

    def human() -> None:
        for warning in resolution.warnings:
            output.warning(warning)
        for change in changes:
            output.line(change)
        state = "is current" if is_current else "would change" if check else "is written"
        output.line(f"{path} {state}: {counted(len(after.nodes), 'node')}")

    output.emit(body, human)
    return ExitCode.RESOLUTION_FAILED if check and not is_current else ExitCode.SUCCESS


def _changes(before: Lockfile, after: Lockfile) -> list[str]:
    changes: list[str] = []
    for name in sorted({*before.nodes, *after.nodes}):
        old, new = before.nodes.get(name), after.nodes.get(name)
        if old is None and new is not None:
            changes.append(f"add {name} {new.version}")
        elif new is None and old is not None:
            changes.append(f"drop {name} {old.version}")
        elif old is not None and new is not None and old.version != new.version:
            changes.append(f"move {name} from {old.version} to {new.version}")
        elif old is not None and new is not None and old.digest != new.digest:
            changes.append(f"accept new files of {name} {new.version}")
    return changes
