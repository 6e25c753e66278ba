"""What a shell offers while somebody writes a command.

A shell asks at every press of a key, so this imports next to nothing, and no pathlib: click, and
the commands themselves, only if an option or a command below another is to be completed.
"""

from __future__ import annotations

import os

from onex.cli.command_table import ALIASES, TAKE_REFERENCES, command_names, target_of

COMPLETE = "__complete"
"""The hidden command that the scripts of ``onex completion`` call, with what ``complete`` takes."""


def complete(line: str, breaks: str = "") -> list[str]:
    """What may stand in the place of the last word of a line.

    Args:
        line: what was written up to the cursor.
        breaks: characters after the last of which the shell replaces the word, as the
            variable COMP_WORDBREAKS of bash has them; other shells replace all of it.
    """
    words = line.split()
    word = "" if line[-1:].isspace() else words.pop() if words else ""
    # Another command may stand before: sudo, time, or a variable that is set.
    start = next((i for i, text in enumerate(words) if _is_onex(text)), 0)
    kept = max((word.rfind(mark) + 1 for mark in breaks if not mark.isspace()), default=0)
    found = [text for text in _candidates(words[start + 1 :], word) if text.startswith(word)]
    return [text[kept:] for text in found]


def _is_onex(word: str) -> bool:
    return word.rpartition("/")[2] in ("onex", "onexr")


def _candidates(before: list[str], word: str) -> list[str]:
    """What may come after the words of a command line without its first."""
    command = " ".join(text for text in before if not text.startswith("-"))
    if not command:
        return [*command_names(), *ALIASES]
    name = ALIASES.get(before[0], before[0])
    if before[-1].startswith("-") and (values := _from_click(before, word)):
        return values
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
    if _sets_storage(f"{_settings_folder()}/onex.toml"):
        return None
    home = _home_option(before) or os.environ.get("ONEX_HOME", "")
    folder = os.getcwd()  # noqa: PTH109 - see the top
    while not os.path.isfile(f"{folder}/onex.toml"):  # noqa: PTH113 - see the top
        above = os.path.dirname(folder)  # noqa: PTH120 - see the top
        if above == folder:
            folder = ""
            break
        folder = above
    if folder:
        if _sets_storage(f"{folder}/onex.toml"):
            return None
        home = home or f"{folder}/.onex"
    return f"{home}/registry.db" if home else None


def _settings_folder() -> str:
    """Where the settings of the user are on Linux; elsewhere they are found the slow way."""
    given = os.environ.get("ONEX_SETTINGS_FOLDER")
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - see the top
    return given or f"{base}/onex"


def _sets_storage(file: str) -> bool:
    try:
        with open(file, encoding="utf-8", errors="replace") as settings:  # noqa: PTH123 - see the top
            return "storage" in settings.read()
    except OSError:
        return False


def _home_option(before: list[str]) -> str:
    """What ``--home`` says among the words of a command."""
    for word, following in zip(before, [*before[1:], ""], strict=True):
        if word == "--home":
            return following
        if word.startswith("--home="):
            return word.removeprefix("--home=")
    return ""


def _from_registry(before: list[str], word: str) -> list[str]:
    """As ``_references``, wherever the registry is kept."""
    from pathlib import Path

    from onex.domain.errors import OnexError
    from onex.registry import Registry
    from onex.storage.query import MetadataQuery

    given = _home_option(before)
    home = Path(given) if given else None
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
