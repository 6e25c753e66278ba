"""``onex.toml`` and the folders of the registry's state."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from onex.domain.errors import ConfigurationError, Location
from onex.domain.json_value import JsonObject, JsonValue

PROJECT_FILE = "onex.toml"
STATE_FOLDER = ".onex"
HOME_VARIABLE = "ONEX_HOME"

_KNOWN_TABLES = frozenset({"sources", "config", "overrides"})


@dataclass(frozen=True, slots=True)
class SourceConfiguration:
    """One declared source of nodes; ``path`` is absolute."""

    name: str
    kind: str
    path: Path


@dataclass(frozen=True, slots=True)
class Configuration:
    """What applies here: where state lives, which sources are declared, settings for nodes.

    ``project`` is the folder of the nearest ``onex.toml``, None without one;
    ``overrides`` gives for a node the version or path that is forced.
    """

    home: Path
    project: Path | None = None
    sources: tuple[SourceConfiguration, ...] = ()
    node_config: JsonObject = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)


def load_configuration(
    start: Path, environment: Mapping[str, str], home: Path | None = None
) -> Configuration:
    """Find and read the configuration that applies in a folder.

    State lives in ``home`` if given, else in ``ONEX_HOME``, else in ``.onex``
    beside the nearest ``onex.toml``, else in the user's data folder.

    Raises:
        ConfigurationError: ``onex.toml`` is not valid.
    """
    project = _project_folder(start)
    if home is None and environment.get(HOME_VARIABLE):
        home = Path(environment[HOME_VARIABLE])
    if home is None:
        home = (
            project / STATE_FOLDER
            if project is not None
            else Path(platformdirs.user_data_dir("onex", appauthor=False))
        )
    if project is None:
        return Configuration(home.absolute())
    file = project / PROJECT_FILE
    body = _read_toml(file)
    unknown = sorted(set(body) - _KNOWN_TABLES)
    if unknown:
        raise _refuse(file, f"{unknown[0]!r} is not a table that onex knows")
    return Configuration(
        home.absolute(),
        project,
        tuple(_source(file, entry) for entry in _list(file, "sources", body.get("sources", []))),
        _table(file, "config", body.get("config", {})),
        _overrides(file, _table(file, "overrides", body.get("overrides", {}))),
    )


def _project_folder(start: Path) -> Path | None:
    folder = start.absolute()
    return next((f for f in (folder, *folder.parents) if (f / PROJECT_FILE).is_file()), None)


def _read_toml(file: Path) -> dict[str, JsonValue]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except tomllib.TOMLDecodeError as error:
        raise _refuse(file, f"the TOML is not valid: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _refuse(file, f"the file cannot be read: {error}") from error


def _source(file: Path, entry: JsonValue) -> SourceConfiguration:
    table = _table(file, "sources", entry)
    kind = table.get("kind", "filesystem")
    path = table.get("path")
    name = table.get("name", path)
    if kind != "filesystem":
        raise _refuse(file, f"{kind!r} is not a kind of source", 'use kind = "filesystem"')
    if not isinstance(path, str) or not isinstance(name, str) or not path or not name:
        raise _refuse(file, "a source needs a path", 'write [[sources]] with path = "nodes"')
    return SourceConfiguration(name, "filesystem", Path(os.path.normpath(file.parent / path)))


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
