"""Where each setting that applies comes from: the default, a file, a variable, or an option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from onex.configuration.loading import (
    ARTIFACTS_VARIABLE,
    CACHE_FOLDER_VARIABLE,
    CACHE_VARIABLE,
    HOME_VARIABLE,
    SETTINGS_FOLDER_VARIABLE,
    STORAGE_VARIABLE,
    WORKSPACE_VARIABLE,
    load_configuration,
    read_user_settings,
)
from onex.configuration.settings import PROJECT_FILE, Configuration
from onex.configuration.toml_file import read_toml
from onex.domain.json_value import JsonObject, JsonValue
from onex.domain.url import without_secrets

DEFAULT = "default"

_VARIABLES = {
    "home": HOME_VARIABLE,
    "storage": STORAGE_VARIABLE,
    "cache": CACHE_VARIABLE,
    "artifacts": ARTIFACTS_VARIABLE,
    "workspace": WORKSPACE_VARIABLE,
    "cache_folder": CACHE_FOLDER_VARIABLE,
    "settings_folder": SETTINGS_FOLDER_VARIABLE,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that applies: ``key`` is dotted, ``origin`` says who set it.

    ``hidden`` are those who set it too, and do not count.
    """

    key: str
    value: JsonValue
    origin: str
    hidden: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The setting in the shape that ``config show`` prints."""
        return {
            "key": self.key,
            "value": self.value,
            "origin": self.origin,
            "hidden": list(self.hidden),
        }


def settings_in(
    start: Path, environment: Mapping[str, str], home: Path | None = None
) -> list[Setting]:
    """Every setting that applies in a folder, by its key; passwords in URLs are left out.

    Takes and raises what ``load_configuration`` does.
    """
    found = load_configuration(start, environment, home)
    layers: list[tuple[str, JsonObject]] = [(DEFAULT, _defaults(found))]
    if found.project is not None:
        file = found.project / PROJECT_FILE
        layers.append((str(file), read_toml(file)))
    user_file = found.settings_folder / PROJECT_FILE
    layers.append((str(user_file), read_user_settings(user_file)))
    layers += [
        (variable, {key: environment[variable]})
        for key, variable in _VARIABLES.items()
        if environment.get(variable)
    ]
    if home is not None:
        layers.append(("--home", {"home": str(home)}))
    values: dict[str, JsonValue] = {}
    origins: dict[str, list[str]] = {}
    for origin, body in layers:
        for key, value in _flat(body, ""):
            if value == "" and key in _VARIABLES:
                # An empty text sets nothing.
                continue
            values[key] = value
            origins.setdefault(key, []).append(origin)
    return [
        Setting(key, _shown(value), *_counted(origins[key]))
        for key, value in sorted(values.items())
    ]


def _counted(origins: list[str]) -> tuple[str, tuple[str, ...]]:
    """Who counts, and who set it too; what is the default without others is not told of."""
    *hidden, origin = origins
    return origin, tuple(name for name in hidden if name != DEFAULT)


def _defaults(found: Configuration) -> JsonObject:
    """What applies if nobody sets anything."""
    empty = Configuration(found.home)
    return {
        "home": str(found.home),
        "cache_folder": str(found.cache_folder),
        "settings_folder": str(found.settings_folder),
        "engine": "local",
        "storage": f"sqlite:///{found.home / 'registry.db'}",
        "cache": None,
        "artifacts": str(found.home / "artifacts"),
        "limits": asdict(empty.limits),
        "policy": {"trust_policy": empty.trust_policy.value, "isolation": "strict"},
    }


def _flat(body: JsonObject, prefix: str) -> Iterator[tuple[str, JsonValue]]:
    for key, value in body.items():
        name = f"{prefix}{key}" if "." not in key else f'{prefix}"{key}"'
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        elif key == "sources" and isinstance(value, list):
            for position, source in enumerate(value):
                named = source.get("name", position) if isinstance(source, Mapping) else position
                yield from _flat({f"sources[{named}]": source}, prefix)
        else:
            yield name, value


def _shown(value: JsonValue) -> JsonValue:
    """A value without the secrets of the URLs in it."""
    if isinstance(value, str):
        return without_secrets(value) if "://" in value else value
    if isinstance(value, Mapping):
        return {key: _shown(member) for key, member in value.items()}
    return [_shown(member) for member in value] if isinstance(value, list | tuple) else value
