"""Workspace: a project on a machine, as registries tell it from others that use them too."""

from __future__ import annotations

import re
from dataclasses import dataclass

FOLDER_DIGITS = 12
_FOLDER = re.compile(f"[0-9a-f]{{{FOLDER_DIGITS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project on a machine, whose findings are kept apart from those of others.

    ``name`` is empty if the registry belongs to this workspace alone. ``machine`` is what
    stands before the folder in the names of this machine's workspaces on servers;
    ``is_in_file`` says that the registry is a file, whose workspaces have names without a
    machine. ``former_names`` are those under which this workspace may have stored something
    before.
    """

    name: str = ""
    machine: str = ""
    is_in_file: bool = True
    former_names: tuple[str, ...] = ()

    def sees_files_of(self, workspace: str) -> bool:
        """Whether the paths of another workspace mean files that can be looked at here.

        Names that a user gave may be those of any machine, also in a file, which may be a
        copy of what was on a server.
        """
        if workspace == self.name:
            return True
        if self.is_in_file and (not workspace or _FOLDER.fullmatch(workspace)):
            return True
        return bool(self.machine) and workspace.startswith(f"{self.machine}.")
