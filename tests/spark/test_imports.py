"""Imports: the form on the wire, and the wait for the job."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.spark.http.multipart import MultipartUpload
from spark_impex_runner.spark.imports import Imports

if TYPE_CHECKING:
    from pathlib import Path

ENTITY = {
    "inputs": {
        "services_modify": [
            {
                "service_uri_source": "f/s[1.0.0]",
                "service_uri_destination": "f/s[1.0.0]",
                "update_version_type": "minor",
            }
        ]
    },
    "services_existing": "add_version",
    "source_system": "spark-impex-runner",
    "correlation_id": None,
}


class Pipe(io.RawIOBase):
    """A stream that can be read once and not rewound."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        return self._left.readinto(buffer)


def parts(seen: Any) -> list[tuple[str, bytes]]:
    """Return names and contents of a multipart body, in their order."""
    boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
    found = []
    for part in seen.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'; name="(\w+)"', head)
        found.append((name[1].decode() if name else "", content.removesuffix(b"\r\n")))
    return found


def test_package_moves_between_sandboxes(sandbox: Any, connect: Any, tmp_path: Path) -> None:
    """What was exported with ``migrate`` is imported under another name and can be exported."""
    spark = connect(sandbox(job_seconds=2))
    (exported,) = spark.impex.export(services=["my-folder/my-service[0.4.2]"], to=tmp_path)
    moved = {"source": "my-folder/my-service[0.4.2]", "target": "my-other-folder/copy"}

    status = spark.impex.import_(moved, exported.path)

    assert status.data["status"] == "closed"
    assert spark.impex.export(services=["my-other-folder/copy"])[0].buffer


@pytest.mark.parametrize("kind", ["path", "text path", "file", "read file", "pipe"])
def test_form_equals_that_of_sdk(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, kind: str
) -> None:
    """The entity precedes the file, and each file is sent from its beginning."""
    server = script(reply({"object": "import", "id": "1"}))
    path = tmp_path / "p.zip"
    path.write_bytes(b"PK-content")
    sources: dict[str, Any] = {"path": path, "text path": str(path), "pipe": Pipe(b"PK-content")}
    read = io.BytesIO(b"PK-content")
    read.read()
    sources |= {"file": io.BytesIO(b"PK-content"), "read file": read}

    Imports(session_to(server)).initiate("f/s[1.0.0]", sources[kind])

    (entity_name, entity), file = parts(server.seen[0])
    assert (entity_name, file) == ("importRequestEntity", ("file", b"PK-content"))
    assert json.loads(entity) == ENTITY


def test_length_is_known_before_the_first_byte(session_to: Any, script: Any, reply: Any) -> None:
    """No chunked transfer: Content-Length is what arrives."""
    server = script(reply({"id": "1"}))

    Imports(session_to(server)).initiate("f/s", io.BytesIO(b"PK"))

    seen = server.seen[0]
    assert int(seen.headers["content-length"]) == len(seen.body)
    assert "transfer-encoding" not in seen.headers


def test_a_token_is_obtained_before_the_upload(sandbox: Any, connect: Any) -> None:
    """The package is sent once, not first with wrong credentials."""
    served = sandbox()
    client = {"client_id": served.client_id, "client_secret": served.client_secret}
    package = connect(served).impex.export(services=["my-folder/my-service"])[0].buffer
    served.requests.clear()

    connect(served, oauth=client).impex.imports.initiate(
        "my-folder/my-service", io.BytesIO(package)
    )

    calls = [(seen.path.rpartition("/")[2], seen.status) for seen in served.requests]
    assert calls == [("token", 200), ("import", 200)]


def test_form_can_be_sent_twice(tmp_path: Path) -> None:
    """After a renewed token the second body is as whole as the first."""
    path = tmp_path / "p"
    path.write_bytes(bytes(3 << 20))
    with path.open("rb") as file:
        form = MultipartUpload(file, {"importRequestEntity": b"{}"})

        assert b"".join(form) == b"".join(form)
        assert len(b"".join(form)) == len(form)


def test_memory_does_not_grow_with_the_upload(tmp_path: Path) -> None:
    """64 MiB are read through a few MiB."""
    path = tmp_path / "p"
    path.write_bytes(bytes(64 << 20))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            total = sum(map(len, MultipartUpload(file, {"importRequestEntity": b"{}"})))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert total > 64 << 20
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("destination", "pairs"),
    [
        ("a/b", [("a/b", "a/b", "minor")]),
        (["a/b", {"source": "c/d"}], [("a/b", "a/b", "minor"), ("c/d", "c/d", "minor")]),
        (
            {"source": "a/b", "target": "x/y", "upgrade": "major"},
            [("a/b", "x/y", "major")],
        ),
    ],
)
def test_every_form_of_destination_is_understood(
    session_to: Any, script: Any, reply: Any, destination: Any, pairs: Any
) -> None:
    """A text, a mapping and a list of both, as in the SDK."""
    server = script(reply({"id": "1"}))

    Imports(session_to(server)).initiate(destination, io.BytesIO(b"PK"))

    entity = json.loads(parts(server.seen[0])[0][1])
    found = [tuple(one.values()) for one in entity["inputs"]["services_modify"]]
    assert found == pairs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"destination": []}, "destination is empty"),
        ({"destination": ""}, "needs 'source'"),
        ({"destination": {"target": "a/b"}}, "needs 'source'"),
        ({"destination": {"source": "a/b", "upgrade": "huge"}}, "major, minor, patch"),
        ({"if_present": "update"}, "abort, replace, add_version"),
        ({"file": io.StringIO("PK")}, "mode 'rb'"),
        ({"file": "/no/such/package.zip"}, "cannot be read"),
    ],
)
def test_invalid_import_is_not_sent(
    session_to: Any, script: Any, reply: Any, arguments: Any, message: str
) -> None:
    """The error names the allowed values, and nothing reaches the tenant."""
    server = script(reply())
    usable = {"destination": "a/b", "file": io.BytesIO(b"PK")}

    with pytest.raises(errors.UsageError, match=message):
        Imports(session_to(server)).initiate(**{**usable, **arguments})

    assert not server.seen


def test_server_refusal_is_raised(session_to: Any, script: Any, reply: Any) -> None:
    """A failed upload raises the API's error, not one of the transport."""
    body = {"type": "invalid_input", "code": "EXCEEDED_FILE_SIZE", "message": "250 MB is too big"}
    server = script(reply(body, status=500))

    with pytest.raises(errors.InternalServerError, match="EXCEEDED_FILE_SIZE: 250 MB"):
        Imports(session_to(server)).initiate("f/s", io.BytesIO(b"PK"))


def test_an_import_that_fails_ends_the_wait(sandbox: Any, connect: Any) -> None:
    """``abort`` on a service that exists closes with errors, which are the message."""
    spark = connect(sandbox())
    package = io.BytesIO(spark.impex.export(services=["my-folder/my-service"])[0].buffer)

    with pytest.raises(errors.JobError, match="import job"):
        spark.impex.imp("my-folder/my-service", package, if_present="abort")


def test_reply_without_id_fails(session_to: Any, script: Any, reply: Any) -> None:
    """The error says that the import may run."""
    with pytest.raises(errors.SparkSdkError, match="no job id"):
        Imports(session_to(script(reply({})))).initiate("f/s", io.BytesIO(b"PK"))


def test_describe_returns_the_listing(sandbox: Any, connect: Any) -> None:
    """``describe`` returns the tenant's listing of import jobs."""
    data = connect(sandbox()).impex.imports.describe().data

    assert data["tenant"]["configuration"]["import_api_job_limit"] == 1


STATUS = {"id": "1", "status": "in_progress"}
NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


def test_a_wait_tolerates_transient_failures(session_to: Any, script: Any, reply: Any) -> None:
    """Looks that fail do not end it, and a good one after them does."""
    outputs = {"services": [{"service_uri_source": "f/s"}]}
    done = {**STATUS, "status": "closed", "errors": None, "outputs": outputs}
    server = script(reply(STATUS), reply(status=503), reply(status=502), reply(done))

    status = Imports(session_to(server)).wait("1", deadline=60, interval=5)

    assert (status.status, len(server.seen)) == ("closed", 4)


@pytest.mark.parametrize(
    ("status", "code", "tolerated"),
    [(503, "", True), (404, "", True), (400, "", True), (400, "BAD", False), (500, "", True),
     (404, "NOT_FOUND", True), (500, "INVALID_JOB_ID", True)],
)  # fmt: skip
def test_only_certain_failure_ends_wait(
    session_to: Any, script: Any, reply: Any, status: int, code: str, tolerated: bool
) -> None:
    """A transient fault, a page in the way, and an answer that denies the job do not."""
    outputs = {"services": [{"service_uri_source": "f/s"}]}
    done = {**STATUS, "status": "closed", "errors": None, "outputs": outputs}
    server = script(reply({"code": code}, status=status), reply(done))
    wait = partial(Imports(session_to(server)).wait, "1", deadline=60, interval=5)

    if tolerated:
        assert wait().status == "closed"
    else:
        with pytest.raises(errors.BadRequestError):
            wait()


@pytest.mark.parametrize(
    ("refused", "checks"),
    [({"errorCode": "INVALID_TOKEN"}, 1), ({"code": "INVALID_JOB_ID"}, 2), (b"<p>Sign in", 2)],
)
def test_refusal_ends_wait(
    session_to: Any, script: Any, reply: Any, refused: Any, checks: int
) -> None:
    """An API error is raised at once; a denied job or a page must be confirmed."""
    server = script(reply(refused, status=403))

    with pytest.raises(errors.ForbiddenError):
        Imports(session_to(server)).wait("1", deadline=60, interval=5)

    assert len(server.seen) == checks


@pytest.mark.parametrize(
    "doubtful",
    [
        {**STATUS, "status": "failed", "errors": None},
        {**STATUS, "status": "closed", "errors": None, "outputs": None},
        b"<p>Sign in",
    ],
)
def test_one_doubtful_reply_continues_import(
    session_to: Any, script: Any, reply: Any, doubtful: Any
) -> None:
    """One doubtful reply does not end the wait for a running job."""
    outputs = {"services": [{"service_uri_source": "f/s"}]}
    done = {**STATUS, "status": "closed", "errors": None, "outputs": outputs}
    server = script(reply(doubtful), reply(STATUS), reply(doubtful), reply(done))

    status = Imports(session_to(server)).wait("1", deadline=60, interval=5)

    assert (len(status.services), len(server.seen)) == (1, 4)


def test_outage_ends_after_ten_minutes(
    session_to: Any, script: Any, reply: Any, clock: Any
) -> None:
    """Then the failure itself is raised, well before the deadline."""
    server = script(*[reply(status=503)] * 200)

    with pytest.raises(errors.ServiceUnavailableError):
        Imports(session_to(server)).wait("1", deadline=7200, interval=30)

    assert clock.monotonic() == 600


def test_wait_ends_at_deadline(session_to: Any, script: Any, reply: Any, clock: Any) -> None:
    """The last check is at the deadline itself."""
    server = script(*[reply(STATUS)] * 20)

    with pytest.raises(errors.RetryTimeoutError, match="still 'in_progress' after 42 s"):
        Imports(session_to(server)).wait("1", deadline=42, interval=5)

    assert clock.monotonic() == 42


def test_job_is_found_by_correlation_id(session_to: Any, script: Any, reply: Any) -> None:
    """The statuses of active and recent jobs are read until one matches."""
    listing = {"in_progress_imports": [{"id": "a"}], "recent_imports": [{"id": "b"}, {"id": "c"}]}
    checks = [reply({"id": each, "correlation_id": f"id of {each}"}) for each in "abc"]

    found = Imports(session_to(script(reply(listing), *checks))).find("id of b", NOW)
    missing = Imports(session_to(script(reply(listing), *checks))).find("another", NOW)

    assert (found, missing) == ("b", "")


@pytest.mark.parametrize(
    "listing", [[], {}, {"recent_exports": []}, {"recent_imports": None}, {"recent_imports": []}]
)
def test_listing_of_unknown_form_fails(
    session_to: Any, script: Any, reply: Any, listing: Any
) -> None:
    """That no job is in it would prove nothing."""
    with pytest.raises(errors.SparkSdkError, match="in an unknown form"):
        Imports(session_to(script(reply(listing)))).find("x", NOW)


@pytest.mark.parametrize(("minutes", "sent"), [(5, 0), (60, 55), (-60, 0), (60, -90), (6000, 0)])
def test_job_without_correlation_id_is_ambiguous(
    session_to: Any, script: Any, reply: Any, minutes: int, sent: int
) -> None:
    """That no job has the id proves nothing where a tenant drops ids, or a clock is wrong."""
    listing = {"in_progress_imports": [], "recent_imports": [created(minutes)]}
    server = script(reply(listing), reply({"id": "a"}))

    with pytest.raises(errors.SparkSdkError, match=r"import job a .* has no correlation id"):
        Imports(session_to(server)).find("x", NOW - timedelta(minutes=sent))


def test_older_job_is_ignored(session_to: Any, script: Any, reply: Any) -> None:
    """Ages are compared, that of the job by the tenant's own clock."""
    listing = {"in_progress_imports": [], "recent_imports": [created(minutes=60)]}

    server = script(reply(listing), reply({"id": "a"}))

    assert Imports(session_to(server)).find("x", NOW - timedelta(minutes=45)) == ""


def created(minutes: int) -> dict[str, Any]:
    """Return a listed job that was created so long ago by the clock of the scripted server."""
    when = datetime.now(timezone.utc) - timedelta(minutes=minutes)
    return {"id": "a", "data": {"created_timestamp": when.isoformat()}}


def test_an_upload_ends_when_the_run_does(
    session_to: Any, script: Any, reply: Any, clock: Any
) -> None:
    """The next piece of the file is not sent any more."""
    server = script(reply({"id": "1"}))
    session = session_to(server)
    clock.stop(15)

    with pytest.raises(errors.Interrupted):
        Imports(session).initiate("a/b", io.BytesIO(bytes(5 << 20)))


def test_package_waits_for_free_slot(session_to: Any, script: Any, reply: Any) -> None:
    """After a refusal the job count decides when to upload again."""
    busy = {"code": "IMPORT_JOB_LIMIT_REACHED", "message": "another import job is running"}
    full, free = ({"tenant": {"status": {"import_api_jobs_in_progress": n}}} for n in (1, 0))
    server = script(
        reply(busy, status=409), reply(full), reply(full), reply(free), reply({"id": "1"})
    )
    imports = Imports(session_to(server))

    imports.run_when_free(lambda: imports.initiate("a/b", io.BytesIO(b"PK")), 60)

    assert [seen.method for seen in server.seen] == ["POST", "GET", "GET", "GET", "POST"]
