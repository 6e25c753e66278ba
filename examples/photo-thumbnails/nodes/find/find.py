"""Lists pictures."""

from pathlib import Path


def find(folder: Path) -> dict:
    """List the PNG files below a folder, by name."""
    return {"files": [{"path": str(file)} for file in sorted(folder.rglob("*.png"))]}
