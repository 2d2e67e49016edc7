"""What stands in deploy/: each file against its schema or checker, every command in them against our command line."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from lifeloop.cli import serve
from lifeloop.core.brief import parse_brief

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")


def read(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def is_a_serve_command(words):
    """Parse the words after `lifeloop` as the command line does; a wrong option raises."""
    assert words[0] == "serve"
    return serve.command.make_context("serve", list(words[1:]), help_option_names=["-h", "--help"]).params


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_kubernetes_takes(path):
    kubernetes_validate.validate(yaml.safe_load(path.read_text()), "1.30", strict=True)


def test_a_manifest_with_a_wrong_key_would_be_refused():
    wrong = read("kubernetes/statefulset.yaml")
    wrong["spec"]["template"]["spec"]["containers"][0]["argz"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_the_kustomization_names_every_manifest_but_the_example():
    named = set(read("kubernetes/kustomization.yaml")["resources"])
    assert named == {path.name for path in MANIFESTS if "example" not in path.name}


def test_the_parts_of_the_manifests_know_each_other():
    stateful = read("kubernetes/statefulset.yaml")
    pod = stateful["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"].items()
    for name in ("service", "disruption"):
        selector = read(f"kubernetes/{name}.yaml")["spec"]["selector"]
        assert (selector.get("matchLabels") or selector).items() <= labels
    assert read("kubernetes/autoscaling.yaml")["spec"]["scaleTargetRef"]["name"] == stateful["metadata"]["name"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert mounted == volumes | {claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]}
    keys = read("kubernetes/secret.example.yaml")["stringData"].keys()
    assert {e["valueFrom"]["secretKeyRef"]["key"] for e in container["env"]} <= keys
    assert is_a_serve_command(container["args"])["wait"]
    parse_brief(read("kubernetes/config.yaml")["data"]["lifeloop.toml"])


def test_pods_get_the_time_to_drain():
    pod = read("kubernetes/statefulset.yaml")["spec"]["template"]["spec"]
    sleep = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = parse_brief(read("kubernetes/config.yaml")["data"]["lifeloop.toml"]).gateway.load.drain_seconds
    assert pod["terminationGracePeriodSeconds"] >= sleep + drain + 10


def test_the_composition_builds_what_is_there_and_waits_for_the_database():
    services = read("compose.yaml")["services"]
    gateway = services["gateway"]
    context = (DEPLOY / gateway["build"]["context"]).resolve()
    assert context == ROOT and (context / gateway["build"]["dockerfile"]).exists()
    assert (
        gateway["depends_on"] == {"postgres": {"condition": "service_healthy"}} and services["postgres"]["healthcheck"]
    )
    assert set(read("compose.yaml")["volumes"]) == {v.split(":")[0] for v in services["postgres"]["volumes"]}


def test_the_image_installs_extras_that_exist_and_starts_a_command_that_exists():
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    extras = re.search(r"ARG EXTRAS=(\S+)", text)[1].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(known)
    for source in re.findall(r"^COPY ((?:[\w./]+ )+)", text, re.M):
        assert all((ROOT / path).exists() for path in source.split())
    command = yaml.safe_load(re.search(r"^CMD (\[.*\])$", text, re.M)[1])
    assert is_a_serve_command(command)["host"] == "0.0.0.0"


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    unit = (DEPLOY / "lifeloop.service").read_text()
    start = re.search(r"^ExecStart=\S+/lifeloop (.*)$", unit, re.M)[1]
    assert is_a_serve_command(shlex.split(start))["workers"] == 2
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "lifeloop"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    here = tmp_path / "lifeloop.service"
    here.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", unit, flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if here.name in line]
    assert not said and done.returncode == 0, done.stderr
