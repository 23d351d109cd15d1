"""The manifests for Kubernetes fit its schemas, and what the runner needs and does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.manifest.build import Settings, read_manifest
from spark_impex_runner.manifest.yaml.load import load
from spark_impex_runner.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "examples/kubernetes").glob("*.yaml"))
# The first in which podFailurePolicy is stable, and the newest with a schema.
VERSIONS = ("1.31", "1.37")


@pytest.fixture(scope="session")
def validate(programs: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that checks files against the schemas of a version, without more keys."""
    home = programs("pip", "kubernetes-validate==1.37.0")
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--quiet"]

    def run(version: str, *files: Path) -> subprocess.CompletedProcess[str]:
        words = [*command, "--kubernetes-version", version, *map(str, files)]
        env = {**os.environ, "PYTHONPATH": str(home)}
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas(validate: Callable[..., Any], version: str) -> None:
    """All of them, strictly."""
    done = validate(version, *FILES)

    assert {each.name for each in FILES} == {"configmap.yaml", "cronjob.yaml", "job.yaml"}
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_misspelt_key_is_found(validate: Callable[..., Any], tmp_path: Path) -> None:
    """The check is one."""
    text = (ROOT / "examples/kubernetes/job.yaml").read_text()
    (tmp_path / "job.yaml").write_text(text.replace("backoffLimit", "backofLimit"))

    done = validate(VERSIONS[0], tmp_path / "job.yaml")

    assert done.returncode == 1
    assert "backofLimit" in done.stdout


def test_pods_are_restricted(job: dict[str, Any]) -> None:
    """They fit the Pod Security Standard `restricted`, on a root that is read-only."""
    pod = job["template"]["spec"]
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"].keys() >= {"memory", "ephemeral-storage"}
    writable = {each["name"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert writable == {each["name"] for each in pod["volumes"] if "emptyDir" in each}


def test_jobs_retry_what_may_end_otherwise(job: dict[str, Any]) -> None:
    """No pod follows an exit code that the next one would have, too; signals and deadlines do."""
    [rule, drained] = job["podFailurePolicy"]["rules"]

    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    assert rule["onExitCodes"]["values"] == [2, 6, 7, 9]
    assert drained["action"] == "Ignore"
    assert job["backoffLimit"] >= 1
    # Kubernetes takes podFailurePolicy with no other.
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    # A run ends within five seconds of SIGTERM: docs/explanation/hardening.md.
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] > 5


def test_manifest_of_a_job_is_valid(tmp_path: Path, job: dict[str, Any]) -> None:
    """It delivers elsewhere, leaves its jobs running, and all its deadlines fit into the Job's."""
    [container] = job["template"]["spec"]["containers"]
    config = yaml.safe_load((ROOT / "examples/kubernetes/configmap.yaml").read_text())["data"]
    path = tmp_path / Path(container["args"][0]).name
    for secret in ("client-id", "client-secret"):
        (tmp_path / secret).write_text("secret")
    path.write_text(config[path.name].replace("/impex/credentials", str(tmp_path)))
    registry = make_plugin_manager().registry

    manifest = read_manifest(load(path), Settings(registry, Masker()))

    for target in manifest.targets:
        assert target.on_interrupt == "leave"
        assert any(registry.steps[step.uses].delivers for step in target.steps)
    longest = sum(each.polling.deadline for each in manifest.targets)
    assert job["activeDeadlineSeconds"] > longest
    assert any(each.startswith("--state=s3://") for each in container["args"])


def test_page_makes_the_secret(job: dict[str, Any]) -> None:
    """The command of the page makes every secret, with each key that a pod refers to."""
    page = (ROOT / "examples/kubernetes/README.md").read_text()
    made = re.search(r"create secret generic (\S+)((?:\s+\\?\s*--from-literal=\S+)+)", page)
    assert made
    pod = job["template"]["spec"]
    volumes = [each["secret"] for each in pod["volumes"] if "secret" in each]
    variables = [
        each["valueFrom"]["secretKeyRef"]
        for each in pod["containers"][0]["env"]
        if "valueFrom" in each
    ]
    keys = {each["key"] for volume in volumes for each in volume["items"]}
    keys |= {each["key"] for each in variables}

    assert keys == set(re.findall(r"--from-literal=([^=]+)=", made[2]))
    names = {each["secretName"] for each in volumes} | {each["name"] for each in variables}
    assert names == {made[1]}
