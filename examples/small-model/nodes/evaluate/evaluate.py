"""Evaluates a power law."""

import csv
from pathlib import Path


def evaluate(path: Path, model: dict, limit: float = 0.05) -> dict:
    """Compare predictions with the rows of a CSV file; raises ValueError beyond the limit."""
    errors = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            predicted = model["factor"] * float(row["distance"]) ** model["exponent"]
            error = predicted / float(row["period"]) - 1
            errors.append({"name": row["name"], "predicted": round(predicted, 3), "error": round(error, 4)})
    worst = max(errors, key=lambda one: abs(one["error"]))
    if abs(worst["error"]) > limit:
        raise ValueError(f"{worst['name']} is off by {worst['error']:.1%}, more than {limit:.0%}")
    return {"errors": errors, "worst": abs(worst["error"])}
