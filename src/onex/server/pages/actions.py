"""What the owner of a registry can do with runs from its pages: resume, replay, cancel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from onex.domain.errors import NodeNotFoundError
from onex.domain.remote_errors import NotPermittedError
from onex.server.pages.site import Site

MAXIMUM_TOLD_BYTES = 4_000
MAXIMUM_KEPT = 100


@dataclass(frozen=True, slots=True)
class _Started:
    """A command that was started for a run, and what it says on standard error."""

    name: str
    process: subprocess.Popen[bytes]
    errors: BinaryIO

    def failure(self) -> str:
        """What it said, if it ended without doing what it was asked for; empty otherwise."""
        code = self.process.poll()
        # 1 says that the run itself failed, which its page shows.
        if code in (None, 0, 1):
            return ""
        self.errors.seek(0)
        said = self.errors.read(MAXIMUM_TOLD_BYTES).decode("utf-8", "replace").strip()
        return f"{self.name} ended with {code}: {said}"


class RunActions:
    """Starts commands of onex for the owner, in processes of their own that outlive the server."""

    def __init__(self, home: Path, start: Path) -> None:
        self._home = home
        self._start = start
        self._lock = threading.Lock()
        self._last: dict[str, _Started] = {}

    def failure(self, run_id: str) -> str:
        """Why what was last asked for a run was not done; empty if it was."""
        with self._lock:
            started = self._last.get(run_id)
        return "" if started is None else started.failure()

    def act(self, site: Site, request: Request) -> Response:
        """Do what the address says, and lead back to the run."""
        caller = site.caller(request)
        if not (site.is_owner_here and caller.is_owner):
            raise NotPermittedError(
                "runs are started and ended by the owner of this registry alone",
                hint="onex ui opens these pages as their owner",
            )
        history = site.registry(caller).history
        record = history.run(request.path_params["run_id"])
        match request.path_params["action"]:
            case "cancel":
                history.cancel(record.run_id)
            case "resume":
                self._begin(record.run_id, "run", "--resume", record.run_id)
            case "replay":
                self._begin(record.run_id, "runs", "replay", record.run_id)
            case other:
                raise NodeNotFoundError(f"runs have no action {other!r}", hint="go back")
        return RedirectResponse(f"/runs/{record.run_id}", 303)

    def _begin(self, run_id: str, *arguments: str) -> None:
        name = " ".join(arguments[:2])
        with self._lock:
            last = self._last.get(run_id)
        if last is not None and last.name == name and last.process.poll() is None:
            # A second click.
            return
        command = [sys.executable, "-m", "onex", *arguments, "--home", str(self._home), "-q"]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - read when the command has ended
        process = subprocess.Popen(
            command,
            cwd=self._start,
            env=os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # A signal to the server is none to a run.
            start_new_session=True,
        )
        # So that nothing takes for running what has ended.
        threading.Thread(target=process.wait, name="onex-action", daemon=True).start()
        with self._lock:
            self._last.pop(run_id, None)
            self._last[run_id] = _Started(name, process, errors)
            if len(self._last) > MAXIMUM_KEPT:
                self._last.pop(next(iter(self._last)))
