"""Machines that keep nothing: what a kubelet and a CI runner make of their YAML files."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from object_stores import ACCESS, SECRET, s3_client

from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"
TENANT = "https://excel.prod.coherent.global/acme"
# Where an image, or a runner's `pip install`, has the command.
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@functools.lru_cache
def has_namespaces() -> bool:
    """Return whether this system lets a process make namespaces."""
    command = [*UNSHARE, "unshare", "--user", "--map-user=65532", "true"]
    found = shutil.which("unshare") is not None
    return found and subprocess.run(command, check=False).returncode == 0


def contained(
    home: Path, user: int, folder: str, mounts: Sequence[object], command: Sequence[object]
) -> list[str]:
    """Return the words that run a command by a user, on a file system that is read-only.

    ``home`` is a folder for this container, ``mounts`` are source, target and mode of each volume.
    """
    if not has_namespaces():
        pytest.skip("the kernel does not allow namespaces")
    (home / "root").mkdir()
    play = [HERE / "pod.sh", home / "root", user, folder, *mounts]
    return [str(word) for word in (*UNSHARE, "sh", *play, "--", *command)]


@pytest.fixture
def in_container(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command as ``contained`` does, and returns how it ended."""

    def run(
        user: int, folder: str, mounts: Sequence[object], command: Sequence[object]
    ) -> subprocess.CompletedProcess[str]:
        home = Path(tempfile.mkdtemp(dir=tmp_path))
        words = contained(home, user, folder, mounts, command)
        return subprocess.run(
            words, env={"PATH": PATH}, text=True, capture_output=True, check=False
        )

    return run


@dataclass
class Machines:
    """Starts each container or job in folders of its own, which are empty but for its files.

    ``maps`` and ``secrets`` are what a cluster has of them, by name and key; ``env`` are variables
    of each process besides those of its YAML file.
    """

    folder: Path
    maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]
    env: Mapping[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def pod(self, spec: Mapping[str, Any]) -> subprocess.Popen[str]:
        """Start the one container of a pod, by its user, on a file system that is read-only."""
        [container] = spec["containers"]
        home = Path(tempfile.mkdtemp(dir=self.folder))
        user, folder = spec["securityContext"]["runAsUser"], container["workingDir"]
        command = [*container["command"], *container["args"]]
        words = contained(home, user, folder, [*self._mounts(spec, home)], command)
        environment = {each["name"]: self._value(each) for each in container["env"]}
        return self._start(words, environment, home)

    def job(
        self, script: str, environment: Mapping[str, str], files: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Start a script as a CI runner does, in a checkout of these files."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        for name, text in files.items():
            (home / name).write_text(text)
        subprocess.run(["git", "init", "--quiet", home], check=True)
        origin = ["remote", "add", "origin", "https://github.com/acme/pricing"]
        subprocess.run(["git", "-C", home, *origin], check=True)
        return self._start(["bash", "-e", "-c", script], environment, home)

    def _start(
        self, words: Sequence[object], environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(word) for word in words],
            env={"PATH": PATH, **self.env, **environment},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def _mounts(self, spec: Mapping[str, Any], home: Path) -> Iterator[object]:
        """Yield folder, place and mode of each volume, once it is filled."""
        volumes = {each["name"]: each for each in spec["volumes"]}
        for each in spec["containers"][0]["volumeMounts"]:
            folder = home / each["name"]
            folder.mkdir()
            _fill(folder, self._files(volumes[each["name"]]))
            yield from (folder, each["mountPath"], "ro" if each.get("readOnly") else "rw")

    def _files(self, volume: Mapping[str, Any]) -> Mapping[str, str]:
        if "configMap" in volume:
            return self.maps[volume["configMap"]["name"]]
        if "secret" in volume:
            data = self.secrets[volume["secret"]["secretName"]]
            return {each["path"]: data[each["key"]] for each in volume["secret"]["items"]}
        assert "emptyDir" in volume
        return {}

    def _value(self, entry: Mapping[str, Any]) -> str:
        if "value" in entry:
            return str(entry["value"])
        secret = entry["valueFrom"]["secretKeyRef"]
        return self.secrets[secret["name"]][secret["key"]]


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    """Write files as a kubelet does: links into a folder that it can exchange."""
    if not files:
        return
    (folder / "..2026").mkdir()
    (folder / "..data").symlink_to("..2026")
    for name, text in files.items():
        (folder / "..2026" / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")


@dataclass(frozen=True)
class Buckets:
    """The buckets of the examples on an S3 server, which Amazon's own client reads."""

    endpoint: str
    client: Any

    def empty(self, bucket: str) -> None:
        """Make a bucket, or remove what another test has left in it."""
        self.client.create_bucket(Bucket=bucket)
        for key in self.objects(bucket):
            self.client.delete_object(Bucket=bucket, Key=key)

    def expire_leases(self) -> None:
        """Remove all leases, as time would: what is gone has expired."""
        for key in self.objects("acme-impex"):
            if "/leases/" in key:
                self.client.delete_object(Bucket="acme-impex", Key=key)

    def set_clock(self, seconds: int) -> None:
        """Set the clock of the server so many seconds ahead."""
        requests.post(f"{self.endpoint}/_later/{seconds}", timeout=30).raise_for_status()

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return all objects of a bucket by their keys."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key: self.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def buckets(moto: str) -> Iterator[Buckets]:
    """Return the buckets of the state and of the packages, without any object."""
    found = Buckets(moto, s3_client(moto))
    for bucket in ("acme-impex", "acme-backup", "acme-releases"):
        found.empty(bucket)
    yield found
    found.set_clock(0)


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Serve the tenant of the examples; a job takes so long that a run can be killed meanwhile.

    A parameter is a fault to inject.
    """
    faults = [parse_fault(request.param)] if hasattr(request, "param") else []
    settings = Settings(job_seconds=2.0, faults=tuple(faults))
    with Sandbox(EXAMPLES / "tenant", settings) as sandbox:
        yield sandbox


@pytest.fixture
def machines(tmp_path: Path, tenant: Sandbox, buckets: Buckets) -> Iterator[Machines]:
    """Return machines with the config map and the secret of the example."""
    resource = yaml.safe_load((EXAMPLES / "kubernetes/configmap.yaml").read_text())
    maps = {name: text.replace(TENANT, tenant.base_url) for name, text in resource["data"].items()}
    secret = {
        "client-id": tenant.client_id,
        "client-secret": tenant.client_secret,
        "aws-access-key-id": ACCESS,
        "aws-secret-access-key": SECRET,
    }
    made = Machines(
        tmp_path,
        {resource["metadata"]["name"]: maps},
        {"spark-impex": secret},
        {"AWS_ENDPOINT_URL_S3": buckets.endpoint},
    )
    yield made
    for each in made.started:
        each.kill()
        each.wait()
        if each.stderr:
            each.stderr.close()


@pytest.fixture(params=["cronjob.yaml", "job.yaml"])
def job(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the spec of each Job that the example makes."""
    resource = yaml.safe_load((EXAMPLES / "kubernetes" / request.param).read_text())
    spec: dict[str, Any] = resource["spec"]
    return spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
