"""From declared sources to ``DiscoverySource`` objects; third parties add kinds of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from onex.configuration.mcp_server import MCP_KIND
from onex.configuration.settings import REMOTE_KIND, SourceConfiguration, TrustPolicy
from onex.discovery.accepted_tools import AcceptedToolsDiscovery
from onex.discovery.filesystem import FileSystemDiscovery
from onex.discovery.merge import MergeRules
from onex.discovery.source import DiscoverySource
from onex.domain.errors import ConfigurationError

SOURCE_GROUP = "onex.sources"


def make_source(
    declared: SourceConfiguration, remote: Callable[[SourceConfiguration], DiscoverySource]
) -> DiscoverySource:
    """The source that a declaration means; ``remote`` makes those that are remotes.

    A kind that is not built in is looked up among the entry points of ``onex.sources``. Its
    value is called with the SourceConfiguration and returns a DiscoverySource; naming
    the kind in ``onex.toml`` is the consent to run it.

    Raises:
        ConfigurationError: there is no such kind, or its code fails.
    """
    path = declared.path
    if declared.kind == "filesystem" and path is not None:
        return FileSystemDiscovery(path, declared.name, blocks=declared.blocks)
    if declared.kind == MCP_KIND and path is not None:
        return AcceptedToolsDiscovery(path, declared.name)
    if declared.kind == REMOTE_KIND:
        return remote(declared)
    if declared.kind == "package":
        from onex.discovery.packages import PluginDiscovery

        return PluginDiscovery(declared.name, None if path is None else [str(path)])
    from importlib import metadata

    found = {point.name: point for point in metadata.entry_points(group=SOURCE_GROUP)}
    point = found.get(declared.kind)
    if point is None:
        known = ", ".join(["filesystem", MCP_KIND, "package", REMOTE_KIND, *sorted(found)])
        raise ConfigurationError(
            f"{declared.kind!r} is not a kind of source", hint=f"the kinds here are: {known}"
        )
    try:
        source: DiscoverySource = point.load()(declared)
    # Whatever the code of a third party raises is told as its failure.
    except Exception as error:
        raise ConfigurationError(
            f"the source {declared.name} of kind {declared.kind} cannot be made:"
            f" {type(error).__name__}: {error}",
            hint=f"see the documentation of {point.value}",
        ) from error
    return source


def merge_rules(
    declared: Iterable[SourceConfiguration], trust_policy: TrustPolicy, scanned: Iterable[str]
) -> MergeRules:
    """The rules of merging that declarations set; ``scanned`` are the sources of this scan."""
    sources = list(declared)
    bindings: Mapping[str, str] = {
        namespace: source.name for source in sources for namespace in source.namespaces
    }
    remote = frozenset(source.name for source in sources if source.kind == REMOTE_KIND)
    active = frozenset([*scanned, *(source.name for source in sources)])
    return MergeRules(trust_policy, remote, bindings, active)
