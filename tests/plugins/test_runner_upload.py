from __future__ import annotations

import importlib
import socket
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import main
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import Interrupted, StepError
from spark_impex_runner.models import Artifact, Job, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    Upload = Callable[..., str]


@pytest.fixture(scope="session")
def runner_upload() -> ModuleType:
    """Return the plugin behind ``uses: runner_upload``."""
    return importlib.import_module("spark_impex_runner.plugins.runner_upload")


@pytest.fixture
def upload(
    runner_upload: ModuleType,
    make_job: Callable[..., Job],
    package: Artifact,
    hybrid_runner: Any,
) -> Upload:
    """Run the step for a package; return the line it tells."""

    def call(artifact: Artifact = package, *, stopping: bool = False, **options: Any) -> str:
        job = make_job(artifact, stopping=lambda: stopping)
        step = Step("runner_upload", {"url": hybrid_runner.url, **options})
        made = runner_upload.impex_run_step(job, step, artifact)
        assert made.artifacts == ()
        return str(made.message)

    return call


@pytest.fixture
def hang_up() -> Iterator[str]:
    """Return the URL of a server that ends each connection at its first bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(100)
            # What was not read makes the system answer with a reset.
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_package_is_uploaded_as_is(upload: Upload, hybrid_runner: Any) -> None:
    """As one multipart part ``file``; the line tells where it went and what was answered."""
    text = upload()

    found = sorted(p for p in hybrid_runner.models.rglob("*") if p.is_file())
    assert [str(path.relative_to(hybrid_runner.models)) for path in found] == [
        "acme/manifest.json",
        "acme/motor/pricing/1.4.2/8a5f0f0e.zip",
        "acme/motor/pricing/1.4.2/ModelMetaData.json",
    ]
    assert text == (
        f"motor.zip: sent to {hybrid_runner.url}/api/v3/upload, which answered HTTP 200: Success"
    )


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ((201, "application/json", b'{"message":"2 models"}'), "HTTP 201: 2 models"),
        ((200, "application/json", b'{"error":{"message":"so so"}}'), "HTTP 200: so so"),
        ((200, "application/json", b'{"models":2}'), 'HTTP 200: {"models":2}'),
        ((202, "text/plain", b"queued\nsoon"), "HTTP 202: queued soon"),
        ((200, "text/html", b"<html>Welcome</html>"), "HTTP 200: an HTML page"),
        ((204, "", b""), "HTTP 204"),
    ],
)
def test_any_successful_reply_is_accepted(
    upload: Upload, hybrid_runner: Any, reply: tuple[int, str, bytes], text: str
) -> None:
    """What a runner answers is not documented."""
    hybrid_runner.reply = reply

    assert upload().endswith(f"which answered {text}")


def refusal(upload: Upload, **options: Any) -> str:
    """Return why the step fails."""
    with pytest.raises(StepError) as caught:
        upload(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_runner_without_uploads_is_explained(upload: Upload, hybrid_runner: Any) -> None:
    """The line names the variable that turns them on."""
    hybrid_runner.enabled = False

    text = refusal(upload)

    assert text == (
        f"motor.zip: POST {hybrid_runner.url}/api/v3/upload: HTTP 404 an HTML page; the runner "
        "does not accept uploads here: start it with UPLOAD_ENABLE=true (UPLOAD_ENABLED in the "
        "SDK's examples), and check url and its CUSTOM_API_ROUTE"
    )


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        ((403, "application/json", b"{}"), "UPLOAD_ENABLE"),
        ((401, "application/json", b'{"message":"who?"}'), "HTTP 401 who?; a gateway requires"),
        ((301, "text/plain", b""), "HTTP 301; check url"),
        ((500, "text/plain", b"disk full"), "HTTP 500 disk full"),
    ],
)
def test_refusal_says_what_to_do(
    upload: Upload, hybrid_runner: Any, reply: tuple[int, str, bytes], advice: str
) -> None:
    """Status, the server's words and the cure in one line."""
    hybrid_runner.reply = reply

    assert advice in refusal(upload)


def test_oversized_package_is_not_sent(upload: Upload, hybrid_runner: Any) -> None:
    """The whole request counts, and the line names the runner's variable."""
    text = refusal(upload, body_limit="1kB")

    assert "over the body_limit of 1000" in text
    assert "BODY_LIMIT" in text
    assert hybrid_runner.seen == []


def test_limit_covers_whole_request(upload: Upload, hybrid_runner: Any) -> None:
    """A limit of just its length lets it pass, one byte less does not."""
    upload()
    length = int(hybrid_runner.seen[0]["content-length"])

    assert "over the body_limit" in refusal(upload, body_limit=length - 1)
    assert upload(body_limit=length)


def test_smaller_runner_limit_is_explained(upload: Upload, hybrid_runner: Any) -> None:
    """Its 413 is told with its variable."""
    hybrid_runner.body_limit = 100

    assert (
        "HTTP 413 request entity too large; the package exceeds the runner's limit: start it "
        in (refusal(upload))
    )


def test_closed_connection_hints_at_limit(upload: Upload, output: Path, hang_up: str) -> None:
    """Servers do so in the middle of a body that they do not want."""
    path = output / "large.zip"
    path.write_bytes(bytes(8 << 20))
    large = Artifact(path, path.name, 8 << 20)

    text = refusal(upload, artifact=large, url=hang_up)

    assert "the connection failed" in text
    assert text.endswith("a runner does so if the package exceeds its BODY_LIMIT")


def test_unreachable_runner_is_one_line(upload: Upload) -> None:
    """Connection refused, with what to check."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    assert refusal(upload, url=url) == (
        f"motor.zip: POST {url}/api/v3/upload: cannot connect to {url[7:]} (Connection refused); "
        "check the address and the network"
    )


def test_timeout_bounds_silent_runner(upload: Upload) -> None:
    """The time limit is the step's own."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        assert "no answer within 0.05 s" in refusal(upload, url=url, timeout="50ms")


def test_headers_are_sent_and_masked(upload: Upload, hybrid_runner: Any) -> None:
    """Not even when the runner repeats them."""
    hybrid_runner.reply = (200, "text/plain", b"hello sesame-opens-it")

    text = upload(headers={"X-Api-Key": "sesame-opens-it"})

    assert hybrid_runner.seen[0]["x-api-key"] == "sesame-opens-it"
    assert text.endswith("hello ***")


def test_headers_need_https(upload: Upload) -> None:
    """To this machine they may; anywhere else TLS is asked for."""
    text = refusal(upload, url="http://runner.invalid:3000", headers={"X-Api-Key": "sesame"})

    assert text == ("headers hold secrets, but url is not https: http://runner.invalid:3000")


def test_password_in_url_is_not_shown(upload: Upload) -> None:
    """It would stand in every line; headers are masked."""
    text = refusal(upload, url="http://me:sesame@runner.invalid:3000")

    assert text == "url contains a user or a password; use headers instead"


def test_ca_bundle_is_relative_to_manifest(upload: Upload, output: Path) -> None:
    """One that is not there is named with the folder in which it should be."""
    text = refusal(upload, verify_tls="ca.pem")

    assert f"the CA bundle {output.parent / 'ca.pem'}, which does not exist" in text


def test_interrupt_ends_upload(upload: Upload, hybrid_runner: Any) -> None:
    """Between two pieces of the package."""
    with pytest.raises(Interrupted):
        upload(stopping=True)

    assert not hybrid_runner.models.exists()


def test_memory_does_not_grow_with_package(
    upload: Upload, output: Path, hybrid_runner: Any
) -> None:
    """64 MiB leave, and arrive, through a few MiB."""
    hybrid_runner.drains = True
    path = output / "large.zip"
    path.write_bytes(bytes(64 << 20))
    tracemalloc.start()
    try:
        upload(Artifact(path, path.name, 64 << 20), body_limit="1GiB")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20


def test_proof_names_runner_version(upload: Upload, hybrid_runner: Any) -> None:
    """What the runner answers about itself stands in the step's line."""
    hybrid_runner.facts["/healthcheck"] = (204, "", b"")

    text = upload(prove=True, url=f"{hybrid_runner.url}/")

    assert text == (
        f"motor.zip: sent to {hybrid_runner.url}/api/v3/upload, which answered HTTP 200: Success; "
        '/healthcheck answers HTTP 204; /version answers {"version":"1.46.0"}'
    )


@pytest.mark.parametrize("path", ["/healthcheck", "/version"])
@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (None, "HTTP 404 an HTML page; check url"),
        ((200, "text/html", b"<html>Welcome</html>"), "HTTP 200 an HTML page; check url"),
        ((503, "application/json", b'{"status":"DOWN"}'), "HTTP 503 DOWN; check the runner's own"),
        ((401, "text/plain", b""), "HTTP 401; a gateway requires credentials"),
    ],
)
def test_failed_proof_is_no_success(
    upload: Upload,
    hybrid_runner: Any,
    path: str,
    reply: tuple[int, str, bytes] | None,
    advice: str,
) -> None:
    """The step fails although the upload was answered, and the line says where."""
    hybrid_runner.facts.pop(path)
    if reply:
        hybrid_runner.facts[path] = reply

    text = refusal(upload, prove=True)

    assert text.startswith(f"motor.zip: uploaded, but GET {hybrid_runner.url}{path}: {advice}")
    assert upload()  # without prove nothing is asked


def test_plan_names_runner(
    runner_upload: ModuleType, make_job: Callable[..., Job], hybrid_runner: Any
) -> None:
    """Nothing is sent; options that cannot work are refused; other steps are not ours."""
    job = make_job()
    step = Step("runner_upload", {"url": f"{hybrid_runner.url}/"})

    text = runner_upload.impex_plan_step(job, step)

    where = f"{hybrid_runner.url}/api/v3/upload"
    assert text == f"send each package to {where}, 31457280 bytes at most in a request"
    assert runner_upload.impex_plan_step(job, Step("unzip")) is None
    proven = Step("runner_upload", {**step.options, "prove": True})
    assert runner_upload.impex_plan_step(job, proven) == (
        f"{text}, then ask for /healthcheck and /version"
    )
    assert hybrid_runner.seen == []
    with pytest.raises(StepError, match="does not exist"):
        runner_upload.impex_plan_step(
            job, Step("runner_upload", {**step.options, "verify_tls": "x"})
        )


def test_step_retry_survives_restart(
    tmp_path: Path, examples: Path, clock: Any, hybrid_runner: Any
) -> None:
    """A runner that is not up yet is tried again, and the same package replaces itself."""
    hybrid_runner.reply = (503, "text/plain", b"starting")

    def start(_: float) -> None:
        if hybrid_runner.seen:
            hybrid_runner.reply = (200, "text/plain", b"up")

    clock.at_wait = start
    (tmp_path / "m.yaml").write_text(
        f"version: 1\nconnections: {{demo: {{sandbox: '{examples / 'tenant'}'}}}}\n"
        "targets: [{name: a, folders: [life], file_filter: onpremises, steps: [{uses: "
        f"runner_upload, with: {{url: '{hybrid_runner.url}'}}, "
        "retry: {attempts: 3, interval: 5s}}]}]\n"
    )

    result = run_manifest(tmp_path / "m.yaml", clock=clock)

    assert [each.error for each in result.results] == [""]
    assert len(hybrid_runner.seen) == 2
    assert result.results[0].steps[0].message.endswith("which answered HTTP 200: up")


def test_impex_plan_names_runner(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step's line stands in the plan, and no runner is asked."""
    (tmp_path / "m.yaml").write_text(
        f"version: 1\nconnections: {{demo: {{sandbox: '{examples / 'tenant'}'}}}}\n"
        "targets: [{name: a, folders: [life], file_filter: onpremises, steps: [{uses: "
        "runner_upload, with: {url: 'http://runner.invalid:3000'}}]}]\n"
    )

    with pytest.raises(SystemExit):
        main.main(["plan", str(tmp_path / "m.yaml")])

    assert (
        "send each package to http://runner.invalid:3000/api/v3/upload" in capsys.readouterr().out
    )
