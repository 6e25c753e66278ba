"""Lists Python files. Not idempotent: what it returns depends on the disk, not on its input."""

import os

SKIPPED = {"__pycache__", "dist-packages", "idle_test", "node_modules", "site-packages", "test", "tests"}


def execute(context, *, root):
    """Return each ``.py`` file below ``root`` with its dotted module name, sorted by path."""
    files = []
    for folder, names, entries in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIPPED and not n.startswith("."))
        parts = os.path.relpath(folder, root).split(os.sep)
        package = [] if parts == ["."] else parts
        for entry in sorted(entries):
            stem, extension = os.path.splitext(entry)
            if extension != ".py" or not all(part.isidentifier() for part in [*package, stem]):
                continue
            is_package = stem == "__init__" and bool(package)
            module = ".".join(package if is_package else [*package, stem])
            files.append(
                {"path": os.path.join(folder, entry), "module": module, "is_package": is_package}
            )
    if not files:
        raise ValueError(f"there is no Python file below {root}")
    context.get_logger().info("%d files below %s", len(files), root)
    return {"files": files, "count": len(files)}
