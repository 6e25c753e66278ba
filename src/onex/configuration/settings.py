"""Configuration: what applies in a folder, as values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from onex.configuration.agent_settings import AgentSettings
from onex.domain.json_value import JsonObject
from onex.domain.limits import Limits
from onex.domain.look_alikes import NameRules
from onex.domain.result import IsolationLevel
from onex.domain.trust_rules import TrustRules

PROJECT_FILE = "onex.toml"
STATE_FOLDER = ".onex"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How a URL begins; a single letter is a drive."""
REMOTE_KIND = "remote"


class TrustPolicy(StrEnum):
    """Which side keeps a version that two sources offer with different content."""

    QUARANTINE = "quarantine"
    LOCAL_PREFER = "local_prefer"
    REMOTE_PREFER = "remote_prefer"


class Sync(StrEnum):
    """How much of a remote's index is kept here: what is needed, or all of it."""

    NEEDED = "needed"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SourceConfiguration:
    """One declared source of nodes.

    ``path`` is absolute, None if the kind needs none; ``namespaces`` may come from this
    source alone; nodes of a ``trusted`` one are granted what they declare; ``options`` are
    further keys, for kinds that a third party adds. A remote has a ``url``, or the ``path`` of a
    folder with its tree; of several remotes the one of the highest ``priority`` that has a node
    supplies it, among equals the one that is declared first. ``root`` is the fingerprint of the
    root by which its index must be signed, None if nothing is asked.
    """

    name: str
    kind: str
    path: Path | None
    url: str | None = None
    sync: Sync = Sync.NEEDED
    priority: int = 0
    blocks: bool = False
    timeout_seconds: float | None = None
    namespaces: tuple[str, ...] = ()
    trusted: bool = True
    options: JsonObject = field(default_factory=dict)
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """What applies here: where state lives, which sources are declared, settings for nodes.

    ``project`` is the folder of the nearest ``onex.toml``, None without one;
    ``storage`` and ``cache`` are the URLs of a database and of a shared cache, None for
    files in ``home``; ``artifacts`` is the URL or the absolute path of a store of artifacts that
    machines share, None without one; ``engine`` executes nodes if a run names no other;
    ``overrides`` gives for a node the version or path that is forced;
    ``isolation`` is the level of trusted nodes, None for the strictest that can be had;
    ``limits`` are those of calls whose step sets none, and ``ceilings`` what no step may go beyond;
    ``secrets_file`` is a private file of secrets, None without one; ``workspace`` is what
    this project is called here among those that share a registry, None for a name that
    follows from the machine and the folder; ``cache_folder`` and ``settings_folder`` are the
    user's own, for all registries; ``private_namespaces`` are shown to those alone who have a
    token for them, if this registry is served; ``trust_rules`` say which versions may be used,
    and ``name_rules`` which names those who publish here may take; ``agents`` says what is
    offered to agents as tools.
    """

    home: Path
    project: Path | None = None
    sources: tuple[SourceConfiguration, ...] = ()
    node_config: JsonObject = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    trust_policy: TrustPolicy = TrustPolicy.QUARANTINE
    isolation: IsolationLevel | None = None
    limits: Limits = field(default_factory=Limits)
    ceilings: Mapping[str, int] = field(default_factory=dict)
    storage: str | None = None
    cache: str | None = None
    artifacts: str | None = None
    engine: str | None = None
    secrets_file: Path | None = None
    workspace: str | None = None
    cache_folder: Path = Path()
    settings_folder: Path = Path()
    private_namespaces: tuple[str, ...] = ()
    trust_rules: TrustRules = field(default_factory=TrustRules)
    name_rules: NameRules = field(default_factory=NameRules)
    agents: AgentSettings = field(default_factory=AgentSettings)

    @property
    def remotes(self) -> tuple[SourceConfiguration, ...]:
        """The declared remotes, in the order in which they supply nodes."""
        found = [source for source in self.sources if source.kind == REMOTE_KIND]
        return tuple(sorted(found, key=lambda source: -source.priority))

    @property
    def protected(self) -> tuple[str, ...]:
        """The real paths of what no confined node may reach: the state, and the secrets."""
        others = [] if self.secrets_file is None else [self.secrets_file]
        if self.artifacts is not None and not _SCHEME.match(self.artifacts):
            others.append(Path(self.artifacts))
        places = (self.home, self.cache_folder, self.settings_folder, *others)
        return tuple(os.path.realpath(place) for place in places)
