"""The commit from which a folder was made, if git can tell."""

from __future__ import annotations

import subprocess
from pathlib import Path

from onex.domain.statement import MAXIMUM_TEXT, SourceCommit
from onex.domain.url import without_secrets

GIT_SECONDS = 10.0


def source_commit(folder: Path) -> SourceCommit | None:
    """The commit that has everything in a folder as it is; None if there is none.

    The repository is named by the URL of ``origin``, without a password, or else by its folder's
    name.
    """
    if _git(folder, "status", "--porcelain", "--ignored=no", "--", ".") != "":
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", "--", ".")
    if not commit or not tracked:
        return None
    repository = _git(folder, "remote", "get-url", "origin")
    if repository:
        repository = without_secrets(repository)
    else:
        repository = Path(_git(folder, "rev-parse", "--show-toplevel") or folder).name
    if len(repository) > MAXIMUM_TEXT or not repository.isprintable():
        return None
    return SourceCommit(repository, commit)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None if it fails or is not there."""
    # A hook or a monitor that the repository names must not be started by a look at it.
    settings = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        answer = subprocess.run(
            # Wherever this user has it.
            ["git", *settings, "-C", str(folder), *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", "replace").strip() if answer.returncode == 0 else None
