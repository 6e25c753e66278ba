"""``onex cache``"""

from __future__ import annotations

from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output
from onex.domain.errors import CacheNotClearedError
from onex.domain.json_value import JsonValue
from onex.registry import Registry


@click.group()
def cache() -> None:
    """What onex remembers to be faster: resolved versions, and files of remotes."""


@cache.command()
@home_option
@output_options
def stats(output: Output, home: Path | None) -> None:
    """Show what the caches hold, and how often they had an answer.

    "constraints" counts this command alone, the others count since the last clear.
    """
    with Registry.open(home) as registry:
        found = registry.caches.reports()
        failure = registry.caches.failure
    body: JsonValue = {"caches": [entry.to_json() for entry in found], "failure": failure}

    def human() -> None:
        rows = []
        for entry in found:
            ratio = entry.statistics.hit_ratio
            rows.append(
                (
                    entry.name,
                    str(entry.entries),
                    str(entry.statistics.hits),
                    str(entry.statistics.misses),
                    "" if ratio is None else f"{ratio:.1%}",
                )
            )
        output.table(("CACHE", "ENTRIES", "HITS", "MISSES", "HIT RATIO"), rows)
        if failure is not None:
            output.warning(f"answers are not kept: {failure}")

    output.emit(body, human)


@cache.command()
@click.argument("pattern")
@home_option
@output_options
def invalidate(output: Output, pattern: str, home: Path | None) -> None:
    """Forget the answers whose keys match PATTERN, in every level and process.

    Keys are dependencies:WHAT-WAS-ASKED and versions:NODE@CONSTRAINT, so
    "*tool://my.node*" forgets whatever was asked about a node.
    """
    with Registry.open(home) as registry:
        is_dropped = registry.caches.invalidate(pattern)
        _require(registry, is_dropped=is_dropped)
    output.emit({"invalidated": pattern}, lambda: output.line(f"forgot {pattern}"))


@cache.command()
@home_option
@output_options
def clear(output: Output, home: Path | None) -> None:
    """Forget every answer; the next commands find them again."""
    with Registry.open(home) as registry:
        is_dropped = registry.caches.clear()
        _require(registry, is_dropped=is_dropped)
    output.emit({"cleared": True}, lambda: output.line("the caches are empty"))


@cache.command()
@click.option(
    "--unused-days",
    type=click.FloatRange(0),
    default=30,
    show_default=True,
    help="How long nothing used them.",
)
@home_option
@output_options
def collect(output: Output, unused_days: float, home: Path | None) -> None:
    """Remove the archives of remote nodes that no project used for some days."""
    with Registry.open(home) as registry:
        found = registry.remotes.store.collect(unused_days)
    body: JsonValue = {
        "removed": found.removed,
        "removed_bytes": found.removed_bytes,
        "kept": found.kept,
    }
    output.emit(body, lambda: output.line(f"removed {found.removed} archives, kept {found.kept}"))


def _require(registry: Registry, *, is_dropped: bool) -> None:
    if not is_dropped:
        reason = registry.caches.failure or "another process is writing"
        raise CacheNotClearedError(
            f"some answers may still be kept: {reason}",
            hint="see that the cache can be reached and written, and try again",
        )
