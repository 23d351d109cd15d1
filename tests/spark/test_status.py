"""Status payloads are read, judged and explained."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.models import RemoteFile, ServiceVersion, Status, Verdict
from spark_impex_runner.spark.status import (
    explain,
    is_known,
    parse_status,
    verdict,
    verdict_without_files,
    warnings_text,
)

FILES = (RemoteFile("https://h.example/package.zip"),)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["id", "status", "outputs", "files", "services", "errors", "process_time"])


def test_a_whole_payload_is_read() -> None:
    """Every field of the documented shape finds its place."""
    version = {
        "folder_source": "f",
        "service_source": "s",
        "version_source": "0.1.0",
        "service_id_source": "sid",
        "version_id_source": "vid",
    }
    outputs = {
        "files": [{"file": "https://h/x", "file_hash": "AB"}],
        "services": [{"service_uri_source": "f/s"}],
        "service_versions": [version],
    }
    data = {"id": "1", "status": "closed", "process_time": 5, "outputs": outputs}

    words = {"errors": ["no"], "warnings": ["slow"]}

    status = parse_status({**data, **words, "correlation_id": "c"}, 3.0)

    assert (status.id, status.status, status.process_time) == ("1", "closed", 5.0)
    assert (status.errors, status.warnings) == (["no"], ["slow"])
    assert status.files == (RemoteFile("https://h/x", "AB"),)
    assert status.services == (ServiceVersion("f", "s"),)
    assert status.service_versions == (ServiceVersion("f", "s", "sid", "0.1.0", "vid"),)
    assert (status.correlation_id, status.retry_after, status.data["id"]) == ("c", 3.0, "1")


def test_missing_fields_are_empty() -> None:
    """Id, status and correlation id are empty, and an invalid time is None."""
    status = parse_status({"correlation_id": "", "process_time": "5"})

    assert status == Status("", "", data={"correlation_id": "", "process_time": "5"})
    assert (status.correlation_id, status.process_time, status.retry_after) == (None, None, None)


@given(st.dictionaries(KEYS, ANYTHING | st.dictionaries(KEYS, ANYTHING)))
def test_no_object_breaks_the_reader(data: Any) -> None:
    """Null lists, wrong types and missing fields give a status with a verdict."""
    status = parse_status(data)

    assert verdict(status) in Verdict
    assert explain(status).isprintable()


def test_file_without_link_is_skipped() -> None:
    """An entry that cannot be downloaded does not count as one."""
    outputs = {"files": [{"file_hash": "AB"}, {"file": None}, None, {"file": "https://h/x"}]}

    assert parse_status({"outputs": outputs}).files == (RemoteFile("https://h/x"),)


@pytest.mark.parametrize("data", [None, [], "closed", 1])
def test_payload_must_be_object(data: Any) -> None:
    """A reply that cannot be a status is an error, not a pending job."""
    with pytest.raises(SparkSdkError, match="not a JSON object"):
        parse_status(data)


@pytest.mark.parametrize(
    ("word", "errors", "expected"),
    [
        ("closed", None, Verdict.DONE),
        ("completed", [], Verdict.DONE),
        ("Closed", {}, Verdict.DONE),
        ("closed", [{"code": "X"}], Verdict.FAILED),
        ("closed", "no", Verdict.FAILED),
        ("failed", None, Verdict.FAILED),
        ("cancelled", None, Verdict.FAILED),
        ("closed_by_timeout", None, Verdict.FAILED),
        ("in_progress", None, Verdict.PENDING),
        ("In Progress", None, Verdict.PENDING),
        ("in_progress", ["partial"], Verdict.PENDING),
        ("", None, Verdict.PENDING),
        ("archiving", None, Verdict.PENDING),
        ("archiving", ["disk full"], Verdict.FAILED),
    ],
)
def test_status_and_errors_give_verdict(word: str, errors: Any, expected: Verdict) -> None:
    """Success needs a final status without errors; an unknown one fails only with errors."""
    assert verdict(Status("1", word, errors, files=FILES)) is expected


def test_an_export_without_files_has_failed() -> None:
    """An import has none, an export must have one."""
    status = Status("1", "closed")

    assert verdict(status) is Verdict.FAILED
    assert verdict_without_files(status) is Verdict.DONE


WORDS = {
    Verdict.DONE: "closed completed",
    Verdict.FAILED: (
        "failed error cancelled canceled aborted closed_by_timeout completed_by_timeout"
    ),
    Verdict.PENDING: "created queued pending in_progress processing running started",
}


@pytest.mark.parametrize(
    ("word", "expected"),
    [(word, each) for each, message in WORDS.items() for word in message.split()],
)
def test_each_known_status_has_verdict(word: str, expected: Verdict) -> None:
    """In any case, with any separator, and known."""
    for spelt in (word, f" {word.upper()} ", word.replace("_", "-"), word.replace("_", " ")):
        assert verdict(Status("1", spelt, files=FILES)) is expected
        assert is_known(Status("1", spelt))


def test_unknown_statuses_are_not_known() -> None:
    """Only documented and inferred statuses are known."""
    assert is_known(Status("1", "in-progress"))
    assert not is_known(Status("1", "archiving"))


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ("just text", "just text"),
        ([{"type": "t", "code": "C", "message": "m"}], "C: m"),
        ([{"message": "one"}, "two"], "one; two"),
        ({"code": "C"}, "C"),
        ({"service": "f/s"}, '{"service": "f/s"}'),
        (["line\nbreak"], "line break"),
    ],
)
def test_errors_of_any_shape_become_one_line(errors: Any, message: str) -> None:
    """The tenant's messages are kept."""
    assert explain(Status("1", "closed", errors)) == message


def test_failure_without_message_names_status() -> None:
    """Without errors the warnings explain a failure, then the status."""
    assert explain(Status("1", "failed", None, ["slow"])) == "slow"
    assert explain(Status("1", "failed")) == "'failed', and no error is given"
    assert explain(Status("1", "closed")) == "'closed' without any file, and no error is given"
    assert explain(Status("1", "closed", files=FILES)) == "'closed', and no error is given"


@pytest.mark.parametrize(
    "files", [[{"file": "https://h/x"}] * 1001, [{"file": f"https://h/{'x' * 16_384}"}]]
)
def test_offer_has_limits(files: list[Any]) -> None:
    """A job that offers files or links without an end is refused, with the limit."""
    with pytest.raises(SparkSdkError, match=r"the job offers .*(1,000|16,384).*, the limit"):
        parse_status({"id": "1", "outputs": {"files": files}})


def test_link_of_the_greatest_length_is_read() -> None:
    """The limit itself is allowed."""
    link = "https://h/".ljust(16_384, "x")

    assert parse_status({"outputs": {"files": [{"file": link}]}}).files == (RemoteFile(link),)


def test_messages_have_limits() -> None:
    """Many or deeply nested messages give one line, and no internal error."""
    nested: Any = "x"
    for _ in range(sys.getrecursionlimit()):
        nested = [nested]

    assert explain(Status("1", "failed", nested)) == "messages that are nested too deeply"
    assert len(explain(Status("1", "failed", ["no"] * 100_000))) == 500
    assert warnings_text(Status("1", "closed", None, {"a": [1, "b\n"]})) == '{"a": [1, "b\\n"]}'
