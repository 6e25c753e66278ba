"""``onex doctor``"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import click

from onex.cli.options import home_option, output_options
from onex.cli.output import Output, counted
from onex.configuration.settings import REMOTE_KIND, SourceConfiguration
from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import ExitCode, OnexError
from onex.domain.json_value import JsonValue
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel
from onex.domain.url import without_secrets
from onex.local_machine import owner_of, user_name
from onex.registry import Registry
from onex.storage.query import MetadataQuery
from onex.trust.source_authenticator import SourceAuthenticator

_MINIMUM_SQLITE = (3, 37, 0)
_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    status: str
    message: str
    hint: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "hint": self.hint,
        }


@click.command()
@home_option
@output_options
def doctor(output: Output, home: Path | None) -> int:
    """Check what onex needs of this machine, by trying it."""
    with Registry.open(home) as registry:
        checks = [
            _python(),
            _sqlite(),
            _commands(),
            _home(registry.configuration.home),
            _owners(registry.configuration.home),
            _attempt("registry", lambda: _database(registry)),
            _cache(registry),
            _attempt("artifacts", lambda: _artifacts(registry)),
            _attempt("isolation process", _process_isolation),
            _strict_isolation(),
            _advisories(registry),
        ]
        authenticator = SourceAuthenticator(registry.configuration)
        checks += [
            _source(source, error, authenticator) for source, error in registry.sources.check()
        ]
    is_ok = all(check.status != "failed" for check in checks)
    body: dict[str, JsonValue] = {"ok": is_ok, "checks": [check.to_json() for check in checks]}

    def human() -> None:
        for check in checks:
            output.line(f"{check.status:<8} {check.name}: {check.message}", _STYLES[check.status])
            if check.hint:
                output.line(f"         {check.hint}", "dim")

    output.emit(body, human)
    return ExitCode.SUCCESS if is_ok else ExitCode.USAGE


def _attempt(name: str, check: Callable[[], str]) -> _Check:
    try:
        return _Check(name, "ok", check())
    except OnexError as error:
        return _Check(name, "failed", error.message, error.hint)
    except OSError as error:
        return _Check(name, "failed", str(error), "check the folder's permissions")


def _python() -> _Check:
    return _Check("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _sqlite() -> _Check:
    if sqlite3.sqlite_version_info >= _MINIMUM_SQLITE:
        return _Check("sqlite", "ok", sqlite3.sqlite_version)
    return _Check(
        "sqlite",
        "failed",
        f"{sqlite3.sqlite_version} is older than 3.37",
        "use a Python that was built with a newer SQLite",
    )


def _commands() -> _Check:
    """Another distribution also installs a command called onex; the last one installed wins."""
    rivals = sorted(
        {
            entry.dist.name
            for entry in metadata.entry_points(group="console_scripts", name="onex")
            if entry.dist is not None and entry.dist.name != "onex-registry"
        }
    )
    if not rivals:
        return _Check("commands", "ok", "onex and onexr are this program")
    return _Check(
        "commands",
        "warning",
        f"{', '.join(rivals)} also installs a command called onex",
        "use onexr, which is always this program",
    )


def _home(home: Path) -> _Check:
    try:
        if not home.exists():
            above = next(folder for folder in home.parents if folder.exists())
            if above.is_dir() and os.access(above, os.W_OK):
                return _Check("home", "ok", f"{home} is made when something is stored")
            home.mkdir(parents=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"onex")
    except OSError as error:
        if home.is_dir() and os.access(home, os.R_OK | os.X_OK):
            return _Check(
                "home",
                "warning",
                f"{home} can be read, but not written: {error.strerror}",
                "commands that change something need another folder: --home FOLDER",
            )
        return _Check("home", "failed", str(error), "use another folder: --home FOLDER")
    return _Check("home", "ok", f"{home} can be written")


def _owners(home: Path) -> _Check:
    """Who owns what in the folder, since files of others are what locks users out."""
    owned: dict[str, list[str]] = {}
    unwritable = []
    if not home.exists():
        return _Check("owners", "ok", "nothing is stored yet")
    try:
        paths = [home, *sorted(home.iterdir())]
        for path in paths:
            name = "." if path == home else path.name
            owned.setdefault(owner_of(path), []).append(name)
            if not os.access(path, os.W_OK):
                unwritable.append(name)
    except OSError as error:
        return _Check("owners", "failed", str(error), "check the folder's permissions")
    if len(owned) == 1:
        said = f"all of it belongs to {next(iter(owned))}"
    else:
        said = "; ".join(f"{', '.join(names)}: {owner}" for owner, names in owned.items())
    if not unwritable:
        return _Check("owners", "ok", said)
    return _Check(
        "owners",
        "warning",
        f"{said}; you ({user_name()}) may not write {', '.join(unwritable)}",
        "ask the owner to give the folder to a group of yours (chgrp -R, chmod -R g+rwX, g+s"
        " on folders), or use --home FOLDER",
    )


def _database(registry: Registry) -> str:
    registry.storage.check()
    total = registry.query(MetadataQuery(all_versions=True, limit=0)).total
    name = registry.sources.workspace.name
    here = f"; this workspace is {name}" if name else ""
    return f"the database is sound and holds {counted(total, 'node version')}{here}"


_NOTHING = f"{DIGEST_PREFIX}{'0' * 64}"


def _artifacts(registry: Registry) -> str:
    place = registry.configuration.artifacts
    if place is None:
        return "they stay on this machine"
    registry.history.artifacts.has_shared(_NOTHING)
    return f"{without_secrets(place)} answers"


def _cache(registry: Registry) -> _Check:
    try:
        failure = registry.caches.check()
    except OnexError as error:
        failure = error.message
    if failure is not None:
        return _Check(
            "cache",
            "warning",
            f"answers are not kept: {failure}",
            "everything works without it, and takes longer",
        )
    url = registry.configuration.cache
    shared = "" if url is None else f", and shared by {without_secrets(url)}"
    return _Check("cache", "ok", f"answers are kept in the folder{shared}")


def _process_isolation() -> str:
    from onex.engines.probe import process_of_node

    return f"a node ran in process {process_of_node(IsolationLevel.PROCESS)} of its own"


def _strict_isolation() -> _Check:
    """Try what is forbidden in a real sandbox."""
    from onex.engines.probe import refused_to_node
    from onex.sandbox.availability import can_take_sockets, offered, why_not_strict

    name, reason = "isolation strict", why_not_strict()
    if reason is not None:
        return _Check(
            name,
            "warning",
            f"nodes cannot be confined here: {reason}",
            "nodes of trusted sources run in plain processes; others only by --allow-unsandboxed",
        )
    try:
        found = refused_to_node(IsolationLevel.STRICT)
    except OnexError as error:
        return _Check(name, "failed", error.message, error.hint)
    if found.possible:
        return _Check(
            name,
            "failed",
            f"a node without permissions could do what it must not: {', '.join(found.possible)}",
            "please report this, with the version of the kernel",
        )
    if not can_take_sockets():
        return _Check(
            name,
            "warning",
            "nodes are confined, and none can connect: pidfd_getfd is forbidden here",
            "allow it in the seccomp profile of the container, or give the container SYS_PTRACE",
        )
    answered = (
        ", and the host's answers"
        if found.is_answered
        else ", without the host's answers: another program listens, so nothing can be connected"
    )
    return _Check(
        name,
        "ok",
        f"by {offered()}{answered}; a node tried in vain: {', '.join(found.stopped)}",
        "not covered: that files exist, their sizes and times; time of the processor that others"
        " lack; defects of the kernel",
    )


def _advisories(registry: Registry) -> _Check:
    """The advisories about the versions that are chosen by default."""
    try:
        known = registry.advisories
        best = [
            registry.node(NodeRef(node.type, node.namespace))
            for node in known.known()
            if registry.storage.version_numbers(node)
        ]
        found = known.warnings(best)
    except OnexError as error:
        return _Check("advisories", "failed", error.message, error.hint)
    if not found:
        return _Check("advisories", "ok", "none is about the newest version of a node here")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return _Check("advisories", "warning", found[0] + more, "see them all: onex audit advisories")


def _source(
    source: SourceConfiguration, error: OnexError | None, authenticator: SourceAuthenticator
) -> _Check:
    name = f"source {source.name}"
    if error is not None:
        return _Check(name, "failed", error.message, error.hint)
    proof = authenticator.authenticate(source)
    where = str(source.path or source.kind)
    if proof.ok:
        return _Check(name, "ok", f"{where}: {proof.detail}")
    if source.kind == REMOTE_KIND:
        hint = "pin its root: onex remote add URL --fingerprint sha256:..."
    else:
        hint = "its nodes are not trusted; chmod -R o-w, or chown, makes it yours"
    return _Check(name, "warning", f"{where}: {proof.detail}", hint)
