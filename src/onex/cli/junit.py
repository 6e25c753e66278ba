"""Outcomes of examples as JUnit XML, which continuous integration shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from onex.execution.example_run import ExampleOutcome

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (section 2.2)."""


def junit_xml(outcomes: Sequence[ExampleOutcome]) -> str:
    """The outcomes as a document: a suite for each node, a case for each example."""
    root = ElementTree.Element("testsuites")
    suites: dict[str, ElementTree.Element] = {}
    for outcome in outcomes:
        name = str(outcome.node)
        if name not in suites:
            suites[name] = ElementTree.SubElement(root, "testsuite", name=name)
        case = ElementTree.SubElement(
            suites[name],
            "testcase",
            classname=name,
            name=_text(outcome.example.name),
            time=f"{outcome.seconds:.6f}",
        )
        if not outcome.passed:
            first = _text(outcome.problems[0])
            failure = ElementTree.SubElement(case, "failure", message=first)
            failure.text = _text("\n".join(outcome.problems))
        if outcome.log:
            ElementTree.SubElement(case, "system-out").text = _text(outcome.log)
    for name, suite in suites.items():
        mine = [outcome for outcome in outcomes if str(outcome.node) == name]
        suite.set("tests", str(len(mine)))
        suite.set("failures", str(sum(not outcome.passed for outcome in mine)))
        suite.set("time", f"{sum(outcome.seconds for outcome in mine):.6f}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
