"""Ranks modules by their number of importers."""

from collections import Counter


def execute(context, *, graph):
    """Return every module with its share of all imports; cycles are not looked for."""
    importers = Counter(target for _, target in graph["edges"])
    total = sum(importers.values()) or 1
    ranking = [
        {"module": m["module"], "rank": importers[m["module"]] / total, "importers": importers[m["module"]]}
        for m in graph["modules"]
    ]
    ranking.sort(key=lambda entry: (-entry["rank"], entry["module"]))
    return {"ranking": ranking, "cycles": []}
