"""Deployment files against their schemas, linters and the service itself.

Nothing here runs a container; tests/test_serving.py runs the image's own steps in a folder.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import BIN, render, run
from kubernetes_validate import validate
from ruamel.yaml import YAML

OVERLAYS = ("staging", "production", "canary")
METRIC = re.compile(
    r"\b[a-z_]+_(?:total|bucket|bytes|version|refused|wait_seconds|status|timestamp_seconds)\b"
)
# The alerts' own test: what the service is said to have told, and what fires after ten minutes.
ALERTS = """
rule_files: [alerts.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {series: 'up{job="service"}', values: '0x60'}
      - {series: 'http_requests_total{status="200",path="/predict"}', values: '0+98x60'}
      - {series: 'http_requests_total{status="500",path="/predict"}', values: '0+2x60'}
      - {series: 'http_request_duration_seconds_bucket{path="/predict",le="0.1"}', values: '0+98x60'}
      - {series: 'http_request_duration_seconds_bucket{path="/predict",le="+Inf"}', values: '0+100x60'}
      - {series: 'http_request_duration_seconds_bucket{path="/predict",le="0.25"}', values: '0+100x60'}
      - {series: 'outbox_bytes', values: '2000000x60'}
      - {series: 'job_wait_seconds', values: '100x60'}
      - {series: 'log_dropped_total', values: '0+1x60'}
      - {series: 'model_refused{alias="champion"}', values: '1x60'}
      - {series: 'unknown_categories_total{column="a"}', values: '0+10x60'}
      - {series: 'predictions_total{version="1"}', values: '0+100x60'}
      - {series: 'monitor_status{version="1"}', values: '2x60'}
      - {series: 'monitor_status{version="2"}', values: '1x60'}
      - {series: 'monitor_checked_timestamp_seconds{version="1"}', values: '-200000x60'}
      - {series: 'refused_total{field="a",rule="b"}', values: '0+10x60'}
      - {series: 'imputed_values_total{column="a"}', values: '0+1x60'}
    promql_expr_test:
      - {expr: 'count(ALERTS{alertstate="firing"})', eval_time: 12m, exp_samples: [{labels: '{}', value: 10}]}
      - {expr: 'count(ALERTS{alertstate="pending"})', eval_time: 12m, exp_samples: [{labels: '{}', value: 3}]}
  - interval: 15s
    input_series:
      - {series: 'up{job="service"}', values: '1x60'}
      - {series: 'http_requests_total{status="200",path="/predict"}', values: '0+100x60'}
      - {series: 'http_request_duration_seconds_bucket{path="/predict",le="0.01"}', values: '0+100x60'}
      - {series: 'http_request_duration_seconds_bucket{path="/predict",le="+Inf"}', values: '0+100x60'}
      - {series: 'outbox_bytes', values: '1000x60'}
      - {series: 'job_wait_seconds', values: '1x60'}
      - {series: 'log_dropped_total', values: '0x60'}
      - {series: 'model_refused{alias="champion"}', values: '0x60'}
      - {series: 'predictions_total{version="1"}', values: '0+100x60'}
      - {series: 'monitor_status{version="1"}', values: '0x60'}
      - {series: 'monitor_checked_timestamp_seconds{version="1"}', values: '1x60'}
      - {series: 'refused_total{field="a",rule="b"}', values: '0+1x60'}
      - {series: 'imputed_values_total{column="a"}', values: '0x60'}
    promql_expr_test:
      - {expr: 'count(ALERTS)', eval_time: 12m, exp_samples: []}
"""

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("deploy"), level="deployment")


def checked(folder: Path, *command: str | Path, **variables: str) -> str:
    """Run a command that must succeed; returns its output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_dockerfile_has_no_finding(project: Path) -> None:
    checked(project, BIN / "hadolint", "deploy/Dockerfile")


def test_image_is_built_by_the_projects_uv(project: Path) -> None:
    [uv] = re.findall(r"astral-sh/uv:([\d.]+)", (project / "deploy/Dockerfile").read_text())
    assert f"\nuv=={uv} " in (project / "requirements/dev.txt").read_text()


def test_compose_matches_its_schema_and_names_what_is_there(project: Path) -> None:
    path = project / "deploy/compose.yaml"
    checked(project, BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    stages = re.findall(r" AS (\w+)$", (path.parent / "Dockerfile").read_text(), re.MULTILINE)
    services = load(path)["services"]
    assert {s["build"]["target"] for s in services.values() if "build" in s} <= set(stages)
    mounted = re.findall(r"- \./([^:]+):", path.read_text())
    assert len(mounted) == 4
    assert all((path.parent / name).exists() for name in mounted)
    secrets = set(re.findall(r"\$\{(\w+)|environment: ([A-Z_]+)$", path.read_text(), re.MULTILINE))
    page = (path.parent / "README.md").read_text()
    assert all(f"{one or other}=" in page for one, other in secrets)


def metrics(project: Path) -> set[str]:
    """The names that Prometheus sees of the service's metrics, and of a process's."""
    telemetry = project / "src/mlops_loop/serving/telemetry.py"
    suffixes = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket"]}
    declared = re.findall(r'= (Counter|Gauge|Histogram)\(\s*"(\w+)"', telemetry.read_text())
    own = {name + suffix for kind, name in declared for suffix in suffixes[kind]}
    return own | {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def expressions(project: Path) -> list[str]:
    """The queries of the dashboard."""
    board = json.loads((project / "deploy/grafana/service.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_alerts_and_dashboard_ask_for_metrics_that_the_service_has(project: Path) -> None:
    groups = load(project / "deploy/prometheus/alerts.yml")["groups"]
    asked = [rule["expr"] for group in groups for rule in group["rules"]] + expressions(project)
    named = {name for expression in asked for name in METRIC.findall(expression)}
    assert named <= metrics(project)
    assert metrics(project) <= named, "each metric is seen somewhere"


def test_dashboard_has_the_provisioned_source(project: Path) -> None:
    folder = project / "deploy/grafana"
    [source] = load(folder / "datasource.yaml")["datasources"]
    panels = json.loads((folder / "service.json").read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels) == len({panel["id"] for panel in panels})


@needs_promtool
def test_prometheus_takes_its_files_and_the_alerts_fire(project: Path) -> None:
    folder = project / "deploy/prometheus"
    checked(folder, "promtool", "check", "config", "--syntax-only", "prometheus.yml")
    (folder / "test.yml").write_text(ALERTS)
    checked(folder, "promtool", "test", "rules", "test.yml")
    asked = [expression.replace("$__rate_interval", "5m") for expression in expressions(project)]
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(asked)]
    (folder / "panels.json").write_text(json.dumps({"groups": [{"name": "p", "rules": rules}]}))
    checked(folder, "promtool", "check", "rules", "panels.json")


def rendered(project: Path, overlay: str) -> dict[str, Any]:
    """The objects of an overlay by kind, each valid."""
    text = checked(project, "kubectl", "kustomize", f"deploy/kubernetes/overlays/{overlay}")
    objects = list(YAML(typ="safe").load_all(text))
    for each in objects:
        validate(each, "1.34", strict=True)
    return {each["kind"]: each for each in objects}


@pytest.mark.parametrize(
    ("file", "verb"),
    [
        ("Dockerfile", "serve"),
        ("compose.yaml", "work"),
        ("kubernetes/base/service.yaml", "work"),
    ],
)
def test_what_containers_run_is_a_verb_of_the_project(file: str, verb: str, project: Path) -> None:
    words = re.findall(r"[\w.-]+", (project / "deploy" / file).read_text())
    command = words[words.index("my_project.serving") - 2 :][:4]
    assert command == ["python", "-m", "my_project.serving", verb]
    listed = run(project, sys.executable, *command[1:3], succeeds=False).stdout
    assert verb in re.split(r"\W", listed), listed


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_hardened_probed_and_bounded(overlay: str, project: Path) -> None:
    pod = rendered(project, overlay)["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}
        given = [set(each["valueFrom"]) for each in container["env"] if "value" not in each]
        assert given in ([{"fieldRef"}, *[{"secretKeyRef"}] * n] for n in (1, 2))
        assert container["livenessProbe"]["httpGet"]["port"] in {
            p["name"] for p in container["ports"]
        }
    service, _ = pod["containers"]
    probes = [service[f"{name}Probe"]["httpGet"]["path"] for name in ("readiness", "liveness")]
    assert probes == ["/ready", "/health"]


@needs_kubectl
def test_environments_differ_in_size_and_the_canary_stands_beside_production(
    project: Path,
) -> None:
    staging, production, canary = (rendered(project, overlay) for overlay in OVERLAYS)
    assert set(staging) == set(production)
    assert {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} < set(production)
    sizes = [each["HorizontalPodAutoscaler"]["spec"] for each in (staging, production)]
    assert [(s["minReplicas"], s["maxReplicas"]) for s in sizes] == [(1, 2), (3, 10)]
    assert staging["Deployment"]["metadata"]["namespace"] == "staging"
    assert set(canary) == {"Deployment"}
    ours, theirs = (each["Deployment"] for each in (canary, production))
    assert ours["metadata"]["name"] != theirs["metadata"]["name"]
    assert ours["metadata"]["namespace"] == theirs["metadata"]["namespace"]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in (ours, theirs)]
    selectors = [each["spec"]["selector"]["matchLabels"] for each in (ours, theirs)]
    assert [label["track"] for label in labels] == ["canary", "stable"]
    assert selectors[0].items() <= labels[0].items() and selectors[0] != selectors[1]
    service = production["Service"]["spec"]["selector"]
    assert all(service.items() <= each.items() for each in labels)


KUBECTL = """#!/bin/sh
case $1 in
kustomize) exec {kubectl} "$@" ;;
apply) cat > applied.yaml ;;
*) echo "$@" >> said.txt; [ "$2" != status ] || exit "$STATUS" ;;
esac
"""


@needs_kubectl
@pytest.mark.parametrize("overlay", ["staging", "production"])
@pytest.mark.parametrize(("status", "check"), [("0", "true"), ("1", "true"), ("0", "false")])
def test_a_release_that_does_not_come_up_or_pass_is_undone(
    overlay: str, status: str, check: str, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "kubectl").write_text(KUBECTL.format(kubectl=shutil.which("kubectl")))
    (tmp_path / "kubectl").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [project / "deploy/release.sh", overlay, "registry/name:tag", check],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "STATUS": status},
        check=False,
    )
    is_good = (status, check) == ("0", "true")
    assert done.returncode == int(not is_good)
    [deployment] = [
        each
        for each in YAML(typ="safe").load_all(tmp_path / "applied.yaml")
        if each["kind"] == "Deployment"
    ]
    containers = deployment["spec"]["template"]["spec"]["containers"]
    assert [container["image"] for container in containers] == ["registry/name:tag"] * 2
    said = (tmp_path / "said.txt").read_text()
    undone = f"rollout undo deployment/predictions --namespace {overlay}"
    assert (undone in said) is not is_good
    assert ("delete deployment predictions-canary" in said) is (is_good and overlay == "production")


def test_scripts_are_sound(project: Path) -> None:
    checked(project, BIN / "shellcheck", "deploy/release.sh")
