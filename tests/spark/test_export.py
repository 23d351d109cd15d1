"""Exports: the request's exact bytes, and the calls around a job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.models import Request
from spark_impex_runner.spark.exports import Exports
from spark_impex_runner.spark.request import build_request, encode
from spark_impex_runner.spark.uri import Uri

ID = "2c1b0a34-0000-4000-8000-00000000000a"
V4 = "/acme/api/v4/export"


def test_smallest_request_equals_sdk() -> None:
    """Field order, compact separators and the explicit null are those of the official SDK."""
    body = encode(Request(services=("f/s",), source_system="Spark Python SDK"))

    assert body == (
        b'{"inputs":{"services":["f/s"]},"file_filter":"migrate","version_filter":"latest",'
        b'"source_system":"Spark Python SDK","correlation_id":null}'
    )


def test_a_full_request_holds_every_field() -> None:
    """Names outside ASCII travel as UTF-8; ``file_name`` comes last and only when given."""
    request = Request(
        ("lebensl\u00e4nglich",), ("f/s",), (ID,), "onpremises", "all", "ci", "CHG-1", "stem"
    )

    assert (
        encode(request)
        == (
            '{"inputs":{"folders":["lebensl\u00e4nglich"],"services":["f/s"],"version_ids":["'
            + ID
            + '"]},'
            '"file_filter":"onpremises","version_filter":"all","source_system":"ci",'
            '"correlation_id":"CHG-1","file_name":"stem"}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(), "nothing to export"),
        (Request(folders=("f",), file_filter="onprem"), "migrate, onpremises"),
        (Request(folders=("f",), version_filter="newest"), "latest, all"),
    ],
)
def test_invalid_request_is_not_sent(request_: Request, message: str) -> None:
    """The error names the allowed values."""
    with pytest.raises(errors.UsageError, match=message):
        encode(request_)


def test_each_uri_form_is_placed() -> None:
    """Ids are sent bare, those of versions among the version ids, and none twice."""
    texts = ["f/s", f"service/{ID}", f"version/{ID}", "folders/f/services/s", "f/s?1.2", "f/s"]

    request = build_request(map(Uri.parse, texts), folders=("life",), version_ids=("v",))

    assert request.services == ("f/s", ID, "f/s[1.2]")
    assert request.version_ids == ("v", ID)
    assert request.folders == ("life",)


def test_single_calls_work_as_sdk(sandbox: Any, connect: Any) -> None:
    """initiate, get_status and download, with the SDK's own ways to read their replies."""
    served = sandbox(job_seconds=5)
    exports = connect(served).impex.exports

    job = exports.initiate(services=["my-folder/my-service[0.4.2]"], file_filter="onpremises")
    status = exports.get_status(job_id=job.data["id"], max_retries=5, retry_interval=3)
    downloads = exports.download([file["file"] for file in status.data["outputs"]["files"]])

    assert job.data["object"] == "export"
    assert status.data["status"] == "closed"
    assert [(one.status, one.buffer[:2]) for one in downloads] == [(200, b"PK")]
    assert served.requests[0].body == encode(
        Request(services=("my-folder/my-service[0.4.2]",), file_filter="onpremises")
    )


def test_links_are_masked_at_once(sandbox: Any, connect: Any, masker: Any) -> None:
    """After one status request of a finished job its download token is masked."""
    exports = connect(sandbox()).impex.exports
    status = exports.status(exports.create(Request(folders=("my-folder",))).id)

    masked = masker.mask(status.files[0].url)

    assert "/tokens/***/" in masked
    assert "tokens" not in repr(status)


def test_wait_is_steady(sandbox: Any, connect: Any, clock: Any) -> None:
    """A job of 7 s is done at the fourth status request, 3 s apart."""
    exports = connect(sandbox(job_seconds=7)).impex.exports
    job = exports.create(Request(folders=("my-folder",)))

    exports.get_status(job.id, retry_interval=3)

    assert clock.waits == [3, 3, 3]


def test_last_check_ends_wait(sandbox: Any, connect: Any, clock: Any) -> None:
    """Three checks have two pauses; the error names the limit."""
    exports = connect(sandbox(job_seconds=60)).impex.exports
    job = exports.create(Request(folders=("my-folder",)))

    with pytest.raises(errors.RetryTimeoutError, match=job.id) as caught:
        exports.get_status(job.id, max_retries=3, retry_interval=2.5)

    assert clock.waits == [2.5, 2.5]
    assert (caught.value.retries, caught.value.interval) == (3, 2.5)


def test_default_wait_is_half_an_hour(sandbox: Any, connect: Any, clock: Any) -> None:
    """The last pause is cut at the deadline, and a last check follows it."""
    served = sandbox(job_seconds=7200)
    exports = connect(served).impex.exports
    job = exports.create(Request(folders=("my-folder",)))

    with pytest.raises(errors.RetryTimeoutError):
        exports.get_status(job.id, retry_interval=700)

    assert clock.waits == [700, 700, 400]
    assert len(served.requests) == 1 + 4


def test_the_server_may_slow_the_wait_down(
    session_to: Any, script: Any, reply: Any, clock: Any
) -> None:
    """Retry-After of a status reply wins over a shorter interval."""
    done = {"id": "1", "status": "closed", "outputs": {"files": [{"file": "https://h/p.zip"}]}}
    running = reply({"id": "1", "status": "created"}, headers={"Retry-After": "9"})

    Exports(session_to(script(running, reply(done)))).get_status("1")

    assert clock.waits == [9]


@pytest.mark.parametrize("ending", ["errors", "failed", "cancelled", "null_outputs"])
def test_failed_job_ends_wait(sandbox: Any, connect: Any, clock: Any, ending: str) -> None:
    """No check follows, and the error has the tenant's messages."""
    exports = connect(sandbox(ending=ending)).impex.exports
    job = exports.create(Request(folders=("my-folder",)))

    with pytest.raises(errors.JobError, match=f"export job {job.id} on .* ended as"):
        exports.get_status(job.id)

    # What the tenant gives no reason for has to be said twice.
    assert clock.waits == ([1.0] if ending == "null_outputs" else [])


def test_echoed_secret_is_masked(session_to: Any, script: Any, reply: Any) -> None:
    """The error of a failed job has the tenant's message without the token."""
    server = script(reply({"id": "1", "status": "failed", "errors": ["no: the-token"]}))

    with pytest.raises(errors.JobError, match=r"no: \*\*\*"):
        Exports(session_to(server)).get_status("1")


def test_an_unknown_status_is_reported_once(
    session_to: Any, script: Any, reply: Any, caplog: Any
) -> None:
    """The wait continues with one warning."""
    server = script(reply({"id": "1", "status": "archiving"}))

    with pytest.raises(errors.RetryTimeoutError):
        Exports(session_to(server)).get_status("1", max_retries=4)

    assert caplog.text.count("archiving") == 1


def test_job_limit_and_correlation_id(sandbox: Any, connect: Any) -> None:
    """Both are read from the tenant's listing."""
    exports = connect(sandbox(job_limit=3)).impex.exports
    wanted = exports.create(Request(folders=("my-folder",), correlation_id="CHG-1"))
    exports.create(Request(folders=("my-folder",), correlation_id="CHG-2"))

    assert exports.job_limit() == 3
    found = {exports.status(each.id).correlation_id: each.id for each in exports.listed()}
    assert set(found) == {"CHG-1", "CHG-2"}
    assert found["CHG-1"] == wanted.id


@pytest.mark.parametrize("listing", [{}, {"tenant": None}, {"tenant": {"configuration": []}}])
def test_a_listing_without_a_limit_means_one(
    session_to: Any, script: Any, reply: Any, listing: Any
) -> None:
    """One job at a time is the documented default."""
    assert Exports(session_to(script(reply(listing)))).job_limit() == 1


@pytest.mark.parametrize("status", [400, 409, 429, 500])
def test_busy_differs_from_other_refusals(sandbox: Any, connect: Any, status: int) -> None:
    """Whatever HTTP status the refusal of a second job has, it is understood."""
    exports = connect(sandbox(job_seconds=60, busy_status=status)).impex.exports
    exports.create(Request(folders=("my-folder",)))

    with pytest.raises(errors.SparkApiError) as busy:
        exports.create(Request(folders=("my-folder",)))
    with pytest.raises(errors.SparkApiError) as missing:
        exports.create(Request(folders=("no-such-folder",)))

    assert exports.is_busy(busy.value)
    assert not exports.is_busy(missing.value)


def test_count_decides_unclear_refusal(session_to: Any, script: Any, reply: Any) -> None:
    """The count decides about a 409, and never about a 500, whose job may be our own."""
    listing = {"tenant": {"status": {"export_api_jobs_in_progress": 1}}}
    exports = Exports(session_to(script(reply(listing))))
    size = errors.ErrorReply(400, "EXCEEDED_FILE_SIZE", details="export job over the size limit")

    assert exports.is_busy(errors.SparkApiError.when("x", errors.ErrorReply(409)))
    assert not exports.is_busy(errors.SparkApiError.when("x", errors.ErrorReply(500)))
    free = Exports(session_to(script(reply({}))))
    assert not free.is_busy(errors.SparkApiError.when("x", size))


def test_unreadable_listing_decides_nothing(session_to: Any, script: Any, reply: Any) -> None:
    """Without permission for the listing the refusal itself is raised."""
    exports = Exports(session_to(script(reply(status=403))))

    assert not exports.is_busy(errors.SparkApiError.when("x", errors.ErrorReply(409)))


def test_reply_without_id_fails(session_to: Any, script: Any, reply: Any) -> None:
    """The error says that a job may run."""
    with pytest.raises(errors.SparkSdkError, match="no job id"):
        Exports(session_to(script(reply({"object": "export"})))).create(Request(folders=("f",)))


def test_a_cancelled_job_says_so(sandbox: Any, connect: Any) -> None:
    """The documented body is sent with PATCH, and the job ends."""
    served = sandbox(job_seconds=60)
    exports = connect(served).impex.exports
    job = exports.create(Request(folders=("my-folder",)))

    assert exports.cancel(job.id).data["id"] == job.id

    seen = served.requests[-1]
    assert (seen.method, json.loads(seen.body)) == ("PATCH", {"export_status": "cancelled"})
    assert exports.status(job.id).status == "cancelled"


@pytest.mark.parametrize(("failures", "cancelled"), [(2, True), (3, False)])
def test_cancel_is_retried_without_pause(
    session_to: Any, script: Any, reply: Any, clock: Any, failures: int, cancelled: bool
) -> None:
    """At most three requests are sent, without pauses."""
    busy = reply(status=503, headers={"Retry-After": "5"})
    exports = Exports(session_to(script(*[busy] * failures, reply({"id": "1"}))))

    if cancelled:
        assert exports.cancel("1").good
    else:
        with pytest.raises(errors.ServiceUnavailableError):
            exports.cancel("1")

    assert clock.waits == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"services": "f/s"},
        {"folders": "f"},
        {"version_ids": ["", "v"]},
        {"services": [None]},
        {"services": ["motor"]},
        {"folders": ["f"], "file_filter": "onprem"},
        {},
    ],
)
def test_invalid_import_is_not_sent(sandbox: Any, connect: Any, arguments: Any) -> None:
    """A text for a list, an unreadable URI or nothing at all never reaches the tenant."""
    served = sandbox()

    with pytest.raises(errors.UsageError):
        connect(served).impex.exports.initiate(**arguments)

    assert not served.requests


@pytest.mark.parametrize("limits", [{"max_retries": 0}, {"retry_interval": -1}])
def test_invalid_wait_limits_are_refused(sandbox: Any, connect: Any, limits: Any) -> None:
    """0 checks does not silently become a default, and nothing is sent."""
    served = sandbox()

    with pytest.raises(errors.UsageError, match=next(iter(limits))):
        connect(served).impex.export(folders=["my-folder"], **limits)

    assert not served.requests
