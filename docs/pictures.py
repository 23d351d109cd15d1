"""Makes the pictures of the documentation from real runs: ``python docs/pictures.py``.

Two emulated tenants are served on this machine, slow enough to watch, and a collector of traces.
Terminal pictures need the library pyte, those of HTML pages Chromium (``chromium``, or another name
in ``CHROMIUM``), that of a trace the extra ``[otel]``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import waterfall
from terminal import Terminal, svg

from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SIZE = 80, 24
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
]
MANIFEST = """\
version: 1
name: motor-release
connections:
  sit: {{base_url: "{sit}", auth: {{token: "${{env:TOKEN}}"}}}}
  uat: {{base_url: "{uat}", auth: {{token: "${{env:UAT_TOKEN}}"}}}}
defaults: {{connection: sit, version_filter: all, retry_interval: 1}}
targets:
  - {{name: pricing, services: [motor/pricing], steps: [{{uses: checksum}}, {{uses: unzip}}]}}
  - {{name: claims, services: [motor/claims], steps: [{{uses: checksum}}]}}
  - {{name: annuity, services: [life/annuity]}}
  - {{name: fraud, services: [motor/fraud]}}
  - {{name: release-note, needs: [fraud], services: [life/term]}}
  - {{name: health, connection: uat, folders: [health], steps: [{{uses: unzip}}]}}
  - name: life
    connection: uat
    folders: [life]
    steps:
      - uses: import
        with: {{to: sit, if_present: add_version, gate: manual}}
report: {{html: report.html}}
"""
TRACED = """\
version: 1
name: motor-release
connections:
  sit: {{base_url: "{sit}", auth: {{token: "${{env:TOKEN}}"}}}}
defaults: {{connection: sit}}
targets:
  - {{name: motor, services: ["motor/p*"], steps: [{{uses: checksum}}, {{uses: unzip}}]}}
  - {{name: life, services: [life/annuity], steps: [{{uses: checksum}}]}}
notify: [{{uses: otel, on: [always], with: {{endpoint: "{collector}"}}}}]
"""


def main() -> None:
    """Make every picture."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, _tenants(Path(name)):
        folder = Path(name)
        live = Terminal(_impex("run", "release.yaml"), folder, os.environ, SIZE)
        live.wait(lambda text: bool(re.search(r"[3-9]\d %", text)) and "running   " in text)
        _draw(live, "live", "impex-run release.yaml")
        live.wait()
        _draw(live, "failed", "impex-run release.yaml")
        live.end()
        _screen(folder, "plan", "plan", "release.yaml", "-t", "annuity", "-t", "claims")
        _screen(folder, "history", "history", "release.yaml")
        versions = _versions(folder)
        _screen(folder, "diff", "diff", *versions)
        mistaken = (folder / "release.yaml").read_text().replace("checksum", "checksun")
        (folder / "draft.yaml").write_text(mistaken.replace("connection: uat", "conection: uat"))
        _screen(folder, "validate", "validate", "draft.yaml")
        _photo(folder / "report.html", "report", (1280, 1270))
        command = _impex("diff", "--format", "html", *versions)
        html = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        (folder / "diff.html").write_bytes(html.stdout)
        _photo(folder / "diff.html", "diff-page", (1024, 760))
        _trace(folder)


@contextmanager
def _tenants(folder: Path) -> Iterator[None]:
    """Serve two tenants and write a manifest for them."""
    for name in ("sit", "uat"):
        tenant = folder / name / "acme"
        shutil.copytree(ROOT / "examples" / "tenant", tenant)
        for version in tenant.glob("*/*/*"):
            if version.is_dir():  # random bytes, which no ZIP makes smaller
                (version / "model.data").write_bytes(os.urandom(12_000_000))
    slow = tuple(map(parse_fault, ("download@1-=slow:4000000",)))
    sit = Sandbox(folder / "sit/acme", Settings(job_seconds=4, faults=slow))
    uat = Sandbox(folder / "uat/acme", Settings(job_seconds=6, faults=slow))
    with sit, uat:
        os.environ |= {"TOKEN": sit.token, "UAT_TOKEN": uat.token}
        manifest = MANIFEST.format(sit=sit.base_url, uat=uat.base_url)
        (folder / "release.yaml").write_text(manifest)
        yield


def _trace(folder: Path) -> None:
    """Draw the trace that a run sends to a collector."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                received.append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sit = re.search(r'"(http://\S+)"', (folder / "release.yaml").read_text())
        collector = f"http://127.0.0.1:{server.server_port}"
        manifest = TRACED.format(sit=sit[1] if sit else "", collector=collector)
        (folder / "trace.yaml").write_text(manifest)
        command = _impex("run", "-q", "trace.yaml", "--state", "trace-state")
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        server.shutdown()
    picture = waterfall.svg(waterfall.rows(received), "one run as a trace")
    (IMAGES / "trace.svg").write_text(picture, encoding="utf-8")


def _versions(folder: Path) -> tuple[str, str]:
    """Deliver two versions of a service, and return their folders."""
    text = (folder / "release.yaml").read_text().partition("defaults")[0]
    for version in ("2.0.0", "2.1.0"):
        target = f'{{name: "{version}", connection: sit, services: ["motor/claims[{version}]"]}}'
        (folder / "versions.yaml").write_text(f"{text}targets:\n  - {target}\n")
        command = _impex("run", "-q", "versions.yaml")
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return "exports/2.0.0", "exports/2.1.0"


def _impex(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("impex")), *words]


def _screen(folder: Path, name: str, *words: str) -> None:
    """Run a command to its end and draw its screen."""
    terminal = Terminal(_impex(*words), folder, os.environ, SIZE)
    terminal.wait()
    terminal.end()
    _draw(terminal, name, f"impex {' '.join(words)}")


def _draw(terminal: Terminal, name: str, title: str) -> None:
    (IMAGES / f"{name}.svg").write_text(svg(terminal.screen, title), encoding="utf-8")


def _photo(page: Path, name: str, size: tuple[int, int]) -> None:
    """Take a picture of a page as a browser shows it."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                os.environ.get("CHROMIUM", "chromium"),
                *CHROMIUM,
                f"--user-data-dir={profile}",
                f"--window-size={size[0]},{size[1]}",
                f"--screenshot={IMAGES / name}.png",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
