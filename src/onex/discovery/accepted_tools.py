"""AcceptedToolsDiscovery: the tools of another server that were accepted, in a folder of nodes."""

from __future__ import annotations

from pathlib import Path

from onex.configuration.mcp_server import MCP_KIND
from onex.discovery.filesystem import FileSystemDiscovery
from onex.discovery.source import Deadline, Discovery, SourceSnapshot
from onex.domain.errors import PathNotReadableError


class AcceptedToolsDiscovery(FileSystemDiscovery):
    """Every tool below a folder, which is not there before the first was accepted.

    The server itself is not asked: a scan runs nothing.
    """

    kind = MCP_KIND

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self._folder = path

    def health_check(self) -> None:
        """Raise PathNotReadableError if nothing was accepted yet, or the folder is lost."""
        try:
            super().health_check()
        except PathNotReadableError as error:
            error.hint = f"take its tools in: onex mcp accept {self.name}"
            raise

    def discover_nodes(self, memory: SourceSnapshot, deadline: Deadline) -> Discovery:
        """Say which tools changed; raises as FileSystemDiscovery, unless none was ever there."""
        if not self._folder.exists() and not memory.fingerprints:
            return Discovery()
        return super().discover_nodes(memory, deadline)
