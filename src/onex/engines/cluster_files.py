"""ClusterFiles: nodes and artifacts on a worker of a cluster, from the store by their digests."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from onex.artifacts.artifact_store import ArtifactStore
from onex.artifacts.opening import open_contents
from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.artifact_records import artifacts_in, with_paths, with_records
from onex.domain.errors import ArtifactNotFoundError, DigestMismatchError, WorkerUnfitError
from onex.domain.evidence import Evidence
from onex.domain.json_value import JsonObject, JsonValue, as_object, as_text, parse_json
from onex.domain.path_text import is_within
from onex.domain.permission import Permission
from onex.domain.result import IsolationLevel
from onex.domain.trust_errors import NotVerifiedError
from onex.engines.cluster_call import ClusterNode, StorePlace
from onex.engines.cluster_trust import WorkerPolicy, require_trusted
from onex.engines.engine import PROGRAM, LoadedNode
from onex.engines.node_loader import NODES_FOLDER, unpack_files
from onex.remote.archive import unpack
from onex.remote.archived_node import files_of
from onex.sandbox.granted_rules import granted_rules
from onex.sandbox.rules import SandboxRules
from onex.trust.grantable import refusal_of

ARCHIVE_NAME, EVIDENCE_NAME = "node.tar", "evidence.json"


class ClusterFiles:
    """What one worker has fetched from one store. Serves many threads."""

    def __init__(
        self,
        place: StorePlace,
        folder: Path,
        hidden: Sequence[str],
        environment: Mapping[str, str],
        settings: Path,
        policy: WorkerPolicy,
    ) -> None:
        """Prepare.

        Args:
            place: the store.
            folder: where to keep what is fetched.
            hidden: what no node may read, beside the store.
            environment: where keys and tokens for the store come from.
            settings: the user's folder of settings, which has the tokens of registries.
            policy: which nodes this worker runs.
        """
        self._policy = policy
        self._folder = folder
        self._hidden = tuple(hidden)
        if place.is_folder:
            self._hidden += (os.path.realpath(place.url),)
        contents = open_contents(place.url, place.group, environment, settings)
        self._store = ArtifactStore(folder / "artifacts", SharedArtifacts(contents))
        self._loaded: dict[str, LoadedNode] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Release connections."""
        self._store.close()

    def load(self, node: ClusterNode) -> LoadedNode:
        """Fetch and verify a node.

        Raises:
            ArtifactNotFoundError: the store does not have it.
            ArtifactsUnavailableError: the store cannot be used.
            DigestMismatchError, ArchiveRefusedError: what is there is something else.
            NotVerifiedError, PolicyRefusedError, WorkerUnfitError: as ``require_trusted``.
            NodeLoadError: it cannot be unpacked.
        """
        key = json.dumps(node.to_json())
        with self._lock:
            known = self._loaded.get(key)
            if known is None or not known.file.exists():
                known = self._loaded[key] = self._load(node, self._unpack(node))
            return known

    def require_free(self, readable: Sequence[str], writable: Sequence[str]) -> None:
        """Raise WorkerUnfitError for files that are handed over and are kept from every node."""
        for path in (*readable, *writable):
            real = os.path.realpath(path)
            if any(is_within(real, folder) for folder in self._hidden):
                raise WorkerUnfitError(
                    f"{path} is kept from nodes on a worker", hint="hand over another file"
                )

    def _load(self, node: ClusterNode, folder: Path) -> LoadedNode:
        file = folder / node.target
        permissions = [Permission.parse(text) for text in node.permissions]
        for permission in permissions:
            refusal = refusal_of(permission, self._hidden)
            if refusal is not None:
                raise WorkerUnfitError(
                    f"{permission} cannot be granted on a worker: {refusal}",
                    hint="grant a narrower path, or keep the workers' folders elsewhere",
                )
        is_strict = node.isolation is IsolationLevel.STRICT
        rules = SandboxRules(limits=node.limits)
        if is_strict:
            rules = granted_rules(
                permissions,
                file if node.kind == PROGRAM else None,
                tuple(dict.fromkeys((*self._hidden, *node.hidden))),
                node.limits,
                takes_paths=node.asks_for_files,
            )
        return LoadedNode(
            identity=node.identity,
            digest=node.digest,
            kind=node.kind,
            folder=folder,
            file=file,
            callable_name=node.callable_name,
            origin=Path(node.folder),
            variables=node.variables,
            rules=rules,
            is_trusted=node.is_trusted,
        )

    def _unpack(self, node: ClusterNode) -> Path:
        archive = self._store.fetch(node.archive, ARCHIVE_NAME)
        if archive is None:
            raise ArtifactNotFoundError(
                f"the files of {node.identity} are not in the store of artifacts",
                hint="start the run again, which stores them",
            )
        files = files_of(unpack(archive.read_bytes()))
        if files.digest != node.digest:
            raise DigestMismatchError(
                f"the files of {node.identity} in the store are not those that were verified",
                hint="look at who can write to the store",
                details={"expected": node.digest, "found": files.digest},
            )
        require_trusted(node, files, self._evidence_of(node), self._policy)
        program = node.target if node.kind == PROGRAM else None
        folder = self._folder / NODES_FOLDER
        return unpack_files(folder, files.digest, files.contents, program)

    def _evidence_of(self, node: ClusterNode) -> Evidence | None:
        if node.evidence is None:
            return None
        file = self._store.fetch(node.evidence, EVIDENCE_NAME)
        if file is None:
            raise ArtifactNotFoundError(
                f"what speaks for {node.identity} is not in the store of artifacts",
                hint="start the run again, which stores it",
            )
        try:
            return Evidence.from_json(parse_json(file.read_bytes()))
        except (KeyError, TypeError, ValueError) as error:
            raise NotVerifiedError(
                f"{node.identity} is not run: what speaks for it cannot be read",
                hint="look at who can write to the store",
            ) from error

    def bring(self, inputs: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
        """The inputs as a node receives them, and the artifacts among them, which are here then.

        Raises:
            ArtifactNotFoundError: the store does not have one.
            ArtifactsUnavailableError, FileNotWrittenError: as ``ArtifactStore.bring``.
        """
        if not any(artifacts_in(inputs)):
            return inputs, ()

        def here(record: JsonObject) -> JsonObject:
            found = self._store.bring(record)
            if found is None:
                raise ArtifactNotFoundError(
                    f"the artifact {record['name']} is not in the store of artifacts",
                    hint="run the step again that made it: --refresh STEP",
                )
            return found

        brought = as_object(with_records(inputs, here))
        paths = {as_text(record["path"]) for record in artifacts_in(brought)}
        return as_object(with_paths(brought)), tuple(map(os.path.realpath, sorted(paths)))

    def take(self, output: JsonValue, workdir: str) -> JsonValue:
        """Store what a result hands over; raises as ``ArtifactStore.take`` and ``share``."""
        taken = self._store.take(output, workdir)
        self._store.share(taken)
        return taken
