"""Real servers of every kind of store, installed and started here, on 127.0.0.1 alone."""

from __future__ import annotations

import getpass
import hashlib
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from object_stores import (
    ACCESS,
    AZURE_KEY,
    SECRET,
    AzureServer,
    S3Server,
    free_port,
    s3_client,
    serve_rclone,
    started,
)
from obstore.store import AzureStore

from spark_impex_runner.models import Artifact, Job, Manifest, Request, Run, Step, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

    from obstore.store import ObjectStore

FIRST_DAY = datetime(2026, 1, 1, 2, 15, tzinfo=timezone.utc)


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

    def times(self) -> dict[str, Any]:
        """Return when each file was last written."""
        return {name: (self.folder / name).stat().st_mtime_ns for name in self.names()}


@dataclass(frozen=True)
class Bucket(Place):
    """A destination below ``prod/`` in a bucket, whose server must be told of what is written."""

    endpoint: str

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, as somebody else would."""
        bucket = self.options["to"].split("/")[2]
        s3_client(self.endpoint).put_object(Bucket=bucket, Key=f"prod/{name}", Body=content)


@dataclass(frozen=True)
class Objects:
    """A destination below ``prod/`` in an object store that keeps no plain files."""

    options: Mapping[str, Any]
    store: ObjectStore

    def names(self) -> set[str]:
        """Return the paths of all files there."""
        return set(self.times())

    def read(self, name: str) -> bytes:
        """Return the bytes of a file there."""
        return bytes(obstore.get(self.store, f"prod/{name}").bytes())

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, as somebody else would."""
        obstore.put(self.store, f"prod/{name}", content)

    def times(self) -> dict[str, Any]:
        """Return when each file was last written."""
        found = obstore.list(self.store, "prod").collect()
        return {each["path"].removeprefix("prod/"): each["last_modified"] for each in found}


@dataclass
class Nightly:
    """A target whose step ``upload`` is run as the engine runs it, day after day."""

    output: Path
    plugin: ModuleType
    day: int = 0
    name: str = "motor"
    manifest: str = "nightly"
    tenant: str = "acme"
    project: str = ""
    attempt: str = ""
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
        path = self.output.parent / self.project / f"{self.manifest}.yaml"
        manifest = Manifest(path, self.manifest, {}, (target,))
        run = Run(f"r{self.day}{self.attempt}", f"{now:%Y-%m-%d}", manifest, (target,), now, None)  # type: ignore[arg-type]
        url = f"https://spark.example/{self.tenant}"
        return Job(run, target, Request(), url, now, self.stopping, artifacts=tuple(artifacts))

    @property
    def date(self) -> str:
        """What ``${run.date}`` yields."""
        return self.job().run.date

    def on(self, day: int) -> Nightly:
        """Return the target as it is another day."""
        return replace(self, day=day)

    def but(self, **other: Any) -> Nightly:
        """Return the target of another tenant, project, manifest, name or attempt."""
        return replace(self, output=self.output.parent / "-".join(other.values()), **other)


def _bucket(server: S3Server, request: pytest.FixtureRequest) -> str:
    bucket = f"b{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}"
    client = s3_client(server.endpoint)
    client.create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture
def s3(s3_server: S3Server, request: pytest.FixtureRequest) -> Place:
    """Return a bucket of its own."""
    bucket = _bucket(s3_server, request)
    options = {
        "to": f"s3://{bucket}/prod",
        "endpoint": s3_server.endpoint,
        "access_key_id": ACCESS,
        "secret_access_key": SECRET,
    }
    return Bucket(options, s3_server.folder / bucket / "prod", s3_server.endpoint)


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
    # The plugin imports it with the first upload.
    importlib.import_module("spark_impex_runner.plugins.upload.delivery")
    return importlib.import_module("spark_impex_runner.plugins.upload")


@pytest.fixture
def motor(output: Path, upload: ModuleType) -> Nightly:
    """Return a target on its first day."""
    return Nightly(output, upload)


@dataclass(frozen=True)
class SshServer:
    """A running SSH server: its address, what opens it, and its host key and a second one."""

    address: str
    private_key: str
    known_hosts: Path
    second_key: str
    folder: Path


@pytest.fixture(scope="session")
def sshd(install: Callable[..., None]) -> str:
    """Install OpenSSH's server."""
    return from_apt("sshd", "openssh-server", install)


def from_apt(program: str, package: str, install: Callable[..., None]) -> str:
    """Return a program of the operating system, whose package is installed where it is missing."""
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    if shutil.which(program, path=path) is None:
        install(package)
    found = shutil.which(program, path=path)
    assert found
    return found


@pytest.fixture(scope="session")
def ssh_server(sshd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Start OpenSSH's server as a process of its own, with a host key and a user's key."""
    folder = tmp_path_factory.mktemp("ssh")
    for name, kind in {"host": "ed25519", "second": "ecdsa", "user": "ed25519"}.items():
        make = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(make, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it gives up its rights
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\n"
        f"HostKey {folder / 'second'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\nMaxStartups 50\n"
    )
    key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (folder / "files").mkdir()
    command = [sshd, "-D", "-e", "-f", str(folder / "config")]
    with started(command, r"Server listening on (127\.0\.0\.1)"):
        yield SshServer(
            f"127.0.0.1:{port}",
            (folder / "user").read_text(),
            folder / "known_hosts",
            (folder / "second.pub").read_text(),
            folder / "files",
        )


@pytest.fixture
def sftp(ssh_server: SshServer, request: pytest.FixtureRequest) -> Place:
    """Return a folder of its own, which is not there yet."""
    folder = ssh_server.folder / re.sub(r"\W+", "-", request.node.name) / "backup"
    options = {
        "to": f"sftp://{ssh_server.address}{folder}",
        "user": getpass.getuser(),
        "private_key": ssh_server.private_key,
        "known_hosts": str(ssh_server.known_hosts),
    }
    return Place(options, folder)


@dataclass(frozen=True)
class WebServer:
    """A running WebDAV server: its address, who may use it, and its folder."""

    address: str
    folder: Path


@pytest.fixture(scope="session")
def web_server(
    programs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebServer]:
    """Start WsgiDAV, which lets in one user."""
    home = programs("pip", "wsgidav==4.4.0", "cheroot==11.1.2")
    folder = tmp_path_factory.mktemp("web")
    (folder / "files").mkdir()
    port = free_port()
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(folder / "files")},
        "simple_dc": {"user_mapping": {"*": {"backup": {"password": SECRET}}}},
        "verbose": 3,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    code = "import sys; from wsgidav.server.server_cli import run; sys.exit(run())"
    command = [sys.executable, "-c", code, "--config", str(folder / "config.json")]
    environ = {**os.environ, "PYTHONPATH": str(home)}
    with started(command, rf"Serving on (http://127\.0\.0\.1:{port})", env=environ):
        yield WebServer(f"127.0.0.1:{port}", folder / "files")


_NGINX = """
daemon off; pid nginx.pid; worker_processes 1; {user}
error_log stderr notice;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  client_max_body_size 0;
  server {{
    listen 127.0.0.1:{port};
    root files;
    location / {{ dav_methods PUT DELETE MKCOL COPY MOVE; dav_access user:rw; }}
  }}
}}
"""


@pytest.fixture(scope="session")
def nginx(
    install: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebServer]:
    """Start nginx with its own WebDAV module, which lists no folders."""
    program = from_apt("nginx", "nginx-light", install)
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    (folder / "files").mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(user=user, port=port))
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with started(command, "start worker process ", cwd=folder):
        yield WebServer(f"127.0.0.1:{port}", folder / "files")


def _web(scheme: str, server: WebServer, test: str) -> Place:
    folder = server.folder / re.sub(r"\W+", "-", test)
    folder.mkdir()
    options = {
        "to": f"{scheme}://{server.address}/{folder.name}/back%20up",
        "user": "backup",
        "password": SECRET,
    }
    return Place(options, folder / "back up")


@pytest.fixture
def webdav(web_server: WebServer, request: pytest.FixtureRequest) -> Place:
    """Return a folder of its own, which is not there yet."""
    return _web("webdav", web_server, request.node.name)


@pytest.fixture
def azure(azure_server: AzureServer, request: pytest.FixtureRequest) -> Objects:
    """Return a container of its own."""
    name = f"c{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}"
    azure_server.make(name)
    options = {
        "to": f"az://{name}/prod",
        "endpoint": azure_server.endpoint,
        "account": "acme",
        "account_key": AZURE_KEY,
    }
    store = AzureStore(
        name,
        config={
            "endpoint": azure_server.endpoint,
            "account_name": "acme",
            "account_key": AZURE_KEY,
        },
        client_options={"allow_http": True},
    )
    return Objects(options, store)


@pytest.fixture(scope="session")
def gcs_server(rclone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start rclone's S3 server for requests without a signature.

    The requests of Google's XML interface, which is what is sent, are those of S3. What packages
    bring as emulators of Google's store speak its JSON interface only.
    """
    yield from serve_rclone(rclone, tmp_path_factory.mktemp("gcs"))


@pytest.fixture
def gcs(gcs_server: S3Server, request: pytest.FixtureRequest) -> Place:
    """Return a bucket of its own."""
    bucket = _bucket(gcs_server, request)
    # What emulators are told in place of a key.
    key = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    options = {
        "to": f"gs://{bucket}/prod",
        "endpoint": gcs_server.endpoint,
        "service_account": json.dumps(key),
    }
    return Bucket(options, gcs_server.folder / bucket / "prod", gcs_server.endpoint)


class Relay:
    """What lies between us and a server: it turns callers away, or cuts what they send.

    The first ``refuse`` connections are answered with 503; those after them are cut each time that
    ``cut`` more bytes have gone to the server. ``sent`` counts these bytes.
    """

    def __init__(self, server: str, refuse: int = 0, cut: int = 0) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._refuse = refuse
        self._cut = cut
        self.sent = 0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[caller], daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        self.connections += 1
        if self.connections <= self._refuse:
            with caller, suppress(OSError):
                caller.recv(65536)
                caller.sendall(
                    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                caller.shutdown(socket.SHUT_WR)
                while caller.recv(65536):
                    pass
            return
        server = socket.create_connection(self._server)
        threading.Thread(target=self._pump, args=[server, caller, False], daemon=True).start()
        self._pump(caller, server, True)

    def _pump(self, source: socket.socket, sink: socket.socket, out: bool) -> None:
        gone = 0
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
                gone += len(data)
                self.sent += len(data) if out else 0
                if out and self._cut and gone > self._cut:
                    break
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    """Put relays before servers."""
    made: list[Relay] = []

    def make(server: str, **faults: int) -> Relay:
        made.append(Relay(server, **faults))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client(moto: str) -> Any:
    """Return a client of moto's server, which takes any key."""
    return s3_client(moto)
