"""Parses one file into flat tables, for consumers that load them into a database."""

import ast
import warnings


def execute(context, *, path, module, is_package=False):
    """Return rows of ``definitions`` and of ``imports``, each with its line."""
    with open(path, "rb") as file:
        source = file.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return {"module": module, "definitions": [], "imports": [], "error": str(error)}
    definitions, imports = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions.append([type(node).__name__, node.name, node.lineno])
        elif isinstance(node, ast.Import):
            imports += [[alias.name, node.lineno] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append([("." * node.level) + (node.module or ""), node.lineno])
    return {"module": module, "definitions": definitions, "imports": imports, "error": None}
