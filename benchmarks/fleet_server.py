"""A simulated fleet: many tenants of the sandbox in one process, behind two loopback origins.

``python benchmarks/fleet_server.py --tenants 500`` prints one line of JSON (``url``, ``token``)
and serves until its input ends; tenant N is ``URL/tenant-N``. ``serve`` starts that process for a
script. ``GET /figures`` tells what the server saw, by its own clock, which is the machine's.
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from spark_impex_runner.sandbox.http.auth import Authenticator
from spark_impex_runner.sandbox.http.messages import json_reply, v4_error
from spark_impex_runner.sandbox.http.routing import Route, Router
from spark_impex_runner.sandbox.http.server import HttpServer
from spark_impex_runner.sandbox.settings import Settings
from spark_impex_runner.sandbox.tenant.downloads import Downloads
from spark_impex_runner.sandbox.tenant.exports import Exports, Locations
from spark_impex_runner.sandbox.tenant.jobs import Jobs, Limits
from spark_impex_runner.sandbox.tenant.tree import Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.sandbox.http.messages import Reply, Request

FOLDER = "life"
_STACK = 256 * 1024
_PIECES = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fleet is like; ``download_seconds`` is what a package takes to leave."""

    tenants: int
    job_seconds: float
    download_seconds: float = 0.0
    package_bytes: int = 0


@dataclass(slots=True)
class Told:
    """One package: its tenant; when its job ended, a client was told of it, it was fetched."""

    tenant: str
    ended: float
    told: float
    fetched: float = 0.0

    @property
    def lateness(self) -> float:
        """From the end of the job to the check that saw it: the way to poll decides this."""
        return self.told - self.ended

    @property
    def reaction(self) -> float:
        """From that check to the start of the download."""
        return self.fetched - self.told


@dataclass(frozen=True, slots=True)
class Address:
    """Where a fleet is, and the token that opens every tenant."""

    url: str
    token: str

    def figures(self) -> dict[str, Any]:
        """Return what the server saw so far (see ``Fleet.figures``)."""
        with urlopen(f"{self.url}/figures", timeout=60) as reply:  # noqa: S310 - our own server
            seen: dict[str, Any] = json.load(reply)
        return {**seen, "packages": [Told(**each) for each in seen["packages"]]}


@contextmanager
def serve(plan: Plan) -> Iterator[Address]:
    """Run a fleet in a process of its own while the block runs."""
    options = [
        f"--{name.replace('_', '-')}={getattr(plan, name)}" for name in plan.__dataclass_fields__
    ]
    command = [sys.executable, __file__, *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout  # noqa: S101 - asked for above
        yield Address(**json.loads(process.stdout.readline()))


class Fleet:
    """The tenants, each with its own jobs; one token and one tree are shared by all."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._api = HttpServer(0, self._journal)
        self._docstore = HttpServer(0, self._journal)
        self._downloads = Downloads(Settings(url_seconds=3600), time.monotonic)
        self._authenticator = Authenticator("fleet", 7200, time.monotonic)
        self._jobs: dict[str, Jobs] = {}
        self._routers = {
            name: self._tenant(name, folder)
            for name in (f"tenant-{number}" for number in range(plan.tenants))
        }
        self._packages: dict[str, Told] = {}
        self._lock = threading.Lock()
        self._requests = 0
        self._first = self._created = 0.0
        self.address = Address(self._api.url, self._authenticator.token)

    def start(self) -> None:
        """Begin to answer."""
        self._docstore.start(self._deliver)
        self._api.start(self._answer)

    def figures(self) -> dict[str, Any]:
        """Return the counts, and the moments of the machine's monotonic clock.

        ``packages`` has what ``Told`` holds for each package that was fetched.
        """
        with self._lock:
            packages = [asdict(each) for each in self._packages.values() if each.fetched]
        return {
            "jobs": sum(map(len, self._jobs.values())),
            "requests": self._requests,
            "first": self._first,
            "created": self._created,
            "cpu": time.process_time(),
            "packages": packages,
        }

    def _tenant(self, name: str, folder: Path) -> Router:
        url = f"{self._api.url}/{name}"
        settings = Settings(tenant=name, job_seconds=self._plan.job_seconds)
        limits = Limits(1, settings.job_seconds, 409, time.monotonic)
        jobs = Jobs("export", url, limits, self._authenticator.user)
        place = Locations(url, self._docstore.url, folder)
        exports = Exports(Tenant(name, folder / "tree"), jobs, self._downloads, settings, place)
        self._jobs[name] = jobs
        routes = [
            Route("GET", f"/{name}/api/v4/export/{{}}/status", exports.status),
            Route("POST", f"/{name}/api/v4/export", exports.create),
            Route("GET", f"/{name}/api/v4/export/status", exports.describe),
            Route("PATCH", f"/{name}/api/v4/export/{{}}", exports.cancel),
        ]
        return Router(routes, self._authenticator.check)

    def _answer(self, request: Request) -> Reply:
        name = request.path.split("/", 2)[1]
        if name == "figures":
            return json_reply(self.figures())
        router = self._routers.get(name)
        if router is None:
            raise v4_error(404, "NOT_FOUND", f"there is no tenant {name}")
        reply = router(request)
        if request.method == "POST" and reply.status == 200:
            self._created = self._created or time.monotonic()
        if request.path.endswith("/status"):
            self._note(name, b"".join(reply.chunks))
        return reply

    def _note(self, name: str, body: bytes) -> None:
        """Remember when a package was told of for the first time."""
        status = json.loads(body)
        for file in (status.get("outputs") or {}).get("files") or ():
            ended = self._jobs[name].get(status["id"]).created + self._plan.job_seconds
            with self._lock:
                path = urlsplit(file["file"]).path
                self._packages.setdefault(path, Told(name, ended, time.monotonic()))

    def _deliver(self, request: Request) -> Reply:
        with self._lock:
            package = self._packages.get(request.path)
            if package and not package.fetched:
                package.fetched = time.monotonic()
        reply = self._downloads(request)
        return replace(reply, chunks=paced(b"".join(reply.chunks), self._plan.download_seconds))

    def _journal(self, request: Request, _status: int) -> None:
        if request.path != "/figures":
            with self._lock:
                self._first = self._first or time.monotonic()
                self._requests += 1


def paced(body: bytes, seconds: float) -> Iterator[bytes]:
    """Yield a body in even pieces, so that the last one leaves after so many seconds."""
    if not seconds:
        yield body
        return
    began, step = time.monotonic(), -(-len(body) // _PIECES)
    for number in range(_PIECES):
        pause = began + (number + 1) * seconds / _PIECES - time.monotonic()
        time.sleep(max(pause, 0.0))
        yield body[number * step : (number + 1) * step]


def main() -> None:
    """Serve until the input ends, so also when whoever started the fleet is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=500)
    parser.add_argument("--job-seconds", type=float, default=10)
    parser.add_argument("--download-seconds", type=float, default=0)
    parser.add_argument("--package-bytes", type=int, default=0)
    plan = Plan(**vars(parser.parse_args()))
    # A fleet's client holds two connections for each tenant, and each is a file and a thread here.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    threading.stack_size(_STACK)
    with tempfile.TemporaryDirectory(prefix="impex-fleet-") as folder:
        version = Path(folder, "tree", FOLDER, "annuity", "1.0.0")
        version.mkdir(parents=True)
        if plan.package_bytes:
            (version / "model.data").write_bytes(secrets.token_bytes(plan.package_bytes))
        fleet = Fleet(plan, Path(folder))
        fleet.start()
        print(json.dumps({"url": fleet.address.url, "token": fleet.address.token}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
