"""What is on disk of an import when its upload ends in one way or another."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spark_impex_runner.errors import (
    ErrorReply,
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
    order = importer.ImportRequest(Path("p.zip"), "ab", "uat", [mapping], "abort", None, 9.0, 1.0)
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
