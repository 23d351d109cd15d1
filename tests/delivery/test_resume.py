"""The same command finishes what an earlier run began: one job, nothing twice."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StateError
from spark_impex_runner.models import Outcome
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.state.lease import lease
from spark_impex_runner.state.storage import Scope
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


TARGET = "- {name: a, folders: [life], on_interrupt: leave}"
STEPS = (
    "- {name: a, folders: [life], on_interrupt: leave, steps: [{uses: checksum}, {uses: unzip}]}"
)


def created(sandbox: Any) -> int:
    """Return how many create calls reached the tenant."""
    return [r.method for r in sandbox.requests].count("POST")


def rewrite_job(state: Path, job_id: str) -> None:
    """Change the job id of the open attempt, as if the run had been killed at another moment."""
    with closing(sqlite3.connect(state)) as link, link:
        link.execute("UPDATE attempts SET job_id = ? WHERE finished IS NULL", (job_id,))


def interrupted(run: Any, sandbox: Any, target: str) -> Any:
    """Run a target, stop it after five seconds of waiting, and give the next run a fresh start."""
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGTERM)
    result = run(sandbox, target)
    run.clock.restart()
    return result


def downloads(sandbox: Any) -> int:
    """Return how many download requests reached the tenant."""
    return [r.origin for r in sandbox.requests].count("download")


def test_interrupted_wait_is_resumed(
    run: Any, serve: Callable[..., Any], only: Any, events: Any
) -> None:
    """The second run polls the job of the first, and creates none."""
    sandbox = serve(job_seconds=20)
    first = interrupted(run, sandbox, TARGET)

    second = run(sandbox, TARGET, plugin_files=(events.plugin,))

    assert only(first).outcome is Outcome.CANCELLED
    assert "job.adopted" in events.names()
    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_finished_run_is_not_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """After a finished run the next one creates a job."""
    sandbox = serve()
    first = run(sandbox, TARGET)

    second = run(sandbox, TARGET)

    assert only(first).job_id != only(second).job_id
    assert created(sandbox) == 2


def test_fresh_does_not_resume(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``--fresh`` creates a job although an earlier one could be resumed."""
    sandbox = serve(job_seconds=20, job_limit=2)
    first = interrupted(run, sandbox, TARGET)

    second = run(sandbox, TARGET, fresh=True)

    assert only(second).outcome is Outcome.SUCCEEDED
    assert only(second).job_id != only(first).job_id


def test_other_request_does_not_resume(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A changed request creates a job, and the warning names the earlier one."""
    sandbox = serve(job_seconds=20, job_limit=2)
    first = interrupted(run, sandbox, TARGET)

    second = run(sandbox, TARGET.replace("life", "motor"))

    assert only(second).job_id != only(first).job_id
    assert (
        f"job {only(first).job_id} of an earlier run is not resumed (another request); "
        "it may still run" in only(second).warnings[0]
    )


def test_delivered_job_needs_no_warning(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job whose packages are downloaded needs no cancelling, so no warning names it."""
    sandbox = serve()
    first = only(run(sandbox, TARGET, until="download"))

    second = only(run(sandbox, TARGET.replace("life", "motor")))

    assert second.warnings[0] == (
        f"job {first.job_id} of an earlier run is not resumed (another request); it has ended"
    )


def test_forgotten_job_is_created_again(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job that the tenant no longer knows is replaced by a new one, with a warning."""
    sandbox = serve(job_seconds=20, job_limit=2)
    first = interrupted(run, sandbox, TARGET)
    rewrite_job(run.folder / ".impex/state.db", "00000000-0000-4000-8000-000000000000")
    run.clock.wait(20)  # a job that still ran would be resumed

    second = run(sandbox, TARGET)

    assert only(second).outcome is Outcome.SUCCEEDED
    assert only(second).job_id != only(first).job_id
    assert "0000 no longer exists on the tenant" in only(second).warnings[1]


def test_one_wrong_status_is_ignored(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A status that denies a job in the listing is ignored, now and by a later run."""
    target = TARGET.replace("life]", "life], polling: {strategy: fixed}")
    # Looks at 0 and 3 seconds are the first run's; the third is how the second run begins.
    faults = tuple(parse_fault(f"status@{number}=forget") for number in (1, 3))
    sandbox = serve(job_seconds=20, faults=faults)

    first = interrupted(run, sandbox, target)
    assert len([r for r in sandbox.requests if r.path.endswith("/status")]) == 3
    second = run(sandbox, target)

    assert sandbox.faults.hits.total() == 2
    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_files_of_a_killed_download(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """With ``if_exists: fail`` partial files and their resume information are our own."""
    target = TARGET.replace("life]", "life], if_exists: fail")
    sandbox = serve(job_seconds=20)
    interrupted(run, sandbox, target)
    output = run.folder / "exports/a"
    output.mkdir(parents=True)
    for name in (".package.zip.part", ".package.zip.part.json", "..package.zip.part.json.x1y2"):
        (output / name).write_text("{")

    assert only(run(sandbox, target)).outcome is Outcome.SUCCEEDED


def test_job_lost_during_wait_fails(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two answers and the listing do not know the job, the wait ends."""
    monkeypatch.setattr(Exports, "listed", lambda _: ())
    sandbox = serve(job_seconds=20, faults=(parse_fault("status@2-3=forget"),))

    result = run(sandbox, TARGET)

    assert only(result).outcome is Outcome.FAILED
    assert "no longer exists on the tenant" in only(result).error


def test_lost_reply_is_searched(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """An intent without a job id is searched in the tenant's listing before anything is sent."""
    sandbox = serve(job_seconds=20)
    first = interrupted(run, sandbox, TARGET)
    rewrite_job(run.folder / ".impex/state.db", "")

    second = run(sandbox, TARGET)

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_job_of_another_run(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A repeated correlation id does not make an earlier job the new run's own."""
    sandbox = serve()
    target = TARGET.replace("}", ", correlation_id: CHG-1}")
    first = run(sandbox, target)

    second = run(sandbox, target)

    assert only(first).job_id != only(second).job_id


def test_failed_step_is_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A run that failed in its second step resumes there, with the packages that it has."""
    sandbox = serve()
    bad = STEPS.replace("{uses: unzip}", "{uses: unzip, with: {max_files: 1}}")
    first = run(sandbox, bad)

    second = run(sandbox, STEPS)

    assert (only(first).outcome, only(second).outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert only(second).job_id == only(first).job_id
    assert (created(sandbox), downloads(sandbox)) == (1, 1)
    assert [step.uses for step in only(second).steps] == ["checksum", "unzip"]
    receipt = json.loads((run.folder / "exports/a/impex-receipt.json").read_text())
    assert receipt["service_versions"][0]["uri"] == "life/annuity[1.0.0]"


def test_changed_package_is_downloaded_again(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A package with another hash is downloaded again from the same job."""
    sandbox = serve()
    first = run(sandbox, STEPS.replace("{uses: unzip}", "{uses: unzip, with: {max_files: 1}}"))
    package = run.folder / "exports/a/package.zip"
    package.write_bytes(package.read_bytes()[:-1] + b"?")

    second = run(sandbox, STEPS)

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert (created(sandbox), downloads(sandbox)) == (1, 2)


def test_steps_after_until_download(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The steps run on the downloaded packages, without another job."""
    sandbox = serve()
    run(sandbox, STEPS, until="download")

    second = run(sandbox, STEPS)

    assert [step.outcome for step in only(second).steps] == ["succeeded", "succeeded"]
    assert (created(sandbox), downloads(sandbox)) == (1, 1)


def test_resume_by_id(run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any) -> None:
    """``impex resume`` needs no state."""
    sandbox = serve()
    first = run(sandbox, TARGET)

    second = run(sandbox, TARGET, job=only(first).job_id, state=tmp_path / "elsewhere")

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_resume_of_another_targets_job(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job that the state knows belongs to its target; nothing is sent for another one."""
    sandbox = serve()
    first = run(sandbox, TARGET)
    other = TARGET.replace("name: a", "name: b")
    assert other != TARGET

    second = run(sandbox, other, job=only(first).job_id)

    assert only(second).outcome is Outcome.FAILED
    assert f"job {only(first).job_id} belongs to target manifest/a" in only(second).error
    assert created(sandbox) == 1


def test_duration_of_resumed_job(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any
) -> None:
    """The duration of a resumed job is unknown, and does not plan later waits."""
    sandbox, plugin = serve(job_seconds=20), tmp_path / "seen.py"
    plugin.write_text(
        "import pathlib\nfrom spark_impex_runner import hookimpl\n@hookimpl\n"
        "def impex_poll_delay(poll):\n"
        f"    pathlib.Path({str(tmp_path / 'seen')!r}).write_text(repr(poll.durations))\n"
    )

    def seen(**settings: Any) -> str:
        assert only(run(sandbox, TARGET, plugin_files=(plugin,), **settings)).outcome == "succeeded"
        return (tmp_path / "seen").read_text()

    first = interrupted(run, sandbox, TARGET)
    resumed = {"state": tmp_path / "elsewhere"}
    seen(job=only(first).job_id, **resumed)

    assert seen(**resumed) == "()"
    assert seen(**resumed) != "()"


def test_failed_job_is_not_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """After a job failed on the tenant, the next run creates another."""
    sandbox = serve(ending="failed")
    first = run(sandbox, TARGET)

    second = run(sandbox, TARGET)

    assert only(first).job_id != only(second).job_id
    assert created(sandbox) == 2


def test_locked_target_fails(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """For a target that another runner holds nothing is sent; the error names the holder."""
    sandbox = serve()

    with lease(run.folder / ".impex", "manifest/a", run.clock.now()):
        result = run(sandbox, TARGET)

    assert "target manifest/a is locked by process" in only(result).error
    assert (created(sandbox), result.exit_code) == (0, 4)


def test_full_disk_loses_no_job(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the id that cannot be stored, and the next run finds the job."""
    sandbox = serve(job_seconds=5)
    note_job = State.note_job

    def full(self: State, *rest: Any) -> Any:
        scope = Scope.of_target("manifest/a")
        pages = self.storage.read(scope, "PRAGMA page_count")[0][0]
        self.storage.read(scope, f"PRAGMA max_page_count = {pages}")
        self.storage.write(scope, ("UPDATE attempts SET error = zeroblob(1000000)", ()))
        return note_job(self, *rest)

    monkeypatch.setattr(State, "note_job", full)
    first = run(sandbox, TARGET)
    monkeypatch.undo()

    monkeypatch.setenv("TOKEN", sandbox.token)
    second = run(sandbox, TARGET)

    assert "its id cannot be stored" in only(first).error
    assert "free disk space and run the same command again" in only(first).error
    assert only(second).job_id in only(first).error
    assert (only(second).outcome, created(sandbox)) == (Outcome.SUCCEEDED, 1)


def test_interrupt_during_steps(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A run that was stopped between two steps resumes with the second."""
    sandbox = serve()
    plugin = run.folder / "stop.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_job_changed(job, change):\n"
        "    if change.event == 'step.succeeded' and change.detail['uses'] == 'checksum':\n"
        "        job.stopping.__self__.stop(15)\n"
    )
    first = run(sandbox, STEPS, plugin_files=(plugin,))
    run.clock.restart()

    second = run(sandbox, STEPS)

    assert only(first).outcome is Outcome.CANCELLED
    assert [step.uses for step in only(first).steps] == ["checksum"]
    assert [step.uses for step in only(second).steps] == ["checksum", "unzip"]
    assert (created(sandbox), downloads(sandbox)) == (1, 1)


@pytest.mark.parametrize(("always", "calls"), [("False", 1), ("True", 2)])
def test_steps_with_always(run: Any, serve: Callable[..., Any], always: str, calls: int) -> None:
    """A finished step is repeated only if it is registered with ``always``."""
    plugin = run.folder / "tell.py"
    plugin.write_text(
        "from pathlib import Path\nfrom spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_register(registry):\n"
        f"    registry.step('tell', 'Tells.', always={always})\n"
        "@hookimpl\ndef impex_run_step(step):\n"
        "    if step.uses == 'tell':\n"
        "        with Path(__file__).with_suffix('.log').open('a') as log:\n"
        "            log.write('told\\n')\n"
        "        return []\n"
    )
    sandbox, steps = serve(), "steps: [{uses: tell}, {uses: unzip%s}]"
    target = "- {name: a, folders: [life], " + steps + "}"

    run(sandbox, target % ", with: {max_files: 1}", plugin_files=(plugin,))
    run(sandbox, target % "", plugin_files=(plugin,))

    assert plugin.with_suffix(".log").read_text().count("told") == calls


def test_changing_labels_are_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A correlation id with the run's id in it does not prevent resuming."""
    sandbox = serve(job_seconds=20)
    target = TARGET.replace("}", ", correlation_id: 'CHG-${run.id}'}")
    first = interrupted(run, sandbox, target)

    second = run(sandbox, target)

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert "resumes what an earlier run began" in only(second).warnings[0]


def test_old_attempts_are_not_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A nightly run does not deliver yesterday's package because a step failed yesterday."""
    sandbox = serve()
    first = run(sandbox, STEPS.replace("{uses: unzip}", "{uses: unzip, with: {max_files: 1}}"))
    run.clock.wait(13 * 3600)

    second = run(sandbox, STEPS)

    assert only(second).job_id != only(first).job_id
    assert "(older than twelve hours)" in only(second).warnings[0]


def test_unknown_job_id(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``impex resume`` reports that the tenant does not know the job."""
    sandbox = serve()

    result = run(sandbox, TARGET, job="00000000-0000-4000-8000-000000000000")

    assert "does not exist on the tenant" in only(result).error
    assert sandbox.jobs_created == 0


def test_given_job_with_unfinished_one(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """An unfinished job must be cancelled first; the error says how."""
    sandbox = serve(job_seconds=20)
    first = interrupted(run, sandbox, TARGET)

    result = run(sandbox, TARGET, job="00000000-0000-4000-8000-000000000000")

    assert f"still has job {only(first).job_id}; cancel it first: impex cancel" in (
        only(result).error
    )


def test_interrupt_after_lost_reply(run: Any, serve: Callable[..., Any]) -> None:
    """A job whose create reply was lost is searched and cancelled."""
    sandbox = serve(job_seconds=1000, faults=(parse_fault("create@1=swallow"),))
    run.clock.at_wait = lambda _: run.clock.stop(signal.SIGTERM)

    run(sandbox, "- {name: a, folders: [life]}")

    assert sandbox.jobs_created == 1
    assert [r.status for r in sandbox.requests if r.method == "PATCH"] == [200]


def test_shared_correlation_id(run: Any, serve: Callable[..., Any]) -> None:
    """Both replies are lost; each target finds its own job again."""
    faults = (parse_fault("create@1=swallow"), parse_fault("create@2=swallow"))
    sandbox = serve(job_limit=2, job_seconds=5, faults=faults)
    targets = (
        "- {name: a, folders: [life], correlation_id: CHG-1}\n"
        "- {name: b, services: [motor/claims], correlation_id: CHG-1}"
    )

    result = run(sandbox, targets)

    assert result.exit_code == 0
    assert [r.service_versions[0].folder for r in result.results] == ["life", "motor"]
    assert sandbox.jobs_created == 2


def test_state_error_of_one_target(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other targets are delivered, and the report has all of them."""
    real = State.unfinished

    def locked(state: State, target: str) -> Any:
        if target.endswith("/a"):
            raise StateError("the database is locked")
        return real(state, target)

    monkeypatch.setattr(State, "unfinished", locked)

    result = run(serve(), "- {name: a, folders: [life]}\n- {name: b, folders: [life]}")

    assert [each.outcome for each in result.results] == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert "locked" in result.results[0].error
