"""Uploads to a bucket with Object Lock, which takes no data without a checksum."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

_CHECKSUM = "x-amz-checksum-sha256"


class LockedBucket(BaseHTTPRequestHandler):
    """As much of S3 as an upload needs; it refuses what S3 refuses where Object Lock is on."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    objects: dict[str, bytes]
    parts: dict[str, bytes]
    conditions: list[int]
    conflicts: list[int]

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a reply."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        """Return what was sent."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_PUT(self) -> None:
        """Take an object, or a part of one."""
        data = self.body()
        scripted = self.conditions if self.headers.get("If-None-Match") else self.conflicts
        if scripted:
            return self.answer(scripted.pop(0), b"<Error><Code>NotImplemented</Code></Error>")
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        if self.headers.get(_CHECKSUM) != digest:
            return self.answer(400, b"<Error><Code>InvalidRequest</Code></Error>")
        path, _, query = self.path.partition("?")
        (self.parts if query else self.objects)[query or path] = data
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return self.answer(200, ETag=f'"{etag}"', x_amz_checksum_sha256=digest)

    def do_POST(self) -> None:
        """Begin an upload in parts, or complete it."""
        path, _, query = self.path.partition("?")
        asked = self.body()
        if query.startswith("uploads"):
            if self.headers.get("x-amz-checksum-algorithm") != "SHA256":
                return self.answer(400)
            return self.answer(
                200,
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>",
            )
        found = re.findall(rb"<ChecksumSHA256>([^<]+)</ChecksumSHA256>", asked)
        parts = [self.parts[f"partNumber={n + 1}&uploadId=u"] for n in range(len(self.parts))]
        expected = [base64.b64encode(hashlib.sha256(each).digest()) for each in parts]
        if found != expected:
            return self.answer(400, b"<Error><Code>InvalidRequest</Code></Error>")
        self.objects[path] = b"".join(parts)
        return self.answer(
            200,
            b"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag>"
            b"</CompleteMultipartUploadResult>",
        )

    def do_GET(self) -> None:
        """Return an object."""
        data = self.objects.get(self.path)
        if data is None:
            return self.answer(404)
        return self.answer(200, data, ETag='"e"', Last_Modified="Wed, 01 Jan 2025 00:00:00 GMT")

    def do_HEAD(self) -> None:
        """Return what is known of an object."""
        self.do_GET()


@contextmanager
def served(
    conditions: Sequence[int] = (), conflicts: Sequence[int] = ()
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Serve an empty bucket; yield its endpoint and its objects.

    The first writes, those with a condition and those without, are answered with these statuses.
    """
    objects: dict[str, bytes] = {}
    scripted = {"conditions": list(conditions), "conflicts": list(conflicts)}
    state = {"objects": objects, "parts": {}, **scripted}
    handler = type("Bucket", (LockedBucket,), state)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", objects
        finally:
            server.shutdown()
            thread.join()


def test_locked_bucket_accepts_files(motor: Any) -> None:
    """Each object, each part and the list of the parts carry a SHA-256."""
    large = random.Random(1).randbytes(9 << 20)  # noqa: S311
    keys = {"access_key_id": "a", "secret_access_key": "s"}

    with served() as (endpoint, objects):
        options = {"to": "s3://locked/prod", "endpoint": endpoint, **keys}
        motor.deliver(options, {"small.zip": b"1", "large.zip": large})

    assert objects["/locked/prod/small.zip"] == b"1"
    assert objects["/locked/prod/large.zip"] == large
    assert "/locked/prod/impex-upload.json" in objects


@pytest.mark.parametrize(
    ("conditions", "conflicts"),
    [([501] * 99, []), ([409], []), ([503], []), ([], [409]), ([409] * 2, [409, 429])],
)
def test_transient_refusal_is_retried(
    motor: Any,
    upload: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    conditions: list[int],
    conflicts: list[int],
) -> None:
    """A conflict (409) as well; a store that knows no condition (501) is not asked again."""
    monkeypatch.setattr(upload.retry, "WAITS", (0, 0, 0))

    with served(conditions, conflicts) as (endpoint, objects):
        keys = {"access_key_id": "a", "secret_access_key": "s"}
        motor.deliver({"to": "s3://b", "endpoint": endpoint, **keys}, {"m.zip": b"1"})

    assert objects["/b/m.zip"] == b"1"
    assert "/b/impex-upload.json" in objects
