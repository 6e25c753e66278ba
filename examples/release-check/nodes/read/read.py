"""Reads a Python project, and runs nothing of it."""

import re
import tomllib
from pathlib import Path

_VERSION = re.compile(r"^__version__\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
_HEADING = re.compile(r"^##\s+\[?v?(\d+\.\d+\.\d+[^\s\]]*)\]?(?:\s+[-(]*\s*(\d{4}-\d\d-\d\d))?", re.MULTILINE)


def read(project: Path) -> dict:
    """Read what a project says of itself."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = {}
    if "version" in table:
        versions["pyproject.toml"] = table["version"]
    for file in sorted(project.glob("**/__init__.py")):
        found = _VERSION.search(file.read_text(encoding="utf-8", errors="replace"))
        if found:
            versions[file.relative_to(project).as_posix()] = found[1]
    changelog = next(iter(sorted(project.glob("CHANGELOG*"))), None)
    text = "" if changelog is None else changelog.read_text(encoding="utf-8")
    return {
        "name": table["name"],
        "version": next(iter(versions.values()), ""),
        "versions": versions,
        "changelog": [{"version": v, "date": date} for v, date in _HEADING.findall(text)],
        "has_license": any(project.glob("LICENSE*")),
        "direct_references": [one for one in table.get("dependencies", []) if "@" in one],
    }
