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


def test_an_interrupted_wait_goes_on_with_the_same_job(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The job id was on disk: the second run polls it and creates nothing."""
    sandbox = serve(job_seconds=20)
    first = interrupted(run, sandbox, TARGET)

    second = run(sandbox, TARGET)

    assert only(first).outcome is Outcome.CANCELLED
    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_a_finished_run_is_followed_by_a_new_one(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Nothing is left to go on with: the second run asks for a second job."""
    sandbox = serve()
    first = run(sandbox, TARGET)

    second = run(sandbox, TARGET)

    assert only(first).job_id != only(second).job_id
    assert created(sandbox) == 2


def test_fresh_leaves_the_earlier_job_behind(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """``--fresh`` adopts nothing, though it could."""
    sandbox = serve(job_seconds=20, job_limit=2)
    first = interrupted(run, sandbox, TARGET)

    second = run(sandbox, TARGET, fresh=True)

    assert only(second).outcome is Outcome.SUCCEEDED
    assert only(second).job_id != only(first).job_id


def test_another_request_does_not_adopt_the_job(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A changed manifest asks for something else: the old job is named as left behind."""
    sandbox = serve(job_seconds=20, job_limit=2)
    first = interrupted(run, sandbox, TARGET)

    second = run(sandbox, TARGET.replace("life", "motor"))

    assert only(second).job_id != only(first).job_id
    assert (
        f"job {only(first).job_id} of an earlier run is not resumed (another request); "
        "it may still run" in only(second).warnings[0]
    )


def test_a_job_whose_packages_are_here_is_not_said_to_run(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Nobody has to look for it on the tenant, or to cancel it."""
    sandbox = serve()
    first = only(run(sandbox, TARGET, until="download"))

    second = only(run(sandbox, TARGET.replace("life", "motor")))

    assert second.warnings[0] == (
        f"job {first.job_id} of an earlier run is not resumed (another request); it has ended"
    )


def test_a_job_that_the_tenant_forgot_is_made_anew_and_told(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """After the tenant lost its memory the target is delivered by a new job, with a warning."""
    sandbox = serve(job_seconds=20, job_limit=2)
    first = interrupted(run, sandbox, TARGET)
    rewrite_job(run.folder / ".impex/state.db", "00000000-0000-4000-8000-000000000000")

    second = run(sandbox, TARGET)

    assert only(second).outcome is Outcome.SUCCEEDED
    assert only(second).job_id != only(first).job_id
    assert "0000 no longer exists on the tenant" in only(second).warnings[1]


def test_one_wrong_answer_does_not_make_a_job_unknown(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A status that denies a job which the listing names is not believed, nor by a later run."""
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


def test_what_a_killed_download_left_is_not_taken_for_foreign(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """With ``if_exists: fail`` partial files, their marks and half-written marks are our own."""
    target = TARGET.replace("life]", "life], if_exists: fail")
    sandbox = serve(job_seconds=20)
    interrupted(run, sandbox, target)
    output = run.folder / "exports/a"
    output.mkdir(parents=True)
    for name in (".package.zip.part", ".package.zip.part.json", "..package.zip.part.json.x1y2"):
        (output / name).write_text("{")

    assert only(run(sandbox, target)).outcome is Outcome.SUCCEEDED


def test_a_job_that_the_tenant_lost_while_it_was_waited_for_fails(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two answers and the listing do not know the job, the wait ends."""
    monkeypatch.setattr(Exports, "listed", lambda _: ())
    sandbox = serve(job_seconds=20, faults=(parse_fault("status@2-3=forget"),))

    result = run(sandbox, TARGET)

    assert only(result).outcome is Outcome.FAILED
    assert "no longer exists on the tenant" in only(result).error


def test_a_job_whose_reply_was_lost_is_found_by_its_correlation_id(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """An intent without a job id is looked up in the tenant's listing before anything is sent."""
    sandbox = serve(job_seconds=20)
    first = interrupted(run, sandbox, TARGET)
    rewrite_job(run.folder / ".impex/state.db", "")

    second = run(sandbox, TARGET)

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_the_job_of_another_run_is_not_taken_for_ours(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A correlation id that the user repeats does not make an earlier job the new run's own."""
    sandbox = serve()
    target = TARGET.replace("}", ", correlation_id: CHG-1}")
    first = run(sandbox, target)

    second = run(sandbox, target)

    assert only(first).job_id != only(second).job_id


def test_delivered_packages_and_finished_steps_are_not_repeated(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A run that failed in its second step goes on there, with the packages that it has."""
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


def test_a_package_that_was_changed_meanwhile_is_fetched_again(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The recorded hash no longer holds: the same job's package is downloaded once more."""
    sandbox = serve()
    first = run(sandbox, STEPS.replace("{uses: unzip}", "{uses: unzip, with: {max_files: 1}}"))
    package = run.folder / "exports/a/package.zip"
    package.write_bytes(package.read_bytes()[:-1] + b"?")

    second = run(sandbox, STEPS)

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert (created(sandbox), downloads(sandbox)) == (1, 2)


def test_until_download_leaves_the_steps_to_the_next_run(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The steps are run on the packages that are there, without another job."""
    sandbox = serve()
    run(sandbox, STEPS, until="download")

    second = run(sandbox, STEPS)

    assert [step.outcome for step in only(second).steps] == ["succeeded", "succeeded"]
    assert (created(sandbox), downloads(sandbox)) == (1, 1)


def test_a_job_can_be_resumed_by_its_id_alone(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any
) -> None:
    """Another machine, no memory: the id is all that is needed."""
    sandbox = serve()
    first = run(sandbox, TARGET)

    second = run(sandbox, TARGET, job=only(first).job_id, state=tmp_path / "elsewhere")

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert created(sandbox) == 1


def test_how_long_a_resumed_job_took_is_not_known(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any
) -> None:
    """Its beginning was not seen: later waits are not planned by what was left of it."""
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


def test_a_job_that_failed_on_the_tenant_is_not_resumed(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The tenant's last word is final: the next run asks anew."""
    sandbox = serve(ending="failed")
    first = run(sandbox, TARGET)

    second = run(sandbox, TARGET)

    assert only(first).job_id != only(second).job_id
    assert created(sandbox) == 2


def test_a_target_that_another_runner_holds_is_left_alone(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Nothing is sent; the error says who holds it."""
    sandbox = serve()

    with lease(run.folder / ".impex", "manifest/a", run.clock.now()):
        result = run(sandbox, TARGET)

    assert "target manifest/a is locked by process" in only(result).error
    assert (created(sandbox), result.exit_code) == (0, 4)


def test_a_full_disk_after_the_create_call_loses_no_job(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id cannot be stored, the error says so with the id; the next run finds the job."""
    sandbox = serve(job_seconds=5)
    note_job = State.note_job

    def full(self: State, *rest: Any) -> Any:
        pages = self._db.read("PRAGMA page_count")[0][0]
        self._db.read(f"PRAGMA max_page_count = {pages}")
        self._db.write(("UPDATE attempts SET error = zeroblob(1000000)", ()))
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


def test_an_interrupt_during_the_steps_keeps_what_is_done(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A run that is stopped between two steps goes on with the second."""
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
def test_a_finished_step_is_repeated_only_if_it_says_that_it_must_be(
    run: Any, serve: Callable[..., Any], always: str, calls: int
) -> None:
    """A step that tells somebody, say, is registered with ``always`` and runs in each run."""
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


def test_labels_that_change_with_each_run_do_not_hide_the_job(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A correlation id with the run's id in it is another text in each run, the request is not."""
    sandbox = serve(job_seconds=20)
    target = TARGET.replace("}", ", correlation_id: 'CHG-${run.id}'}")
    first = interrupted(run, sandbox, target)

    second = run(sandbox, target)

    assert (only(second).outcome, only(second).job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert "resumes what an earlier run began" in only(second).warnings[0]


def test_what_was_begun_half_a_day_ago_is_out_of_date(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A nightly run does not deliver yesterday's package because a step failed yesterday."""
    sandbox = serve()
    first = run(sandbox, STEPS.replace("{uses: unzip}", "{uses: unzip, with: {max_files: 1}}"))
    run.clock.wait(13 * 3600)

    second = run(sandbox, STEPS)

    assert only(second).job_id != only(first).job_id
    assert "(older than twelve hours)" in only(second).warnings[0]


def test_a_job_id_with_a_typo_creates_nothing(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """``impex resume`` is told that the tenant does not know the job."""
    sandbox = serve()

    result = run(sandbox, TARGET, job="00000000-0000-4000-8000-000000000000")

    assert "does not exist on the tenant" in only(result).error
    assert sandbox.jobs_created == 0


def test_a_given_job_does_not_push_another_aside(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """An unfinished job has to be ended first; the line says how."""
    sandbox = serve(job_seconds=20)
    first = interrupted(run, sandbox, TARGET)

    result = run(sandbox, TARGET, job="00000000-0000-4000-8000-000000000000")

    assert f"still has job {only(first).job_id}; cancel it first: impex cancel" in (
        only(result).error
    )


def test_an_interrupt_after_a_lost_reply_frees_the_slot(
    run: Any, serve: Callable[..., Any]
) -> None:
    """The job that nobody told of is looked for and cancelled."""
    sandbox = serve(job_seconds=1000, faults=(parse_fault("create@1=swallow"),))
    run.clock.at_wait = lambda _: run.clock.stop(signal.SIGTERM)

    run(sandbox, "- {name: a, folders: [life]}")

    assert sandbox.jobs_created == 1
    assert [r.status for r in sandbox.requests if r.method == "PATCH"] == [200]


def test_targets_with_one_correlation_id_keep_their_own_jobs(
    run: Any, serve: Callable[..., Any]
) -> None:
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


def test_a_state_that_refuses_one_target_fails_that_one_only(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are delivered, and the report tells of all of them."""
    real = State.unfinished

    def locked(state: State, target: str) -> Any:
        if target.endswith("/a"):
            raise StateError("the database is locked")
        return real(state, target)

    monkeypatch.setattr(State, "unfinished", locked)

    result = run(serve(), "- {name: a, folders: [life]}\n- {name: b, folders: [life]}")

    assert [each.outcome for each in result.results] == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert "locked" in result.results[0].error
