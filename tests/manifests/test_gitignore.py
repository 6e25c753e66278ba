"""Patterns of .gitignore, held against git itself on random trees."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onex.manifests.gitignore import GitIgnore
from onex.manifests.ignore_rules import NO_RULES, IgnoreRules, read_patterns
from tests.fuzz.conftest import fuzzing

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

NAMES = ("a", "b.py", "keep", "vendor", "x.yaml", "ab")
PARTS = (
    "a",
    "b",
    "*",
    "**",
    "?",
    "[ab]",
    "[!a]",
    "[b-a]",
    "keep",
    "vendor",
    "*.py",
    "*.yaml",
    "x",
    "\\*",
)
patterns = st.builds(
    lambda negation, lead, parts, tail: f"{negation}{lead}{'/'.join(parts)}{tail}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**", "/*", " ", "\\ ", "\\", "["]),
)
files = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


def kept_by_us(root: Path) -> set[str]:
    def walk(folder: str, rules: IgnoreRules):
        rules = rules.within(folder, read_patterns(folder)[0])
        for entry in os.scandir(folder):
            if entry.name == ".git" or rules.ignores(entry.path, is_folder=entry.is_dir()):
                continue
            if entry.is_dir():
                yield from walk(entry.path, rules)
            else:
                yield os.path.relpath(entry.path, root)

    return set(walk(str(root), NO_RULES))


def kept_by_git(root: Path) -> set[str]:
    command = ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=True)
    return {name.decode() for name in done.stdout.split(b"\0") if name}


@needs_git
@fuzzing
@example(["x.yaml", "a/x.yaml", "a/b.py"], ["*", "!*/", "!*.yaml"], [])
@example(["vendor/a/b.py", "vendor/keep/a"], ["vendor/**", "!vendor/keep/**"], [])
@example(["a", "b.py"], ["!", "[b-a]", "b.py\\", "[", "\ufeffa"], [])
@example(["a/b.py", "b.py"], ["\ufeffb.py"], ["!b.py"])
@given(
    st.lists(files, min_size=1, max_size=8),
    st.lists(patterns, max_size=5),
    st.lists(patterns, max_size=2),
)
def test_we_keep_what_git_keeps(tmp_path_factory, present, top, inner) -> None:
    root = tmp_path_factory.mktemp("tree")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for name in present:
        path = root / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (root / ".gitignore").write_text("\n".join(top), encoding="utf-8")
    if inner and (root / "a").is_dir():
        (root / "a" / ".gitignore").write_text("\r\n".join(inner), encoding="utf-8")
    assert kept_by_us(root) == kept_by_git(root)
    shutil.rmtree(root)


@given(st.lists(st.text(max_size=20), max_size=6), st.text(max_size=10))
def test_no_pattern_raises(lines: list[str], path: str) -> None:
    GitIgnore(lines).decide(path, is_folder=False)
