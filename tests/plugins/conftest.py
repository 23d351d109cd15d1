"""Packages, jobs and the built-in plugins themselves."""

from __future__ import annotations

import importlib
import struct
import warnings
import zipfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from spark_impex_runner.models import Artifact, Job, Manifest, Request, Run, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

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
    """Make jobs of one target."""

    def connect(name: str) -> Any:
        raise LookupError(name)

    def make(*artifacts: Artifact, stopping: Callable[[], bool] = lambda: False) -> Job:
        now = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
        target = Target("motor", "sit", output)
        manifest = Manifest(output.parent / "release.yaml", "release", {}, (target,))
        run = Run("r1", "2026-01-31", manifest, (target,), now, connect)
        return Job(run, target, Request(), "acme", now, stopping, artifacts=artifacts)

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
