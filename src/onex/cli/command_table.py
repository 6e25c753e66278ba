"""Every command by the task that it serves, and the names that other tools have for it."""

from __future__ import annotations

from collections.abc import Mapping

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Start here": {
        "init": "onex.cli.project:init",
        "new": "onex.cli.new:new",
        "test": "onex.cli.test:test",
        "run": "onex.cli.run:run",
        "show": "onex.cli.nodes:show",
    },
    "Find and register nodes": {
        "list": "onex.cli.nodes:list_nodes",
        "search": "onex.cli.nodes:search",
        "scan": "onex.cli.scan:scan",
        "sources": "onex.cli.sources:sources",
        "register": "onex.cli.register:register",
        "unregister": "onex.cli.register:unregister",
        "fit": "onex.cli.fit:fit",
        "compose": "onex.cli.fit:compose",
    },
    "Write nodes and workflows": {
        "validate": "onex.cli.validate:validate",
        "dev": "onex.cli.test:dev",
        "schema": "onex.cli.schema:schema",
        "stamp": "onex.cli.stamp:stamp",
        "demo": "onex.cli.demo:demo",
    },
    "Look at runs": {
        "runs": "onex.cli.runs:runs",
        "top": "onex.cli.top:top",
        "ui": "onex.cli.ui:ui",
        "provenance": "onex.cli.provenance:provenance",
    },
    "Choose versions": {
        "resolve": "onex.cli.resolve:resolve",
        "lock": "onex.cli.lock:lock",
        "tree": "onex.cli.dependencies:tree",
        "graph": "onex.cli.dependencies:graph",
        "why": "onex.cli.dependencies:why",
        "why-not": "onex.cli.dependencies:why_not",
        "outdated": "onex.cli.dependencies:outdated",
        "compat": "onex.cli.dependencies:compat",
        "impact": "onex.cli.impact:impact",
    },
    "Share nodes": {
        "publish": "onex.cli.publish:publish",
        "yank": "onex.cli.yank:yank",
        "lifecycle": "onex.cli.lifecycle:lifecycle",
        "remote": "onex.cli.remote:remote",
        "fetch": "onex.cli.remote:fetch",
        "login": "onex.cli.remote:login",
        "logout": "onex.cli.remote:logout",
        "serve": "onex.cli.serve:serve",
        "token": "onex.cli.token:token",
        "mcp": "onex.cli.mcp:mcp",
    },
    "Decide what may run": {
        "grant": "onex.cli.grants:grant",
        "policy": "onex.cli.policy:policy",
        "verify": "onex.cli.verify:verify",
        "sign": "onex.cli.verify:sign",
        "trust": "onex.cli.trust_index:trust",
        "audit": "onex.cli.audit:audit_group",
        "advisory": "onex.cli.advisory:advisory",
        "sbom": "onex.cli.sbom:sbom",
    },
    "Keep it running": {
        "doctor": "onex.cli.doctor:doctor",
        "health": "onex.cli.health:health",
        "metrics": "onex.cli.health:metrics",
        "bench": "onex.cli.bench:bench",
        "config": "onex.cli.config:config",
        "cache": "onex.cli.cache:cache",
        "storage": "onex.cli.storage:storage",
        "backup": "onex.cli.backup:backup",
        "restore": "onex.cli.backup:restore",
        "completion": "onex.cli.completion:completion",
        "explain": "onex.cli.explain:explain",
        "version": "onex.cli.version:version",
    },
}

TAKE_REFERENCES = frozenset(
    {
        *("compat", "compose", "dev", "fetch", "fit", "graph", "grant approve", "grant revoke"),
        *("impact", "lifecycle history", "lifecycle status", "lifecycle transition", "lock"),
        *("outdated", "resolve", "run", "show", "sign", "test", "tree", "unregister", "verify"),
        *("why", "why-not", "yank"),
    }
)
"""The commands whose arguments may be references to nodes."""

ALIASES: Mapping[str, str] = {"list-nodes": "list", "node-info": "show"}

_OF_OTHER_TOOLS: Mapping[str, str] = {
    "add": "register",
    "check": "validate",
    "create": "new",
    "exec": "run",
    "history": "runs list",
    "info": "show",
    "install": "fetch",
    "log": "runs show latest",
    "logs": "runs show latest",
    "ls": "list",
    "ps": "runs list",
    "remove": "unregister",
    "rm": "unregister",
    "status": "health",
    "uninstall": "unregister",
    "watch": "runs watch",
}


def target_of(name: str) -> str | None:
    """Where a command is, as ``module:attribute``; None if there is none of that name."""
    wanted = ALIASES.get(name, name)
    return next((group[wanted] for group in COMMANDS.values() if wanted in group), None)


def command_names() -> list[str]:
    """The names of all commands, by group."""
    return [name for group in COMMANDS.values() for name in group]


def meant_by(name: str) -> str | None:
    """What somebody may have meant by a name that no command has; None if that is not clear."""
    if name in _OF_OTHER_TOOLS:
        return _OF_OTHER_TOOLS[name]
    # Completion, which must be quick, imports this module too.
    import difflib

    return next(iter(difflib.get_close_matches(name, command_names(), 1, 0.6)), None)
