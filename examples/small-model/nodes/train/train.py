"""Fits a power law."""

import csv
from pathlib import Path

import numpy as np


def train(path: Path) -> dict:
    """Fit ``period = factor * distance ** exponent`` to the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(float(row["distance"]), float(row["period"])) for row in csv.DictReader(file)]
    distance, period = np.log(np.array(rows)).T
    exponent, logarithm = np.polyfit(distance, period, 1)
    return {
        "factor": float(np.exp(logarithm)),
        "exponent": float(exponent),
        "points": [list(row) for row in rows],
    }
