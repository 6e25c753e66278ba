"""Writes deploy/grafana/dashboard.json: a panel for each question of those who run a registry.

With ``--check`` nothing is written, and the exit code is 1 if the file is not current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FILE = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboard.json"

Query = tuple[str, str]
"""An expression, and what its curves are called."""


def rate(metric: str, *by: str) -> str:
    """How much a counter grows in a second, by labels."""
    return f"sum by ({', '.join(by)}) (rate({metric}[$__rate_interval]))"


def last_hour(metric: str, *by: str) -> Query:
    """How much a counter grew in the last hour, by labels."""
    shown = " ".join(f"{{{{{label}}}}}" for label in by)
    return f"sum by ({', '.join(by)}) (increase({metric}[1h]))", shown


def quantile(share: float, metric: str, *by: str) -> str:
    """A quantile of a histogram, by labels."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le', *by)})"


HTTP = "onex_http_request_duration_seconds"
SCAN = "registry_discovery_duration_seconds"
CHOOSING = "registry_version_resolution_duration_seconds"
CALL, RUN = "onex_step_duration_seconds", "onex_run_duration_seconds"
CACHE = "onex_cache_requests_total"
HITS = f'{CACHE}{{outcome="hit"}}'

ROWS: dict[str, dict[tuple[str, str], list[Query]]] = {
    "The registry": {
        ("Requests a second, by status", "reqps"): [
            (rate(f"{HTTP}_count", "status"), "{{status}}")
        ],
        ("Time of requests", "s"): [(quantile(0.5, HTTP), "p50"), (quantile(0.95, HTTP), "p95")],
        ("Node versions", "none"): [("onex_node_versions", "{{instance}}")],
        ("Entry of the log", "none"): [("onex_index_serial", "{{instance}}")],
    },
    "Discovery and resolution": {
        ("Time of a scan, by source", "s"): [
            (f"{rate(f'{SCAN}_sum', 'source')} / {rate(f'{SCAN}_count', 'source')}", "{{source}}")
        ],
        ("Nodes found, by source", "none"): [("registry_nodes_discovered", "{{source}}")],
        ("Time to choose versions, p95", "s"): [
            (quantile(0.95, CHOOSING, "cache_hit"), "cached: {{cache_hit}}")
        ],
        ("Hits of the cache, by level", "percentunit"): [
            (f"{rate(HITS, 'level')} / {rate(CACHE, 'level')}", "{{level}}")
        ],
    },
    "Runs": {
        ("Runs that ended", "none"): [last_hour("onex_runs_total", "status")],
        ("In progress", "none"): [
            ("onex_runs_in_progress", "runs"),
            ("onex_steps_in_progress", "calls"),
            ("onex_queue_depth", "steps that wait"),
        ],
        ("Calls a second, by node", "cps"): [
            (f"topk(10, {rate('onex_steps_total', 'node')})", "{{node}}")
        ],
        ("Time of a call, p95", "s"): [(f"topk(10, {quantile(0.95, CALL, 'node')})", "{{node}}")],
        ("Time of a run, p95", "s"): [(quantile(0.95, RUN, "workflow"), "{{workflow}}")],
        ("Time to load a node, p95", "s"): [
            (quantile(0.95, "onex_node_load_duration_seconds"), "p95")
        ],
    },
    "Trust and room": {
        ("Refusals", "none"): [last_hour("onex_audit_refusals_total", "action")],
        ("Denials of the sandbox", "none"): [
            last_hour("onex_sandbox_denials_total", "node", "kind")
        ],
        ("Calls beyond a limit", "none"): [
            last_hour("onex_limits_exceeded_total", "node", "limit")
        ],
        ("Time until the signed index expires", "s"): [
            ("onex_index_expiry_timestamp_seconds - time()", "{{role}}")
        ],
        ("Age of what is known of remotes", "s"): [("onex_remote_age_seconds", "{{remote}}")],
        ("How far remotes are known", "none"): [("onex_remote_serial", "{{remote}}")],
        ("Free space", "bytes"): [("onex_disk_free_bytes", "{{instance}}")],
        ("What runs", "none"): [("onex_build_info", "{{version}}, Python {{python}}")],
    },
}


def dashboard() -> dict[str, object]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, object]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "gridPos": place, "id": len(panels) + 1})
        top += 1
        for position, ((name, unit), queries) in enumerate(row.items()):
            x, y = position % 3 * 8, top + position // 3 * 7
            panels.append(
                {
                    "type": "timeseries",
                    "title": name,
                    "id": len(panels) + 1,
                    "gridPos": {"h": 7, "w": 8, "x": x, "y": y},
                    "datasource": {"type": "prometheus", "uid": "${source}"},
                    "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                    "targets": [
                        {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
                        for place, (query, legend) in enumerate(queries)
                    ],
                }
            )
        top += (len(row) + 2) // 3 * 7
    return {
        "title": "onex registry",
        "uid": "onex-registry",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" in sys.argv:
        return int(not FILE.exists() or FILE.read_text(encoding="utf-8") != text)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
