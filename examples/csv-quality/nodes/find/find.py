"""Lists CSV files."""

from pathlib import Path


def find(folder: Path) -> dict:
    """List the CSV files below a folder, by name."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    found = sorted(folder.rglob("*.csv"))
    return {"files": [{"path": str(file), "name": file.name} for file in found]}
