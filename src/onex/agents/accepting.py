"""Accepting the tools of another server: it is asked while confined, and what it lists compared."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onex.agents.accepted_tools import (
    MANIFEST_FILE,
    Listing,
    ListingChange,
    accepted_in,
    changes_between,
    digest_of_files,
    files_of_lister,
    files_of_tool,
    read_listing,
    segment_of,
)
from onex.configuration.mcp_server import MCP_KIND, McpServer, read_mcp_server
from onex.configuration.settings import Configuration, SourceConfiguration
from onex.domain.agent_errors import ServerFailedError, ServerNotPinnedError
from onex.domain.errors import UsageError
from onex.domain.grant import RunAccess
from onex.domain.json_value import JsonObject
from onex.domain.reference import NodeRef
from onex.domain.result import IsolationLevel, RunResult
from onex.local_machine import make_folder, remove_tree, replace_text
from onex.manifests.override import Override
from onex.registry import Registry

_TOLD_LINES = 10


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a server lists now, and how that differs from what was accepted in a folder."""

    server: McpServer
    folder: Path
    listing: Listing
    accepted: Mapping[str, tuple[JsonObject, int]]
    changes: Sequence[ListingChange]

    @property
    def is_current(self) -> bool:
        """Whether what is written is what the server lists, and what ``onex.toml`` says of it."""
        return not self.changes and all(
            _is_written(self.folder, self.server, tool, revision)
            for tool, revision in self.accepted.values()
        )

    @property
    def nodes(self) -> list[str]:
        """The nodes that the tools are, by name."""
        namespace = self.server.namespace
        return [f"tool://{namespace}.{segment_of(name)}" for name in sorted(self.listing.tools)]

    def write(self) -> None:
        """Write the tools as nodes, and remove those that are gone."""
        make_folder(self.folder)
        for name, tool in self.listing.tools.items():
            before, revision = self.accepted.get(name, (None, -1))
            if before != tool:
                revision += 1
            place = self.folder / segment_of(name)
            make_folder(place)
            for file, text in files_of_tool(self.server, tool, revision).items():
                replace_text(place / file, text)
        for name in self.accepted.keys() - self.listing.tools.keys():
            remove_tree(self.folder / segment_of(name))


def declared_server(configuration: Configuration, name: str) -> tuple[McpServer, Path]:
    """The server that a source declares, and the folder of its accepted tools.

    Raises:
        UsageError: no source of the kind ``mcp`` has the name.
    """
    sources = {s.name: s for s in configuration.sources if s.kind == MCP_KIND}
    source: SourceConfiguration | None = sources.get(name)
    if source is None or source.path is None or configuration.project is None:
        known = ", ".join(sorted(sources)) or "none"
        raise UsageError(
            f"no source of the kind mcp is called {name!r}", hint=f"onex.toml declares: {known}"
        )
    server = read_mcp_server(name, source.url, source.options, configuration.project)
    return server, source.path


def look_at(registry: Registry, name: str) -> Acceptance:
    """Ask a declared server for its tools, and compare them with those that were accepted.

    The server runs, or is asked, under strict isolation with the permissions of its source.

    Raises:
        UsageError: there is no such source, or what was accepted cannot be read.
        ServerNotPinnedError: the command is not pinned, or to other files.
        ServerFailedError: the server does not answer as one should.
    """
    server, folder = declared_server(registry.configuration, name)
    if server.command:
        _require_pinned(server)
    with tempfile.TemporaryDirectory(prefix="onex-mcp-") as made:
        place = Path(made).resolve()
        for file, text in files_of_lister(server).items():
            (place / file).write_text(text, encoding="utf-8")
        reference = NodeRef.parse(f"tool://{server.namespace}.list-tools")
        result = registry.run(
            reference,
            overrides=[Override(reference, None, place / MANIFEST_FILE)],
            access=RunAccess(IsolationLevel.STRICT),
            use_cache=False,
        )
    if not result.success:
        raise _failed(server, result)
    listing = read_listing(result["node"].output)
    accepted = accepted_in(folder)
    known = {tool_name: tool for tool_name, (tool, _) in accepted.items()}
    return Acceptance(server, folder, listing, accepted, changes_between(known, listing.tools))


def _failed(server: McpServer, result: RunResult) -> ServerFailedError:
    step = result["node"]
    error = step.error or result.error
    told = error.message if error else "it ended"
    said = [line for line in (step.log or "").splitlines() if line.strip()][-_TOLD_LINES:]
    hints = [f"it wrote: {' | '.join(said)}"] if said else []
    hints += [
        'if it needs more than its own files, give its source permissions = ["file.read:/..."]',
        f"onex runs show {result.run_id} has the whole record",
    ]
    return ServerFailedError(
        f"the server {server.name} did not list its tools: {told}", hint="; ".join(hints)
    )


def _require_pinned(server: McpServer) -> None:
    found = digest_of_files(server.files)
    if server.digest == found:
        return
    what = "is not pinned" if server.digest is None else "has other files than those pinned"
    raise ServerNotPinnedError(
        f"the command of {server.name} {what}: {', '.join(server.files)}",
        hint=f'look at these files; then write digest = "{found}" for the source in onex.toml',
    )


def _is_written(folder: Path, server: McpServer, tool: JsonObject, revision: int) -> bool:
    place = folder / segment_of(str(tool["name"]))
    expected = files_of_tool(server, tool, revision)
    return all(
        (place / file).is_file() and (place / file).read_text(encoding="utf-8") == text
        for file, text in expected.items()
    )
