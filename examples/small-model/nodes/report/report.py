"""Writes a report about a fitted law."""

import math
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 480, 320, 30


def report(model: dict, evaluation: dict) -> dict:
    """Write what was fitted and how far it is off, and draw it on logarithmic axes."""
    lines = [
        "# A power law of the solar system",
        "",
        f"period = {model['factor']:.4f} * distance ^ {model['exponent']:.4f}",
        "",
        "| not seen before | predicted | off by |",
        "|---|---|---|",
        *(f"| {e['name']} | {e['predicted']:.1f} | {e['error']:+.2%} |" for e in evaluation["errors"]),
    ]
    page, picture = Path("report.md"), Path("law.svg")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    picture.write_text(_drawing(model), encoding="utf-8")
    return {"report": page, "picture": picture}


def _drawing(model: dict) -> str:
    points = [(math.log10(x), math.log10(y)) for x, y in model["points"]]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    bottom, top = min(y for _, y in points), max(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = MARGIN + (x - low) / (high - low) * (WIDTH - 2 * MARGIN)
        return across, HEIGHT - MARGIN - (y - bottom) / (top - bottom) * (HEIGHT - 2 * MARGIN)

    factor, exponent = math.log10(model["factor"]), model["exponent"]
    (x1, y1), (x2, y2) = (place(x, factor + exponent * x) for x in (low, high))
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#2a6f97"/>' for x, y in (place(*p) for p in points)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#c1121f"/>{dots}</svg>\n'
    )
