"""Writes the outputs of a run to a folder: one file of JSON, and a copy of each artifact."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from onex.domain.artifact_records import Artifact
from onex.domain.errors import FileNotWrittenError, Location
from onex.domain.example import artifacts_by_place
from onex.domain.json_value import JsonValue
from onex.domain.result import RunResult
from onex.local_machine import make_folder, replace_text

OUTPUTS_FILE = "outputs.json"

_ODD = re.compile(r"[^\w.-]+")


def export_results(result: RunResult, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the outputs of a run to a folder, which is made if it is not there.

    ``outputs.json`` holds the outputs by name, with the name of the copy in the place of each
    artifact. A copy is called as the node called the file; if two have one name, the place in
    the outputs comes before it. What has these names in the folder is replaced.

    Returns:
        what was written.

    Raises:
        RunFailedError: the run failed; nothing is written, and nothing replaced.
        FileNotWrittenError: the folder cannot be written to, or an artifact is not there.
    """
    result.raise_for_status()
    target = Path(folder)
    names = _names(artifacts_by_place(result.outputs))
    outputs = _with_names(result.outputs, names, "")
    try:
        make_folder(target)
        written = [_copy(artifact, target / name) for artifact, name in names.values()]
        replace_text(
            target / OUTPUTS_FILE, json.dumps(outputs, indent=2, ensure_ascii=False) + "\n"
        )
    except OSError as error:
        raise FileNotWrittenError(
            f"the results cannot be written to {target}: {error.strerror or error}",
            hint=f"the history has them: onex runs show {result.run_id}",
            location=Location(str(error.filename or target)),
            details={"run_id": result.run_id, "status": result.status.value},
        ) from error
    return [target / OUTPUTS_FILE, *written]


def _names(artifacts: Mapping[str, Artifact]) -> dict[str, tuple[Artifact, str]]:
    """What the copy of each artifact is called, by its place in the outputs."""
    plain = {place: _safe(artifact.name) for place, artifact in artifacts.items()}
    taken = {OUTPUTS_FILE}
    found = {}
    for place, name in plain.items():
        is_shared = list(plain.values()).count(name) > 1 or name == OUTPUTS_FILE
        chosen = f"{_safe(place)}-{name}" if is_shared else name
        base, number = chosen, 2
        while chosen in taken:
            chosen, number = f"{number}-{base}", number + 1
        taken.add(chosen)
        found[place] = (artifacts[place], chosen)
    return found


def _safe(name: str) -> str:
    """A name that stays in the folder, and is none that a shell or a system treats otherwise."""
    return _ODD.sub("_", name).lstrip(".-")[:150] or "file"


def _copy(artifact: Artifact, target: Path) -> Path:
    source = Path(artifact.path)
    draft = target.with_name(f".{target.name}.part")
    if source.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft, symlinks=True)
        _make_writable(draft)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    else:
        shutil.copyfile(source, draft)
    draft.replace(target)
    return target


def _make_writable(folder: Path) -> None:
    """Let the user change and remove a copy of what the store keeps from being changed."""
    for place, _, names in os.walk(folder):
        Path(place).chmod(0o755)
        for name in names:
            file = Path(place) / name
            if not file.is_symlink():
                file.chmod(file.stat().st_mode | 0o200)


def _with_names(
    value: JsonValue, names: Mapping[str, tuple[Artifact, str]], place: str
) -> JsonValue:
    if place in names:
        return names[place][1]
    if isinstance(value, Mapping):
        return {
            key: _with_names(member, names, f"{place}.{key}" if place else key)
            for key, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _with_names(member, names, f"{place}[{index}]") for index, member in enumerate(value)
        ]
    return value
