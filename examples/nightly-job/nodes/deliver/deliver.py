"""Writes a summary to a folder."""

import json
import os
from pathlib import Path


def deliver(folder: Path, day: str, summary: dict) -> dict:
    """Write a summary; a reader sees the file of before, or the whole new one."""
    file, draft = folder / f"{day}.json", folder / f".{day}.part"
    draft.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, file)
    return {"file": str(file)}
