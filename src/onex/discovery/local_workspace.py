"""Which workspace commands run in: that of the project, on this machine."""

from __future__ import annotations

import hashlib
import os

from onex.configuration import STATE_FOLDER, Configuration
from onex.domain.workspace import Workspace
from onex.local_machine import machine_name
from onex.storage.opening import is_server

DIGITS = 12


def local_workspace(configuration: Configuration) -> Workspace:
    """The workspace that applies.

    A registry in the project's own folder of state belongs to it alone. In a file that
    projects share, each is told by its folder; on a server, by the machine too. A project
    that moved is another workspace, which sees that the files of the former one are gone.
    """
    home, project = configuration.home, configuration.project
    folder = _digest(os.path.realpath(home if project is None else project))
    if is_server(configuration.storage):
        machine = _digest(machine_name())
        name = configuration.workspace or f"{machine}.{folder}"
        return Workspace(name, machine, ("", folder))
    if configuration.workspace:
        return Workspace(configuration.workspace, None, ("", folder))
    own = home if project is None else project / STATE_FOLDER
    if configuration.storage is None and os.path.realpath(home) == os.path.realpath(own):
        return Workspace()
    return Workspace(folder, None, ("",))


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:DIGITS]
