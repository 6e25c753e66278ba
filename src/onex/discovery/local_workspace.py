"""Which workspace commands run in: that of the project, on this machine."""

from __future__ import annotations

import hashlib
import os

from onex.configuration.settings import STATE_FOLDER, Configuration
from onex.domain.workspace import FOLDER_DIGITS, Workspace
from onex.local_machine import machine_name
from onex.storage.opening import is_server


def local_workspace(configuration: Configuration) -> Workspace:
    """The workspace that applies.

    A registry in the project's own folder of state belongs to it alone. In a file that
    projects share, each is told by its folder; on a server, by the machine too. A project
    that moved is another workspace, which sees that the files of the former one are gone.
    """
    home, project = configuration.home, configuration.project
    folder = _digest(os.path.realpath(home if project is None else project))
    machine = _digest(machine_name())
    on_server = is_server(configuration.storage)
    own = home if project is None else project / STATE_FOLDER
    if configuration.workspace:
        name = configuration.workspace
    elif on_server:
        name = f"{machine}.{folder}"
    elif configuration.storage is None and os.path.realpath(home) == os.path.realpath(own):
        name = ""
    else:
        name = folder
    former = tuple(n for n in (f"{machine}.{folder}", folder, "") if n != name)
    return Workspace(name, machine, not on_server, former)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:FOLDER_DIGITS]
