"""Stamping: a metadata block in a file, with a hash that shows whether the file changed since."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from onex.domain.errors import StampError
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
_TIME_LINE = re.compile(r"^last_modified_at:.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamped text, the hash it carries, and whether the file carried it already."""

    text: str
    hash: str
    is_current: bool


def stamp_text(text: str, path: PurePath, author: str, now: str) -> Stamp:
    """Stamp the text of a file.

    A text that did not change since it was stamped is returned as it is. Where it did, the hash
    and ``last_modified_at`` are renewed and everything else of its metadata stays.

    Args:
        text: the content.
        path: the file's name decides how the block is written; a ``*.onex.yaml`` is
            metadata itself and gets no block, but a hash.
        author: who is named in a new block.
        now: an RFC 3339 timestamp in UTC.

    Raises:
        StampError: files of this kind carry no block.
        DocumentError: the metadata that is there is not valid YAML.
    """
    if path.name.endswith(MANIFEST_SUFFIX):
        return _stamp(text, ("", text, ""), now, path, lambda yaml: yaml)
    style = _STYLES.get(path.suffix)
    if style is None:
        raise StampError(
            f"files that end in {path.suffix or path.name} carry no metadata block",
            hint="stamp " + ", ".join(_STYLES),
        )
    block = find_block(text)
    if block is not None:
        parts = (block.before, block.yaml, block.after)
        kept = block.style
        return _stamp(text, parts, now, path, lambda y: parts[0] + write_block(y, kept) + parts[2])
    before, after = _split(text)
    parts = (before, _new_metadata(path, author, now), after)
    return _stamp(text, parts, now, path, lambda y: f"{before}{write_block(y, style)}\n{after}")


def _stamp(
    text: str,
    parts: tuple[str, str, str],
    now: str,
    path: PurePath,
    whole: Callable[[str], str],
) -> Stamp:
    """Renew the hash; ``parts`` are what stands before the metadata, in it, and after it."""
    before, yaml, after = parts
    parse_yaml(yaml.encode(), str(path))
    bare = _TIME_LINE.sub("", _HASH_LINE.sub("", yaml)).rstrip("\n") + "\n"
    digest = sha256_of("\0".join([before.rstrip("\n"), bare, after.strip("\n")]))
    line = f"hash: {digest}\n"
    if line in f"{yaml.rstrip()}\n":
        return Stamp(text, digest, is_current=True)
    return Stamp(whole(f"{bare}last_modified_at: '{now}'\n{line}"), digest, is_current=False)


def _split(text: str) -> tuple[str, str]:
    """What must stay in front of a block: a line that names an interpreter."""
    if not text.startswith("#!"):
        return "", text
    first, newline, rest = text.partition("\n")
    return first + (newline or "\n"), rest


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
