"""Read job status payloads, judge them, and explain failures in the tenant's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from spark_impex_runner.errors import SparkSdkError, UriError
from spark_impex_runner.fields import mapping, name, number, objects, text
from spark_impex_runner.models import RemoteFile, ServiceVersion, Status, Verdict
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.uri import Uri
from spark_impex_runner.text import one_line

# Documented: closed, cancelled. Seen in the source of the official SDK: completed. Inferred: the
# statuses of the sibling batch API, which documents them, and other spellings of the same.
_SUCCEEDED = frozenset({"closed", "completed"})
_FAILED = frozenset({"failed", "error", "cancelled", "canceled", "aborted"}) | {
    "closed_by_timeout",
    "completed_by_timeout",
}
_RUNNING = frozenset({"created", "queued", "pending", "in_progress"}) | {
    "processing",
    "running",
    "started",
}


def parse_status(data: Any, retry_after: float | None = None) -> Status:
    """Read a status payload; any list may be null, any field absent or of a wrong type.

    ``retry_after`` is the reply's ``Retry-After`` in seconds. Raises ``SparkSdkError`` if ``data``
    is no JSON object.
    """
    if not isinstance(data, Mapping):
        raise SparkSdkError("the tenant's status reply is not a JSON object; check base_url")
    outputs = mapping(data.get("outputs"))
    return Status(
        id=name(data.get("id")),
        status=text(data.get("status")),
        errors=data.get("errors"),
        warnings=data.get("warnings"),
        files=tuple(_files(outputs.get("files"))),
        services=tuple(_services(outputs.get("services"))),
        service_versions=tuple(_services(outputs.get("service_versions"))),
        correlation_id=text(data.get("correlation_id")) or None,
        source_system=text(data.get("source_system")) or None,
        # In milliseconds (inferred; the SDK types it as a number).
        process_time=number(data.get("process_time")),
        retry_after=retry_after,
        data=data,
    )


def verdict(status: Status) -> Verdict:
    """Return the verdict on an export: DONE needs a final status, no errors, and files.

    A failed job is ``closed`` with ``errors``, too (inferred from the official SDKs). An unknown
    status is PENDING unless it comes with errors.
    """
    result = verdict_without_files(status)
    if result is Verdict.DONE and not status.files:
        return Verdict.FAILED
    return result


def verdict_without_files(status: Status) -> Verdict:
    """Return the verdict on a job without files, such as an import."""
    word = _normalized(status)
    if word in _FAILED:
        return Verdict.FAILED
    if word in _SUCCEEDED:
        return Verdict.FAILED if status.errors else Verdict.DONE
    return Verdict.FAILED if status.errors and not is_known(status) else Verdict.PENDING


def is_known(status: Status) -> bool:
    """Return whether the status is one that this client understands."""
    return _normalized(status) in _SUCCEEDED | _FAILED | _RUNNING


def is_running(word: str) -> bool:
    """Return whether a status word is that of a job that has not ended."""
    return _normalized_word(word) in _RUNNING


def explain(status: Status) -> str:
    """Return the tenant's messages about a failed job, as one line."""
    if messages := _as_text(status.errors) or warnings_text(status):
        return messages
    if _normalized(status) in _SUCCEEDED and not status.files:
        return f"'{one_line(status.status)}' without any file, and no error is given"
    return f"'{one_line(status.status)}', and no error is given"


def warnings_text(status: Status) -> str:
    """Return the tenant's warnings as one line, an empty text if there are none."""
    return _as_text(status.warnings)


def _as_text(messages: Any) -> str:
    try:
        return one_line("; ".join(islice(_flatten(messages), limits.MESSAGES)))
    except RecursionError:
        return "messages that are nested too deeply"


def _normalized(status: Status) -> str:
    return _normalized_word(status.status)


def _normalized_word(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def _flatten(messages: Any) -> Iterator[str]:
    """Yield messages from errors of any shape, since their type is not published."""
    if isinstance(messages, str):
        yield messages
    elif isinstance(messages, list):
        for one in messages:
            yield from _flatten(one)
    elif isinstance(messages, Mapping) and (messages.get("message") or messages.get("code")):
        yield ": ".join(str(messages[key]) for key in ("code", "message") if messages.get(key))
    elif messages:
        yield json.dumps(messages, ensure_ascii=False, default=str)


def _files(found: Any) -> Iterator[RemoteFile]:
    for count, one in enumerate(objects(found)):
        if count == limits.FILES:
            raise SparkSdkError(f"the job offers more than {limits.FILES:,} files, the limit")
        if url := text(one.get("file")):
            if len(url) > limits.LINK:
                most = f"{limits.LINK:,} characters, the limit"
                raise SparkSdkError(f"the job offers a link of more than {most}")
            yield RemoteFile(url, text(one.get("file_hash")) or None)


def _services(found: Any) -> Iterator[ServiceVersion]:
    """Read services and versions; field names were seen in a published package's manifest."""
    for one in objects(found):
        named = _named_by_uri(text(one.get("service_uri_source")))
        yield ServiceVersion(
            folder=text(one.get("folder_source")) or named.folder,
            service=text(one.get("service_source")) or named.service,
            service_id=text(one.get("service_id_source")),
            version=text(one.get("version_source")) or named.version,
            version_id=text(one.get("version_id_source")),
        )


def _named_by_uri(uri: str) -> Uri:
    try:
        return Uri.parse(uri)
    except UriError:
        return Uri()
