"""Writes a report."""

from pathlib import Path


def report(checks: list, strict: bool = False) -> dict:
    """Write what was found as Markdown; raises ValueError if strict and a rule is broken."""
    broken = sum(len(one["problems"]) for one in checks)
    if strict and broken:
        raise ValueError(f"{broken} rules are broken, the first in {_first(checks)}")
    lines = ["# Data quality", "", "| file | rows | problems |", "|---|---|---|"]
    lines += [f"| {one['name']} | {one['rows']} | {len(one['problems'])} |" for one in checks]
    for one in checks:
        lines += ["", f"## {one['name']}", ""] if one["problems"] else []
        lines += [f"- line {p['line']}, {p['column']}: {p['problem']}" for p in one["problems"]]
    file = Path("report.md")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"report": file, "broken": broken}


def _first(checks: list) -> str:
    return next(f"{one['name']}: {one['problems'][0]}" for one in checks if one["problems"])
