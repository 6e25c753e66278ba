"""VersionDecisions: yanking versions and changing their lifecycle."""

from __future__ import annotations

from collections.abc import Callable

from onex.domain.errors import LifecycleError
from onex.domain.lifecycle import Lifecycle, check_replacement
from onex.domain.metadata import RegisteredNode
from onex.domain.reference import NodeRef, NodeVersion
from onex.resolution.cached_resolver import CachedResolver
from onex.storage.backend import StorageBackend, StorageWriter


class VersionDecisions:
    """Changes versions in the name of somebody. A refusal is an entry of the log, too."""

    def __init__(
        self, storage: StorageBackend, resolver: CachedResolver, actor: str | None
    ) -> None:
        """``actor`` is who decides, as the log names them."""
        self._storage = storage
        self._resolver = resolver
        self._actor = actor

    def yank(self, reference: NodeRef, *, yanked: bool, reason: str | None) -> RegisteredNode:
        """Withdraw a version from new resolutions, or bring it back."""
        node = self._one_version(reference)
        if node.yanked != yanked:
            version = node.metadata.node_version
            self._storage.write(
                lambda writer: writer.set_yanked(version, yanked=yanked, reason=reason),
                self._actor,
            )
        return self._one_version(reference)

    def set_lifecycle(
        self,
        reference: NodeRef,
        lifecycle: Lifecycle,
        *,
        deprecated_by: str | None,
        reason: str | None,
    ) -> RegisteredNode:
        """Take a version to another lifecycle state; raises LifecycleError if that is refused."""
        version = self._one_version(reference).metadata.node_version
        replacement = None
        if deprecated_by is not None:
            found = self._resolver.node(NodeRef.parse(deprecated_by))
            replacement = found.metadata.node_version

        def change(writer: StorageWriter) -> None:
            if replacement is not None:
                check_replacement(version, replacement)
            writer.set_lifecycle(version, lifecycle, deprecated_by=deprecated_by, reason=reason)

        self._decide("node.lifecycle", version, change)
        return self._one_version(reference)

    def _decide(
        self, action: str, version: NodeVersion, change: Callable[[StorageWriter], None]
    ) -> None:
        """Change a version, and record it if the rules refuse that."""
        try:
            self._storage.write(change, self._actor)
        except LifecycleError as error:
            reason = f"{error.code}: {error.message}"
            self._storage.write(lambda w: w.refused(action, str(version), reason), self._actor)
            raise

    def _one_version(self, reference: NodeRef) -> RegisteredNode:
        """The one version that a reference names, read without all the others of its node."""
        version = reference.one_version()
        node = NodeVersion(self._resolver.identify(reference), version)
        return self._storage.node(node) or self._resolver.node(reference)
