"""The recipes are run: a machine is lost during a job, and an empty one elsewhere goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from object_stores import ACCESS, SECRET

from spark_impex_runner import Spark

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TENANT = "https://excel.prod.coherent.global/acme"
# What each manifest delivers, and where.
DELIVERIES = {
    "backup.yaml": ("acme-backup", {"motor", "life"}),
    "release.yaml": ("acme-releases", {"pricing"}),
}


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Read a process's log until a line has a text, and return that."""
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return line
    raise AssertionError("".join(lines))


def lose(process: subprocess.Popen[str]) -> None:
    """Kill all processes of a machine."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def assert_delivered(
    process: subprocess.Popen[str], pod: Mapping[str, Any], tenant: Any, buckets: Any
) -> None:
    """Wait for a pod: it succeeds, and each target has had one job and has its package."""
    _, log = process.communicate()
    bucket, targets = DELIVERIES[Path(pod["containers"][0]["args"][0]).name]
    assert process.returncode == 0, log
    assert delivered(buckets, bucket) == targets
    assert tenant.jobs_created == len(targets), log


def delivered(buckets: Any, bucket: str) -> set[str]:
    """Return the targets with a delivery in a bucket that is complete and proves itself."""
    objects = buckets.objects(bucket)
    found = set()
    for key in objects:
        folder, _, name = key.rpartition("/")
        if name != "SHA256SUMS":
            continue
        for line in objects[key].decode().splitlines():
            digest, _, package = line.partition("  ")
            assert hashlib.sha256(objects[f"{folder}/{package}"]).hexdigest() == digest
            found.add(folder.split("/")[0])
    return found


def test_killed_pod_is_continued_elsewhere(
    machines: Any, tenant: Any, buckets: Any, job: dict[str, Any]
) -> None:
    """One job for each target, also if it has ended meanwhile; every package is in the bucket."""
    pod = job["template"]["spec"]
    first = machines.pod(pod)
    created = json.loads(wait_for(first, '"job.created"'))
    lose(first)
    buckets.expire_leases()
    with Spark(base_url=tenant.base_url, token=tenant.token) as spark:
        spark.impex.exports.get_status(created["job_id"], retry_interval=0.1)

    assert_delivered(machines.pod(pod), pod, tenant, buckets)


@pytest.mark.parametrize("job", ["job.yaml"], indirect=True)
def test_lease_of_killed_pod_expires(
    machines: Any, tenant: Any, buckets: Any, job: dict[str, Any]
) -> None:
    """The next pod waits for it, by the store's clock, and says so; then it resumes the job."""
    pod = job["template"]["spec"]
    first = machines.pod(pod)
    wait_for(first, '"job.created"')
    lose(first)
    [lease] = [key for key in buckets.objects("acme-impex") if "/leases/" in key]

    second = machines.pod(pod)
    wait_for(second, "waiting to see, 90 s at most")
    assert b'"held"' in buckets.objects("acme-impex")[lease]
    buckets.set_clock(90)
    wait_for(second, '"job.adopted"')

    assert b'"taken"' in buckets.objects("acme-impex")[lease]
    assert_delivered(second, pod, tenant, buckets)


def test_evicted_pod_is_continued_elsewhere(
    machines: Any, tenant: Any, buckets: Any, job: dict[str, Any]
) -> None:
    """SIGTERM leaves the job running, ends the pod in its grace period, and costs no second job."""
    pod = job["template"]["spec"]
    first = machines.pod(pod)
    wait_for(first, '"job.created"')
    before = time.monotonic()
    first.terminate()
    first.communicate()
    assert time.monotonic() - before < pod["terminationGracePeriodSeconds"]
    assert first.returncode == 143

    assert_delivered(machines.pod(pod), pod, tenant, buckets)


@pytest.mark.parametrize("job", ["cronjob.yaml"], indirect=True)
@pytest.mark.parametrize("tenant", ["create@2=403"], indirect=True)
def test_next_pod_exports_what_failed(
    machines: Any, tenant: Any, buckets: Any, job: dict[str, Any]
) -> None:
    """After some targets failed, the others are unchanged for the pod that follows."""
    pod = job["template"]["spec"]
    first = machines.pod(pod)
    _, log = first.communicate()
    assert first.returncode == 3, log
    assert first.returncode not in job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert len(delivered(buckets, "acme-backup")) == 1

    assert_delivered(machines.pod(pod), pod, tenant, buckets)


def test_wrong_secret_ends_a_job(machines: Any, job: dict[str, Any]) -> None:
    """The pod's exit code is one that no other pod follows."""
    secret = {**machines.secrets["spark-impex"], "client-secret": "rotated"}
    machines.secrets = {"spark-impex": secret}

    pod = machines.pod(job["template"]["spec"])
    _, log = pod.communicate()

    [rule, _] = job["podFailurePolicy"]["rules"]
    assert pod.returncode == 6, log
    assert pod.returncode in rule["onExitCodes"]["values"]


def test_lost_workflow_is_continued_elsewhere(machines: Any, tenant: Any, buckets: Any) -> None:
    """The workflow of GitHub Actions is lost during a job, and run again in a new checkout."""
    workflow = yaml.safe_load((EXAMPLES / "github/workflow.yml").read_text())
    [step] = [each for each in workflow["jobs"]["backup"]["steps"] if "env" in each]
    values = {"SPARK_ID": tenant.client_id, "SPARK_SECRET": tenant.client_secret}
    variables = {
        name: values[text.removeprefix("${{ secrets.").removesuffix(" }}")]
        for name, text in step["env"].items()
    }
    # What the step configure-aws-credentials sets.
    variables |= {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
    variables |= {"AWS_REGION": "eu-west-1"}
    manifest = (EXAMPLES / "github/backup.yaml").read_text().replace(TENANT, tenant.base_url)
    first = machines.job(step["run"], variables, {"backup.yaml": manifest})
    wait_for(first, " created")
    lose(first)
    buckets.expire_leases()

    second = machines.job(step["run"], variables, {"backup.yaml": manifest})
    _, log = second.communicate()

    assert second.returncode == 0, log
    assert delivered(buckets, "acme-backup") == {"motor", "life"}
    assert tenant.jobs_created == 2, log
