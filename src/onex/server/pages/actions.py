"""What the owner of a registry can do with runs from its pages: resume, replay, cancel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from onex.domain.remote_errors import NotPermittedError
from onex.server.pages.site import Site

ACTIONS = ("resume", "replay", "cancel")


class RunActions:
    """Starts commands of onex for the owner, in processes of their own that outlive the server."""

    def __init__(self, home: Path, start: Path) -> None:
        self._home = home
        self._start = start
        self._started: list[subprocess.Popen[bytes]] = []

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
                self._begin("run", "--resume", record.run_id)
            case _:
                self._begin("runs", "replay", record.run_id)
        return RedirectResponse(f"/runs/{record.run_id}", 303)

    def _begin(self, *arguments: str) -> None:
        self._started = [process for process in self._started if process.poll() is None]
        command = [sys.executable, "-m", "onex", *arguments, "--home", str(self._home), "-q"]
        self._started.append(
            subprocess.Popen(
                command,
                cwd=self._start,
                env=os.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # A signal to the server is none to a run.
                start_new_session=True,
            )
        )
