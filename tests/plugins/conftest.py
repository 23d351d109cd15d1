"""Packages, jobs and the built-in plugins themselves."""

from __future__ import annotations

import hashlib
import importlib
import json
import struct
import warnings
import zipfile
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import (
    Artifact,
    Job,
    KeyValueStore,
    Manifest,
    Request,
    Run,
    RunOptions,
    Target,
)
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark import imports
from spark_impex_runner.spark.http.multipart import MultipartUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from spark_impex_runner.models import RunResult
    from tests.conftest import FakeClock

    Entry = tuple[str | zipfile.ZipInfo, bytes]

CENTRAL = b"PK\x01\x02"
LOCAL = b"PK\x03\x04"
TREE = "acme/motor/pricing/1.4.2/"


class MakePackage(Protocol):
    """Write a ZIP package into the output folder."""

    def __call__(self, entries: Iterable[Entry], name: str = "motor.zip") -> Artifact:
        """Return the package as an artifact of the download."""


class MakeJob(Protocol):
    """Make a job that holds these artifacts."""

    def __call__(self, *artifacts: Artifact, stopping: Callable[[], bool] = ...) -> Job:
        """Return the job; it is not being interrupted unless ``stopping`` says so."""


@pytest.fixture(scope="session")
def unzip() -> ModuleType:
    """Return the plugin behind ``uses: unzip``."""
    return importlib.import_module("spark_impex_runner.plugins.unzip")


@pytest.fixture(scope="module", params=["isal.isal_zlib", "zlib"])
def engine(request: pytest.FixtureRequest, unzip: ModuleType) -> Iterator[ModuleType]:
    """Extract with ISA-L, and as where its bindings are not installed."""
    module = pytest.importorskip(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unzip.inflate, "engine", module)
        yield module


@pytest.fixture(scope="session")
def checksum() -> ModuleType:
    """Return the plugin behind ``uses: checksum``."""
    return importlib.import_module("spark_impex_runner.plugins.checksum")


@pytest.fixture(scope="session")
def adaptive() -> ModuleType:
    """Return the plugin behind the strategy ``adaptive``."""
    return importlib.import_module("spark_impex_runner.plugins.poll_adaptive")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Make the target's output folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def make_package(output: Path) -> MakePackage:
    """Write packages with any entries, forbidden ones included."""

    def make(entries: Iterable[Entry], name: str = "motor.zip") -> Artifact:
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")  # zipfile warns of names that come twice
            for entry, content in entries:
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
        return Artifact(path, name, path.stat().st_size)

    return make


@pytest.fixture
def package(make_package: MakePackage) -> Artifact:
    """Write a package as tenants make them: a folder is named before each file in it."""
    return make_package(
        [
            ("acme/", b""),
            (TREE, b""),
            (f"{TREE}ModelMetaData.json", b'{"Revision": "1.4.2"}'),
            (TREE, b""),
            (f"{TREE}8a5f0f0e.zip", bytes(range(256)) * 40),
            ("acme/manifest.json", b'{"object": "export"}'),
        ]
    )


@pytest.fixture
def make_job(output: Path) -> MakeJob:
    """Make jobs of one target, which know what the others of the test have put into its output."""
    placed = KeyValueStore()

    def connect(name: str) -> Any:
        raise LookupError(name)

    def make(*artifacts: Artifact, stopping: Callable[[], bool] = lambda: False) -> Job:
        now = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
        target = Target("motor", "sit", output)
        manifest = Manifest(output.parent / "release.yaml", "release", {}, (target,))
        run = Run("r1", "2026-01-31", manifest, (target,), now, connect)
        job = Job(run, target, Request(), "acme", now, stopping, artifacts=artifacts)
        return replace(job, placed=placed)

    return make


@pytest.fixture
def patch_header() -> Callable[[Artifact, str, int, int], None]:
    """Overwrite a 16 or 32 bit field in the last header of a kind, as an attacker would."""

    def patch(package: Artifact, header: str, offset: int, value: int) -> None:
        data = bytearray(package.path.read_bytes())
        start = data.rindex({"central": CENTRAL, "local": LOCAL}[header])
        struct.pack_into("<I" if offset > 12 else "<H", data, start + offset, value)
        package.path.write_bytes(data)

    return patch


SOURCES = ("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/annuity/1.0.0")
TAMPER = """
from spark_impex_runner import hookimpl
from dataclasses import replace
import hashlib

@hookimpl
def impex_register(registry):
    registry.step("tamper", "changes the package")

@hookimpl
def impex_run_step(job, step, artifact):
    if step.uses == "tamper":
        content = artifact.path.read_bytes() + b"!"
        artifact.path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return [replace(artifact, size=len(content), sha256=digest)]
"""


@dataclass
class World:
    """Three tenants and a manifest between them.

    ``aliases`` are connections that lead to the tenant of another name.
    ``sent`` is what went out to any of them: the request entity, and the SHA-256 of the package.
    """

    folder: Path
    clock: FakeClock
    monkeypatch: pytest.MonkeyPatch
    tenants: dict[str, Sandbox] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[Any, str]] = field(default_factory=list)

    def serve(self, name: str, *faults: str, **settings: Any) -> Sandbox:
        """Serve a tenant; uat and prod have the folders, and one service of their own."""
        root = self.folder / name / "acme"
        for version in SOURCES if name == "sit" else ("other/thing/1.0.0",):
            (root / version).mkdir(parents=True)
        for folder in ("motor", "life"):
            (root / folder).mkdir(exist_ok=True)
        parsed = tuple(map(parse_fault, faults))
        started = Settings(**settings, faults=parsed)
        self.tenants[name] = Sandbox(root, started, clock=self.clock.monotonic).start()
        return self.tenants[name]

    def serve_all(self) -> None:
        """Serve the tenants that are not served yet."""
        for name in ("sit", "uat", "prod"):
            if name not in self.tenants:
                self.serve(name)

    def run(self, steps: str, target: str = "services: [motor/pricing]", **more: Any) -> RunResult:
        """Run one target with these steps."""
        self.serve_all()
        path = self.write(f"  - {{name: motor, connection: sit, {target}, steps: [{steps}]}}\n")
        return self.go(path, **more)

    def write(self, targets: str, head: str = "") -> Path:
        """Write the manifest of some targets."""
        places = ""
        for name in self.tenants:
            sandbox = self.tenants[self.aliases.get(name, name)]
            self.monkeypatch.setenv(f"TOKEN_{name}", sandbox.token)
            auth = f"auth: {{token: '${{env:TOKEN_{name}}}'}}"
            places += f"  {name}: {{base_url: '{sandbox.base_url}', {auth}}}\n"
        path = self.folder / "release.yaml"
        path.write_text(f"version: 1\n{head}connections:\n{places}targets:\n{targets}")
        return path

    def go(self, path: Path, **more: Any) -> RunResult:
        """Run a manifest with the plugin that changes packages."""
        (self.folder / "tamper.py").write_text(TAMPER)
        options = RunOptions(plugin_files=(self.folder / "tamper.py",), **more)
        return run_manifest(path, options, clock=self.clock)

    def imports(self, name: str) -> list[Any]:
        """Return the uploads that reached a tenant."""
        requests = self.tenants[name].requests
        return [r for r in requests if r.method == "POST" and r.path.endswith("/import")]

    def holds(self, name: str) -> list[str]:
        """Return what a tenant holds besides its own."""
        every = [version.uri for version in self.tenants[name]._tree.all_versions()]
        return [uri for uri in every if not uri.startswith("other/")]


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give the tenants, which are closed after the test."""
    made = World(tmp_path, clock, monkeypatch)

    def spied(file: Any, fields: Any, *rest: Any) -> MultipartUpload:
        file.seek(0)
        digest = hashlib.sha256(file.read()).hexdigest()
        made.sent.append((json.loads(fields["importRequestEntity"]), digest))
        return MultipartUpload(file, fields, *rest)

    monkeypatch.setattr(imports, "MultipartUpload", spied)
    yield made
    for sandbox in made.tenants.values():
        sandbox.close()
