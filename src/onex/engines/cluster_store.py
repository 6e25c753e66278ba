"""ClusterStore: has in the store of artifacts what the workers of a cluster need for calls."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import ExitStack
from pathlib import Path

from onex.artifacts.opening import open_contents
from onex.artifacts.shared_artifacts import SharedArtifacts
from onex.domain.artifact_records import artifacts_in
from onex.domain.digest import DIGEST_PREFIX
from onex.domain.errors import ConfigurationError
from onex.domain.json_value import ARTIFACT_KEY, JsonObject, as_text, canonical_json
from onex.engines.cluster_call import ClusterNode, StorePlace
from onex.engines.engine import LoadedNode, NodeCall
from onex.engines.selection import ClusterSettings
from onex.local_machine import held_folder
from onex.manifests.node_files import is_owned_file
from onex.remote.archive import pack

STORE_PREFIX = "onex-store-"


class ClusterStore:
    """The store that this machine and the workers share, for one run.

    It is that of the configuration; the workers of a cluster of this machine's own do without one,
    by a folder that is removed at the end.
    """

    def __init__(self, settings: ClusterSettings, *, is_own: bool) -> None:
        """Open the store; ``is_own`` says that the cluster is one of this machine's own.

        Raises:
            ConfigurationError: workers elsewhere could not reach the artifacts.
        """
        self._made = ExitStack()
        seen = settings.seen
        if settings.artifacts is not None:
            self.place = StorePlace(settings.artifacts, settings.group)
        elif is_own:
            parent = Path(tempfile.gettempdir())
            seen = self._made.enter_context(held_folder(parent, STORE_PREFIX))
            self.place = StorePlace(str(seen), settings.group)
        else:
            raise ConfigurationError(
                "workers of a cluster need a store of artifacts that they can reach",
                hint='write artifacts = "s3://bucket" or a shared folder into onex.toml, or set'
                " ONEX_ARTIFACTS",
            )
        contents = open_contents(
            self.place.url,
            self.place.group,
            settings.environment,
            settings.settings_folder,
            seen=seen,
        )
        self.shared = SharedArtifacts(contents)
        self._archives: dict[str, str] = {}
        self._evidence: dict[str, str] = {}
        self._inputs: set[str] = set()

    def close(self) -> None:
        """Release connections, and remove a folder that was made for this run."""
        self.shared.close()
        self._made.close()

    def node_of(self, call: NodeCall) -> ClusterNode:
        """The node of a call, as workers are told it; its files are in the store then.

        Raises:
            ArtifactsUnavailableError: the store cannot be used.
            ArchiveRefusedError: its files cannot be packed.
        """
        node = call.node
        if node.digest not in self._archives:
            self._archives[node.digest] = self._kept_archive(node)
            if node.evidence is not None and node.evidence.statements:
                told = canonical_json(node.evidence.to_json())
                self._evidence[node.digest] = self._kept(told.encode())
        return ClusterNode(
            identity=node.identity,
            digest=node.digest,
            archive=self._archives[node.digest],
            kind=node.kind,
            target=node.file.relative_to(node.folder).as_posix(),
            folder=str(node.folder),
            callable_name=node.callable_name,
            isolation=node.isolation,
            permissions=call.context.permissions,
            limits=node.rules.limits,
            asks_for_files=node.rules.asks_for_files,
            is_trusted=node.is_trusted,
            is_idempotent=node.is_idempotent,
            variables=node.variables,
            libraries=node.libraries,
            hidden=node.rules.hidden,
            manifest=node.manifest,
            evidence=self._evidence.get(node.digest),
        )

    def _kept_archive(self, node: LoadedNode) -> str:
        files = (path for path in node.folder.rglob("*") if path.is_file())
        contents = {
            path.relative_to(node.folder).as_posix(): path.read_bytes()
            for path in files
            if is_owned_file(path.name)
        }
        return self._kept(pack(contents))

    def _kept(self, content: bytes) -> str:
        """Have a content in the store; returns its digest."""
        digest = DIGEST_PREFIX + hashlib.sha256(content).hexdigest()
        with tempfile.NamedTemporaryFile(prefix="onex-node-") as file:
            file.write(content)
            file.flush()
            self.shared.keep(digest, len(content), Path(file.name))
        return digest

    def keep_inputs(self, inputs: JsonObject) -> None:
        """Have the artifacts among the inputs of a call in the store, if they are here.

        Raises:
            ArtifactsUnavailableError: the store cannot be used.
        """
        for record in artifacts_in(inputs):
            digest, path = as_text(record[ARTIFACT_KEY]), Path(as_text(record["path"]))
            if digest not in self._inputs and path.is_file():
                self.shared.keep(digest, path.stat().st_size, path)
                self._inputs.add(digest)
