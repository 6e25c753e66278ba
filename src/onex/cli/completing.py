"""What a shell offers while somebody writes a command.

A shell asks at every press of a key, so this imports next to nothing: click, and the commands
themselves, only if an option or a command below another is to be completed.
"""

from __future__ import annotations

import os

from onex.cli.command_table import ALIASES, TAKE_REFERENCES, command_names, target_of

COMPLETE = "__complete"
"""The hidden command that the scripts of ``onex completion`` call, with the shell and the line."""


def complete(shell: str, line: str) -> list[str]:
    """What may stand in the place of the last word of a line.

    Args:
        shell: ``bash`` replaces the part of a word after its last colon alone.
        line: what was written up to the cursor.
    """
    words = line.split()
    word = "" if line[-1:].isspace() else words.pop() if words else ""
    found = [text for text in _candidates(words[1:], word) if text.startswith(word)]
    if shell == "bash" and ":" in word:
        kept = word.rindex(":") + 1
        found = [text[kept:] for text in found]
    return found


def _candidates(before: list[str], word: str) -> list[str]:
    """What may come after the words of a command line without its first."""
    command = " ".join(text for text in before if not text.startswith("-"))
    if not command:
        return [*command_names(), *ALIASES]
    name = ALIASES.get(before[0], before[0])
    if not word.startswith("-") and any(
        f"{name}{command[len(before[0]) :]} ".startswith(f"{known} ") for known in TAKE_REFERENCES
    ):
        return _references(before, word)
    if target_of(name) is None:
        return []
    return _from_click(before, word)


def _references(before: list[str], word: str) -> list[str]:
    from onex.storage.sqlite.name_reader import names_beginning

    file = _database(before)
    return _from_registry(before, word) if file is None else names_beginning(file, word)


def _database(before: list[str]) -> str | None:
    """The file of the registry that a command would use, if that is plain to see."""
    if os.environ.get("ONEX_STORAGE"):
        return None
    home = os.environ.get("ONEX_HOME", "")
    if "--home" in before[:-1]:
        home = before[before.index("--home") + 1]
    folder = os.getcwd()  # noqa: PTH109 - pathlib would take too long to import
    while not os.path.isfile(f"{folder}/onex.toml"):  # noqa: PTH113
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            folder = ""
            break
        folder = above
    if folder:
        with open(f"{folder}/onex.toml", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            if "storage" in file.read():
                return None
        home = home or f"{folder}/.onex"
    return f"{home}/registry.db" if home else None


def _from_registry(before: list[str], word: str) -> list[str]:
    """As ``_references``, wherever the registry is kept."""
    from pathlib import Path

    from onex.domain.errors import OnexError
    from onex.registry import Registry
    from onex.storage.query import MetadataQuery

    home = Path(before[before.index("--home") + 1]) if "--home" in before[:-1] else None
    name = word.partition("@")[0].rpartition("://")[2]
    query = MetadataQuery(
        pattern=f"{name}*" if name else None, all_versions="@" in word, limit=200, with_total=False
    )
    try:
        with Registry.open(home) as registry:
            found = [node.metadata for node in registry.query(query)]
    except OnexError:
        return []
    if "://" in word:
        names = [str(m.node_version if "@" in word else m.node) for m in found]
    else:
        names = [f"{m.name}@{m.version}" if "@" in word else m.name for m in found]
    return sorted(set(names))


def _from_click(before: list[str], word: str) -> list[str]:
    """Commands below another, options, and values that an option or an argument can have."""
    from click.shell_completion import ShellComplete

    from onex.cli.main import onex

    asked = ShellComplete(onex, {}, "onex", "_ONEX_COMPLETE")
    return [item.value for item in asked.get_completions(before, word) if item.type == "plain"]
