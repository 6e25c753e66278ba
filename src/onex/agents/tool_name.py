"""The names of tools: each follows from one identity alone, whatever else is offered.

Clients accept ``[A-Za-z0-9_-]{1,64}``, and put the name of the server before that of a tool, such
as ``mcp__onex__``, which must fit as well. ``tool://my.word_count`` is ``my_word__count``; what
cannot be written so, or would not lead back, ends with a part of the SHA-256 of the identity.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from onex.domain.json_value import sha256_of
from onex.domain.reference import NodeId

FIND_TOOLS, DESCRIBE_TOOL, RUN_TOOL = "find_tools", "describe_tool", "run_tool"
_OF_THE_SERVER = frozenset({FIND_TOOLS, DESCRIBE_TOOL, RUN_TOOL})

_MAXIMUM_LENGTH = 48
_HASH_LENGTH = 12
_TYPE_LENGTH = 12
# Single underscores between letters, so that two of them in a name can mean nothing else.
_PLAIN = re.compile(r"[a-z0-9]+(?:[._][a-z0-9]+)*", re.ASCII)
_PLAIN_STEM = re.compile(r"[a-z0-9_]+", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{12}", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9]", re.ASCII)
_TOOL_TYPE, _WORKFLOW_TYPE = "tool", "workflow"


def name_of_node(node: NodeId) -> str:
    """The name of the tool that a node is."""
    plain = node.namespace.replace("_", "__").replace(".", "_")
    if (
        node.type == _TOOL_TYPE
        and _PLAIN.fullmatch(node.namespace)
        and len(plain) <= _MAXIMUM_LENGTH
        and plain not in _OF_THE_SERVER
    ):
        return plain
    beginning = "" if node.type == _TOOL_TYPE else f"{_words(node.type)[:_TYPE_LENGTH]}-"
    return _hashed(beginning, node.namespace, str(node))


def name_of_workflow_file(path: str) -> str:
    """The name of the tool that a workflow file is, by its path from the project's folder."""
    stem = PurePosixPath(path).name.removesuffix(".yaml").removesuffix(".yml")
    stem = stem.removesuffix(".workflow")
    name = f"{_WORKFLOW_TYPE}-{stem}"
    is_plain = "/" not in path and _PLAIN_STEM.fullmatch(stem) and not _HASH.fullmatch(stem)
    if is_plain and path == f"{stem}.workflow.yaml" and len(name) <= _MAXIMUM_LENGTH:
        return name
    return _hashed(f"{_WORKFLOW_TYPE}-", stem, f"{_WORKFLOW_TYPE}:{path}")


def namespace_glob(name: str) -> str:
    """A glob that the namespace of the node fits that a tool is called after."""
    stem, separator, _ = name.rpartition("-")
    if not separator:
        return "_".join(part.replace("_", ".") for part in name.split("__"))
    glob = stem.rpartition("-")[2].replace("_", "?")
    # A long namespace is cut off in the name.
    return glob + "*" if len(name) == _MAXIMUM_LENGTH else glob


def _hashed(beginning: str, words: str, identity: str) -> str:
    room = _MAXIMUM_LENGTH - len(beginning) - 1 - _HASH_LENGTH
    return f"{beginning}{_words(words)[:room]}-{sha256_of(identity)[:_HASH_LENGTH]}"


def _words(text: str) -> str:
    return _OTHER.sub("_", text)
