"""The dashboard and the alert rules: each query is PromQL, about metrics and labels that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml_rs

from onex.telemetry.exposition import exported_names
from onex.telemetry.metric_catalog import METRICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# Every target of Prometheus has these.
OF_TARGETS = {"job", "instance"}
LABELS = {metric.name: set(metric.labels) for metric in METRICS}


def queries() -> Iterator[tuple[str, str, str]]:
    """Each query: where it stands, itself, and the text that shows its labels."""
    rules = yaml_rs.loads((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


ALL = list(queries())


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of series in a query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector", "vs"):
        inner = getattr(node, name, None)
        if inner is not None and not isinstance(inner, str):
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


@pytest.mark.parametrize(("place", "query", "shown"), ALL, ids=[place for place, _, _ in ALL])
def test_a_query_is_promql_about_what_is_exported(place: str, query: str, shown: str) -> None:
    text = query.replace("$__rate_interval", "5m")
    parsed = promql_parser.parse(text)
    found = list(selectors(parsed))
    assert found, query
    known: set[str] = set(OF_TARGETS)
    for selector in found:
        if selector.name == "up":
            continue
        assert selector.name in exported_names(), selector.name
        own = re.sub(r"_(bucket|sum|count)$", "", selector.name)
        labels = LABELS.get(selector.name) or LABELS[own]
        known |= labels
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= labels | OF_TARGETS | {"le"}, (selector.name, asked)
    for grouped in re.findall(r"by \(([^)]*)\)", text):
        assert {label.strip() for label in grouped.split(",")} <= known | {"le"}
    for label in re.findall(r"{{ *(?:\$labels\.)?(\w+) *}}", shown):
        assert label in known, (place, label)


def test_every_metric_is_on_the_dashboard() -> None:
    board = (DEPLOY / "grafana" / "dashboard.json").read_text()
    assert [metric.name for metric in METRICS if metric.name not in board] == []


def test_the_dashboard_is_current() -> None:
    script = ROOT / "scripts" / "draw_dashboard.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0
