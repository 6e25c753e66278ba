"""Lists CSV files."""

from pathlib import Path


def find(folder: Path) -> dict:
    """List the CSV files below a folder, by name."""
    found = sorted(folder.rglob("*.csv"))
    return {"files": [{"path": str(file), "name": file.name} for file in found]}
