"""Files of deploy/, as far as they can be checked without an engine: schemas and references."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from tests.deploy.reading import DEPLOY, ROOT, compose, manifests

KUBERNETES = DEPLOY / "kubernetes"
EXAMPLES = {"secret.example.yaml", "run.example.yaml"}


@dataclass(frozen=True)
class Pod:
    """What one workload runs."""

    name: str
    app: str
    specification: dict[str, Any]
    claims: list[dict[str, Any]]

    @property
    def container(self) -> dict[str, Any]:
        (only,) = self.specification["containers"]
        return only

    @property
    def ports(self) -> set[str]:
        return {port["name"] for port in self.container.get("ports", ())}

    @property
    def volumes(self) -> set[str]:
        own = {volume["name"] for volume in self.specification.get("volumes", ())}
        return own | {claim["metadata"]["name"] for claim in self.claims}


def pods() -> Iterator[Pod]:
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            body = manifest["spec"]
            labels = body["template"]["metadata"]["labels"]
            name = manifest["metadata"].get("name", manifest["kind"])
            if "selector" in body:
                assert body["selector"]["matchLabels"] == labels
            claims = body.get("volumeClaimTemplates", [])
            yield Pod(name, labels["app"], body["template"]["spec"], claims)


def test_compose_follows_its_specification() -> None:
    found = PyCompose.from_yaml(yaml.safe_dump(compose()))
    found.validate()
    assert set(found.service_names()) == {
        "database", "cache", "registry", "scheduler", "worker", "onex",
    }  # fmt: skip


def test_compose_names_nothing_that_is_not_there() -> None:
    body = compose()
    services = body["services"]
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in body["volumes"] or source.startswith((".", "/")), (name, volume)
        assert set(service["networks"]) <= body["networks"].keys()
        for other, condition in service.get("depends_on", {}).items():
            assert condition["condition"] == "service_healthy"
            assert "healthcheck" in services[other]
        # Who is named in an address must be on a network of whoever reads it.
        texts = [*service.get("environment", {}).values(), *service.get("command", ())]
        hosts = {h for text in texts for h in re.findall(r"(?://|@)([a-z]+)[:/]", str(text))}
        for host in hosts - {"onex"}:
            assert set(services[host]["networks"]) & set(service["networks"]), (name, host)
        if "ports" in service:
            assert "outside" in service["networks"]
            assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_workers_reach_no_database_and_hold_no_password() -> None:
    worker = compose()["services"]["worker"]
    assert worker["networks"] == ["cluster"]
    assert "PASSWORD" not in str(worker["environment"])
    (worker,) = [pod for pod in pods() if pod.app == "worker"]
    assert "PASSWORD" not in str(worker.specification)


def test_every_variable_of_compose_is_explained() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    named = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert asked == named


def test_the_image_is_made_of_files_that_are_there(tmp_path: Path) -> None:
    """What the Dockerfile copies is enough to build the package, with the pinned tools."""
    text = (DEPLOY / "Dockerfile").read_text()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    admitted = {line[1:] for line in ignored if line.startswith("!")}
    copied = [
        place
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for place in line.split()[:-1]
    ]
    assert set(copied) == admitted
    for place in copied:
        source = ROOT / place
        if source.is_dir():
            shutil.copytree(source, tmp_path / place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / place)
    named = re.findall(r"-r (requirements/\S+)", text)
    assert named == ["requirements/image.txt", "requirements/build.txt"]
    assert all("--hash=sha256:" in (tmp_path / name).read_text() for name in named)
    (line,) = re.findall(
        r"^RUN /opt/onex/bin/pip (install .*--no-build-isolation .*)$", text, re.MULTILINE
    )
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", *line.split(), "--target", target, "--quiet"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    assert (target / "onex" / "__main__.py").is_file()
    assert (target / "onex" / "examples").is_dir()


def test_the_image_has_everything_that_onex_can_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = set(
        re.findall(r"^([\w.-]+)==", (ROOT / "requirements/image.txt").read_text(), re.MULTILINE)
    )
    wanted = list(project["dependencies"])
    for name, extra in project["optional-dependencies"].items():
        wanted += extra if name != "all" else []
    for requirement in wanted:
        name = re.split(r"[\[>=<]", requirement)[0]
        assert name.replace(".", "-") in pinned, requirement
    extras = set(project["optional-dependencies"]) - {"all"}
    (everything,) = project["optional-dependencies"]["all"]
    assert set(re.findall(r"\w+", everything.partition("[")[2])) == extras


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda m: f"{m['kind']}-{m['metadata'].get('name', '')}"
)
def test_manifests_follow_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_kustomization_lists_every_file() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert there == {*listed, *EXAMPLES, "kustomization.yaml"}


def test_pods_name_nothing_that_is_not_there() -> None:
    named = {(m["kind"], m["metadata"].get("name")): m for m in manifests()}
    for pod in pods():
        variables: set[str] = set()
        for variable in pod.container.get("env", ()):
            for kind, key in variable.get("valueFrom", {}).items():
                held = named["ConfigMap" if kind == "configMapKeyRef" else "Secret", key["name"]]
                assert key["key"] in (held.get("data") or held["stringData"]), (pod.name, key)
            # A value may refer to what stands before it.
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= variables
            variables.add(variable["name"])
        for source in pod.container.get("envFrom", ()):
            assert ("Secret", source["secretRef"]["name"]) in named
        command = " ".join(pod.container.get("command", ()))
        assert set(re.findall(r"\$\((\w+)\)", command)) <= variables
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            for kind, members in pod.container.get(probe, {}).items():
                if kind in ("httpGet", "tcpSocket"):
                    assert members["port"] in pod.ports, (pod.name, probe)
        mounted = {mount["name"] for mount in pod.container["volumeMounts"]}
        assert mounted == pod.volumes, pod.name


def test_services_and_rules_are_about_pods_that_there_are() -> None:
    ports = {pod.app: pod.ports for pod in pods()}
    for manifest in manifests():
        if manifest["kind"] == "Service":
            assert manifest["metadata"]["name"] == manifest["spec"]["selector"]["app"]
            for port in manifest["spec"]["ports"]:
                assert port["targetPort"] in ports[manifest["spec"]["selector"]["app"]]
        if manifest["kind"] == "NetworkPolicy":
            for values in re.findall(r"'key': 'app'[^}]*'values': \[([^]]*)\]", str(manifest)):
                assert set(re.findall(r"\w+", values)) <= ports.keys()


def test_pods_have_no_more_rights_than_they_need() -> None:
    for pod in pods():
        assert pod.specification["automountServiceAccountToken"] is False, pod.name
        assert pod.specification["securityContext"]["runAsNonRoot"] is True, pod.name
        profile = pod.specification["securityContext"]["seccompProfile"]
        assert profile == {"type": "RuntimeDefault"}, pod.name
        assert pod.container["securityContext"]["allowPrivilegeEscalation"] is False, pod.name
        assert pod.container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, pod.name
        assert "memory" in pod.container["resources"]["limits"], pod.name


def test_a_volume_is_not_opened_to_its_group_at_each_start() -> None:
    """Else the private key in it would be refused."""
    for pod in pods():
        security = pod.specification["securityContext"]
        assert "fsGroup" not in security or security["fsGroupChangePolicy"] == "OnRootMismatch"


def test_workers_ask_for_nothing_else() -> None:
    (rule,) = [m for m in manifests() if m["kind"] == "NetworkPolicy" and "egress" in m["spec"]]
    assert rule["spec"]["podSelector"] == {"matchLabels": {"app": "worker"}}
    (block,) = [to["ipBlock"] for e in rule["spec"]["egress"] for to in e.get("to", ()) if "ipBlock" in to]  # fmt: skip
    assert "169.254.0.0/16" in block["except"]


def test_images_are_the_same_in_both() -> None:
    services = {service["image"] for service in compose()["services"].values()}
    assert services == {pod.container["image"] for pod in pods()}


def test_the_unit_of_systemd_is_one() -> None:
    unit = DEPLOY / "systemd" / "onex-registry.service"
    lines = [line for line in unit.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert all(re.fullmatch(r"(\[\w+\]|[A-Z]\w+=.*|)", line) for line in lines)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze: only the form of the unit was checked")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    # The program is not installed here, and nothing else may be wrong.
    missing = "/opt/onex/bin/onex is not executable"
    assert [line for line in done.stderr.splitlines() if missing not in line] == []
