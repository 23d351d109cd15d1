"""No secret appears in any output, file or error of a run."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS = """
  - {name: good, folders: [life], steps: [{uses: checksum}, {uses: unzip}], retry_interval: 10ms}
  - {name: lost, services: [motor/nothing]}
report: {json: out/r.json, junit: out/r.xml, html: out/r.html}
"""
SCHEMES = {
    "token": "{token: '${env:SECRET}'}",
    "api_key": "{api_key: '${file:secret.txt}'}",
    "oauth": "{oauth: {client_id: '${env:CLIENT}', client_secret: '${env:SECRET}'}}",
}

URLSAFE = bytes.maketrans(b"+/", b"-_")


def forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as it is and as URLs, JSON, Python, XML and Basic headers write it."""
    urls = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    escaped = {json.dumps(secret)[1:-1], repr(secret)[1:-1], html.escape(secret)}
    for text in urls | escaped:
        yield text.encode()
    for text in urls:
        # Within a longer text it stands at any of three places in a group; its edges are shared.
        for user, shared in (("", 0), ("u", 2), ("us", 3)):
            code = base64.b64encode(f"{user}{text}".encode()).rstrip(b"=")
            yield code[shared : (len(user) + len(text.encode())) * 8 // 6]
            yield code[shared : (len(user) + len(text.encode())) * 8 // 6].translate(URLSAFE)


def secrets_of(sandbox: Any, secret: str) -> set[str]:
    """Return all secrets of a run: the given one, issued tokens, and tokens of links."""
    seen = {secret}
    for request in sandbox.requests:
        if "authorization" in request.headers:
            seen.add(request.headers["authorization"].removeprefix("Bearer "))
        if request.origin == "download":
            token = request.path.split("/tokens/")[1].split("/")[0]
            seen |= {token, unquote(token)}
    return seen


@pytest.mark.parametrize("ending", ["closed", "errors", "not_zip"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_no_file_of_a_run_has_secrets(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    ending: str,
    right: bool,
) -> None:
    """With every scheme, right and wrong credentials, success and failure, and -vv."""
    for version in ("motor/pricing/1.4.2", "life/annuity/1.0.0"):
        (tmp_path / "acme" / version).mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    with Sandbox(tmp_path / "acme", Settings(ending=ending)) as sandbox:
        names = {"token": "token", "api_key": "api_key", "oauth": "client_secret"}
        secret = getattr(sandbox, names[scheme]) if right else "wrong+secret/with=signs&1"
        monkeypatch.setenv("SECRET", secret)
        monkeypatch.setenv("CLIENT", sandbox.client_id)
        (tmp_path / "secret.txt").write_text(secret)
        auth = SCHEMES[scheme].replace("secret.txt", str(tmp_path / "secret.txt"))
        (work / "m.yaml").write_text(
            f"version: 1\nconnections:\n  sit: {{base_url: '{sandbox.base_url}', auth: {auth}}}\n"
            f"targets:{TARGETS}"
        )
        with pytest.raises(SystemExit):
            main.run([str(work / "m.yaml"), "-v", "--log-format", "json"])
        hidden = secrets_of(sandbox, secret)

    said = "".join(capfd.readouterr()).encode()
    left = {"output": said} | {str(p): p.read_bytes() for p in work.rglob("*") if p.is_file()}
    assert len(left) >= 5
    for place, content in left.items():
        for one in hidden:
            assert not any(form in content for form in forms(one)), place


NOTIFY = """version: 1
connections:
  sit: {base_url: "${env:BASE}", auth: {token: "${env:TOKEN}"}}
targets:
  - {name: lost, services: [motor/nothing]}
report: {json: out/r.json, junit: out/r.xml, html: out/r.html, leak: out/leak.txt}
notify:
  - uses: webhook
    with: {url: "${env:HOOK}", headers: {Authorization: "${env:HEADER}"}, signing_key: "${env:KEY}"}
  - {uses: webhook, with: {url: "${env:CLOSED}"}}
  - {uses: apprise, with: {urls: ["${env:CHAT}", "${env:UNKNOWN}"]}}
  - {uses: leak, with: {key: "${env:KEY}"}}
"""
LEAK = """
import os
from dataclasses import asdict
from spark_impex_runner.hooks.specs import hookimpl

KEY = {"type": "object", "properties": {"key": {"type": "string", "x-secret": True}}}


def write(result):
    raise ValueError(f"no ledger for {os.environ['KEY']}")


def send(options, report):
    seen = str(asdict(report))
    if os.environ["TOKEN"] in seen or options["key"] in seen:
        raise SystemExit("a notifier sees the secrets of others")
    if "/api/v4/export" not in seen:
        raise SystemExit("the HTTP calls are not among what it sees")
    raise ConnectionError(f"no answer to {options['key']}")


@hookimpl
def impex_register(registry):
    registry.report("leak", "tells all", write)
    registry.notifier("leak", "tells all", KEY, send, http_calls=True)
"""


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("words", [["-v"], ["-v", "--log-format", "json"]], ids=["text", "json"])
def test_notifications_have_no_secrets(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    clock: Any,
    receiver: Any,
    words: list[str],
) -> None:
    """Outputs do not contain their URLs, headers and keys, nor messages the credentials."""
    monkeypatch.setattr("spark_impex_runner.tools.http.Clock", lambda: clock)
    (tmp_path / "acme/motor/pricing/1.4.2").mkdir(parents=True)
    (tmp_path / "leak.py").write_text(LEAK)
    (tmp_path / "m.yaml").write_text(NOTIFY)
    own = {tmp_path / "m.yaml", tmp_path / "leak.py"}
    receiver.replies += [(404, {}), (404, {})]  # the two are told at the same time
    place = receiver.url.removeprefix("http://")
    hidden = {
        "HOOK": f"{receiver.url}/services/h00k+1/x",
        "HEADER": "Bearer h3ader/x+y=",
        "KEY": "k3y of a signature",
        "CLOSED": "http://127.0.0.1:1/services/cl0sed",
        "CHAT": f"json://user:ch4t@{place}/r00m",
        "UNKNOWN": "nothing://unkn0wn",
    }
    with Sandbox(tmp_path / "acme") as sandbox:
        environ = {**hidden, "BASE": sandbox.base_url, "TOKEN": sandbox.token}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            main.run([str(tmp_path / "m.yaml"), "-p", str(tmp_path / "leak.py"), *words])

    said = "".join(capfd.readouterr())
    assert len(receiver.received) == 2
    assert all(f"notify[{number}]" in said for number in range(4))
    assert "notify[3] (leak): plugin leak failed: ConnectionError: no answer to ***" in said
    assert "plugin leak: the report 'leak' failed: ValueError: no ledger for ***" in said
    left = {"output": said.encode()}
    left |= {str(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p not in own}
    assert len(left) >= 5
    behind = ["/services/h00k+1/x", "/services/cl0sed", "ch4t"]
    for place, content in left.items():
        for one in (*hidden.values(), *behind, sandbox.token):
            assert not any(form in content for form in forms(one)), place
    assert sandbox.token not in str(receiver.received)


MANIFEST = """version: 1
connections: {here: {sandbox: acme}}
targets:
  - {name: a, folders: [life], steps: [{uses: tell, with: {key: "${env:SECRET}"}}]}
report: {json: out/r.json, junit: out/r.xml, html: out/r.html}
"""
PLUGIN = """
import atexit, base64, html, json, logging, os, sys, threading, warnings
from urllib.parse import quote, quote_plus
from spark_impex_runner.hooks.specs import hookimpl

KEY = {"type": "object", "properties": {"key": {"type": "string", "x-secret": True}}}
log = logging.getLogger("plugin.of.somebody")


class Undone:
    def __del__(self):
        raise ValueError("unraisable " + told())


def told():
    secret = os.environ["SECRET"]
    yet = [secret, quote(secret, safe=""), quote_plus(secret)]
    basic = [f"{user}:{form}".encode() for user in ("u", "us", "use") for form in yet]
    codes = [f(text).decode() for text in basic for f in
             (base64.b64encode, base64.urlsafe_b64encode)]
    return " ".join([*yet, repr(secret), json.dumps(secret), html.escape(secret), *codes])


def fail():
    raise ValueError("thread " + told())


@hookimpl
def impex_register(registry):
    registry.step("tell", "tell all", KEY)


@hookimpl
def impex_run_started(run):
    print("printed", told())
    sys.stdout.buffer.write(f"bytes {told()}\\n".encode())
    sys.stderr.write(f"written {told()}\\n")
    log.warning("logged %s", told(), extra={"event": told(), "detail": {told(): [told()]}})
    log.info("chatter %s", told())
    logging.getLogger("urllib3.connectionpool").warning("library %s", told())
    logging.StreamHandler().handle(logging.makeLogRecord({"msg": "own handler " + told()}))
    warnings.warn("warned " + told())
    try:
        fail()
    except ValueError:
        log.exception("caught")
    for target in (fail, Undone):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    atexit.register(lambda: print("at the end", told()))
    threading.Thread(target=lambda: (threading.Event().wait(1), print("late", told()))).start()


@hookimpl
def impex_job_changed(job, change):
    raise ValueError("hook " + told())


@hookimpl
def impex_run_step(job, step, artifact):
    print("no end of line", told(), end="", flush=True)
    raise ValueError("step " + told())
"""
SECRETS = [
    "s3cr+t/\"value'&=%1<é",
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END KEY-----",
]


def run_plugin(folder: Path, secret: str, *words: str, **environ: str) -> Any:
    """Run a plugin that prints its secret, also when its interpreter ends."""
    (folder / "acme/life/annuity/1.0.0").mkdir(parents=True)
    (folder / "m.yaml").write_text(MANIFEST)
    (folder / "tell.py").write_text(PLUGIN)
    code = "from spark_impex_runner.cli.main import run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, "m.yaml", "-p", "tell.py", *words],
        env={**os.environ, "SECRET": secret, "PYTHONUTF8": "1", **environ},
        cwd=folder,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("words", [["-v"], ["--log-format", "json", "-v"]], ids=["text", "json"])
@pytest.mark.parametrize("secret", SECRETS, ids=["odd", "lines"])
def test_plugin_output_is_masked(tmp_path: Path, secret: str, words: list[str]) -> None:
    """Printed, logged, warned or raised, in a hook, a thread or a finalizer."""
    done = run_plugin(tmp_path, secret, *words)

    assert done.returncode == 4
    told = ["printed", "bytes", "late", "at the end", "no end of line"]
    assert [word for word in told if word.encode() in done.stdout] == []
    told += ["written", "logged", "chatter", "library", "own handler", "warned", "caught"]
    told += ["ValueError: thread", "ValueError: unraisable", "ValueError: hook", "ValueError: step"]
    assert [word for word in told if word.encode() not in done.stderr] == []
    assert done.stderr.count(b"logged ") == 1
    if "json" in words:
        assert all(isinstance(json.loads(line), dict) for line in done.stderr.splitlines())
    left = {"stdout": done.stdout, "stderr": done.stderr}
    own = {tmp_path / "m.yaml", tmp_path / "tell.py"}
    left |= {str(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p not in own}
    assert len(left) >= 7
    lines = [line for line in secret.splitlines() if line != secret]
    for place, content in left.items():
        for one in (secret, *lines):
            assert [form for form in forms(one) if form in content] == [], place


def test_github_masks_each_secret_once(tmp_path: Path) -> None:
    """GitHub then masks later steps; each line of a secret is announced on stderr."""
    secret = SECRETS[1].replace("w0B", "%0B")

    done = run_plugin(tmp_path, secret, GITHUB_ACTIONS="true")

    lines = done.stderr.decode().splitlines()
    announced = [line for line in lines if line.startswith("::add-mask::")]
    told = [f"::add-mask::{line.replace('%', '%25')}" for line in secret.splitlines()]
    # The last is the token of the emulated tenant, whose links are not worth a line.
    assert announced[:-1] == told
    others = "".join(line for line in lines if line not in announced).encode() + done.stdout
    assert [form for one in secret.splitlines() for form in forms(one) if form in others] == []


def test_secrets_are_announced_only_on_github(tmp_path: Path, start: Any) -> None:
    """Without GitHub, or to a file, no announcement is written."""
    assert b"add-mask" not in run_plugin(tmp_path / "elsewhere", SECRETS[0]).stderr

    with (tmp_path / "log").open("wb") as log:
        (tmp_path / "m.yaml").write_text(MANIFEST)
        (tmp_path / "acme").mkdir()
        code = "from spark_impex_runner.cli.main import main; main()"
        environ = {**os.environ, "SECRET": SECRETS[0], "GITHUB_ACTIONS": "true"}
        words = ["-c", code, "validate", "m.yaml", "-p", "elsewhere/tell.py"]
        assert start(*words, env=environ, cwd=tmp_path, stderr=log).wait() == 0

    assert (tmp_path / "log").read_bytes() == b""
