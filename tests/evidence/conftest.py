"""Keys of both kinds, and a promotion whose receipt is signed."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.evidence.keys import read_public_key
from spark_impex_runner.models import EVIDENCE, RECEIPT, RunOptions, RunResult
from spark_impex_runner.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MANIFEST = """version: 1
sign: {%s}
connections:
  sit: {base_url: "${env:SIT_URL}", auth: {token: "${env:SIT}"}}
  prod: {base_url: "${env:PROD_URL}", auth: {token: "${env:PROD}"}}
targets:
  - name: motor
    connection: sit
    services: ["motor/pricing"]
    output: release
    steps: [%s]
"""
GATED = (
    "{uses: import, with: {to: prod, if_present: add_version, gate: manual, four_eyes: true,"
    " lock: release.lock.json}}"
)


@pytest.fixture(scope="session")
def openssl(install: Callable[..., None]) -> str:
    """Return the program openssl, which is installed if it is missing."""
    return _program("openssl", "openssl", install)


@pytest.fixture(scope="session")
def ssh_keygen(install: Callable[..., None]) -> str:
    """Return the program ssh-keygen, which is installed if it is missing."""
    return _program("ssh-keygen", "openssh-client", install)


def _program(name: str, package: str, install: Callable[..., None]) -> str:
    if not shutil.which(name):
        install(package)
    return name


@pytest.fixture
def keys(tmp_path: Path, openssl: str, ssh_keygen: str) -> Path:
    """Make key.pem and public.pem, bob and bob.pub, and return their folder."""
    make = [openssl, "genpkey", "-algorithm", "ed25519", "-out", "key.pem"]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    public = [openssl, "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]
    subprocess.run(public, cwd=tmp_path, check=True)
    ssh = [ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-C", "bob", "-f", "bob"]
    subprocess.run(ssh, cwd=tmp_path, check=True)
    return tmp_path


@dataclass
class Promotion:
    """A manifest that exports from one sandbox and imports to another."""

    folder: Path
    patch: pytest.MonkeyPatch
    prod: Sandbox

    @property
    def release(self) -> Path:
        """The delivered folder."""
        return self.folder / "release"

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.folder / "m.yaml"

    def write(self, steps: str = GATED, sign: str = 'key: "${file:key.pem}"') -> None:
        """Write the manifest."""
        self.manifest.write_text(MANIFEST % (sign, steps))

    def be(self, name: str) -> None:
        """Let the CI system say that this user has started the process."""
        self.patch.setenv("GITHUB_ACTOR", name)

    def run(self, by: str = "alice", **options: Any) -> RunResult:
        """Run the manifest as a user."""
        self.be(by)
        return run_manifest(self.manifest, RunOptions(**options))

    def records(self) -> list[str]:
        """Return the signed records, one envelope each."""
        return (self.release / EVIDENCE).read_text().splitlines()

    def receipt(self) -> dict[str, Any]:
        """Return the receipt."""
        data: dict[str, Any] = json.loads((self.release / RECEIPT).read_text())
        return data

    def key(self, name: str = "public.pem") -> Any:
        """Return a public key."""
        return read_public_key(self.folder / name)


@pytest.fixture
def promotion(keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Promotion]:
    """Give a promotion with a gate and four eyes, between two tenants."""
    with ExitStack() as stack:
        for name in ("sit", "prod"):
            number = "1.4.2" if name == "sit" else "1.4.1"
            (keys / name / "motor/pricing" / number).mkdir(parents=True)
            sandbox = stack.enter_context(Sandbox(keys / name))
            monkeypatch.setenv(f"{name.upper()}_URL", sandbox.base_url)
            monkeypatch.setenv(name.upper(), sandbox.token)
        made = Promotion(keys, monkeypatch, sandbox)
        made.write()
        yield made
