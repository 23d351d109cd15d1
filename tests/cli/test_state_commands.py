"""What an earlier run left: shown, ended, or gone on with by its job id."""

from __future__ import annotations

import json
import re
import signal
from contextlib import closing
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.state.lease import run_lease
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun

if TYPE_CHECKING:
    from collections.abc import Iterator

HISTORY_SCHEMA = files("spark_impex_runner.schemas").joinpath("history.schema.json")
HISTORY: Any = {"version": 1, "runs": []}


@pytest.fixture
def parts(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, str]]:
    """Leave a target whose request was divided, with the job of its first part."""
    limits = Settings(job_seconds=3600, size_limit=6000, over_limit="refuse")
    with Sandbox(shell.folder / "acme", limits) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets:\n  - {name: all, folders: [life, motor], on_interrupt: leave}\n"
        )
        clock = Clock()
        clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
        yield sandbox, run_manifest(shell.folder / "m.yaml", clock=clock).results[0].job_id


def test_parts_are_shown_and_planned(shell: Any, parts: tuple[Sandbox, str]) -> None:
    """The target tells how it was divided, and each part that was begun has a line of its own."""
    rows = json.loads(shell("impex", "status", "--json").out)
    plan = shell("impex", "plan", "m.yaml").out

    assert [(row["target"], row["stage"], row["job"]) for row in rows] == [
        ("m/all", "split into 2 parts", "-"),
        ("m/all#1", "job created", parts[1]),
    ]
    assert rows[1]["correlation id"].startswith(f"{rows[0]['correlation id']}~part1-")
    assert ", split into 2 parts" in plan
    assert "resume 1; " in plan


def test_cancel_ends_running_part(shell: Any, parts: tuple[Sandbox, str]) -> None:
    """Nothing is left of the target afterwards; history has one target, however it was split."""
    sandbox, job_id = parts

    done = shell("impex", "cancel", "m.yaml")

    assert (done.code, done.out) == (0, f"all#1: job {job_id} cancelled\n")
    cancelled = [r.path for r in sandbox.requests if r.method == "PATCH"]
    assert [path.rpartition("/")[2] for path in cancelled] == [job_id]
    assert shell("impex", "status").out == "nothing is unfinished\n"
    [run] = json.loads(shell("impex", "history", "--format", "json").out)["runs"]
    assert (run["outcome"], run["counts"]) == ("interrupted", {"total": 1, "cancelled": 1})


def test_uncancelled_part_keeps_target(
    shell: Any, parts: tuple[Sandbox, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next cancel can still end it."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "wrong")

    done = shell("impex", "cancel", "m.yaml")

    assert done.code == 4
    assert f"all#1: job {parts[1]}: " in done.err
    assert parts[1] in shell("impex", "status").out


def test_status_shows_what_is_not_finished(shell: Any, left: str) -> None:
    """Target, stage, job and correlation id; the same as JSON."""
    table = shell("impex", "status", "m.yaml").out
    row = json.loads(shell("impex", "status", "--json").out)[0]

    assert left in table
    assert (row["target"], row["stage"], row["job"]) == ("m/life", "job created", left)


def test_cancel_frees_slot(shell: Any, tenant: Sandbox, left: str) -> None:
    """The tenant is asked once; afterwards nothing is unfinished and nothing to cancel."""
    done = shell("impex", "cancel", "m.yaml")

    assert (done.code, done.out) == (0, f"life: job {left} cancelled\n")
    assert [r.body for r in tenant.requests if r.method == "PATCH"] == [
        b'{"export_status":"cancelled"}'
    ]
    assert shell("impex", "status").out == "nothing is unfinished\n"
    assert shell("impex", "cancel", "m.yaml").out == "nothing to cancel\n"


def test_cancel_resolves_no_patterns(shell: Any, tenant: Sandbox) -> None:
    """A job with a known id is ended by its id: the tenant's listing is not read for it."""
    path = shell.folder / "m.yaml"
    path.write_text(path.read_text().replace("folders: [life]", "services: ['life/*']"))
    clock = Clock()
    clock.wait = lambda _seconds: clock.stop(signal.SIGTERM) or clock.check()  # type: ignore[method-assign,func-returns-value]
    run_manifest(path, clock=clock)
    listed = [request for request in tenant.requests if request.path.endswith("/search")]

    done = shell("impex", "cancel", "m.yaml")

    assert done.code == 0, done.err
    assert len(listed) == 1
    assert [r for r in tenant.requests if r.path.endswith("/search")] == listed


def test_refused_cancel_keeps_attempt(
    shell: Any, tenant: Sandbox, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job stays known: the next cancel can still end it."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "wrong")

    done = shell("impex", "cancel", "m.yaml")

    assert done.code == 4
    assert f"life: job {left}: " in done.err
    assert "401" in done.err
    assert left in shell("impex", "status").out
    assert tenant.token not in done.err


def test_cancel_requires_same_tenant(shell: Any, tenant: Sandbox, left: str) -> None:
    """A manifest that was pointed elsewhere meanwhile is told where the job is."""
    path = shell.folder / "m.yaml"
    path.write_text(path.read_text().replace("/acme'", "/other'"))

    done = shell("impex", "cancel", "m.yaml")

    assert done.code == 4
    assert f"job {left}: it runs on {tenant.base_url}" in done.err


def test_cancelling_a_target_leaves_what_it_needs(shell: Any, tenant: Sandbox, left: str) -> None:
    """``-t`` of a cancel does not reach further than it says."""
    text = (shell.folder / "m.yaml").read_text()
    (shell.folder / "m.yaml").write_text(
        f"{text}  - {{name: b, needs: [life], folders: [motor]}}\n"
    )

    done = shell("impex", "cancel", "m.yaml", "-t", "b")

    assert done.out == "nothing to cancel\n"
    assert left in shell("impex", "status").out
    assert not [r for r in tenant.requests if r.method == "PATCH"]


def test_forgotten_job_is_cancelled(shell: Any, tenant: Sandbox, left: str) -> None:
    """It holds no slot any more; the attempt is closed."""
    tenant.faults._faults = (parse_fault("cancel@1=forget"),)

    done = shell("impex", "cancel", "m.yaml")

    assert (done.code, left in done.out) == (0, True)
    assert shell("impex", "status").out == "nothing is unfinished\n"


def test_history_lists_runs_newest_first(shell: Any) -> None:
    """A run is one line, however many targets it has; ``-n`` limits the list."""
    shell.write(
        "  - {name: a, folders: [life], if_exists: keep}\n  - {name: b, services: [motor/none]}\n"
        "  - {name: c, folders: [life], needs: [b]}\n"
    )
    for options in (["-t", "a"], []):
        shell("impex-run", "m.yaml", "-q", *options)

    lines = shell("impex", "history").out.splitlines()
    document = json.loads(shell("impex", "history", "--format", "json").out)
    [newest] = json.loads(shell("impex", "history", "-n", "1", "--format", "json").out)["runs"]
    run_id = newest["run_id"]
    details = json.loads(shell("impex", "history", run_id, "--format", "json").out)

    columns = [re.split(r"  +", line) for line in lines]
    assert columns[0] == ["RUN", "TOOK", "OUTCOME", "TARGETS", "BY", "MANIFEST"]
    assert [each[2:4] for each in columns[1:]] == [
        ["partial", "1 unchanged, 1 failed, 1 skipped"],
        ["succeeded", "1 succeeded"],
    ]
    assert [each[0] for each in columns[1:]] == [each["run_id"] for each in document["runs"]]
    assert newest == document["runs"][0]
    assert [(each["target"], each["outcome"]) for each in details["runs"][0]["targets"]] == [
        ("a", "unchanged"),
        ("b", "failed"),
        ("c", "skipped"),
    ]
    for each in (document, details):
        jsonschema.validate(each, json.loads(HISTORY_SCHEMA.read_text(encoding="utf-8")))


def test_history_rows_are_targets(shell: Any, tenant: Sandbox, left: str) -> None:
    """``--json`` has an object for each target of each run, with the keys of 0.1."""
    del tenant
    shell("impex", "cancel", "m.yaml")

    [row] = json.loads(shell("impex", "history", "--json", "-n", "1").out)

    assert (row["target"], row["outcome"], row["job"]) == ("m/life", "cancelled", left)
    assert list(row) == ["begun", "target", "outcome", "job", "run", "ended", "approved", "error"]


def test_history_page_lists_targets(shell: Any) -> None:
    """One run by the beginning of its id: who, when, every target with job or error.

    Failures are the last ones, where a terminal shows them.
    """
    shell.write("  - {name: b, services: [motor/none]}\n  - {name: a, folders: [life]}\n")
    shell("impex-run", "m.yaml", "-q")
    run_id = shell("impex", "history").out.splitlines()[1].split()[0]

    page = shell("impex", "history", run_id[:12]).out.splitlines()

    assert page[0] == f"run {run_id} of m.yaml"
    assert page[3:5] == ["  outcome   partial (exit code 3)", "  targets   1 succeeded, 1 failed"]
    assert page[6].split()[:4] == ["TARGET", "OUTCOME", "TOOK", "QUEUED"]
    assert [line.split()[:2] for line in page[7:9]] == [["a", "succeeded"], ["b", "failed"]]
    assert "motor/none" in page[9]


def test_unknown_run_is_a_usage_error(shell: Any) -> None:
    """So is the beginning of several ids."""
    shell.write("  - {name: a, folders: [life], if_exists: keep}\n")
    for _ in range(2):
        shell("impex-run", "m.yaml", "-q")

    unknown = shell("impex", "history", "19990101T")
    several = shell("impex", "history", "m.yaml", "2")

    assert (unknown.code, several.code) == (2, 2)
    assert "no run 19990101T in .impex; impex history lists the last runs" in unknown.err
    assert "2 runs begin with 2: 2" in several.err


WATCHER = """
import json
from pathlib import Path
from spark_impex_runner import hookimpl
from spark_impex_runner.state.lease import is_running

@hookimpl
def impex_job_changed(job, change):
    state = Path(__file__).with_name(".impex")
    Path(__file__).with_suffix(".json").write_text(json.dumps(is_running(state, job.run.id)))
"""


def test_run_is_running_until_its_end(shell: Any) -> None:
    """The lock that tells so is held by the run itself."""
    (shell.folder / "watcher.py").write_text(WATCHER)
    shell.write("  - {name: a, folders: [life]}\n")

    shell("impex-run", "m.yaml", "-q", "-p", "watcher.py")

    assert json.loads((shell.folder / "watcher.json").read_text()) is True
    assert "running" not in shell("impex", "history").out


def test_history_tells_running_from_killed(shell: Any, left: str) -> None:
    """A run without an end is running while its process lives, whichever target it works on."""
    moment = datetime(2099, 1, 2, tzinfo=timezone.utc)
    with closing(open_state(shell.folder / ".impex")) as state:
        state.begin_run(PastRun("20990102T000000Z-1", "m.yaml", moment), ["m/life", "m/b"])
        state.note_run(state.open_attempts()[0], "20990102T000000Z-1", moment)
    with run_lease(shell.folder / ".impex", "20990102T000000Z-1"):
        running = shell("impex", "history", "2099").out
    killed = shell("impex", "history", "2099").out

    assert "outcome   running\n" in running
    assert "targets   1 running, 1 waiting\n" in running
    assert "outcome   did not finish\n" in killed
    assert "targets   1 did not finish, 1 not started\n" in killed
    assert left in killed


@pytest.mark.parametrize(("way", "hint"), [("cancel", False), ("leave", True)])
def test_only_running_jobs_are_reported(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch, way: str, hint: bool
) -> None:
    """After Ctrl-C the way to end jobs is printed where status still lists one."""
    path = shell.folder / "m.yaml"
    path.write_text(path.read_text().replace("leave", way))
    monkeypatch.setattr(
        Clock, "wait", lambda self, _seconds: self.stop(signal.SIGINT) or self.check()
    )

    stopped = shell("impex-run", "m.yaml")

    assert stopped.code == 130
    assert ("impex cancel m.yaml" in stopped.err) is hint
    assert (shell("impex", "status").out == "nothing is unfinished\n") is not hint
    assert (shell("impex", "cancel", "m.yaml").out == "nothing to cancel\n") is not hint
    assert len([r for r in tenant.requests if r.method == "PATCH"]) == 1


def test_resume_adopts_job_by_id(shell: Any) -> None:
    """No memory is needed: another folder for the state, the same job."""
    with Sandbox(shell.folder / "acme") as sandbox:
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}', auth: "
            f"{{token: '${{file:token}}'}}}}}}\ntargets:\n  - {{name: life, folders: [life]}}\n"
        )
        (shell.folder / "token").write_text(sandbox.token)
        first = run_manifest(shell.folder / "m.yaml").results[0]

        done = shell("impex", "resume", "m.yaml", "--job", first.job_id, "--state", "other")

        again = shell("impex", "resume", "m.yaml", "--job", first.job_id, "--state", "other")

        assert (done.code, again.code) == (0, 0)
        assert first.job_id in done.out
        assert [r.method for r in sandbox.requests].count("POST") == 1


def test_resume_takes_one_target(shell: Any) -> None:
    """A job id cannot belong to two targets."""
    shell.write("  - {name: a, folders: [life]}\n  - {name: b, folders: [motor]}\n")

    done = shell("impex", "resume", "m.yaml", "--job", "x")

    assert done.code == 2
    assert "a job belongs to one target, 2 are chosen; use --target" in done.err


@pytest.mark.parametrize(("command", "empty"), [("status", []), ("history", HISTORY)])
def test_fresh_folder_has_no_runs(shell: Any, command: str, empty: Any) -> None:
    """That is no error, and nothing is created."""
    done = shell("impex", command)
    data = shell("impex", command, "--format", "json")

    assert (done.code, data.code) == (0, 0)
    assert done.out.startswith("nothing has been run here (no state in .impex)")
    assert json.loads(data.out) == empty
    assert not (shell.folder / ".impex").exists()


@pytest.mark.parametrize("args", [["status"], ["history"]])
def test_missing_state_place_is_reported(shell: Any, args: list[str]) -> None:
    """A folder that is named must exist: it may be misspelt."""
    done = shell("impex", *args, "--state", "x")

    assert done.code == 2
    assert "no state in x: check --state" in done.err


@pytest.mark.parametrize("command", ["status", "history"])
def test_missing_manifest_is_reported(shell: Any, command: str) -> None:
    """The state of a misspelt manifest is not an empty one, unless ``--state`` names it."""
    shell.write("  - {name: a, folders: [life]}\n")
    shell("impex-run", "m.yaml")

    done = shell("impex", command, "n.yaml")
    named = shell("impex", command, "n.yaml", "--state", ".impex")

    assert (done.code, named.code) == (2, 0)
    assert "n.yaml: there is no such file" in done.err


def test_the_state_can_lie_elsewhere(shell: Any) -> None:
    """``--state`` moves it: CI can keep it between machines."""
    shell.write("  - {name: a, folders: [life], polling: {strategy: fixed}}\n")

    shell("impex-run", "m.yaml", "--state", "kept/state")

    assert not (shell.folder / ".impex").exists()
    assert "1 succeeded" in shell("impex", "history", "--state", "kept/state").out


def test_damaged_state_sends_nothing(shell: Any) -> None:
    """The file is named with the cure; the run does not go on without a memory."""
    shell.write("  - {name: a, folders: [life]}\n")
    (shell.folder / ".impex").mkdir()
    (shell.folder / ".impex/state.db").write_bytes(b"garbage " * 1000)

    done = shell("impex-run", "m.yaml")

    assert done.code == 2
    assert "is damaged" in done.err
    assert len(done.err.splitlines()) == 1
    assert not (shell.folder / "exports").exists()


def test_state_masks_the_user(shell: Any, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret is on disk, not even as a name that the environment gives."""
    monkeypatch.setenv("GITHUB_ACTOR", secret)
    shell.write("  - {name: a, folders: [life]}\n")
    shell("impex-run", "m.yaml", "-q")

    [run] = json.loads(shell("impex", "history", "--format", "json").out)["runs"]

    assert run["started_by"] == "***"
    assert not any(
        secret.encode() in path.read_bytes() for path in shell.folder.glob(".impex/state*")
    )
