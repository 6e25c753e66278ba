"""A proposed workflow as YAML for people, with the reason for each link beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from onex.domain.json_value import JsonValue
from onex.schemas.contract_fit import ProposedStep, ProposedWorkflow

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What YAML 1.1 or 1.2 reads as something else than a text."""


def workflow_text(proposed: ProposedWorkflow, name: str) -> str:
    """The text of a ``*.workflow.yaml``; JSON, which YAML includes, where values are not plain."""
    return "\n".join(_lines(proposed, name)) + "\n"


def _lines(proposed: ProposedWorkflow, name: str) -> Iterator[str]:
    joined = ", ".join(step.node.name for step in proposed.steps)
    yield f"name: {_json(name)}"
    yield 'version: "1.0.0"'
    yield f"description: {_json(f'Joins {joined}.')}"
    yield ""
    if proposed.inputs:
        yield "inputs:"
        for wanted, schema in proposed.inputs.items():
            yield f"  {_key(wanted)}: {_json(schema)}"
        yield ""
    yield "steps:"
    for step in proposed.steps:
        yield from _step(step)
    yield "outputs:"
    last = proposed.steps[-1].id
    yield f"  {_key(last)}: ${{{{ steps.{last} }}}}"


def _step(step: ProposedStep) -> Iterator[str]:
    yield f"  {_key(step.id)}:"
    yield f"    node: {step.node.node}@^{step.node.version}"
    if step.foreach is not None:
        yield f"    # {step.foreach} is a list, so the node is called for each of its members."
        yield f"    foreach: ${{{{ {step.foreach} }}}}"
    if step.arguments:
        yield "    with:"
        for name, link in step.arguments.items():
            yield f"      # {link.reason}"
            yield f"      {_key(name)}: ${{{{ {link.value} }}}}"
    yield ""


def _key(name: str) -> str:
    """A key as it is, if YAML reads it as a text then; else in quotes."""
    is_plain = _PLAIN.fullmatch(name) is not None and name.lower() not in _WORDS
    return name if is_plain else _json(name)


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)
