"""Parses one file with ``ast``. The file is data: nothing in it is run."""

import ast
import warnings

BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler,
    ast.Assert, ast.comprehension, ast.match_case,
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def execute(context, *, path, module, is_package=False):
    """Return what the file defines and imports; a file that does not parse gives ``error``."""
    with open(path, "rb") as file:
        source = file.read()
    found = {
        "module": module, "is_package": is_package, "lines": len(source.splitlines()),
        "functions": [], "classes": 0, "imports": [], "lazy_imports": [], "error": None,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
        return found
    pending = [(tree, False)]
    while pending:
        node, is_lazy = pending.pop()
        if isinstance(node, FUNCTIONS):
            found["functions"].append(
                {"name": node.name, "line": node.lineno, "complexity": complexity(node)}
            )
            is_lazy = True
        elif isinstance(node, ast.ClassDef):
            found["classes"] += 1
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            pending += [(child, is_lazy) for child in node.orelse]
            continue
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = imported(node, module, is_package)
            found["lazy_imports" if is_lazy else "imports"] += names
            continue
        pending += [(child, is_lazy) for child in ast.iter_child_nodes(node)]
    found["functions"].sort(key=lambda function: function["line"])
    found["imports"] = sorted(set(found["imports"]))
    found["lazy_imports"] = sorted(set(found["lazy_imports"]))
    return found


def complexity(function):
    """McCabe's number: one path, and one more for each decision."""
    total = 1
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
    return total


def is_type_checking(test):
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def imported(node, module, is_package):
    """The modules a statement may import: ``a.b`` for ``from a import b`` as well as ``a``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        keep = len(parts) - node.level + (1 if is_package else 0)
        base = ".".join([*parts[: max(keep, 0)], *([base] if base else [])])
    return [f"{base}:{alias.name}" for alias in node.names] if base else []
