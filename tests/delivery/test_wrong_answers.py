"""One wrong answer of a tenant ends no job: two equal ones do, or the tenant's own error."""

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
    "wrong",
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
def test_one_wrong_answer_ends_no_job(
    run: Any, serve: Callable[..., Any], only: Any, wrong: str
) -> None:
    """One wrong answer is ignored, and the package of the one job is delivered."""
    sandbox = serve(f"status@1={wrong}", f"status@4={wrong}", job_seconds=8)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert sandbox.jobs_created == 1
    assert sandbox.faults.hits[f"status@1={wrong}"] == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("word:closed", "'closed' without any file"),
        ("word:failed", "'failed', and no error is given"),
        ("forget", "no longer exists on the tenant"),
        ("partly", "requested but not delivered"),
        ("403:html", "HTTP 403 the reply is an HTML page"),
    ],
)
def test_two_equal_answers_end_a_job(
    run: Any, serve: Callable[..., Any], only: Any, wrong: str, error: str
) -> None:
    """Two answers end a job even with a failed request between them."""
    sandbox = serve(
        f"status@1={wrong}", "status@2=503", f"status@3={wrong}", "describe@2-=unlisted"
    )

    result = only(run(sandbox, TARGET))

    assert result.outcome is Outcome.FAILED
    assert error in result.error
    assert sandbox.faults.hits.total() >= 3


def test_job_lost_to_a_proxy_is_resumed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The next run resumes a job that no answer of the tenant has ended."""
    sandbox = serve("status@1-2=403:html", job_seconds=5)

    first, second = only(run(sandbox, TARGET)), only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert (first.job_id, sandbox.jobs_created) == (second.job_id, 1)


def test_tenants_error_ends_the_job(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A status with an error of the tenant is not confirmed by a second request."""
    sandbox = serve(ending="errors")

    result = only(run(sandbox, TARGET))

    checks = [r for r in sandbox.requests if "/export/" in r.path and r.path.endswith("/status")]
    assert result.outcome is Outcome.FAILED
    assert len([check for check in checks if not check.path.endswith("export/status")]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "describe@2=empty",
        "describe@2=html",
        "status@1=nameless",
        "status@1=partly",
        "status@1=forget",
        "status@1=403:html",
    ],
)
def test_wrong_answer_during_search(
    run: Any, serve: Callable[..., Any], only: Any, wrong: str
) -> None:
    """A job whose create reply was lost is found in spite of one wrong answer."""
    sandbox = serve("create@1=swallow", wrong, job_seconds=0)

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert sandbox.jobs_created == 1
    assert sandbox.faults.hits[wrong] == 1


def test_wrong_answer_about_resumed_job(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """Neither a wrong status nor a wrong listing alone creates a second job."""
    sandbox = serve("status@2=forget", job_seconds=20)
    clock.at_wait = lambda elapsed: clock.stop(2) if elapsed > 3 else None
    first = only(run(sandbox, TARGET.replace("}}", "}, on_interrupt: leave}")))
    clock.restart()

    second = only(run(sandbox, TARGET.replace("}}", "}, on_interrupt: leave}")))

    assert (first.outcome, second.outcome) == (Outcome.CANCELLED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


@pytest.mark.parametrize("wrong", ["describe@*=unlisted", "status@*=nameless"])
def test_lost_job_is_searched_twice(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any, wrong: str
) -> None:
    """A run that resumes an intent searches twice before it creates a job."""
    sandbox = serve("create@1=swallow", "describe@2-=403")
    first = only(run(sandbox, TARGET))
    sandbox.faults._faults = (faults.parse_fault(wrong),)
    begin = clock.monotonic()
    clock.at_wait = lambda now: setattr(sandbox.faults, "_faults", ()) if now > begin else None

    second = only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


def test_status_and_listing_are_confirmed(
    run: Any, serve: Callable[..., Any], only: Any, clock: Any
) -> None:
    """A wrong status and a wrong listing at the same time create no second job."""
    sandbox = serve("status@1-2=403:html", job_seconds=5)
    first = only(run(sandbox, TARGET))
    wrong = ("status@*=forget", "describe@*=unlisted")
    sandbox.faults._faults = tuple(map(faults.parse_fault, wrong))
    begin = clock.monotonic()
    clock.at_wait = lambda now: setattr(sandbox.faults, "_faults", ()) if now > begin else None

    second = only(run(sandbox, TARGET))

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert sandbox.jobs_created == 1


@pytest.mark.parametrize("wrong", ["describe@*=unlisted", "cancel@1=forget"])
def test_cancel_confirms_an_unknown_job(
    run: Any, serve: Callable[..., Any], clock: Any, wrong: str
) -> None:
    """``impex cancel`` cancels a job that one answer denies."""
    sandbox = serve("create@1=swallow", "describe@2-=403", job_seconds=900)
    run(sandbox, TARGET)
    sandbox.faults._faults = (faults.parse_fault(wrong),)
    begin = clock.monotonic()
    clock.at_wait = lambda now: setattr(sandbox.faults, "_faults", ()) if now > begin else None

    done = cancel_jobs(run.folder / "manifest.yaml", RunOptions(), clock, Masker()).jobs

    cancels = [r.status for r in sandbox.requests if r.method == "PATCH"]
    assert [each.error for each in done] == [""]
    assert cancels[-1:] == [200]


def test_wrong_hash_is_confirmed(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The status is requested again before a package with another hash is downloaded again."""
    sandbox = serve("status@1=other-hash")

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")
    assert [r.origin for r in sandbox.requests].count("download") == 2


@pytest.mark.parametrize("wrong", ["null-lists", "word:closed", "404:html", "forget"])
def test_renewed_link_is_confirmed(
    run: Any, serve: Callable[..., Any], only: Any, wrong: str
) -> None:
    """A link is renewed although the first answer lists no file."""
    sandbox = serve("download@1=expired:403", f"status@2={wrong}")

    result = only(run(sandbox, TARGET))

    assert (result.outcome, result.error) == (Outcome.SUCCEEDED, "")


def test_unknown_job_without_listing(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The wait continues, and delivers the package of the one job."""
    sandbox = serve("status@2=forget", "describe@1-=503", job_seconds=20)

    result = only(run(sandbox, "- {name: a, folders: [life], polling: {strategy: fixed}}"))

    assert (result.outcome, result.error) == ("succeeded", "")
    assert sandbox.jobs_created == 1
    assert sandbox.faults.hits["status@2=forget"] == 1
