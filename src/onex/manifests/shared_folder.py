"""What nodes that share a folder cannot have: each owns its manifest and its entry point alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from onex.manifests.manifest import MANIFEST_SUFFIX

MAXIMUM_SOURCE_BYTES = 512 * 1024


def lost_imports(folder: Path) -> Iterator[tuple[Path, str]]:
    """The code in a folder of several nodes that imports what lies beside it, with the module.

    Nothing for a folder with one manifest, whose node owns all files there.
    """
    if len(list(folder.glob(f"*{MANIFEST_SUFFIX}"))) < 2:
        return
    beside = {file.stem for file in folder.glob("*.py")}
    beside |= {file.parent.name for file in folder.glob("*/__init__.py")}
    for file in sorted(folder.glob("*.py")):
        for name in sorted(_imported(file) & (beside - {file.stem})):
            yield file, name


def _imported(file: Path) -> set[str]:
    """The first parts of the modules that a file imports, relative ones too."""
    try:
        if not file.is_file() or file.stat().st_size > MAXIMUM_SOURCE_BYTES:
            return set()
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level < 2:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.partition(".")[0] for name in names}
    return found
