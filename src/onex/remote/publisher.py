"""Publisher: hands nodes and decisions to a remote registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

from onex.configuration.settings import SourceConfiguration
from onex.domain.advisory import Advisory
from onex.domain.envelope import Envelope
from onex.domain.errors import DocumentError
from onex.domain.json_value import (
    JsonObject,
    as_count,
    as_list,
    as_number,
    as_object,
    as_optional_text,
    as_text,
    as_texts,
    parse_json,
)
from onex.domain.lifecycle import Lifecycle
from onex.domain.namespace_owners import NamespaceOwners
from onex.domain.reference import NodeVersion
from onex.domain.remote_errors import (
    NotPublishableError,
    RemoteProtocolError,
    RemoteUnavailableError,
)
from onex.manifests.ignore_rules import rules_in
from onex.manifests.local_node import read_manifest_content
from onex.manifests.node_files import collect_files, read_node_files
from onex.remote.archived_node import ArchivedNode, pack_node
from onex.remote.http_tree import HttpTree
from onex.remote.private_files import private_files
from onex.remote.publication import Published
from onex.remote.published_owners import MAXIMUM_OWNERS_BYTES, parse_owners
from onex.remote.remotes import Remotes
from onex.remote.tree import owners_path, read_file

ATTEMPTS = 3
_FOUND_TEXTS = ("type", "namespace", "name", "version", "description")


def pack_folder(manifest: Path) -> ArchivedNode:
    """The archive of the node that a manifest describes, read from its folder.

    Raises:
        DocumentError: the manifest cannot be used.
        NotPublishableError: away from its folder it says something else.
        ArchiveRefusedError: a file has a name that cannot be published.
        NodeFilesError, OSError: its files cannot be read.
    """
    content = manifest.read_bytes()
    reading = read_manifest_content(manifest, content)
    if reading.metadata is None:
        raise DocumentError(f"{manifest} cannot be used", reading.problems)
    rules = rules_in(str(manifest.parent), None)
    collected = collect_files(manifest, reading.metadata.entrypoint, rules)
    files = read_node_files(manifest.parent, collected.names, {manifest.name: content})
    private = [f"{path}: {why}" for path, why in private_files(files.contents)]
    if private:
        raise NotPublishableError(
            f"{manifest.parent} holds what nobody means to publish: {'; '.join(private)}",
            private,
            hint="move it elsewhere, or leave it out with .onexignore",
        )
    packed = pack_node(files.contents, manifest.name)
    if packed.metadata != reading.metadata:
        raise NotPublishableError(
            f"{manifest} takes its name from the package around it, which is not published with it",
            hint="give the node a manifest of its own: node.onex.yaml",
        )
    return packed


class Publisher:
    """Sends publications and decisions to one remote."""

    def __init__(self, remotes: Remotes, remote: SourceConfiguration) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            NotPublishableError: the remote is a folder.
        """
        tree = remotes.tree(remote)
        if not isinstance(tree, HttpTree):
            raise NotPublishableError(
                f"{remote.name} is a folder, which is only read",
                hint="publish to a registry here or on a server, and export that to the folder",
            )
        self._tree = tree
        self._remotes = remotes
        self._remote = remote

    def publish(
        self,
        node: ArchivedNode,
        *,
        override: str | None = None,
        statement: Envelope | None = None,
        dry_run: bool = False,
    ) -> Published:
        """Publish a node; an answer that is lost is asked for again.

        Raises:
            RemoteRefusedError: the remote refuses it, with the code of the reason.
            RemoteUnavailableError: the remote does not answer.
        """
        options = {"dry_run": "true" if dry_run else "false"}
        if override is not None:
            options["override"] = override
        headers = {"content-type": "application/x-tar", "onex-manifest": node.place.manifest}
        if statement is not None:
            headers["onex-statement"] = str(statement)
        answer = self._repeated(
            lambda: self._tree.ask(
                "PUT",
                f"{_path(node.metadata.node_version)}?{urlencode(options)}",
                content=node.archive,
                headers=headers,
            )
        )
        try:
            found = Published(
                NodeVersion.parse(as_text(answer["node"])),
                as_text(answer["digest"]),
                as_count(answer["serial"]),
                bool(answer["created"]),
                as_texts(as_list(answer.get("warnings", []))),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _strange(self._remote.name) from error
        if (found.node, found.digest) != (node.metadata.node_version, node.files.digest):
            raise _strange(self._remote.name)
        if not dry_run:
            self._remotes.note_published(self._remote, found.serial)
        return found

    def sign(self, version: NodeVersion, statement: Envelope) -> None:
        """Add a signed statement to a version there; raises as ``publish``."""
        body = statement.to_json()
        path = f"{_path(version)}/statements"
        answer = self._repeated(lambda: self._tree.ask("POST", path, body=body))
        self._note_serial(answer)

    def owners(self, namespace: str) -> NamespaceOwners | None:
        """The owners of a namespace there, whose chain was checked; None if it has none.

        Raises:
            OwnersRefusedError: the chain is broken.
            SourceError: the remote does not answer, or not as it must.
        """
        self._tree.at_least(self._remotes.published_serial(self._remote))
        content = read_file(self._tree, owners_path(namespace), MAXIMUM_OWNERS_BYTES)
        return None if content is None else parse_owners(content, namespace)

    def change_owners(self, namespace: str, statement: Envelope) -> None:
        """Set or change the owners of a namespace there; raises as ``publish``."""
        path = f"api/v1/owners/{quote(namespace)}"
        body = statement.to_json()
        self._note_serial(self._repeated(lambda: self._tree.ask("PUT", path, body=body)))

    def publish_advisory(self, advisory: Advisory) -> int:
        """Publish an advisory there; returns a serial that has it. Raises as ``publish``."""
        path = f"api/v1/advisories/{quote(advisory.id)}"
        body = as_object(parse_json(advisory.body))
        answer = self._repeated(lambda: self._tree.ask("PUT", path, body=body))
        self._note_serial(answer)
        return as_count(answer["serial"])

    def _note_serial(self, answer: JsonObject) -> None:
        try:
            self._remotes.note_published(self._remote, as_count(answer["serial"]))
        except (KeyError, TypeError) as error:
            raise _strange(self._remote.name) from error

    def yank(self, version: NodeVersion, *, yanked: bool, reason: str | None) -> JsonObject:
        """Withdraw a version there, or bring it back; raises as ``publish``."""
        return self._decide(version, "yank", {"yanked": yanked, "reason": reason})

    def set_lifecycle(
        self,
        version: NodeVersion,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None,
        reason: str | None,
    ) -> JsonObject:
        """Take a version there to another state; raises as ``publish``."""
        body: JsonObject = {
            "lifecycle": lifecycle.value,
            "deprecated_by": deprecated_by,
            "reason": reason,
        }
        return self._decide(version, "lifecycle", body)

    def search(self, text: str, limit: int) -> JsonObject:
        """What a text is found in there; raises as ``publish``."""
        answer = self._tree.ask("GET", f"api/v1/search?{urlencode({'q': text, 'limit': limit})}")
        try:
            nodes = [_checked(as_object(node)) for node in as_list(answer["nodes"])]
            spelling = as_optional_text(answer["did_you_mean"])
        except (KeyError, TypeError) as error:
            raise _strange(self._remote.name) from error
        return {"nodes": nodes, "total": len(nodes), "next": None, "did_you_mean": spelling}

    def _decide(self, version: NodeVersion, what: str, body: JsonObject) -> JsonObject:
        answer = self._tree.ask("POST", f"{_path(version)}/{what}", body=body)
        try:
            self._remotes.note_published(self._remote, as_count(answer["serial"]))
            as_text(answer["node"])
            if not isinstance(answer["yanked"], bool):
                raise TypeError("yanked is no truth value")  # noqa: TRY301
        except (KeyError, TypeError) as error:
            raise _strange(self._remote.name) from error
        return answer

    def _repeated(self, ask: Callable[[], JsonObject]) -> JsonObject:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return ask()
            except RemoteUnavailableError:
                # It may have been stored: the same bytes again are a success.
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError


def _checked(node: JsonObject) -> JsonObject:
    """A node that a search found; raises KeyError, TypeError if what is printed is not there."""
    for member in _FOUND_TEXTS:
        as_text(node[member])
    as_number(node["score"])
    return node


def _path(version: NodeVersion) -> str:
    node = version.node
    return f"api/v1/nodes/{quote(node.type)}/{quote(node.namespace)}/{quote(str(version.version))}"


def _strange(name: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"{name} answered with something else than what was asked of it",
        hint="check the URL of the remote",
    )
