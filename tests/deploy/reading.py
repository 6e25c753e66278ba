"""Reading the files of deploy/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PASSWORD = "an0ther-passw0rd"


def compose(**variables: str) -> dict[str, Any]:
    """``compose.yaml`` with variables in their places, and the extensions left out."""
    values = {"POSTGRES_PASSWORD": PASSWORD, "VALKEY_PASSWORD": PASSWORD} | variables

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name, _, default = found[1].partition(":-")
        return values.get(name.partition(":?")[0], default)

    text = re.sub(r"\$\$|\$\{([^}]*)\}", value, (DEPLOY / "compose.yaml").read_text())
    return {k: v for k, v in yaml.safe_load(text).items() if not k.startswith("x-")}


def manifests() -> list[dict[str, Any]]:
    """The manifests of Kubernetes, without the kustomization."""
    return [
        document
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text())
    ]
