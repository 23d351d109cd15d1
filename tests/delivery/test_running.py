"""A running job of the same request is found on the tenant, without any state."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.spark import job_listing
from spark_impex_runner.spark.client import Spark

if TYPE_CHECKING:
    from collections.abc import Callable

# The first run leaves its job running.
KEYS = "polling: {strategy: fixed}, retry_interval: 1s, on_interrupt: leave"
LIFE = f"- {{name: life, folders: [life], {KEYS}}}\n"
MOTOR = f"- {{name: motor, folders: [motor], {KEYS}}}\n"
# Each wait of one target moves the clock of both: the job must last until the other has found it.
LONG = 200
GIVEN = LIFE.replace("name: life", "name: life, correlation_id: CHG-1")


def left(run: Any, sandbox: Any, text: str, **options: Any) -> Any:
    """Run targets, stop after five seconds of waiting, and delete the state; return the result."""
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGKILL)
    result = run(sandbox, text, **options)
    run.clock.restart()
    shutil.rmtree(run.folder / ".impex")
    return result


def listings(sandbox: Any) -> int:
    """Return how many times the listing was requested."""
    return sum(each.path.endswith("/export/status") for each in sandbox.requests)


def start(sandbox: Any, **request: Any) -> str:
    """Start a job as another user does; return its id."""
    with Spark(base_url=sandbox.base_url, token=sandbox.token) as spark:
        return str(spark.impex.exports.initiate(**request).data["id"])


def break_next(sandbox: Any, fault: str) -> None:
    """Inject a fault into requests that are counted from now on."""
    sandbox.faults._counts.clear()
    sandbox.faults._faults = (parse_fault(fault),)


@pytest.mark.parametrize("listed_labels", [False, True])
def test_running_job_is_resumed(
    run: Any, serve: Callable[..., Any], only: Any, events: Any, listed_labels: bool
) -> None:
    """One line says so; job and correlation id are those of the first run, also in the receipt."""
    sandbox = serve(job_seconds=30, listed_labels=listed_labels)
    first = left(run, sandbox, LIFE)

    second = run(sandbox, LIFE, plugin_files=(events.plugin,))

    before, result = only(first), only(second)
    assert (result.outcome, result.job_id) == (Outcome.SUCCEEDED, before.job_id)
    assert sandbox.jobs_created == 1
    assert result.request.correlation_id == before.request.correlation_id
    [line] = result.warnings
    assert line.startswith(f"resuming job {before.job_id} of run {first.run_id}, running for ")
    assert events.names()[0] == "job.adopted"
    assert "job.created" not in events.names()
    delivered = json.loads((result.target.output / "impex-receipt.json").read_text())
    assert delivered["correlation_id"] == before.request.correlation_id
    assert receipt.verify(result.target.output) == []


def test_resumed_job_costs_few_requests(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The listing is the one that is asked for the job limit; each of two checks is one request."""
    sandbox = serve(job_seconds=30)
    left(run, sandbox, LIFE)
    sandbox.requests.clear()

    assert only(run(sandbox, LIFE)).outcome is Outcome.SUCCEEDED

    assert listings(sandbox) == 1


def test_many_targets_share_one_listing(run: Any, serve: Callable[..., Any]) -> None:
    """A tenant is asked once, however many targets start."""
    sandbox = serve()
    targets = "".join(LIFE.replace("name: life", f"name: t{number}") for number in range(20))

    assert run(sandbox, targets).exit_code == 0

    assert (listings(sandbox), sandbox.jobs_created) == (1, 20)


def test_finished_job_is_not_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A nightly run is a new run."""
    sandbox = serve(job_seconds=30)
    first = left(run, sandbox, LIFE)
    run.clock.wait(60)

    second = run(sandbox, LIFE)

    assert only(second).job_id != only(first).job_id
    assert only(second).warnings == ()


def test_job_that_ended_meanwhile_is_not_resumed(run: Any, serve: Callable[..., Any]) -> None:
    """A target that starts later checks the job again: the listing is that of the first target."""
    sandbox = serve(job_seconds=30, job_limit=2)
    targets = LIFE + MOTOR.replace("name: motor", "name: motor, needs: [life]")
    first = left(run, sandbox, targets.replace(", needs: [life]", ""), targets=("motor",))

    second = run(sandbox, targets)

    assert second.exit_code == 0
    assert second.results[1].job_id != first.results[0].job_id


def test_old_job_is_not_resumed(
    run: Any, serve: Callable[..., Any], only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After twelve hours by the tenant's clock a job is not that of this run any more."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = left(run, sandbox, LIFE)
    later = datetime.now(timezone.utc) + timedelta(hours=13)
    monkeypatch.setattr(job_listing, "server_time", lambda _: later)

    assert only(run(sandbox, LIFE)).job_id != only(first).job_id


@pytest.mark.parametrize(
    "other",
    [
        LIFE.replace("[life]", "[motor]"),
        LIFE.replace("life,", "life2,"),
        LIFE.replace("on_interrupt", "file_filter: onpremises, on_interrupt"),
    ],
)
def test_other_request_is_not_resumed(
    run: Any, serve: Callable[..., Any], only: Any, other: str
) -> None:
    """Another request, target or filter is another job."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = left(run, sandbox, LIFE)

    second = only(run(sandbox, other))

    assert (second.outcome, second.warnings) == (Outcome.SUCCEEDED, ())
    assert second.job_id != only(first).job_id


def test_other_manifest_is_not_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A target of the same name in a manifest of another name has a job of its own."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = left(run, sandbox, LIFE)
    run.below = "name: another"

    assert only(run(sandbox, LIFE)).job_id != only(first).job_id


def test_fresh_names_what_it_ignores(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``--fresh`` starts a new job, and names the one that runs."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = only(left(run, sandbox, LIFE))

    second = only(run(sandbox, LIFE, fresh=True))

    assert second.job_id != first.job_id
    assert second.warnings[0].startswith(f"--fresh: job {first.job_id}, running for ")


def test_job_of_an_attempt_is_not_taken(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job that belongs to an attempt of the state, such as an abandoned one, is not resumed."""
    sandbox = serve(job_seconds=30, job_limit=3)
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGKILL)
    first = only(run(sandbox, LIFE))
    run.clock.restart()
    second = only(run(sandbox, LIFE, fresh=True))

    assert second.job_id != first.job_id
    assert not any("--fresh: job" in each for each in second.warnings)


def test_given_id_is_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A correlation id of the manifest finds the job, if one target has it."""
    sandbox = serve(job_seconds=30)
    first = left(run, sandbox, GIVEN)

    second = only(run(sandbox, GIVEN))

    assert (second.outcome, second.job_id) == (Outcome.SUCCEEDED, only(first).job_id)
    assert sandbox.jobs_created == 1
    assert "of correlation id CHG-1" in second.warnings[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("on_interrupt", "file_filter: onpremises, on_interrupt"),
        ("on_interrupt", "version_filter: all, on_interrupt"),
        ("[life]", "[life, motor]"),
        ("name: life", "name: life2"),
    ],
)
def test_other_request_with_given_id_is_not_resumed(
    run: Any, serve: Callable[..., Any], only: Any, old: str, new: str
) -> None:
    """A running job names neither its filters nor its folders; the digest beside its id does."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = only(left(run, sandbox, GIVEN))

    second = only(run(sandbox, GIVEN.replace(old, new)))

    assert (second.outcome, second.warnings) == (Outcome.SUCCEEDED, ())
    assert second.job_id != first.job_id


def test_lost_job_with_given_id_is_not_another_request(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """After a create call without a reply the look-up compares the digest, too."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = only(left(run, sandbox, GIVEN))
    break_next(sandbox, "create@1=reset")

    second = only(
        run(sandbox, GIVEN.replace("on_interrupt", "file_filter: onpremises, on_interrupt"))
    )

    assert (second.outcome, sandbox.jobs_created) == (Outcome.SUCCEEDED, 2)
    assert second.job_id != first.job_id


def test_given_id_of_other_manifest_is_not_resumed(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The same target and change number in another manifest are another job."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = only(left(run, sandbox, GIVEN))
    run.below = "name: another"

    assert only(run(sandbox, GIVEN)).job_id != first.job_id


def test_shared_id_is_resumed_by_its_target(run: Any, serve: Callable[..., Any]) -> None:
    """Of targets with one correlation id only that which created the job resumes it."""
    sandbox = serve(job_seconds=LONG, job_limit=2)
    both = GIVEN + GIVEN.replace("name: life", "name: motor").replace("[life]", "[motor]")
    first = left(run, sandbox, both, targets=("life",)).results[0]

    second = run(sandbox, both)

    jobs = {each.target.name: each.job_id for each in second.results}
    assert (second.exit_code, jobs["life"]) == (0, first.job_id)
    assert sandbox.jobs_created == 2


def test_job_with_two_labels_of_the_manifest_is_named(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """With a source system of the manifest, too, a job has no place for a digest."""
    sandbox = serve(job_seconds=30, job_limit=2)
    target = GIVEN.replace("on_interrupt", "source_system: ci, on_interrupt")
    first = only(left(run, sandbox, target))

    second = only(run(sandbox, target))

    [warning] = second.warnings
    assert (second.outcome, second.job_id != first.job_id) == (Outcome.SUCCEEDED, True)
    assert warning.startswith(f"job {first.job_id}, running for ")
    assert "has the correlation id CHG-1; it does not say what it exports" in warning


@pytest.mark.parametrize("given", ["CHG-1", "CHG-1-part1"])
def test_foreign_job_with_given_id_is_not_taken(
    run: Any, serve: Callable[..., Any], only: Any, given: str
) -> None:
    """It is named and neither delivered nor a reason to divide; not by a second run either."""
    sandbox = serve(job_seconds=30, job_limit=2)
    foreign = start(sandbox, folders=["life", "motor"], correlation_id=given)
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGKILL)
    first = only(run(sandbox, GIVEN))
    run.clock.restart()

    second = only(run(sandbox, GIVEN))

    assert any(f"job {foreign}, running for " in each for each in first.warnings)
    assert (second.outcome, second.job_id) == (Outcome.SUCCEEDED, first.job_id)
    assert foreign not in second.job_ids
    assert {each.folder for each in second.services} == {"life"}


def test_id_that_looks_like_a_part_is_ignored(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Only a number follows the word."""
    sandbox = serve(job_seconds=30, job_limit=2)
    start(sandbox, folders=["motor"], correlation_id="CHG-1-part1-hotfix")

    assert only(run(sandbox, GIVEN)).warnings == ()


def test_running_part_with_given_id_is_resumed(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The job of a part has a digest, too."""
    sandbox = serve(job_seconds=30, size_limit=6000, over_limit="refuse")
    target = GIVEN.replace("[life]", "[life, motor]")
    first = only(left(run, sandbox, target))

    second = only(run(sandbox, target))

    assert (second.outcome, first.job_id in second.job_ids) == (Outcome.SUCCEEDED, True)
    assert sandbox.jobs_created == len(second.job_ids) == 3


def test_transient_error_of_a_status_makes_no_second_job(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The status with the correlation id is asked for again."""
    sandbox = serve(job_seconds=30, job_limit=2)
    first = only(left(run, sandbox, LIFE))
    break_next(sandbox, "status@1=503")

    assert only(run(sandbox, LIFE)).job_id == first.job_id


def test_unreadable_job_is_named(run: Any, serve: Callable[..., Any]) -> None:
    """One warning says that a job may be the same; the targets get jobs of their own."""
    sandbox = serve(job_seconds=LONG, job_limit=3)
    first = left(run, sandbox, LIFE).results[0]
    break_next(sandbox, "status@1=403")

    second = run(sandbox, LIFE + MOTOR)

    [warning] = [each for result in second.results for each in result.warnings]
    assert warning.startswith(f"job {first.job_id}, running for ")
    assert "its correlation id cannot be read: " in warning
    assert (second.exit_code, sandbox.jobs_created) == (0, 3)


@pytest.mark.parametrize(("faults", "created"), [("describe@1=403", 1), ("describe@1-2=403", 2)])
def test_unreadable_listing_is_not_an_empty_one(
    run: Any, serve: Callable[..., Any], only: Any, faults: str, created: int
) -> None:
    """It is asked for twice; then a warning says that the look failed."""
    sandbox = serve(job_seconds=LONG, job_limit=2)
    left(run, sandbox, LIFE)
    break_next(sandbox, faults)

    warnings = only(run(sandbox, LIFE)).warnings

    assert sandbox.jobs_created == created
    assert any("could not look for running jobs" in each for each in warnings) is (created == 2)


@pytest.mark.parametrize("targets", [LIFE + MOTOR, MOTOR + LIFE])
def test_running_target_does_not_queue(run: Any, serve: Callable[..., Any], targets: str) -> None:
    """The target whose job holds the tenant's slot is resumed at once, whatever its place is."""
    sandbox = serve(job_seconds=LONG)
    first = left(run, sandbox, targets, targets=("motor",))

    second = run(sandbox, targets)

    jobs = {each.target.name: each.job_id for each in second.results}
    assert second.exit_code == 0
    assert jobs["motor"] == first.results[0].job_id
    assert sandbox.jobs_created == 2


def test_given_id_does_not_queue(run: Any, serve: Callable[..., Any]) -> None:
    """So is one whose job has the correlation id of the manifest, if no other target has it."""
    sandbox = serve(job_seconds=LONG)
    targets = LIFE + MOTOR.replace("name: motor", "name: motor, correlation_id: CHG-1")
    first = left(run, sandbox, targets, targets=("motor",))

    second = run(sandbox, targets)

    assert second.results[1].job_id == first.results[0].job_id
    assert sandbox.jobs_created == 2


def test_each_connection_sees_its_own_jobs(
    run: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two connections to one tenant ask once each: a tenant may hide one's jobs from the other."""
    sandbox = serve(job_seconds=LONG, hide_jobs=True)
    monkeypatch.setenv("KEY", sandbox.api_key)
    path = run.write(sandbox, LIFE + MOTOR.replace("name: motor", "name: motor, connection: key"))
    key = f"key: {{base_url: '{sandbox.base_url}', auth: {{api_key: '${{env:KEY}}'}}}}"
    text = path.read_text().replace("connections:\n", f"connections:\n  {key}\n")
    path.write_text(text.replace("name: life", "name: life, connection: sit"))
    run.clock.at_wait = lambda elapsed: elapsed > 5 and run.clock.stop(signal.SIGKILL)
    first = run_manifest(path, RunOptions(targets=("motor",)), clock=run.clock)
    run.clock.restart()
    shutil.rmtree(run.folder / ".impex")
    sandbox.requests.clear()

    second = run_manifest(path, clock=run.clock)

    assert second.results[1].job_id == first.results[0].job_id
    assert (second.exit_code, sandbox.jobs_created) == (0, 2)


def test_changed_target_queues(run: Any, serve: Callable[..., Any], events: Any) -> None:
    """A target whose job exports something else waits for its turn, not for its deadline."""
    sandbox = serve(job_seconds=LONG)
    left(run, sandbox, MOTOR)
    both = LIFE + MOTOR.replace("[motor]", "[motor, life]")

    assert run(sandbox, both, plugin_files=(events.plugin,)).exit_code == 0

    assert events.names().count("job.waiting") == 1


def test_running_part_is_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job of a part says that the whole is too large; the same parts are made again."""
    sandbox = serve(job_seconds=30, size_limit=6000, over_limit="refuse")
    target = LIFE.replace("[life]", "[life, motor]")
    first = only(left(run, sandbox, target))

    second = only(run(sandbox, target))

    assert (second.outcome, first.job_id in second.job_ids) == (Outcome.SUCCEEDED, True)
    assert sandbox.jobs_created == len(second.job_ids) == 3
    # No request was sent twice, not even the whole that was refused in the first run.
    asked = [r.body for r in sandbox.requests if r.method == "POST" and r.path.endswith("/export")]
    assert len({json.dumps(json.loads(each)["inputs"]) for each in asked}) == len(asked)


def test_job_created_after_the_listing_is_found(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """A busy tenant is asked again: the job may be our own, which was created a moment ago."""
    sandbox = serve("describe@2=503", job_seconds=30)
    first = left(run, sandbox, LIFE)
    sandbox.faults._faults = (replace(sandbox.faults._faults[0], first=2, last=2),)

    second = only(run(sandbox, LIFE))

    assert second.job_id == only(first).job_id
    assert sandbox.jobs_created == 1


@pytest.mark.parametrize("correlation_id", [None, "nightly-1"])
def test_foreign_job_is_named(
    run: Any, serve: Callable[..., Any], only: Any, events: Any, caplog: Any, correlation_id: Any
) -> None:
    """The waiting line and the error at the deadline have the job, its user and its age."""
    caplog.set_level("INFO")
    sandbox = serve(job_seconds=3600)
    foreign = start(sandbox, folders=["motor"], correlation_id=correlation_id)
    target = LIFE.replace("strategy: fixed", "strategy: fixed, deadline: 30s")

    result = only(run(sandbox, target, plugin_files=(events.plugin,)))

    by = "sandbox@sandbox.invalid" + (" (correlation id nightly-1)" if correlation_id else "")
    assert result.outcome is Outcome.TIMED_OUT
    assert f"job {foreign} of {by}, running for " in result.error
    assert f"waiting for another job to end (job {foreign} of {by}, running for " in caplog.text
    assert events.names().count("job.waiting") == 1


def test_other_run_is_named(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job of another request names its target and its run."""
    sandbox = serve(job_seconds=3600)
    first = left(run, sandbox, MOTOR)
    target = LIFE.replace("strategy: fixed", "strategy: fixed, deadline: 30s")

    result = only(run(sandbox, MOTOR + target, targets=("life",)))

    assert f"job {only(first).job_id} of target motor (run {first.run_id}), " in result.error


@pytest.mark.parametrize(
    ("other", "whose"), [(LIFE, "this target"), (MOTOR, "another request of this target")]
)
def test_ignored_job_is_named(
    run: Any, serve: Callable[..., Any], only: Any, other: str, whose: str
) -> None:
    """A job of this target that is not resumed says so; of another request it has the name."""
    sandbox = serve(job_seconds=3600)
    first = left(run, sandbox, LIFE)
    target = other.replace("motor,", "life,").replace("fixed", "fixed, deadline: 30s")

    result = only(run(sandbox, target, fresh=True))

    assert f"job {only(first).job_id} of {whose} (run {first.run_id}), " in result.error


def test_target_of_another_manifest_is_named(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Of a target with the same name in another manifest the line says so."""
    sandbox = serve(job_seconds=3600)
    first = left(run, sandbox, LIFE)
    run.below = "name: another"

    result = only(run(sandbox, LIFE.replace("fixed", "fixed, deadline: 30s")))

    name = f"job {only(first).job_id} of a target named life (of another manifest) "
    assert f"{name}(run {first.run_id}), " in result.error


def test_hidden_job_is_counted(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A job of other credentials is not listed; the tenant counts it all the same."""
    sandbox = serve(job_seconds=3600, hide_jobs=True)
    with Spark(base_url=sandbox.base_url, api_key=sandbox.api_key) as spark:
        spark.impex.exports.initiate(folders=["motor"])
    target = LIFE.replace("strategy: fixed", "strategy: fixed, deadline: 30s")

    result = only(run(sandbox, target))

    assert "; 1 running job is not listed for these credentials; try again" in result.error
