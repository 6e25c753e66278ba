"""Puts thumbnails on a page."""

import base64
from html import escape
from pathlib import Path


def sheet(thumbnails: list) -> dict:
    """Write a page that has each thumbnail in itself, so that it can be sent as one file."""
    figures = []
    for one in thumbnails:
        content = base64.b64encode(Path(one["picture"]).read_bytes()).decode()
        name = escape(one["name"])
        figures.append(
            f'<figure><img alt="{name}" src="data:image/png;base64,{content}">'
            f"<figcaption>{name}</figcaption></figure>"
        )
    page = Path("thumbnails.html")
    page.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Thumbnails</title>\n'
        + "\n".join(figures) + "</html>\n",
        encoding="utf-8",
    )
    return {"page": page}
