"""Nodes that make an artifact and read one."""

from __future__ import annotations

MAKE = """\
def execute(context, *, text):
    path = context.workdir / "made.txt"
    path.write_text(text)
    return context.artifact(path)
"""
READ = """\
import os, time
from pathlib import Path

def execute(context, *, file, until=""):
    while until and not os.path.exists(until):
        time.sleep(0.01)
    return Path(file).read_text()
"""
PATH = {"type": "string", "format": "path"}
