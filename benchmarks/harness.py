"""What every figure shares: peers, servers, interleaved rounds, medians, peak memory.

A figure is a ratio of medians: the ways to do one thing take turns in one run on one machine.
Times are those of whole processes, start-up included; peak memory is the kernel's own account of
each process (``ru_maxrss``). Servers are started by the script, on loopback.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers"
# The Debian package of each program that a figure may ask for.
PACKAGES = {
    "curl": "curl",
    "aria2c": "aria2",
    "unzip": "unzip",
    "bsdtar": "libarchive-tools",
    "nginx": "nginx-light",
    "sshd": "openssh-server",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure, what it should be, and what was measured."""

    figure: str
    target: str
    measured: str


@dataclass(slots=True)
class Times:
    """What the counted rounds of one way took: seconds, and peak memory in MB (10**6 bytes)."""

    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of the seconds."""
        return median(self.seconds)

    @property
    def peak(self) -> float:
        """The middle of the peaks."""
        return median(self.peaks)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do the work: a command, and what makes the place ready before each round."""

    command: Sequence[str]
    before: Callable[[], object] = lambda: None
    environ: Mapping[str, str] = field(default_factory=dict)


def main(rows: Callable[[], Sequence[Row]]) -> None:
    """Print the rows of one script as lines of a Markdown table."""
    for row in rows():
        print(f"| {row.figure} | {row.target} | {row.measured} |", flush=True)


def need(*programs: str) -> None:
    """Install the Debian packages of programs that are missing (as root, through apt-get)."""
    missing = [PACKAGES[name] for name in programs if not shutil.which(name)]
    if not missing:
        return
    apt = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or subprocess.run(apt, stdout=sys.stderr, check=False).returncode:
        raise SystemExit(f"please install {' '.join(missing)} (Debian packages) and run again")


def peer(*distributions: str) -> str:
    """Return the Python of an environment that holds peers from PyPI, each set in its own."""
    place = PEERS / "-".join(distributions)
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *distributions], check=True)
    return str(python)


def rounds(ways: Mapping[str, Way], count: int = 7) -> dict[str, Times]:
    """Run the ways in turns: one round that does not count, then ``count`` that do."""
    found = {name: Times() for name in ways}
    for number in range(count + 1):
        for name, way in ways.items():
            way.before()
            seconds, peak = run(way)
            if number:
                found[name].seconds.append(seconds)
                found[name].peaks.append(peak)
    return found


def run(way: Way) -> tuple[float, float]:
    """Run one command; return its seconds and its peak memory in MB. A failure ends the script."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            way.command,
            stdout=said,
            stderr=said,
            env={**os.environ, **way.environ},
            cwd=tempfile.gettempdir(),  # away from the checkout: what is measured is the wheel
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read()[-2000:].decode(errors="replace")
            raise SystemExit(f"{' '.join(way.command)} ended with {process.returncode}:\n{text}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


@contextmanager
def workplace(*, memory: bool = True) -> Iterator[Path]:
    """Give a folder that is removed at the end: in memory where the machine has such a disk."""
    shared = Path("/dev/shm")  # noqa: S108 - a memory-backed disk is what is wanted
    base = shared if memory and shared.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="impex-bench-", dir=base) as folder:
        yield Path(folder)


@contextmanager
def nginx(served: Path, location: str = "") -> Iterator[str]:
    """Serve a folder; ``location`` adds directives, such as ``limit_rate 8m;``. Yields the URL."""
    need("nginx")
    with tempfile.TemporaryDirectory(prefix="impex-nginx-") as place:
        port = free_port()
        config = Path(place, "nginx.conf")
        config.write_text(_NGINX.format(place=place, port=port, served=served, location=location))
        command = ["nginx", "-c", str(config), "-e", f"{place}/error.log", "-g", "daemon off;"]
        with server_on(port, command):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def server_on(port: int, command: Sequence[str]) -> Iterator[None]:
    """Run a server while the block runs, which begins when it accepts connections."""
    process = subprocess.Popen(command)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait()


def folders(place: Path) -> tuple[Path, Path]:
    """Make the folder that a server serves and the one that downloads go to."""
    served, out = place / "served", place / "out"
    served.mkdir()
    out.mkdir()
    return served, out


def clean(out: Path) -> Callable[[], None]:
    """Return what empties a folder of files before a round."""

    def remove() -> None:
        for path in out.iterdir():
            path.unlink()

    return remove


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until a server accepts connections, ten seconds at most."""
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"the server on port {port} did not start")


def random_file(path: Path, size: int) -> Path:
    """Make a file of so many random bytes."""
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - start)))
    return path


def ratio(ours: Times, theirs: Times) -> str:
    """Return the ratio of two medians as the table shows it."""
    return f"{ours.median / theirs.median:.2f}"


def machine() -> str:
    """Return one line about the machine that measures."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {system}, {python}"


_NGINX = """
pid {place}/nginx.pid;
worker_processes 1;
error_log {place}/error.log;
user root;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {served}; {location} }}
  }}
}}
"""
