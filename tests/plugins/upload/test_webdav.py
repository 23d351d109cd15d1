"""Uploads by WebDAV: what RFC 4918 leaves to the server, and refusals that pass."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from spark_impex_runner.errors import StepError, UsageError
from spark_impex_runner.spark.http.calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

LISTING = "impex-upload.json"
FILES = {"files/a/1.json": b"1", "files/a/2.json": b"2", "files/b c/3.json": b"3", "m.zip": b"4"}
_LOCKED = (
    b'<?xml version="1.0"?><multistatus xmlns="DAV:"><response><href>/x</href>'
    b"<status>HTTP/1.1 423 Locked</status></response></multistatus>"
)


@dataclass
class Server:
    """A strict WebDAV server in memory.

    ``faults`` are the statuses with which the first requests of each method are answered instead.
    """

    faults: Mapping[str, list[int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/", "/dav/"})
    files: dict[str, bytes] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)
    authorizations: set[str | None] = field(default_factory=set)
    port: int = 0
    listing: bytes = b'<multistatus xmlns="DAV:"/>'

    def status(self, method: str, path: str) -> int:
        """Count a request; return the scripted fault for it, or 0."""
        self.requests[method] += 1
        self.requests[f"{method} {path}"] += 1
        statuses = self.faults.get(method, [])
        return statuses.pop(0) if statuses else 0

    def put(self, path: str, data: bytes) -> int:
        """Take a file into a folder that is there."""
        if path.rpartition("/")[0] + "/" not in self.folders:
            return 409
        self.files[path] = data
        return 201

    def mkcol(self, path: str) -> int:
        """Make a folder in one that is there."""
        if not path.endswith("/"):
            return 409
        if path in self.folders:
            return 405
        if path.rstrip("/").rpartition("/")[0] + "/" not in self.folders:
            return 409
        self.folders.add(path)
        return 201

    def move(self, path: str, there: str, overwrite: str) -> int:
        """Rename a file."""
        if path not in self.files:
            return 404
        if there in self.files and overwrite == "F":
            return 412
        self.files[there] = self.files.pop(path)
        return 201

    def delete(self, path: str) -> int:
        """Remove a file."""
        return 204 if self.files.pop(path, None) is not None else 404


class Handler(BaseHTTPRequestHandler):
    """Answers for a server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server_state: Server

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def answer(self, status: int, body: bytes = b"") -> None:
        """Send a reply."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("Location", "https://elsewhere.example/dav/?token=secret")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_method(self) -> None:
        """Answer any request."""
        state, path = self.server_state, unquote(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with state.lock:
            state.authorizations.add(self.headers["Authorization"])
            if status := state.status(self.command, path):
                self.answer(status, _LOCKED if status == 207 else b"")
            elif self.command in {"GET", "HEAD"}:
                found = state.files.get(path)
                self.answer(404 if found is None else 200, found or b"")
            elif self.command == "PROPFIND":
                there = path.rstrip("/") + "/" in state.folders
                self.answer(207 if there else 404, state.listing)
            else:
                self.answer(self.change(state, path, data))

    def change(self, state: Server, path: str, data: bytes) -> int:
        """Answer a request that changes something."""
        if self.command == "PUT":
            return state.put(path, data)
        if self.command == "MKCOL":
            return state.mkcol(path)
        if self.command == "DELETE":
            return state.delete(path)
        there = unquote(urlsplit(self.headers["Destination"]).path)
        return state.move(path, there, self.headers["Overwrite"])

    do_GET = do_HEAD = do_PUT = do_MKCOL = do_DELETE = do_MOVE = do_PROPFIND = handle_method  # noqa: N815


@pytest.fixture
def server(upload: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a strict server; the step retries without a pause."""
    monkeypatch.setattr(upload.retry, "WAITS", (0, 0, 0))
    state = Server()
    handler = type("Bound", (Handler,), {"server_state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        state.port = httpd.server_port
        thread = Thread(target=httpd.serve_forever, args=[0.02], daemon=True)
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


def options(server: Server, path: str = "dav/backup", **more: Any) -> dict[str, Any]:
    """Return a destination on the server."""
    return {"to": f"webdav://127.0.0.1:{server.port}/{path}", **more}


@pytest.mark.parametrize("path", ["", "dav", "dav/x/y%20z", "p/q/r"])
def test_missing_folder_is_created_once(server: Server, motor: Any, path: str) -> None:
    """Whatever is there already, and however many files are sent at once."""
    before = set(server.folders)

    motor.deliver(options(server, path, parallel=4), FILES)

    root = f"/{path.replace('%20', ' ')}".rstrip("/")
    assert server.files.keys() == {f"{root}/{name}" for name in (*FILES, LISTING)}
    made = server.folders - before
    assert f"{root}/files/b c/" in made
    tried = {each for each in made if server.requests[f"MKCOL {each}"] > 2}
    assert not tried


def test_requests_are_recorded(server: Server, motor: Any, clock: Any) -> None:
    """Those of files that are sent at once, too; without a path, which may be a secret."""
    log = CallLog(clock)

    with log.recording():
        motor.deliver(options(server, parallel=4), FILES)

    sent = Counter({each: n for each, n in server.requests.items() if " " not in each})
    assert Counter(each.method for each in log.calls()) == sent
    assert sent["PUT"] >= len(FILES)
    assert {each.url for each in log.calls()} == {f"http://127.0.0.1:{server.port}"}


@pytest.mark.parametrize(
    ("method", "status"),
    [
        *[("MKCOL", status) for status in (423, 409, 429, 500, 503)],
        *[("PUT", status) for status in (423, 409, 503)],
        *[("MOVE", status) for status in (423, 409, 502, 207)],
        ("HEAD", 503),
        ("PROPFIND", 503),
    ],
)
def test_transient_refusal_is_retried(server: Server, motor: Any, method: str, status: int) -> None:
    """Also a lock (423), a folder that another client makes (409), and a lock within a 207."""
    server.faults = {method: [status]}

    motor.deliver(options(server), FILES)

    assert server.faults == {method: []}
    assert server.files.keys() == {f"/dav/backup/{name}" for name in (*FILES, LISTING)}


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"MKCOL": [403] * 9}, "dav/backup/: the server replies 403 Forbidden to MKCOL"),
        (
            {"MKCOL": [507] * 9},
            "/dav/backup/: the server replies 507 Insufficient Storage to MKCOL",
        ),
        ({"MKCOL": [405] * 9}, "dav/backup/: the server replies 405 Method Not Allowed to MKCOL"),
        (
            {"MKCOL": [415] * 9},
            "/dav/backup/: the server replies 415 Unsupported Media Type to MKCOL",
        ),
        ({"MKCOL": [302] * 9}, "redirects MKCOL to https://elsewhere.example/dav/; use that"),
        ({"PUT": [507] * 9}, "the server replies 507 Insufficient Storage to PUT"),
        ({"PUT": [301] * 9}, "redirects PUT to https://elsewhere.example/dav/; use that URL"),
        ({"MOVE": [403] * 9}, "the server replies 403 Forbidden to MOVE"),
        ({"MKCOL": [423] * 99}, "the server replies 423 Locked to MKCOL"),
    ],
)
def test_refused_request_is_reported_itself(
    server: Server, motor: Any, faults: dict[str, list[int]], message: str
) -> None:
    """Not one that fails later because of it, and no secret of a redirect."""
    server.faults = faults
    (method,) = faults

    with pytest.raises(StepError) as caught:
        motor.deliver(options(server), FILES)

    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not server.files
    assert server.requests["PUT"] == 0 or method != "MKCOL"
    assert server.requests[method] == (4 if "423" in message else 1)


@pytest.mark.parametrize(
    ("options_", "sent"),
    [
        ({"user": "jürgen", "password": "p:w"}, "Basic asO8cmdlbjpwOnc="),
        ({"token": "hunter2"}, "Bearer hunter2"),
        ({}, None),
    ],
)
def test_each_request_has_the_credentials_of_the_options_only(
    server: Server,
    motor: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options_: dict[str, str],
    sent: str | None,
) -> None:
    """In UTF-8; a netrc file is not read."""
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    motor.deliver(options(server, **options_), FILES)

    assert server.authorizations == {sent}


def test_ca_bundle_of_environment_is_used(
    server: Server, motor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable of other programs that put files; one that is not there is named."""
    monkeypatch.setenv("CURL_CA_BUNDLE", "/missing.pem")

    with pytest.raises(UsageError, match=r"the CA bundle /missing\.pem, which does not exist"):
        motor.deliver(options(server), FILES)

    assert not server.requests


def test_refused_mkcol_of_existing_folder_passes(server: Server, motor: Any) -> None:
    """Where the user may not make the root, but write into it."""
    server.folders.add("/dav/backup/")
    server.faults = {"MKCOL": [403]}

    motor.deliver(options(server), {"m.zip": b"4"})

    assert "/dav/backup/m.zip" in server.files


def test_removed_folder_is_created_again(
    server: Server, motor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of folders does not outlive a fault."""
    put, removed = Server.put, []

    def once_removed(self: Server, path: str, data: bytes) -> int:
        if path.startswith("/dav/backup/files/a/") and not removed:
            removed.append(path)
            self.folders -= {"/dav/backup/files/a/", "/dav/backup/files/"}
        return put(self, path, data)

    monkeypatch.setattr(Server, "put", once_removed)
    motor.deliver(options(server, parallel=1), {"files/a/1.json": b"1"})

    assert removed
    assert server.files["/dav/backup/files/a/1.json"] == b"1"


def test_changed_file_leaves_nothing_on_a_slow_server(
    server: Server, motor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part is removed after the server has answered, so that it cannot appear later."""
    package = motor.artifact("m.zip", b"proven")
    changed = type(package)(package.path, package.name, 6, "0" * 64)
    put, stored = Server.put, []

    def noted(self: Server, path: str, data: bytes) -> int:
        stored.append(path)
        return put(self, path, data)

    monkeypatch.setattr(Server, "put", noted)
    with pytest.raises(StepError, match="has changed since"):
        motor.run(options(server), [changed])

    assert any("m.zip" in path for path in stored)
    assert server.files.keys() == {f"/dav/backup/{LISTING}"}


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (9, "the listing of the folder is too large"),
        (1 << 20, "the server's listing is not WebDAV"),
    ],
)
def test_invalid_folder_listing_is_refused(
    server: Server,
    motor: Any,
    upload: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    message: str,
) -> None:
    """It is read up to a limit, and need not be XML; the delivery itself is complete."""
    folders = importlib.import_module(f"{upload.__name__}.web_folders")
    monkeypatch.setattr(folders, "MAX_TEXT", limit)
    server.listing = b"<html><br></html>"

    with pytest.raises(StepError, match=message):
        motor.deliver(options(server, prefix="p", keep={"last": 1}), {"m.zip": b"1"})

    assert "/dav/backup/p/m.zip" in server.files


def test_nginx_accepts_repeated_uploads(nginx: Any, motor: Any) -> None:
    """With sub-folders, into a folder that is there and into one that is not."""
    (nginx.folder / "there").mkdir()

    for path in ("there", "made/of two/parts"):
        to = {"to": f"webdav://{nginx.address}/{path.replace(' ', '%20')}"}
        motor.deliver(to, FILES)
        again = {name: data + b"!" for name, data in FILES.items()}
        motor.on(1).deliver(to, again)

        root = nginx.folder / path
        found = {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}
        assert found == {*FILES, LISTING}
        assert {name: (root / name).read_bytes() for name in FILES} == again
