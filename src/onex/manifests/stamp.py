"""Stamping: a metadata block in a file, with a hash that shows whether the file changed since."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from onex.domain.errors import DocumentError, StampError
from onex.domain.json_value import JsonValue, sha256_of
from onex.manifests.manifest import MANIFEST_SUFFIX
from onex.manifests.metadata_block import BlockStyle, find_block, write_block
from onex.manifests.yaml_document import parse_yaml

_STYLES = {
    ".py": BlockStyle.HASH,
    ".sh": BlockStyle.HASH,
    ".toml": BlockStyle.HASH,
    ".yaml": BlockStyle.HASH,
    ".yml": BlockStyle.HASH,
    ".md": BlockStyle.MARKUP,
    ".markdown": BlockStyle.MARKUP,
    ".html": BlockStyle.MARKUP,
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_HASH_LINE = re.compile(r"^hash:.*\n?", re.MULTILINE)
_RENEWED = ("hash", "last_modified_at")
_BYTE_ORDER_MARK = "\ufeff"
# Of YAML, of TOML, or the declarations with which a page begins.
_FRONT_MATTER = re.compile(
    r"(?P<mark>---|\+\+\+)[ \t]*\r?\n.*?^(?P=mark)[ \t]*(?:\r?\n|\Z)"
    r"|(?:\s*<(?:\?xml|!DOCTYPE)[^>]*>[ \t]*(?:\r?\n|\Z))+",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_INTERPRETER = re.compile(r"#![^\n]*(?:\n|\Z)")
_FIRST_LINES = re.compile(r"(?:#![^\n]*(?:\n|\Z))?(?:[ \t\f]*#[^\n]*coding[:=][^\n]*(?:\n|\Z))?")
_TIME_LINE = re.compile(r"^last_modified_at:.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamped text, the hash it carries, and whether the file carried it already."""

    text: str
    hash: str
    is_current: bool


def stamp_text(text: str, path: PurePath, author: str, now: str) -> Stamp:
    """Stamp the text of a file.

    A text that did not change since it was stamped is returned as it is. If it did, the hash
    and ``last_modified_at`` are renewed and everything else of its metadata stays.

    Args:
        text: the content.
        path: the file's name decides how the block is written; a ``*.onex.yaml`` is
            metadata itself and gets no block, but a hash.
        author: who is named in a new block.
        now: an RFC 3339 timestamp in UTC.

    Raises:
        StampError: files of this kind carry no block, or there is no room for a hash.
        DocumentError: the metadata that is there is not valid YAML.
    """
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    newline = "\r\n" if "\r\n" in text else "\n"
    stamp = _stamp(text.removeprefix(mark), path, author, now, newline)
    return replace(stamp, text=mark + stamp.text)


def _stamp(text: str, path: PurePath, author: str, now: str, newline: str) -> Stamp:
    if path.name.endswith(MANIFEST_SUFFIX):

        def manifest(_: str, added: str) -> str:
            kept = _TIME_LINE.sub("", _HASH_LINE.sub("", text)).rstrip("\r\n")
            return kept + newline + _with_ends(added, newline)

        return _renewed(text, ("", text, ""), now, path, manifest)
    style = _STYLES.get(path.suffix)
    if style is None:
        raise StampError(
            f"files that end in {path.suffix or path.name} carry no metadata block",
            hint="stamp " + ", ".join(_STYLES),
        )
    block = find_block(text)
    if block is not None:
        before, yaml, after, style = block.before, block.yaml, block.after, block.style
        gap = ""
    else:
        before, after = _split(text, style)
        if before and not before.endswith("\n"):
            before += newline
        yaml, gap = _new_metadata(path, author, now), newline

    def with_block(bare: str, added: str) -> str:
        return before + _with_ends(write_block(bare + added, style), newline) + gap + after

    return _renewed(text, (before, yaml, after), now, path, with_block)


def _renewed(
    text: str,
    parts: tuple[str, str, str],
    now: str,
    path: PurePath,
    whole: Callable[[str, str], str],
) -> Stamp:
    """Renew the hash of a text.

    ``parts`` are what stands before the metadata, in it, and after it; ``whole`` makes the
    new text of the metadata without the lines that are renewed, and of these lines.
    """
    before, yaml, after = parts
    fields = parse_yaml(yaml.encode(), str(path)).data
    plain = yaml.replace("\r\n", "\n")
    bare = _TIME_LINE.sub("", _HASH_LINE.sub("", plain)).rstrip("\n") + "\n"
    digest = sha256_of("\0".join([before.rstrip("\r\n"), bare, after.strip("\r\n")]))
    line = f"hash: {digest}\n"
    if line in f"{plain.rstrip()}\n":
        return Stamp(text, digest, is_current=True)
    stamped = whole(bare, f"last_modified_at: '{now}'\n{line}")
    _check(stamped, path, fields, digest, (before, after))
    return Stamp(stamped, digest, is_current=False)


def _check(
    stamped: str,
    path: PurePath,
    fields: Mapping[str, JsonValue],
    digest: str,
    around: tuple[str, str],
) -> None:
    """Read what will be written, as everybody else will; raises StampError if it is not that."""
    found: str | None = stamped
    rest = ("", "")
    if not path.name.endswith(MANIFEST_SUFFIX):
        block = find_block(stamped)
        found = block.yaml if block is not None else None
        rest = (block.before, block.after.lstrip("\r\n")) if block is not None else rest
        around = (around[0], around[1].lstrip("\r\n"))
    try:
        read = parse_yaml(found.encode(), str(path)).data if found is not None else {}
    except DocumentError:
        read = {}
    kept = {key: value for key, value in fields.items() if key not in _RENEWED}
    if (
        rest != around
        or {k: v for k, v in read.items() if k not in _RENEWED} != kept
        or (read.get("hash") != digest)
    ):
        raise StampError(
            f"{path} is written in a way that leaves no room for a hash, so it was left as it is",
            hint="write its metadata in plain block style: one key to a line, at the left margin",
        )


def _with_ends(text: str, newline: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", newline)


def _split(text: str, style: BlockStyle) -> tuple[str, str]:
    """What must stay in front of a block: an interpreter and an encoding, or front matter."""
    if style is BlockStyle.MARKUP:
        match = _FRONT_MATTER.match(text) or _INTERPRETER.match(text)
    else:
        match = _FIRST_LINES.match(text)
    return ("", text) if match is None else (match[0], text[match.end() :])


def _new_metadata(path: PurePath, author: str, now: str) -> str:
    stem = _UNSAFE.sub("_", path.stem).strip("_") or "file"
    fields: Mapping[str, JsonValue] = {
        "metadata_version": "0.1.0",
        "protocol_version": "1.1.0",
        "schema_version": "1.1.0",
        "name": _UNSAFE.sub("_", path.stem).strip("_") + path.suffix,
        "version": "1.0.0",
        "uuid": str(uuid.uuid4()),
        "author": author,
        "owner": author,
        "created_at": now,
        "description": f"Metadata of {_UNSAFE.sub('_', path.name)}",
        "state_contract": "state_contract://default",
        "lifecycle": "active",
        "entrypoint": f"python@{path.name}" if path.suffix == ".py" else f"document@{path.name}",
        "namespace": f"local.stamped.{stem}",
        "meta_type": "tool",
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())
