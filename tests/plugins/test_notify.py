"""``webhook`` and ``apprise``, told to a real server on loopback."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ImpexError, NotifyError
from spark_impex_runner.models import Manifest, Outcome, RunResult, Target, TargetResult

if TYPE_CHECKING:
    from types import ModuleType

# Of the library's own import, in Python 3.11 and 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
PAGE = Path(__file__).parent.parent.parent / "docs/how-to/notify.md"
NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def webhook() -> ModuleType:
    """Return the module of the notifier ``webhook``."""
    return importlib.import_module("spark_impex_runner.plugins.notify.webhook")


@pytest.fixture
def services() -> ModuleType:
    """Return the module of the notifier ``apprise``."""
    return importlib.import_module("spark_impex_runner.plugins.notify.services")


@pytest.fixture
def message() -> ModuleType:
    """Return the module that says how a run ended."""
    return importlib.import_module("spark_impex_runner.plugins.notify.message")


@pytest.fixture
def patient(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the webhook wait on a clock that nobody waits for, and return it."""
    monkeypatch.setattr("spark_impex_runner.tools.http.Clock", lambda: clock)
    return clock


def target(name: str, outcome: Outcome, error: str = "", **more: Any) -> TargetResult:
    """Return how a target ended."""
    where = Target(name, "sit", None)  # type: ignore[arg-type]
    code = 0 if outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED) else 4
    return TargetResult(where, outcome, NOON, NOON, error=error, exit_code=code, **more)


@pytest.fixture
def report(tmp_path: Path) -> RunResult:
    """Return a run of two targets, one of which failed."""
    results = (
        target("motor", Outcome.SUCCEEDED),
        target("life", Outcome.FAILED, "no\nsuch folder", tenant="https://sit/acme", job_id="j1"),
    )
    manifest = Manifest(tmp_path / "release.yaml", "release", {}, ())
    return RunResult("r1", manifest, NOON, NOON + timedelta(seconds=9), results, "0.1")


def test_libraries_are_imported_on_sending() -> None:
    """A command that only validates loads the plugin, and neither HTTP library nor Apprise."""
    code = (
        "import sys\n"
        "from spark_impex_runner.hooks.manager import make_plugin_manager\n"
        "assert 'webhook' in make_plugin_manager().registry.notifiers\n"
        "print(sorted({'requests', 'urllib3', 'apprise'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_summary_matches_documentation(report: RunResult, message: ModuleType) -> None:
    """These keys and no others, for a program that reads them next year."""
    assert message.summary(report) == {
        "version": 1,
        "run_id": "r1",
        "manifest": "release",
        "outcome": "partial",
        "exit_code": 3,
        "text": "release: 1 of 2 targets succeeded; life failed",
        "started": "2026-01-31T12:00:00.000Z",
        "finished": "2026-01-31T12:00:09.000Z",
        "seconds": 9.0,
        "counts": {"total": 2, "succeeded": 1, "failed": 1}
        | dict.fromkeys(("unchanged", "timed_out", "held", "cancelled", "skipped"), 0),
        "targets": [
            {
                "target": "life",
                "outcome": "failed",
                "error": "no such folder",
                "tenant": "https://sit/acme",
                "job_id": "j1",
            }
        ],
        "problems": [],
    }


def test_summary_names_first_targets(report: RunResult, message: ModuleType) -> None:
    """A message is no report: its size has a limit, and the counts tell of the rest."""
    bad = tuple(target(f"t{n}", Outcome.FAILED, "x" * 1000) for n in range(1000))
    many = replace(report, results=bad, problems=("cannot write r.json: disk\nfull",))

    lines = list(message.lines(many))

    assert len(message.summary(many)["targets"]) == 100
    assert message.summary(many)["counts"]["failed"] == 1000
    assert lines[0].startswith("t0 failed: xxx")
    assert lines[20:] == ["and 980 more", "cannot write r.json: disk full"]
    assert {len(line) for line in lines[:20]} == {300}


def test_webhook_posts_signed_summary(
    receiver: Any, report: RunResult, webhook: ModuleType, message: ModuleType
) -> None:
    """Once; the signature is that of the very bytes, by the key that the receiver has."""
    options = {
        "url": f"{receiver.url}/hook?a=1",
        "headers": {"Authorization": "Bearer hunter2"},
        "signing_key": "kéy",
    }

    webhook.send(options, report)

    [request] = receiver.received
    expected = hmac.new("kéy".encode(), request.body, hashlib.sha256).hexdigest()
    assert (request.method, request.path) == ("POST", "/hook?a=1")
    assert json.loads(request.body) == message.summary(report)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer hunter2"
    assert request.headers["x-impex-signature-256"] == f"sha256={expected}"
    assert request.headers["user-agent"].startswith("spark-impex-runner/")


def test_documented_receiver_verifies_signature(
    receiver: Any, report: RunResult, webhook: ModuleType
) -> None:
    """Its function takes what was signed, and nothing that was changed or signed by others."""
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(code[0], names)  # noqa: S102 - the page's own code

    webhook.send({"url": receiver.url, "signing_key": "key"}, report)

    [request] = receiver.received
    headers = {"X-Impex-Signature-256": request.headers["x-impex-signature-256"]}
    assert names["is_genuine"](request.body, headers, "key")
    assert not names["is_genuine"](request.body + b" ", headers, "key")
    assert not names["is_genuine"](request.body, headers, "yek")


def test_only_given_headers_are_sent(
    receiver: Any,
    report: RunResult,
    webhook: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No netrc entry, no signature without a key, no credentials of tenants."""
    (tmp_path / "netrc").write_text("default login somebody password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "hunter2")

    webhook.send({"url": receiver.url}, report)

    [request] = receiver.received
    usual = {"host", "user-agent", "content-type", "content-length", "accept-encoding"}
    assert set(request.headers) <= usual
    assert "hunter2" not in str(request)


def test_transient_failure_is_retried(
    receiver: Any, report: RunResult, webhook: ModuleType, patient: Any
) -> None:
    """A busy or broken receiver is asked again, after the time that it asked for."""
    receiver.replies += [(503, {}), (429, {"Retry-After": "7"}), (500, {})]

    webhook.send({"url": receiver.url}, report)

    first, second, third = patient.waits
    assert len(receiver.received) == 4
    assert (first <= 1, second, third <= 4) == (True, 7.0, True)
    assert len({request.body for request in receiver.received}) == 1


@pytest.mark.parametrize(
    ("replies", "tries", "fault"),
    [
        ([(500, {})] * 9, 4, "HTTP 500; check url and headers"),
        ([(404, {})], 1, "HTTP 404; check url and headers"),
        ([(429, {"Retry-After": "3600"})] * 4, 4, "HTTP 429; check url and headers"),
        (
            [(307, {"Location": "/elsewhere"})],
            1,
            "HTTP 307: redirects are not followed; use the final URL",
        ),
    ],
)
@pytest.mark.usefixtures("patient")
def test_refusal_does_not_show_url(
    receiver: Any,
    report: RunResult,
    webhook: ModuleType,
    replies: list[Any],
    tries: int,
    fault: str,
) -> None:
    """What will not pass is not repeated, and no redirect takes the headers elsewhere."""
    receiver.replies += replies

    with pytest.raises(NotifyError) as caught:
        webhook.send({"url": f"{receiver.url}/hunter2"}, report)

    assert str(caught.value) == fault
    assert [request.path for request in receiver.received] == ["/hunter2"] * tries


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/hunter2", "cannot connect to 127.0.0.1:1 (Connection refused)"),
        ("hunter2", "the address is not a valid URL"),
        ("gopher://hunter2/", "the address is not a valid URL"),
        ("http://[hunter2/", "the address is not a valid URL"),
    ],
)
@pytest.mark.usefixtures("patient")
def test_unreachable_url_is_not_shown(
    report: RunResult, webhook: ModuleType, url: str, reason: str
) -> None:
    """Why it failed, in words that hold nothing of it; nor does what led to the error."""
    with pytest.raises(ImpexError) as caught:
        webhook.send({"url": url}, report)

    assert str(caught.value).startswith(reason)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_ca_bundle_is_relative_to_manifest(
    report: RunResult, webhook: ModuleType, tmp_path: Path
) -> None:
    """As with a connection's ``verify_tls``; one that is not there is named."""
    with pytest.raises(ImpexError, match=f"the CA bundle {tmp_path}/ca.pem, which does not exist"):
        webhook.send({"url": "https://127.0.0.1:1/", "verify_tls": "ca.pem"}, report)


def test_apprise_sends_failed_targets(
    receiver: Any, report: RunResult, services: ModuleType
) -> None:
    """The real library, by its service for JSON; every address is told."""
    place = receiver.url.removeprefix("http://")

    services.send({"urls": [f"json://{place}/one", f"form://{place}/two"]}, report)

    one, two = receiver.received
    output = json.loads(one.body)
    assert (one.path, two.path) == ("/one", "/two")
    assert output["title"] == "release: 1 of 2 targets succeeded; life failed"
    assert output["message"] == "life failed: no such folder"
    assert output["type"] == "failure"
    assert b"life" in two.body


def test_apprise_follows_no_redirect(
    receiver: Any, report: RunResult, services: ModuleType
) -> None:
    """The message goes to the address that was given, and to no other that it names."""
    receiver.replies.append((307, {"Location": f"{receiver.url}/elsewhere"}))

    with pytest.raises(NotifyError, match=r"^urls\[0\] did not take the message; check its URL$"):
        services.send({"urls": [f"json://{receiver.url.removeprefix('http://')}/one"]}, report)

    assert [each.path for each in receiver.received] == ["/one"]


def test_apprise_reports_success(receiver: Any, report: RunResult, services: ModuleType) -> None:
    """There is something to read although no target is named."""
    good = replace(report, results=report.results[:1])

    services.send({"urls": [receiver.url.replace("http", "json")]}, good)

    output = json.loads(receiver.received[0].body)
    assert output["type"] == "success"
    assert output["message"] == "1 of 1 target succeeded"


def test_invalid_apprise_url_is_numbered(
    receiver: Any, report: RunResult, services: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are told; what Apprise itself says of it holds no secret either."""
    good = receiver.url.replace("http", "json")
    receiver.replies.append((500, {}))
    urls = [good, "nothing://hunter2", "json://127.0.0.1:1/hunter2", good]

    with caplog.at_level(logging.DEBUG, "apprise"), pytest.raises(NotifyError) as caught:
        services.send({"urls": urls}, report)

    assert str(caught.value) == (
        "urls[0] did not take the message; check its URL; urls[1] is not a URL that Apprise knows; "
        "urls[2] did not take the message; check its URL"
    )
    assert len(receiver.received) == 2
    assert "hunter2" not in caplog.text


def test_missing_extra_is_named(
    report: RunResult, services: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What installs it, and no traceback."""
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(NotifyError) as caught:
        services.send({"urls": ["json://127.0.0.1"]}, report)

    line = "Apprise is not installed; pip install 'spark-impex-runner[apprise]'"
    assert (str(caught.value), caught.value.__cause__) == (line, None)
