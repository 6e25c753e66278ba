"""Finds the configuration that applies in a folder, and where the registry keeps its state."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import platformdirs

from onex.configuration.settings import PROJECT_FILE, STATE_FOLDER, Configuration
from onex.configuration.toml_file import configuration_of, full_place, read_toml
from onex.domain.errors import ConfigurationError, Location
from onex.domain.json_value import JsonObject, JsonValue, as_object
from onex.local_machine import user_name

HOME_VARIABLE = "ONEX_HOME"
STORAGE_VARIABLE = "ONEX_STORAGE"
CACHE_VARIABLE = "ONEX_CACHE"
ARTIFACTS_VARIABLE = "ONEX_ARTIFACTS"
WORKSPACE_VARIABLE = "ONEX_WORKSPACE"
MAXIMUM_WORKSPACE_BYTES = 100
CACHE_FOLDER_VARIABLE = "ONEX_CACHE_FOLDER"
SETTINGS_FOLDER_VARIABLE = "ONEX_SETTINGS_FOLDER"

_OF_PROJECTS_ALONE = ("sources", "overrides", "server")


def load_configuration(
    start: Path, environment: Mapping[str, str], home: Path | None = None
) -> Configuration:
    """Find and read the configuration that applies in a folder.

    State lives in ``home`` if given, else in ``ONEX_HOME``, else in ``.onex``
    beside the nearest ``onex.toml``, else in the user's data folder. What ``onex.toml`` of the
    project sets, the user's own ``onex.toml`` may set otherwise, and variables after that.

    Raises:
        ConfigurationError: one of the files is not valid.
    """
    if home is None and environment.get(HOME_VARIABLE):
        home = Path(environment[HOME_VARIABLE])
    try:
        project = project_folder(start)
    except ConfigurationError:
        # The state may be elsewhere than in a working folder that is gone.
        if home is None or not home.is_absolute():
            raise
        project = None
    if home is None:
        home = project / STATE_FOLDER if project is not None else _user_folder()
    settings = _folder(environment.get(SETTINGS_FOLDER_VARIABLE), platformdirs.user_config_dir)
    file = None if project is None else project / PROJECT_FILE
    body = {} if file is None else read_toml(file)
    if file is not None:
        # By itself first, so that what is wrong in it is told of it.
        configuration_of(file, body, home)
    user_body = read_user_settings(settings / PROJECT_FILE)
    found = replace(
        configuration_of(file or settings / PROJECT_FILE, merged(body, user_body), home),
        project=project,
    )
    return replace(
        found,
        storage=environment.get(STORAGE_VARIABLE) or found.storage,
        cache=environment.get(CACHE_VARIABLE) or found.cache,
        artifacts=full_place(environment.get(ARTIFACTS_VARIABLE), Path()) or found.artifacts,
        workspace=_workspace(environment.get(WORKSPACE_VARIABLE) or None),
        cache_folder=_folder(environment.get(CACHE_FOLDER_VARIABLE), platformdirs.user_cache_dir),
        settings_folder=settings,
    )


def read_user_settings(file: Path) -> JsonObject:
    """What a user sets for all projects, with paths in full; nothing without the file.

    Raises:
        ConfigurationError: the file is not valid, or has a table that is a project's alone.
    """
    if not file.is_file():
        return {}
    body = read_toml(file)
    wrong = next((name for name in _OF_PROJECTS_ALONE if name in body), None)
    if wrong is not None:
        raise ConfigurationError(
            f"{wrong} cannot be set for all projects",
            hint=f"move it to the {PROJECT_FILE} of a project",
            location=Location(str(file)),
        )
    found = configuration_of(file, body, file.parent)
    if found.artifacts is not None:
        body["artifacts"] = found.artifacts
    if found.secrets_file is not None:
        body["secrets"] = {"file": str(found.secrets_file)}
    return body


def merged(lower: JsonObject, upper: JsonObject) -> dict[str, JsonValue]:
    """Tables in which ``upper`` counts, key by key, if both set something."""
    both = dict(lower)
    for key, value in upper.items():
        below = lower.get(key)
        is_table = isinstance(value, Mapping) and isinstance(below, Mapping)
        both[key] = merged(as_object(below), as_object(value)) if is_table else value
    return both


def _folder(given: str | None, default: Callable[..., str]) -> Path:
    """A folder of the user's own; below the temporary folder for a user who has no home."""
    if given:
        return Path(given).absolute()
    try:
        return Path(default("onex", appauthor=False)).expanduser()
    except (RuntimeError, KeyError):
        return Path(tempfile.gettempdir()) / f"onex-{user_name()}"


def _workspace(name: str | None) -> str | None:
    if name is not None and not (
        name.isprintable() and len(name.encode()) <= MAXIMUM_WORKSPACE_BYTES
    ):
        raise ConfigurationError(
            f"{WORKSPACE_VARIABLE} holds what cannot be a name",
            hint=f"write up to {MAXIMUM_WORKSPACE_BYTES} bytes that can be printed",
        )
    return name


def _user_folder() -> Path:
    try:
        return Path(platformdirs.user_data_dir("onex", appauthor=False)).expanduser()
    except (RuntimeError, KeyError) as error:
        raise ConfigurationError(
            "this user has no home folder, so there is no place for the registry's state",
            hint="name one with --home or ONEX_HOME",
        ) from error


def project_folder(start: Path) -> Path | None:
    """The folder of the nearest ``onex.toml``, upwards; None without one.

    Raises:
        ConfigurationError: the working folder is not there any more.
    """
    try:
        folder = start.absolute()
    except OSError as error:
        raise ConfigurationError(
            "the working folder is not there any more",
            hint="change to another, or name the folder of the state in full: --home FOLDER",
        ) from error
    return next((f for f in (folder, *folder.parents) if (f / PROJECT_FILE).is_file()), None)
