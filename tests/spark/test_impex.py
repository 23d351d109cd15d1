"""A whole export in one call, with the names of the SDK and without its weaknesses."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.spark.impex import ImpEx

if TYPE_CHECKING:
    from pathlib import Path


def calls(served: Any) -> list[str]:
    """Return method and last path segment of every API request."""
    api = [seen for seen in served.requests if seen.origin == "api"]
    return [f"{seen.method} {seen.path.rpartition('/')[2]}" for seen in api]


def test_sdk_call_works_unchanged(sandbox: Any, connect: Any) -> None:
    """Two services, their filter and limits: one reply with the package's bytes."""
    spark = connect(sandbox(job_seconds=6))

    downloads = spark.impex.export(
        services=["my-folder/my-service[0.4.2]", "my-other-folder/my-service-2"],
        file_filter="onpremises",
        max_retries=5,
        retry_interval=3,
    )

    assert [(one.status, one.buffer[:2], one.path) for one in downloads] == [(200, b"PK", None)]
    assert downloads[0].headers["content-length"] == str(len(downloads[0].buffer))


def test_a_folder_gets_verified_and_named_files(sandbox: Any, connect: Any, tmp_path: Path) -> None:
    """With ``to`` the package lies on disk under its own name, and nothing else does."""
    served = sandbox(hash_form="md5-base64")

    (reply,) = connect(served).impex.exp(
        folders=["my-folder"], file_name="motor", to=tmp_path / "o"
    )

    assert (reply.path, reply.buffer) == (tmp_path / "o" / "motor.zip", b"")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["motor.zip"]


def test_no_credential_reaches_the_download_origin(sandbox: Any, connect: Any) -> None:
    """Neither token nor tenant nor request id goes to the file store; the API gets the key."""
    served = sandbox()
    connect(served, api_key=served.api_key).impex.export(folders=["my-folder"])

    (download,) = [seen for seen in served.requests if seen.origin == "download"]
    assert download.headers.keys() == {"host", "user-agent", "accept", "accept-encoding"}
    api = [seen.headers for seen in served.requests if seen.origin == "api"]
    assert all(one["x-synthetic-key"] == served.api_key for one in api)
    assert not any("authorization" in one for one in api)


def test_a_timed_out_job_is_cancelled(sandbox: Any, connect: Any) -> None:
    """The tenant's only place is not left occupied."""
    served = sandbox(job_seconds=600)

    with pytest.raises(errors.RetryTimeoutError):
        connect(served).impex.export(folders=["my-folder"], max_retries=2)

    assert [line.partition(" ")[0] for line in calls(served)] == ["POST", "GET", "GET", "PATCH"]


def test_an_interrupted_wait_cancels_the_job(sandbox: Any, connect: Any, clock: Any) -> None:
    """A stop in the middle of the wait still sends the PATCH."""
    served = sandbox(job_seconds=600)
    clock.at_wait = lambda _elapsed: clock.stop(2)

    with pytest.raises(errors.Interrupted):
        connect(served).impex.export(folders=["my-folder"])

    assert json.loads(served.requests[-1].body) == {"export_status": "cancelled"}


def test_a_failed_job_is_not_cancelled(sandbox: Any, connect: Any) -> None:
    """A job that has ended is not cancelled; the error has the tenant's message."""
    served = sandbox(ending="errors")

    with pytest.raises(errors.JobError, match="ended as 'closed': EXPORT_FAILED"):
        connect(served).impex.export(folders=["my-folder"])

    assert calls(served) == ["POST export", "GET status"]


def test_failed_cancel_keeps_cause(session_to: Any, script: Any, reply: Any, caplog: Any) -> None:
    """The error of the wait is raised, the other is logged."""
    server = script(reply({"id": "1"}), reply({"id": "1", "status": "created"}), reply(status=500))

    with pytest.raises(errors.RetryTimeoutError):
        ImpEx(session_to(server)).export(folders=["f"], max_retries=1)

    assert "export job 1 could not be cancelled" in caplog.text


def test_export_waits_for_busy_tenant(sandbox: Any, connect: Any, clock: Any) -> None:
    """The export begins after the other job, with few requests meanwhile."""
    served = sandbox(job_seconds=12)
    spark = connect(served)
    spark.impex.exports.initiate(folders=["my-other-folder"])

    assert spark.impex.export(folders=["my-folder"], retry_interval=12)[0].buffer
    assert clock.waits == [5.0, 5.0, 5.0, 12]


def test_busy_tenant_times_out(sandbox: Any, connect: Any) -> None:
    """After half an hour the error has the exit code of a deadline, and names the other job."""
    spark = connect(sandbox(job_seconds=36_000))
    other = spark.impex.exports.initiate(folders=["my-other-folder"]).data["id"]

    named = rf"busy with other jobs \(job {other} of sandbox@sandbox.invalid, created at "
    with pytest.raises(errors.RetryTimeoutError, match=named):
        spark.impex.export(folders=["my-folder"])


def test_unknown_service_fails_at_once(sandbox: Any, connect: Any, clock: Any) -> None:
    """The tenant's refusal is raised, without waiting and without a job."""
    with pytest.raises(errors.NotFoundError, match="SERVICE_NOT_FOUND"):
        connect(sandbox()).impex.export(services=["my-folder/no-such-service"])

    assert clock.waits == []


@pytest.mark.parametrize("to", [False, True])
def test_a_failed_download_raises(sandbox: Any, connect: Any, tmp_path: Path, to: bool) -> None:
    """A web page instead of a package is never a shorter list of results."""
    spark = connect(sandbox(ending="not_zip", hash_form="none"))

    with pytest.raises(errors.IntegrityError, match="HTML page"):
        spark.impex.export(folders=["my-folder"], to=tmp_path / "o" if to else None)

    assert not to or not list((tmp_path / "o").iterdir())


def test_an_expired_link_is_renewed(sandbox: Any, connect: Any) -> None:
    """A link that expires at once is renewed by the job's status."""
    served = sandbox(url_seconds=0)

    with pytest.raises(errors.ForbiddenError, match="link may have expired"):
        connect(served).impex.export(folders=["my-folder"])

    downloads = [seen for seen in served.requests if seen.origin == "download"]
    assert len(downloads) == 4
    assert len({seen.path for seen in downloads}) == 4


@pytest.mark.parametrize("form", ["md5", "sha1-upper", "sha256-base64", "sha512", "none"])
def test_every_form_of_hash_is_checked(
    sandbox: Any, connect: Any, tmp_path: Path, form: str
) -> None:
    """Whatever the tenant uses, a right package passes."""
    (reply,) = connect(sandbox(hash_form=form)).impex.export(
        folders=["my-folder"], to=tmp_path / "o"
    )

    assert hashlib.sha256(reply.path.read_bytes()).hexdigest()
