"""Templates of nodes: folders whose files and names hold placeholders such as ``{NODE_NAME}``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from onex.domain.errors import FolderNotEmptyError, Location, UsageError
from onex.local_machine import make_folder

BUILT_IN = ("python", "cli")
MAXIMUM_FILES = 1_000
MAXIMUM_FILE_BYTES = 8 * 1024 * 1024

_PLACEHOLDER = re.compile(r"\{([A-Z][A-Z_]*)\}")
_UUID_TEMPLATE = re.compile(r"TEMPLATE-[A-Za-z0-9-]*")
_LIFECYCLE = re.compile(r"^lifecycle: *template *$", re.MULTILINE)
NODE_NAME = "{NODE_NAME}"


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a template gives: where it goes, what it holds, and whether it is a program."""

    path: Path
    content: bytes
    is_program: bool = False


def built_in_files(name: str, values: Mapping[str, str]) -> list[NewFile]:
    """The files of a template that comes with onex, one of ``BUILT_IN``."""
    with as_file(files("onex") / "templates" / name) as folder:
        return filled_files(folder, values)


def filled_files(folder: Path, values: Mapping[str, str]) -> list[NewFile]:
    """The files of a template, with values in the place of its placeholders.

    Args:
        folder: if a name in it holds ``{NODE_NAME}`` it is laid out as a project, and otherwise
            it is the folder of the node itself, which goes to ``nodes/NAME``.
        values: by placeholder; others are left as they are.

    Raises:
        UsageError: the folder cannot be read, holds too much, or holds no manifest.
    """
    names = sorted(_names(folder))
    if not any(name.endswith(".onex.yaml") for name in names):
        raise UsageError(
            f"{folder} holds no manifest, so it is no template of a node",
            hint="name a folder with a file that ends in .onex.yaml",
        )
    is_project = any(NODE_NAME in name for name in names)
    root = Path() if is_project else Path("nodes") / values["NODE_NAME"]
    return [_filled(folder, name, root, values) for name in names]


def write_files(found: list[NewFile]) -> None:
    """Write new files; if one cannot be written, those before it are removed again.

    Raises:
        FolderNotEmptyError: one of them is there already; nothing is written then.
    """
    for file in found:
        if os.path.lexists(file.path):
            raise FolderNotEmptyError(
                f"{file.path} is there already",
                hint="choose another name",
                location=Location(str(file.path)),
            )
    written: list[Path] = []
    made: list[Path] = []
    # The folder of a node is its own, and one of two who make it at once gets it.
    own = dict.fromkeys(f.path.parent for f in found if f.path.name.endswith(".onex.yaml"))
    try:
        for folder in own:
            make_folder(folder.parent)
            folder.mkdir()
            made.append(folder)
        for file in found:
            make_folder(file.path.parent)
            mode = 0o777 if file.is_program else 0o666
            descriptor = os.open(file.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
            written.append(file.path)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(file.content)
    except FileExistsError as error:
        _remove(written, made)
        raise FolderNotEmptyError(
            f"{error.filename} is there already", hint="choose another name"
        ) from error
    except BaseException:
        # Nothing half made stands in the way of the next try.
        _remove(written, made)
        raise


def _remove(written: list[Path], made: list[Path]) -> None:
    for path in written:
        path.unlink(missing_ok=True)
    for folder in [*(path.parent for path in written), *made]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _names(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="name the folder of a template")
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", "__pycache__")]
        for name in names:
            path = Path(place) / name
            if path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MAXIMUM_FILES:
                raise UsageError(
                    f"{folder} holds more than {MAXIMUM_FILES} files", hint="name a smaller folder"
                )
            yield path.relative_to(folder).as_posix()


def _filled(folder: Path, name: str, root: Path, values: Mapping[str, str]) -> NewFile:
    source = folder / name
    if source.stat().st_size > MAXIMUM_FILE_BYTES:
        raise UsageError(f"{source} is too large for a template", hint="leave it out")
    content = source.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        filled = content
    else:
        text = _fill(text, values)
        if name.endswith(".onex.yaml"):
            text = _UUID_TEMPLATE.sub(values["UUID"], text)
            text = _LIFECYCLE.sub("lifecycle: draft", text)
        filled = text.encode()
    # Only the name of the node, which is a plain word, becomes part of a path.
    path = root / name.replace(NODE_NAME, values["NODE_NAME"])
    return NewFile(path, filled, os.access(source, os.X_OK))


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
