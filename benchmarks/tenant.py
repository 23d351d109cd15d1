"""A tenant whose one job is done at once, and whose files an nginx sends; and programs using it.

``python tenant.py PORT STATUS.json`` answers every GET and POST with that file. The programs are
what a user of the public interface writes: one call exports, waits, downloads and verifies.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from harness import free_port, server_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OURS = """
import sys
from spark_impex_runner import Spark
with Spark(base_url=sys.argv[1], token="t") as spark:
    spark.impex.export(folders=["all"], to=sys.argv[2])
"""
# As ours, but it stops before the first request: what starting alone takes.
START = OURS.rpartition("    spark")[0] + "    pass"
# The official SDK keeps the packages in memory; its user hashes and stores them.
SDK = """
import hashlib, sys
from pathlib import Path
from cspark.sdk import Client
from cspark.sdk._config import BaseUrl  # the public form takes no address but Coherent's
base = BaseUrl(url=sys.argv[1].rpartition("/")[0], tenant="acme")
client = Client(base_url=base, token="t", logger=False)
for number, each in enumerate(client.impex.exp(folders=["all"])):
    print(hashlib.sha256(each.buffer).hexdigest())
    Path(sys.argv[2], f"{number}.zip").write_bytes(each.buffer)
"""


def package(path: Path, size: int) -> Path:
    """Make a ZIP of stored entries, 1 MB of random bytes each, that have ``size`` together.

    In small pieces, as the kernel counts this process's own peak into that of its children.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(size // 1_000_000):
            archive.writestr(f"acme/{number}.data", os.urandom(1_000_000))
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, read in small pieces, too."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


@contextmanager
def tenant(place: Path, files: Sequence[Path], server: str) -> Iterator[str]:
    """Serve a tenant whose job offers these files, with their hashes; yields its base URL."""
    offered = [{"file": f"{server}/{path.name}", "file_hash": digest(path)} for path in files]
    outputs = {"files": offered, "services": [], "service_versions": []}
    status = place / "status.json"
    status.write_text(
        json.dumps({"id": "1", "object": "export", "status": "closed", "outputs": outputs})
    )
    port = free_port()
    with server_on(port, [sys.executable, __file__, str(port), str(status)]):
        yield f"http://127.0.0.1:{port}/acme"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for the client's acknowledgement

    def do_GET(self) -> None:
        """Answer with the status, whatever was asked."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = Path(sys.argv[2]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server calls

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
