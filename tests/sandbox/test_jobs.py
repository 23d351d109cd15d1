"""The life of a job: in progress, ended, cancelled, too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = {"inputs": {"services": ["motor/pricing"]}, "correlation_id": "c-1"}


@pytest.fixture
def slow(start: Callable[..., Any]) -> Any:
    """Return a caller of a sandbox whose jobs take ten seconds."""
    return start(job_seconds=10)


def create(call: Any) -> str:
    """Create an export job and return its path."""
    return f"/api/v4/export/{call('POST', '/api/v4/export', BODY).json['id']}"


def test_job_takes_configured_seconds(slow: Any, clock: Any) -> None:
    """Nothing is put out before the time is over, everything after."""
    job = create(slow)

    clock.tick(9)
    before = slow("GET", f"{job}/status").json
    clock.tick(1)
    after = slow("GET", f"{job}/status").json

    assert (before["status"], before["outputs"]) == ("in_progress", None)
    assert after["status"] == "closed"
    assert after["process_time"] == 10_000


@pytest.mark.parametrize("step", [1.0, 1.25, 1.5, 3.0])
def test_a_job_ends_at_one_moment(slow: Any, clock: Any, step: float) -> None:
    """A status that says closed has the outputs, also when the job ends while it is told."""
    job = create(slow)

    clock.step = step
    looks = [slow("GET", f"{job}/status").json for _ in range(12)]

    assert {(look["status"], look["outputs"] is None) for look in looks} == {
        ("in_progress", True),
        ("closed", False),
    }


def test_job_limit_refuses_second_job(slow: Any, clock: Any) -> None:
    """The limit counts jobs in progress and no others."""
    create(slow)

    refused = slow("POST", "/api/v4/export", BODY)
    clock.tick(10)
    accepted = slow("POST", "/api/v4/export", BODY)

    assert refused.status == 409
    assert "in progress" in refused.json["message"]
    assert accepted.status == 200


@pytest.mark.parametrize("status", [400, 409, 429, 500])
def test_busy_status_is_configurable(start: Callable[..., Any], status: int) -> None:
    """Which HTTP status says busy is a setting."""
    call = start(job_seconds=10, busy_status=status)
    create(call)

    assert call("POST", "/api/v4/export", BODY).status == status


def test_a_higher_limit_admits_more(start: Callable[..., Any]) -> None:
    """Two jobs run where two are allowed."""
    call = start(job_seconds=10, job_limit=2)
    create(call)
    create(call)

    assert call("POST", "/api/v4/export", BODY).status == 409


def test_cancelled_job_frees_slot(slow: Any, clock: Any) -> None:
    """A cancelled job stays cancelled, has no outputs and makes room."""
    job = create(slow)

    cancelled = slow("PATCH", job, {"export_status": "cancelled"})
    clock.tick(10)
    later = slow("GET", f"{job}/status").json

    assert cancelled.json["status"] == "cancelled"
    assert (later["status"], later["outputs"]) == ("cancelled", None)
    assert slow("POST", "/api/v4/export", BODY).status == 200


def test_an_unknown_job_is_answered_with_500(call: Any) -> None:
    """The documented answer for an unknown id is HTTP 500 and permanent."""
    answer = call("GET", "/api/v4/export/unknown/status")

    assert answer.status == 500
    assert (answer.json["type"], answer.json["code"]) == ("invalid_input", "INVALID_JOB_ID")


def test_ended_job_becomes_recent(slow: Any, clock: Any) -> None:
    """The listing follows a job; as documented, it shows no correlation id."""
    create(slow)

    running = slow("GET", "/api/v4/export/status").json
    clock.tick(10)
    recent = slow("GET", "/api/v4/export/status").json

    assert running["tenant"]["status"] == {"export_api_jobs_in_progress": 1}
    assert "correlation_id" not in running["in_progress_exports"][0]["data"]
    assert recent["in_progress_exports"] == []
    assert recent["recent_exports"][0]["data"]["export_status"] == "closed"


def test_describe_forgets_after_an_hour(slow: Any, clock: Any) -> None:
    """A job that ended more than an hour ago is no longer listed, but still answers."""
    job = create(slow)

    clock.tick(10 + 3601)

    assert slow("GET", "/api/v4/export/status").json["recent_exports"] == []
    assert slow("GET", f"{job}/status").json["status"] == "closed"


def test_failed_work_frees_slot(call: Any, root: Any) -> None:
    """A fault while packing is told, and does not block the tenant."""
    workbook = root / "motor" / "pricing" / "1.20.0" / "broken.xlsx"
    workbook.mkdir()

    broken = call("POST", "/api/v4/export", BODY)
    workbook.rmdir()

    assert (broken.status, broken.json["code"]) == (500, "SANDBOX")
    assert call("POST", "/api/v4/export", BODY).status == 200


def test_listing_hides_jobs_of_others(start: Callable[..., Any]) -> None:
    """A user sees the own jobs; the count is that of the tenant."""
    call = start(job_seconds=10, job_limit=2, hide_jobs=True)
    sandbox = call.sandbox
    key = {"x-synthetic-key": sandbox.api_key, "x-tenant-name": sandbox.tenant}
    own = create(call).rpartition("/")[2]
    call.headers = {}
    call("POST", "/api/v4/export", BODY, headers=key)

    hers = call("GET", "/api/v4/export/status", headers=key).json
    call.headers = {"Authorization": f"Bearer {sandbox.token}"}
    his = call("GET", "/api/v4/export/status").json

    assert [each["id"] for each in his["in_progress_exports"]] == [own]
    [listed] = hers["in_progress_exports"]
    assert listed["data"]["created_by"] == "api-key@sandbox.invalid"
    assert listed["id"] != own
    for each in (his, hers):
        assert each["tenant"]["status"] == {"export_api_jobs_in_progress": 2}


@pytest.mark.parametrize("listed", [False, True])
def test_listing_may_have_correlation_ids(start: Callable[..., Any], listed: bool) -> None:
    """They are in the status only, unless the listing is to have them, too."""
    call = start(job_seconds=10, listed_labels=listed)
    create(call)

    [job] = call("GET", "/api/v4/export/status").json["in_progress_exports"]

    assert job["data"].get("correlation_id") == ("c-1" if listed else None)
