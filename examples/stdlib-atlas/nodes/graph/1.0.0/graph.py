"""Builds the import graph of parsed modules."""


def execute(context, *, modules):
    """Return a summary of each module and the edges ``[importer, imported]`` among them."""
    known = {module["module"] for module in modules}
    edges = pairs(modules, "imports", known)
    lazy = pairs(modules, "lazy_imports", known) - edges
    summaries = [summary(module) for module in sorted(modules, key=lambda m: m["module"])]
    return {
        "modules": summaries,
        "edges": [list(edge) for edge in sorted(edges)],
        "lazy_edges": [list(edge) for edge in sorted(lazy)],
    }


def pairs(modules, key, known):
    found = set()
    for module in modules:
        for written in module[key]:
            base, _, name = written.partition(":")
            target = next((t for t in (f"{base}.{name}", base) if t in known), None)
            if target is not None and target != module["module"]:
                found.add((module["module"], target))
    return found


def summary(module):
    numbers = [function.get("complexity", 1) for function in module["functions"]]
    hardest = max(module["functions"], key=lambda f: f.get("complexity", 1), default=None)
    return {
        "module": module["module"],
        "lines": module["lines"],
        "functions": len(numbers),
        "classes": module["classes"],
        "complexity": sum(numbers),
        "mean_complexity": round(sum(numbers) / len(numbers), 2) if numbers else 0.0,
        "hardest": {"name": hardest["name"], "complexity": hardest.get("complexity", 1)}
        if hardest
        else None,
        "error": module["error"],
    }
