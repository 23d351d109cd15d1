"""One odd answer of a tenant ends nothing: two that agree do, or the tenant's own error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.cancel import cancel_jobs
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.sandbox import faults

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = "- {name: a, services: [motor/pricing, life/annuity], polling: {strategy: fixed}}"


def outputs(faulted: Any, **changes: Callable[[Any], Any]) -> Any:
    """Answer a status with some of its outputs changed."""
    found = json.loads(faulted.real_body())["outputs"]
    changed = {key: change(found[key]) for key, change in changes.items()} if found else {}
    return faults._changed(faulted, outputs=found and {**found, **changed})


@pytest.fixture(autouse=True)
def _more_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add what a status may say by mistake."""

    def partly(faulted: Any) -> Any:
        return outputs(
            faulted, services=lambda all_: all_[:1], service_versions=lambda all_: all_[:1]
        )

    def other_hash(faulted: Any) -> Any:
        return outputs(
            faulted, files=lambda all_: [{**each, "file_hash": "0" * 64} for each in all_]
        )

    def nameless(faulted: Any) -> Any:
        return faults._changed(faulted, correlation_id=None)

    def unlisted(faulted: Any) -> Any:
        return faults._changed(faulted, in_progress_exports=[], recent_exports=None)

    monkeypatch.setitem(faults.KINDS, "unlisted", unlisted)  # type: ignore[arg-type]
    for name, kind in {"partly": partly, "other-hash": other_hash, "nameless": nameless}.items():
        monkeypatch.setitem(faults.KINDS, name, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "odd",
    [
        "word:closed",
        "word:failed",
        "word:cancelled",
        "null-lists",
        "partly",
        "forget",
        "404:html",
        "403:html",
        "302:html",
        "html",
        "empty",
    ],
)
def test_one_odd_answer_ends_no_job(
    run: Any, serve: Callable[..., Any], only: Any, odd: str
) -> None:
    """The next answer is as it should be, and the one job's package is delivered."""
    sandbox = serve(f"status@1={odd}", f"status@4={odd}", job_seconds=8)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert sandbox.jobs_created == 1
    assert sandbox.faults.hits[f"status@1={odd}"] == 1


@pytest.mark.parametrize(
    ("odd", "error"),
    [
        ("word:closed", "'closed' without any file"),
        ("word:failed", "'failed', and no error is given"),
        ("forget", "no longer exists on the tenant"),
        ("partly", "requested but not delivered"),
        ("403:html", "HTTP 403 the reply is an HTML page"),
    ],
)
def test_two_answers_that_agree_end_the_job(
    run: Any, serve: Callable[..., Any], only: Any, odd: str, error: str
) -> None:
    """A failure in between is no answer."""
    sandbox = serve(f"status@1={odd}", "status@2=503", f"status@3={odd}", "describe@2-=unlisted")

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.FAILED
    assert error in result.error
    assert sandbox.faults.hits.total() >= 3


def test_a_job_given_up_by_one_page_is_resumed(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """What no answer of the tenant has ended is what the next run goes on with."""
    sandbox = serve("status@1-2=403:html", job_seconds=5)

    first, second = only(run(sandbox, TARGET)), only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert (first.job_id, sandbox.jobs_created) == (second.job_id, 1)


def test_the_tenants_own_error_ends_the_job_at_once(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """No second look is taken where the tenant says why."""
    sandbox = serve(ending="errors")

    result = only(run(sandbox, TARGET))

    looks = [r for r in sandbox.requests if "/export/" in r.path and r.path.endswith("/status")]
    assert result.outcome is Outcome.FAILED
    assert len([look for look in looks if not look.path.endswith("export/status")]) == 1


@pytest.mark.parametrize(
    "odd",
    [
        "describe@2=empty",
        "describe@2=html",
        "status@1=nameless",
        "status@1=partly",
        "status@1=forget",
        "status@1=403:html",
    ],
)
def test_one_odd_answer_costs_no_second_job(
    run: Any, serve: Callable[..., Any], only: Any, odd: str
) -> None:
    """A job whose create reply was lost is found, whatever one answer says about it."""
    sandbox = serve("create@1=swallow", odd, job_seconds=0)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert sandbox.jobs_created == 1
    assert sandbox.faults.hits[odd] == 1


def test_a_resumed_job_is_not_forgotten_by_one_answer(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Neither its status nor a listing alone makes a second job of it."""
    sandbox = serve("status@2=forget", job_seconds=20)
    clock.at_wait = lambda elapsed: clock.stop(2) if elapsed > 3 else None
    first = only(run(sandbox, TARGET.replace("}}", "}, on_interrupt: leave}")))
    clock.restart()

    second = only(run(sandbox, TARGET.replace("}}", "}, on_interrupt: leave}")))

    assert (first.outcome, second.outcome) == (Outcome.CANCELLED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


@pytest.mark.parametrize("odd", ["describe@*=unlisted", "status@*=nameless"])
def test_a_lost_job_is_looked_for_twice_by_the_next_run(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, odd: str
) -> None:
    """The first look of a run that resumes an intent is not enough to create another job."""
    sandbox = serve("create@1=swallow", "describe@2-=403")
    first = only(run(sandbox, TARGET))
    sandbox.faults._faults = (faults.parse_fault(odd),)
    begin = clock.monotonic()
    clock.at_wait = lambda now: setattr(sandbox.faults, "_faults", ()) if now > begin else None

    second = only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


def test_a_resumed_job_is_asked_for_twice(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """A status and a listing that deny it at the same time make no second job."""
    sandbox = serve("status@1-2=403:html", job_seconds=5)
    first = only(run(sandbox, TARGET))
    wrong = ("status@*=forget", "describe@*=unlisted")
    sandbox.faults._faults = tuple(map(faults.parse_fault, wrong))
    begin = clock.monotonic()
    clock.at_wait = lambda now: setattr(sandbox.faults, "_faults", ()) if now > begin else None

    second = only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


@pytest.mark.parametrize("odd", ["describe@*=unlisted", "cancel@1=forget"])
def test_one_odd_answer_ends_no_cancel(
    run: Any, serve: Callable[..., Any], clock: Any, odd: str
) -> None:
    """``impex cancel`` ends a job that one answer denies."""
    sandbox = serve("create@1=swallow", "describe@2-=403", job_seconds=900)
    run(sandbox, TARGET)
    sandbox.faults._faults = (faults.parse_fault(odd),)
    begin = clock.monotonic()
    clock.at_wait = lambda now: setattr(sandbox.faults, "_faults", ()) if now > begin else None

    done = cancel_jobs(run.folder / "manifest.yaml", RunOptions(), clock, Masker())

    cancels = [r.status for r in sandbox.requests if r.method == "PATCH"]
    assert [each.error for each in done] == [""]
    assert cancels[-1:] == [200]


def test_a_wrong_hash_in_one_answer_costs_no_job(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """Before the bytes are fetched again, the job is asked once more what they should be."""
    sandbox = serve("status@1=other-hash")

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert [r.origin for r in sandbox.requests].count("download") == 2


@pytest.mark.parametrize("odd", ["null-lists", "word:closed", "404:html", "forget"])
def test_an_odd_answer_for_a_new_link_is_asked_again(
    run: Any, serve: Callable[..., Any], only: Any, odd: str
) -> None:
    """A link is renewed although the first answer offers no file at all."""
    sandbox = serve("download@1=expired:403", f"status@2={odd}")

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")


def test_a_wrong_unknown_job_without_a_listing_ends_nothing(
    run: Any, serve: Callable[..., Any], only: Any
) -> None:
    """The wait continues, and delivers the package of the one job."""
    sandbox = serve("status@2=forget", "describe@1-=503", job_seconds=20)

    result = only(run(sandbox, "- {name: a, folders: [life], polling: {strategy: fixed}}"))

    assert (result.outcome, result.error) == ("succeeded", "")
    assert sandbox.jobs_created == 1
    assert sandbox.faults.hits["status@2=forget"] == 1
