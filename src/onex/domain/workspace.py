"""Workspace: a project on a machine, as registries tell it from others that use them too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where commands run: what is found here is kept apart from what others find.

    ``name`` is empty if the registry belongs to this workspace alone. ``machine`` is what the
    names of all unnamed workspaces of this machine begin with, None if every workspace of
    the registry is on this machine. ``former_names`` are those under which this workspace
    may have stored something before.
    """

    name: str = ""
    machine: str | None = None
    former_names: tuple[str, ...] = ()

    def sees_files_of(self, workspace: str) -> bool:
        """Whether the paths of another workspace mean files that can be looked at here."""
        return (
            self.machine is None
            or workspace in (self.name, *self.former_names)
            or workspace.startswith(f"{self.machine}.")
        )
