"""Every command works with a state in an object store, from any folder."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import StateError
from spark_impex_runner.models import RunOptions
from spark_impex_runner.object_store.address import parse_address
from spark_impex_runner.sandbox.server import Sandbox
from spark_impex_runner.state import opening
from spark_impex_runner.state.remote import ObjectStorage, objects
from spark_impex_runner.state.remote.objects import Objects
from spark_impex_runner.state.remote.records import TAKEN, read_record
from spark_impex_runner.state.remote.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGET = "- {name: a, folders: [life], on_interrupt: leave, output: exports/a}"
UPLOADED = """
- name: a
  folders: [life]
  output: exports/a
  steps: [{uses: upload, with: {to: backup}}]
"""


@pytest.fixture
def left(shell: Any, tenant: Sandbox, s3_state: Any) -> str:
    """Leave a job behind, with its state in a store, and return its id."""
    clock = Clock()
    clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
    options = RunOptions(state=s3_state.url)
    result = run_manifest(shell.folder / "m.yaml", options, clock=clock)
    assert tenant.requests
    return result.results[0].job_id


def created(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    return [r.method for r in sandbox.requests].count("POST")


def test_unfinished_job_is_shown_and_cancelled(shell: Any, left: str, s3_state: Any) -> None:
    """By status, plan and history, and once it is cancelled by neither; no folder is made."""
    place = ("--state", s3_state.url)

    [row] = json.loads(shell("impex", "status", *place, "--json").out)
    plan = shell("impex", "plan", "m.yaml", *place).out
    [run] = json.loads(shell("impex", "history", *place, "--format", "json").out)["runs"]
    one = json.loads(shell("impex", "history", *place, run["run_id"], "--format", "json").out)
    cancelled = shell("impex", "cancel", "m.yaml", *place)

    assert (row["target"], row["stage"], row["job"]) == ("m/life", "job created", left)
    assert f"life: resume job {left} (" in plan
    assert (run["outcome"], run["counts"]) == ("interrupted", {"total": 1, "cancelled": 1})
    assert one["runs"][0]["targets"][0]["job_ids"] == [left]
    assert (cancelled.code, cancelled.out) == (0, f"life: job {left} cancelled\n")
    assert shell("impex", "status", *place).out == "nothing is unfinished\n"
    assert not (shell.folder / ".impex").exists()


@pytest.mark.parametrize(
    ("status", "code"),
    [(None, 4), (500, 4), (503, 4), (429, 4), (400, 2), (403, 2), (501, 2)],
)
def test_outage_of_a_store_is_no_usage_error(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch, status: int | None, code: int
) -> None:
    """A scheduler repeats what may pass: no reply, and replies that say to try again."""
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    with answering(status) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        done = shell("impex-run", "m.yaml", "--state", "s3://acme/state")

    assert (done.code, done.out) == (code, ""), done.err
    assert done.err.startswith("error: s3://acme/state: ")
    assert not tenant.requests


@contextmanager
def answering(status: int | None) -> Iterator[str]:
    """Serve a store that answers everything with a status, None for no reply."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if status is not None:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_empty_folder_resumes(
    run: Any, serve: Callable[..., Any], only: Any, s3_state: Any
) -> None:
    """The second run finds nothing on the disk, and creates no second job."""
    sandbox = serve(job_seconds=20)
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGTERM)
    first = only(run(sandbox, TARGET, state=s3_state.url))
    run.clock.restart()
    shutil.rmtree(run.folder)
    run.folder.mkdir()

    second = only(run(sandbox, TARGET, state=s3_state.url))

    assert (second.outcome, second.job_id, created(sandbox)) == ("succeeded", first.job_id, 1)
    assert (run.folder / "exports/a/package.zip").is_file()


def test_printed_command_approves(
    shell: Any, monkeypatch: pytest.MonkeyPatch, s3_state: Any
) -> None:
    """It names the store, and who approved is in its history."""
    shell.add_gate()
    with Sandbox(shell.folder / "acme") as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{here: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets:\n  - {name: life, folders: [life], steps: [{uses: gate}]}\n"
        )
        held = shell("impex-run", "m.yaml", "-p", "gate.py", "--state", s3_state.url, "-q")
        line = held.err.splitlines()[-1].removeprefix("held; to approve: ")
        done = shell(*shlex.split(line))
    rows = json.loads(shell("impex", "history", "--state", s3_state.url, "--json").out)

    assert held.code == 9
    assert f"--state {s3_state.url}" in line
    assert (done.code, done.err) == (0, "")
    assert [each["outcome"] for each in rows] == ["succeeded", "held"]
    assert rows[0]["approved"].startswith("here@")
    assert not (shell.folder / ".impex").exists()


def test_durations_are_learned(
    run: Any, serve: Callable[..., Any], shell: Any, s3_state: Any
) -> None:
    """The plan of the next run knows how long such a job takes."""
    sandbox = serve(job_seconds=20)
    run(sandbox, TARGET, state=s3_state.url)

    path = str(run.write(sandbox, TARGET))
    plan = json.loads(shell("impex", "plan", path, "--state", s3_state.url, "--format", "json").out)

    [target] = plan["plans"][0]["targets"]
    assert 20 <= target["usual_seconds"] <= 30


def test_reading_leaves_no_trace(shell: Any, tenant: Sandbox, s3_state: Any) -> None:
    """A plan, a check and what lists runs write nothing to a store without a state."""
    place = ("--state", s3_state.url)

    plan = shell("impex", "plan", "m.yaml", *place)
    checked = shell("impex", "validate", "m.yaml", *place)
    status, history = shell("impex", "status", *place), shell("impex", "history", *place)
    missing = shell("impex", "state", "migrate", s3_state.url, "new")

    assert (plan.code, checked.code) == (0, 0)
    assert (status.code, history.code, missing.code) == (2, 2, 2)
    assert status.err == f"error: no state in {s3_state.url}: check --state\n"
    assert not [each for each in s3_state.requests() if not each.startswith(("GET", "HEAD"))]
    assert not created(tenant)
    assert not (shell.folder / "new").exists()


def test_target_needs_few_requests(
    run: Any, serve: Callable[..., Any], only: Any, s3_state: Any
) -> None:
    """One with a step that uploads needs at most ten, counted by the server."""
    result = only(run(serve(job_seconds=20), UPLOADED, state=s3_state.url))

    assert result.good, result.error
    requests = s3_state.requests()
    assert len([each for each in requests if "/targets/" in each]) <= 10, requests


def test_taken_lease_ends_the_run(
    run: Any, serve: Callable[..., Any], only: Any, s3_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another runner that takes it has the job; this one ends with one line and its report."""
    opened: list[ObjectStorage] = []
    objects, report = Objects(parse_address(s3_state.url)), run.folder / "report.json"

    def open_storage(url: str, clock: Any = None) -> ObjectStorage:
        opened.append(ObjectStorage(url, clock, Timing(30.0, 0.1, 0.1)))
        return opened[-1]

    def take(elapsed: float) -> None:
        if elapsed < 60:
            return
        [key] = objects.list("leases")
        found = objects.get(key)
        assert found
        record = read_record(found, key)
        objects.put_always(key, replace(record, state=TAKEN, by="process 7 on b").encode())
        for _ in range(200):  # until its next renewal is refused
            threading.Event().wait(0.05)
            with suppress(StateError):
                opened[0].check()
                continue
            return

    monkeypatch.setattr(opening, "_object_storage", open_storage)
    run.clock.at_wait = take
    sandbox = serve(job_seconds=600)
    result = run(sandbox, UPLOADED, state=s3_state.url, reports={"json": report})

    assert result.exit_code == 4
    [line] = [only(result).error, *result.problems]
    assert line.startswith(f"lost the lease on {s3_state.url}")
    assert "process 7 on b" in line
    assert run.clock.monotonic() < 150
    assert "PATCH" not in [each.method for each in sandbox.requests]
    assert json.loads(report.read_text())["exit_code"] == 4


@pytest.mark.parametrize("kind", ["s3", "azure", "google"])
def test_state_moves_to_store_and_back(
    shell: Any, tenant: Sandbox, request: pytest.FixtureRequest, kind: str
) -> None:
    """The job of a run with a folder is resumed with the store, and with another folder."""
    del tenant
    clock = Clock()
    clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
    left = run_manifest(shell.folder / "m.yaml", clock=clock).results[0].job_id
    url = request.getfixturevalue(f"{kind}_state").url

    there = shell("impex", "state", "migrate", ".impex", url)
    back = shell("impex", "state", "migrate", url, "moved")

    assert there.out == f"1 target and 1 run copied; use --state {url} from now on\n"
    assert back.out == "1 target and 1 run copied; use --state moved from now on\n"
    for place in (url, "moved"):
        assert f"resume job {left} (" in shell("impex", "plan", "m.yaml", "--state", place).out
        for command in ("status", "history"):
            words = ("impex", command, "--format", "json", "--state")
            assert shell(*words, place).out == shell(*words, ".impex").out
