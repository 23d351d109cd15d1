"""Runs that cannot begin: reports and notifications say so."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = files("spark_impex_runner.schemas").joinpath("report.schema.json")
HEAD = "version: 1\nname: nightly\nreport: {json: out/r.json, junit: r.xml, html: r.html}\n"
NOTIFY = "notify: [{uses: webhook, on: [failed], with: {url: '${env:HOOK}'}}]\n"
GOOD = "connections: {c: {sandbox: acme}}\ntargets: [{name: a, folders: [motor]}]\n"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Serve a webhook on loopback, whose address the environment has; return what it is sent."""
    posted: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/secret-hook-path")
    yield posted
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("place", ["link", "pipe", "services.txt", "l.json", "out/x"])
def test_a_refused_run_replaces_nothing(shell: Any, place: str) -> None:
    """A link, a special file and what the run would read or write stay as they are."""
    folder = shell.folder
    os.mkfifo(folder / "pipe")
    (folder / "services.txt").write_text("motor/pricing\n")
    (folder / "l.json").write_text("[]\n")
    (folder / "link").symlink_to("services.txt")
    (folder / "out").mkdir()
    for name in ("x", "impex-receipt.json"):
        (folder / "out" / name).touch()
    step = "{uses: import, with: {to: c, lock: l.json}}"
    target = f"{{name: a, services: ['@services.txt'], oops: 1, steps: [{step}]}}"
    body = f"connections: {{c: {{sandbox: acme}}}}\ntargets: [{target}]\n"
    before = (folder / place).lstat()
    (folder / "m.yaml").write_text(f"version: 1\n{body}")

    done = shell("impex-run", "m.yaml", "--report", f"json={place}")

    after = (folder / place).lstat()
    assert done.code == 2
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (folder / "services.txt").read_text() == "motor/pricing\n"


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (GOOD.replace("folders", "folder"), 2, "folder"),
        (GOOD.replace("sandbox: acme", "env: sit, tenant: t, auth: {token: '${env:NO}'}"), 2, "NO"),
        (GOOD + "requires: {plugins: [impex-none]}\n", 7, "plugin impex-none is not installed"),
        (GOOD.replace("[motor]", "[motor], steps: [{uses: none}]"), 2, "none"),
        (GOOD.replace("sandbox: acme", "env: sit, tenant: t"), 2, "credentials"),
    ],
    ids=["key", "token", "plugin", "step", "credentials"],
)
def test_a_refused_run_is_reported(
    shell: Any, heard: list[Any], monkeypatch: pytest.MonkeyPatch, body: str, code: int, reason: str
) -> None:
    """Each report has the reason, and the notification; the exit code stays that of the error."""
    for name in ("CSPARK_BEARER_TOKEN", "CSPARK_API_KEY", "CSPARK_CLIENT_ID", "NO"):
        monkeypatch.delenv(name, raising=False)
    (shell.folder / "m.yaml").write_text(HEAD + NOTIFY + body)

    done = shell("impex-run", "-q", "m.yaml")

    assert done.code == code
    report = json.loads((shell.folder / "out/r.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (report["outcome"], report["exit_code"], report["targets"]) == ("failed", code, [])
    assert reason in report["error"]
    suite = ET.parse(shell.folder / "r.xml").getroot()[0]  # noqa: S314 - our own report
    assert (suite.attrib["tests"], suite.attrib["errors"]) == ("1", "1")
    assert reason in (shell.folder / "r.html").read_text()
    [message] = heard
    assert (message["outcome"], message["exit_code"], message["manifest"]) == (
        "failed",
        code,
        "nightly",
    )
    assert reason in message["problems"][0]


def test_invalid_notifiers_are_skipped(shell: Any, heard: list[Any]) -> None:
    """The others are sent; a report that would replace a file of the run is not written."""
    text = HEAD + NOTIFY.replace("[{", "[{uses: webhook, on: [failed], with: {ulr: x}}, {") + GOOD
    (shell.folder / "m.yaml").write_text(text.replace("out/r.json", "m.yaml"))

    done = shell("impex-run", "-q", "m.yaml")

    assert done.code == 2
    assert (shell.folder / "m.yaml").read_text().startswith("version: 1")
    assert not (shell.folder / "r.xml").exists()
    assert [each["outcome"] for each in heard] == ["failed"]


def test_unreadable_manifest_sends_nothing(shell: Any, heard: list[Any]) -> None:
    """Who is to hear of it stands in it; a report of the command line is not written either."""
    (shell.folder / "m.yaml").write_text(HEAD + NOTIFY + "connections: [\n")

    done = shell("impex-run", "-q", "m.yaml", "--report", "json=cli.json")

    assert done.code == 2
    assert heard == []
    assert not (shell.folder / "cli.json").exists()


def test_later_manifests_are_announced_too(shell: Any, heard: list[Any]) -> None:
    """All are checked before the first is run; the one that is refused says so."""
    (shell.folder / "m.yaml").write_text(GOOD.join(["version: 1\n", ""]))
    (shell.folder / "n.yaml").write_text(HEAD + NOTIFY + GOOD.replace("folders", "folder"))

    assert shell("impex-run", "-q", "m.yaml", "n.yaml").code == 2

    assert len(heard) == 1
