"""Holds rows against rules."""

import csv
from pathlib import Path


def check(path: Path, name: str, rules: dict) -> dict:
    """Hold a CSV file against the rules for its name; lines count from 1, the header first."""
    own = rules.get(name, {})
    problems = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        for column in own.get("required", []):
            if column not in columns:
                problems.append({"line": 1, "column": column, "problem": "the column is missing"})
        seen = {column: {} for column in own.get("unique", [])}
        rows = 0
        for rows, row in enumerate(reader, 1):
            line = rows + 1
            for column, text, told in _of_row(row, own, columns):
                problems.append({"line": line, "column": column, "problem": told(text)})
            for column, known in seen.items():
                value = row.get(column)
                if value and known.setdefault(value, line) != line:
                    told = f"{value} stands in line {known[value]} too"
                    problems.append({"line": line, "column": column, "problem": told})
    problems.sort(key=lambda one: (one["line"], one["column"]))
    return {"name": name, "rows": rows, "problems": problems}


def _of_row(row: dict, rules: dict, columns: list):
    for column in rules.get("required", []):
        if column in columns and not row[column]:
            yield column, "", lambda text: "it is missing"
    for column, (low, high) in rules.get("ranges", {}).items():
        text = row.get(column)
        if not text:
            continue
        try:
            number = float(text)
        except ValueError:
            yield column, text, lambda text: f"{text} is no number"
            continue
        if not low <= number <= high:
            yield column, text, lambda text, low=low, high=high: f"{text} is not from {low} to {high}"
