"""Reads ``onex.toml``."""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from onex.configuration.agent_settings import AgentSettings, read_agent_settings
from onex.configuration.mcp_server import ACCEPTED_FOLDER, MCP_KIND, read_mcp_server
from onex.configuration.settings import (
    _SCHEME,
    REMOTE_KIND,
    Configuration,
    SourceConfiguration,
    Sync,
    TrustPolicy,
)
from onex.domain.access_control import is_pattern
from onex.domain.archive_place import PUBLISHED_SOURCE
from onex.domain.digest import is_digest
from onex.domain.errors import ConfigurationError, Location
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.limits import Limits
from onex.domain.look_alikes import NameRules
from onex.domain.result import IsolationLevel
from onex.domain.trust_rules import TrustRules
from onex.domain.trust_table import TRUST_KEYS, read_trust_rules

MAXIMUM_TIMEOUT_SECONDS = 86_400
_KNOWN_TABLES = frozenset(
    {
        *("artifacts", "cache", "config", "engine", "limits", "mcp", "overrides", "policy"),
        *("secrets", "server", "sources", "storage"),
    }
)
_SOURCE_KEYS = frozenset(
    {
        "name",
        "kind",
        "path",
        "blocks",
        "timeout",
        "namespaces",
        "trusted",
        "url",
        "sync",
        "priority",
        "root",
    }
)
_LOCAL_KINDS = ("filesystem", "package", MCP_KIND)
_URL_SCHEMES = ("http://", "https://")
_RESERVED_NAMES = ("override", PUBLISHED_SOURCE)
"""The sources of nodes that are forced by a path, and of those that were published here."""


def read_configuration(file: Path) -> Configuration:
    """What a file says that is written as ``onex.toml``, for whatever place.

    Raises:
        ConfigurationError: the file cannot be read, or is not valid.
    """
    return configuration_of(file, read_toml(file), file.parent)


def check_configuration(file: Path, text: str) -> None:
    """Refuse a text that ``onex.toml`` cannot be; raises ConfigurationError."""
    configuration_of(file, _parse_toml(file, text.encode()), file.parent)


def configuration_of(file: Path, body: JsonObject, home: Path) -> Configuration:
    """What the tables of a file mean whose relative paths start at the file.

    Raises:
        ConfigurationError: a table, a key or a value is not one that onex knows.
    """
    unknown = sorted(set(body) - _KNOWN_TABLES)
    if unknown:
        raise _refuse(file, f"{unknown[0]!r} is not a table that onex knows")
    policy = _table(file, "policy", body.get("policy", {}))
    served = _served(file, _table(file, "server", body.get("server", {})))
    return Configuration(
        home=home.absolute(),
        project=file.parent,
        sources=_sources(file, _list(file, "sources", body.get("sources", []))),
        node_config=_table(file, "config", body.get("config", {})),
        overrides=_overrides(file, _table(file, "overrides", body.get("overrides", {}))),
        trust_policy=_trust_policy(file, policy),
        trust_rules=_trust_rules(file, policy),
        isolation=_isolation(file, policy),
        limits=_limits(file, "limits", _table(file, "limits", body.get("limits", {}))),
        ceilings=_ceilings(file, _table(file, "policy.limits", policy.get("limits", {}))),
        storage=_url(file, "storage", body.get("storage")),
        cache=_url(file, "cache", body.get("cache")),
        artifacts=full_place(_url(file, "artifacts", body.get("artifacts")), file.parent),
        engine=_engine(file, body.get("engine")),
        secrets_file=_secrets_file(file, _table(file, "secrets", body.get("secrets", {}))),
        agents=_agents(file, _table(file, "mcp", body.get("mcp", {}))),
        private_namespaces=served["private_namespaces"],
        name_rules=NameRules(served["reserved_namespaces"], served["allowed_look_alikes"]),
    )


def _agents(file: Path, table: JsonObject) -> AgentSettings:
    try:
        return read_agent_settings(table, file.parent)
    except ValueError as error:
        raise _refuse(file, f"in the [mcp] table, {error}") from error


def _served(file: Path, table: JsonObject) -> dict[str, tuple[str, ...]]:
    """The patterns of namespaces in ``[server]``, by what they are for."""
    known = ("private_namespaces", "reserved_namespaces", "allowed_look_alikes")
    found: dict[str, tuple[str, ...]] = {}
    for name in known:
        names = table.get(name, [])
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise _refuse(
                file, f"{name} of [server] is no list of texts", f'write {name} = ["acme.*"]'
            )
        found[name] = tuple(map(str, names))
        # A pattern that means nothing would hide nothing.
        wrong = next((one for one in found[name] if not is_pattern(one)), None)
        if wrong is not None:
            raise _refuse(
                file,
                f"{name} of [server] has {wrong!r}, which is about no namespace",
                "write acme or acme.* for acme and all below it, or * for everything",
            )
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise _refuse(file, f"[server] has no key {unknown[0]!r}", f"it has {', '.join(known)}")
    return found


def read_toml(file: Path) -> dict[str, JsonValue]:
    """The tables of a file; raises ConfigurationError if it cannot be read as TOML."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _refuse(file, f"the file cannot be read: {error.strerror}") from error
    return _parse_toml(file, content)


def _parse_toml(file: Path, content: bytes) -> dict[str, JsonValue]:
    if content.startswith(b"\xef\xbb\xbf"):
        raise _refuse(
            file, "the file starts with a byte order mark", "save it as UTF-8 without one"
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    # Beyond its syntax errors, the parser fails in its own ways on huge numbers and deep brackets.
    except (ValueError, RecursionError) as error:
        raise _refuse(file, f"the TOML is not valid: {error}") from error


def _sources(file: Path, entries: list[JsonValue]) -> tuple[SourceConfiguration, ...]:
    sources = tuple(_source(file, _table(file, "sources", entry)) for entry in entries)
    names: set[str] = set()
    bound: dict[str, str] = {}
    for source in sources:
        if source.name in names:
            raise _refuse(file, f"two sources are called {source.name!r}", "give each a name")
        names.add(source.name)
        for namespace in source.namespaces:
            if bound.setdefault(namespace, source.name) != source.name:
                raise _refuse(
                    file,
                    f"the namespace {namespace} is bound to {bound[namespace]} and {source.name}",
                    "bind it to one of them",
                )
    return sources


def _source(file: Path, table: JsonObject) -> SourceConfiguration:
    kind, path, timeout = table.get("kind", "filesystem"), table.get("path"), table.get("timeout")
    name = table.get("name", path if path is not None else kind)
    namespaces, blocks = table.get("namespaces", []), table.get("blocks", False)
    trusted = table.get("trusted", kind in _LOCAL_KINDS)
    if not isinstance(kind, str) or not isinstance(path, str | None) or not isinstance(name, str):
        raise _refuse(file, "kind, path and name of a source must be text")
    if path is not None and "\0" in path:
        raise _refuse(file, "the path of a source holds a NUL character")
    if name in _RESERVED_NAMES:
        raise _refuse(file, f"{name!r} cannot be the name of a source", "choose another")
    url, sync, priority = table.get("url"), table.get("sync", Sync.NEEDED), table.get("priority", 0)
    if kind == REMOTE_KIND:
        _check_remote(file, table)
        if isinstance(url, str) and not url.startswith(_URL_SCHEMES):
            path, url = url, None
    options = {key: value for key, value in table.items() if key not in _SOURCE_KEYS}
    if kind == MCP_KIND:
        _check_mcp_server(file, name, url, options)
        path = path or f"{ACCEPTED_FOLDER}/{name}"
    if not kind or not name or path == "" or (kind == "filesystem" and path is None):
        raise _refuse(file, "a source needs a path", 'write [[sources]] with path = "nodes"')
    if not isinstance(blocks, bool):
        raise _refuse(file, "blocks of a source must be true or false")
    if not isinstance(trusted, bool):
        raise _refuse(file, "trusted of a source must be true or false")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
        raise _refuse(file, "timeout of a source must be a number of seconds")
    if timeout is not None and not 0 < timeout <= MAXIMUM_TIMEOUT_SECONDS:
        raise _refuse(
            file, f"timeout of a source must lie between 0 and {MAXIMUM_TIMEOUT_SECONDS} seconds"
        )
    if not isinstance(namespaces, list) or not all(isinstance(n, str) for n in namespaces):
        raise _refuse(file, "namespaces of a source must be a list of texts")
    return SourceConfiguration(
        name=name,
        kind=kind,
        path=None if path is None else Path(os.path.normpath(file.parent / path)),
        url=url if isinstance(url, str) else None,
        sync=Sync(str(sync)) if kind == REMOTE_KIND else Sync.NEEDED,
        priority=priority if isinstance(priority, int) else 0,
        blocks=blocks,
        timeout_seconds=None if timeout is None else float(timeout),
        namespaces=tuple(str(namespace).removesuffix(".*") for namespace in namespaces),
        trusted=trusted,
        root=_root(file, table.get("root")),
        options=options,
    )


def _check_mcp_server(file: Path, name: str, url: JsonValue, options: JsonObject) -> None:
    if not isinstance(url, str | None):
        raise _refuse(file, "the url of a source must be text")
    if url is not None:
        _check_url(file, url)
    try:
        read_mcp_server(name, url, options, file.parent)
    except ValueError as error:
        raise _refuse(file, f"of the source {name}, {error}") from error


def _root(file: Path, value: JsonValue) -> str | None:
    if value is None or (isinstance(value, str) and is_digest(value)):
        return value
    raise _refuse(
        file,
        "the root of a remote is no fingerprint",
        'write root = "sha256:...", as onex trust root shows it where the registry is',
    )


def _check_url(file: Path, url: str) -> None:
    if not url.startswith(_URL_SCHEMES):
        raise _refuse(file, "the url of a remote must begin with http:// or https://")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refuse(file, f"the url of a remote is none: {error}") from error
    is_host = all(part and len(part) < 64 for part in host.removesuffix(".").split("."))
    if not (url.isprintable() and is_host) or " " in url or port == 0:
        raise _refuse(
            file, "the url of a remote is none", "write https://host/ or http://host:port/"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _refuse(
            file,
            "the url of a remote must hold no user, no password and no query",
            "a token is kept apart: onex login",
        )


def _check_remote(file: Path, table: JsonObject) -> None:
    url, priority = table.get("url"), table.get("priority", 0)
    if not isinstance(url, str) or not url:
        raise _refuse(
            file, "a remote needs a url", 'write url = "https://...", or the path of a folder'
        )
    if "://" in url:
        _check_url(file, url)
    if table.get("sync", Sync.NEEDED) not in list(Sync):
        raise _refuse(file, "sync of a remote must be one of " + ", ".join(Sync))
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise _refuse(file, "priority of a remote must be a whole number")


def _url(file: Path, name: str, value: JsonValue) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _refuse(file, f"{name} must be a URL", f'write {name} = "..."')
    return value or None


def _engine(file: Path, value: JsonValue) -> str | None:
    if value is not None and not (isinstance(value, str) and value.isidentifier()):
        raise _refuse(file, "engine must be the name of one", 'write engine = "dask" or "local"')
    return value


def full_place(value: str | None, folder: Path) -> str | None:
    """A URL as it is; a path in full, from a folder if it is relative."""
    if not value or _SCHEME.match(value):
        return value or None
    return os.path.abspath(folder / os.path.expanduser(value))  # noqa: PTH100, PTH111 - no links


def _secrets_file(file: Path, table: JsonObject) -> Path | None:
    name = table.get("file")
    if set(table) - {"file"} or not isinstance(name, str | None):
        raise _refuse(file, "the [secrets] table is not valid", 'write file = "secrets.toml"')
    return None if name is None else file.parent / name


def _trust_policy(file: Path, table: JsonObject) -> TrustPolicy:
    policy = table.get("trust_policy", TrustPolicy.QUARANTINE)
    known = list(TrustPolicy)
    others = {"trust_policy", "limits", "isolation"} | TRUST_KEYS
    if policy not in known or set(table) - others:
        raise _refuse(
            file,
            "the [policy] table is not valid",
            "write trust_policy = one of " + ", ".join(known),
        )
    return TrustPolicy(str(policy))


def _trust_rules(file: Path, policy: JsonObject) -> TrustRules:
    try:
        return read_trust_rules(policy)
    except ValueError as error:
        raise _refuse(file, f"in the [policy] table, {error}") from error


def _isolation(file: Path, policy: JsonObject) -> IsolationLevel | None:
    level, known = policy.get("isolation"), [str(level) for level in IsolationLevel]
    if level is not None and level not in known:
        raise _refuse(
            file, f"isolation of [policy] is {level!r}", "write one of " + ", ".join(known)
        )
    return None if level is None else IsolationLevel(str(level))


def _limits(file: Path, name: str, table: JsonObject) -> Limits:
    try:
        return Limits().with_table(table)
    except ValueError as error:
        raise _refuse(file, f"in the [{name}] table, {error}") from error


def _ceilings(file: Path, table: JsonObject) -> dict[str, int]:
    limits = asdict(_limits(file, "policy.limits", table))
    return {name: limits[name] for name in table}


def _overrides(file: Path, table: JsonObject) -> dict[str, str]:
    overrides = {name: value for name, value in table.items() if isinstance(value, str)}
    wrong = next((name for name in table if name not in overrides), None)
    if wrong is not None:
        hint = 'write "tool://my.node" = "1.2.3", or the path of a folder in place of the version'
        raise _refuse(file, f"the override of {wrong} is not text", hint)
    return overrides


def _list(file: Path, name: str, value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise _refuse(file, f"{name} must be a list of tables", f"write [[{name}]]")
    return value


def _table(file: Path, name: str, value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise _refuse(file, f"{name} must be a table", f"write [{name}]")
    return value


def _refuse(file: Path, message: str, hint: str = "correct the file") -> ConfigurationError:
    return ConfigurationError(message, hint=hint, location=Location(str(file)))
