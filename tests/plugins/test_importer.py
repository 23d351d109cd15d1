"""One import: what is on disk of it however its upload ends, and what its job answers."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spark_impex_runner.errors import (
    ErrorReply,
    RetryTimeoutError,
    SparkApiError,
    SparkSdkError,
    StepError,
    TransportError,
    UsageError,
)
from spark_impex_runner.models import KeyValueStore, Status

importer = importlib.import_module("spark_impex_runner.plugins.import_to.importer")
NOW = datetime(2026, 1, 2, 12, 0, 0, 500, tzinfo=timezone.utc)


def order_of(imports: Any, correlation_id: str | None = "CHG-1") -> Any:
    """Return the import of one service by a client whose requests ``imports`` answers."""
    spark = SimpleNamespace(
        url="https://t",
        clock=SimpleNamespace(now=lambda: NOW, wait=lambda _: None),
        impex=SimpleNamespace(imports=imports),
    )
    request = SimpleNamespace(correlation_id=correlation_id)
    job = SimpleNamespace(memory=KeyValueStore(), request=request, run=SimpleNamespace(id="run-1"))
    mapping = {"source": "f/s", "target": "f/s"}
    order = importer.ImportRequest(
        "p.zip", Path("p.zip"), "ab", (), "uat", [mapping], [mapping], "abort", None, 9.0, 1.0
    )
    return importer.Import(job, spark, order)


def answering(answer: Any, *, busy: bool = False) -> Any:
    """Return a client of imports that answers the upload, or fails."""

    def initiate(*_: Any, **__: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data={"id": answer})

    done = Status("job-1", "closed", data={"outputs": {"services": []}})
    return SimpleNamespace(
        initiate=initiate,
        is_busy=lambda _: busy,
        run_when_free=lambda start, _: start(),
        wait=lambda *_, **__: done,
    )


def refused(status: int) -> SparkApiError:
    """Return the error of an HTTP reply."""
    return SparkApiError.when("refused", ErrorReply(status))


@pytest.mark.parametrize(
    ("error", "busy", "sent"),
    [
        (UsageError("no file"), False, False),
        (refused(400), False, False),
        (refused(429), False, False),
        (refused(503), False, True),
        (refused(503), True, False),
        (TransportError("reset"), False, True),
        (SparkSdkError("no JSON"), False, True),
    ],
)
def test_only_uncertain_import_is_recorded(error: Exception, busy: bool, sent: bool) -> None:
    """One that was certainly refused is forgotten, so that no later run looks for it."""
    order = order_of(answering(error, busy=busy))

    with pytest.raises(type(error)):
        order._upload()

    assert bool(order.record.correlation_id) is sent


@pytest.mark.parametrize(("given", "base"), [("CHG-1", "CHG-1"), (None, "run-1"), ("", "run-1")])
def test_uploads_have_unique_correlation_ids(given: str | None, base: str) -> None:
    """That of the export, or the run's id, with something that no other upload has."""
    order = order_of(answering("job-1"), given)

    records = [(order._upload(), order.record)[1] for _ in range(2)]

    assert {record.correlation_id.rpartition("-")[0] for record in records} == {base}
    assert records[0].correlation_id != records[1].correlation_id
    assert {record.at for record in records} == {"2026-01-02T12:00:00+00:00"}


def test_finished_import_is_recorded() -> None:
    """To the second, and done."""
    order = order_of(answering("job-1"))

    record = order.run()

    assert (record.job_id, record.done, record.at) == ("job-1", True, "2026-01-02T12:00:00+00:00")
    assert order.record == record


@pytest.mark.parametrize(
    ("age", "known"), [(-61.0, False), (-60.0, True), (30.0, True), (3000.0, True), (3001.0, False)]
)
def test_unlisted_import_never_started_if_its_age_is_known(age: float, known: bool) -> None:
    """A clock that is a minute off is normal; older imports are not listed any more."""
    order = order_of(SimpleNamespace(find=lambda *_: ""))
    order._save(importer.ImportRecord("CHG-1", (NOW - timedelta(seconds=age)).isoformat()))

    with nullcontext() if known else pytest.raises(StepError, match="no longer lists imports"):
        assert order.reconcile() == importer.ImportRecord()


def test_lost_import_is_looked_for_twice() -> None:
    """A tenant may list it a moment late; nothing is looked for or written where none was sent."""
    waits: list[float] = []
    order = order_of(SimpleNamespace(find=lambda *_: ""))
    order.spark.clock.wait = waits.append

    order.job.memory = SimpleNamespace(get=lambda _: "", put=pytest.fail)
    assert order.reconcile() == importer.ImportRecord()
    assert waits == []
    order.job.memory = KeyValueStore()
    order._save(importer.ImportRecord("CHG-1", NOW.isoformat()))
    assert order.reconcile() == importer.ImportRecord()
    assert waits == [0.0, 5.0]


def test_found_import_is_not_sent_again() -> None:
    """Neither one that the tenant lists, nor one whose job is known."""
    client = answering(AssertionError("sent again"))
    client.find = lambda *_: "job-9"
    order = order_of(client)
    order._save(importer.ImportRecord("CHG-1", NOW.isoformat()))

    assert order.run().job_id == "job-9"
    order._save(importer.ImportRecord("CHG-1", NOW.isoformat()))
    assert order.reconcile().job_id == "job-9"
    client.find = None
    assert order.run().job_id == "job-9"


@pytest.mark.parametrize(
    ("error", "expected"), [(refused(400), SparkApiError), (TransportError("reset"), StepError)]
)
def test_import_that_never_started_is_forgotten(error: Exception, expected: type) -> None:
    """A refusal keeps the tenant's message; after a lost reply the tenant lists no import."""
    client = answering(error)
    client.find = lambda *_: ""
    order = order_of(client)

    with pytest.raises(expected):
        order._start()

    assert order.record == importer.ImportRecord()


def test_upload_has_what_the_step_asks_for() -> None:
    """The manifest's options, and the digest of what was approved."""
    sent: dict[str, Any] = {}
    client = answering("job-1")
    client.initiate = lambda *_, **more: sent.update(more) or SimpleNamespace(data={"id": "1"})
    order = order_of(client)
    order = replace(order, request=replace(order.request, source_system="nightly"))

    order._upload()

    assert sent.pop("correlation_id") == order.record.correlation_id
    assert sent == {"if_present": "abort", "source_system": "nightly", "sha256": "ab"}


def test_import_is_known_by_its_services() -> None:
    """However the mapping of each is written; other bytes are another import."""
    first, second = order_of(None), order_of(None)
    second.request.mappings[0] = dict(reversed(second.request.mappings[0].items()))

    assert first.key == second.key
    other = replace(second, request=replace(second.request, sha256="cd"))
    assert first.key != other.key


def test_late_import_says_that_it_may_run() -> None:
    """The error keeps the number of status checks and their interval."""
    client = answering("job-1")

    def wait(*_: Any, **__: Any) -> None:
        raise RetryTimeoutError("too slow", retries=7, interval=3.0)

    client.wait = wait

    with pytest.raises(RetryTimeoutError, match="too slow; it may still run") as caught:
        order_of(client)._wait("job-1")

    assert (caught.value.retries, caught.value.interval) == (7, 3.0)


ADDED = {"service_uri_source": "f/s", "status": "Added", "service_uri_destination": "g/s"}
SAME = {"service_uri_source": "f/t", "service_uri_destination": "f/t"}


@pytest.mark.parametrize(
    ("outputs", "results"),
    [
        ({"service_versions": [ADDED, "x"], "services": [SAME]}, [("added", "f/s Added as g/s")]),
        ({"service_versions": [], "services": [SAME]}, [("listed", "f/t listed")]),
        ({"services": [{"service_uri_source": "f/u"}]}, [("listed", "f/u listed")]),
        (None, []),
    ],
)
def test_results_are_those_of_versions(outputs: Any, results: list[tuple[str, str]]) -> None:
    """Or of services, where the tenant lists no version; a new name is shown."""
    assert list(importer._results(Status("1", "closed", data={"outputs": outputs}))) == results


@pytest.mark.parametrize("word", ["failed", "error", "aborted", "rejected", "Cancelled"])
def test_failed_version_fails_the_import(word: str) -> None:
    """Any word that the API uses elsewhere for a failure."""
    client = answering("job-1")
    version = {"service_uri_source": "f/s", "status": word}
    done = Status("job-1", "closed", data={"outputs": {"service_versions": [version]}})
    client.wait = lambda *_, **__: done

    with pytest.raises(StepError, match=f"job-1 failed in part; .* --fresh: f/s {word}"):
        order_of(client).run()
    done.data["outputs"]["service_versions"] *= 21
    with pytest.raises(StepError, match=rf"(f/s {word},? ?){{20}} and 1 more"):
        order_of(client).run()
