"""Replies of every kind that JSON allows, and some that it does not: each ends in a known error."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner import fields
from spark_impex_runner.errors import ImpexError, SparkSdkError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Request
from spark_impex_runner.spark.http.auth import Bearer, ClientCredentials, expiry
from spark_impex_runner.spark.http.response import HttpResponse, json_or_none, retry_after
from spark_impex_runner.spark.http.retry import RetryPolicy
from spark_impex_runner.spark.http.session import HttpClient, RateLimiter, Session
from spark_impex_runner.spark.impex import ImpEx
from spark_impex_runner.spark.listing import folders, services, versions
from spark_impex_runner.spark.status import explain, verdict
from spark_impex_runner.spark.tenant import TenantUrl
from spark_impex_runner.spark.uri import version_order
from spark_impex_runner.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    from spark_impex_runner.spark.http.message import HttpRequest

KEYS = [
    "id",
    "status",
    "outputs",
    "files",
    "file",
    "file_hash",
    "services",
    "service_versions",
    "errors",
    "warnings",
    "process_time",
    "correlation_id",
    "progress",
    "data",
    "response_data",
    "response_meta",
    "count",
    "page_total",
    "name",
    "folderName",
    "fileName",
    "version",
    "revision",
    "tenant",
    "configuration",
    "export_api_job_limit",
    "import_api_job_limit",
    "export_api_jobs_in_progress",
    "in_progress_exports",
    "recent_exports",
    "in_progress_imports",
    "recent_imports",
    "created_timestamp",
    "error",
    "message",
    "code",
    "type",
    "errorCode",
    "access_token",
    "expires_in",
    "service_uri_source",
    "folder_source",
]
SCALARS = st.sampled_from(
    [
        *("null", "true", "0", "-1", "1.5", "1e999", "-1e999", "NaN", "Infinity"),
        *("9" * 401, "9" * 5000, "[" * 99 + "]" * 99, "[" * 5000 + "]" * 5000),
        *('"closed"', '"failed"', '"jobs"', '".."', '"a/b?c#d"', '"http://[::1"', '""'),
        *('"x\\n\\u001b[2J"', '"\\ud800"', '"\\u0000"', f'"{"y" * 3000}"', "{}", "[]"),
        *('"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"'),
    ]
)


def _an_object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"


def _nested(inner: Any) -> Any:
    pairs = st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=6)
    lists = st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
    return pairs.map(_an_object) | lists


JSON = st.recursive(SCALARS, _nested, max_leaves=12)
STATUSES = st.sampled_from([200, 200, 200, 204, 400, 401, 409, 429, 500, 503])


class Odd:
    """A transport that answers each request with one reply."""

    def __init__(self, status: int, body: bytes) -> None:
        headers = {"Retry-After": body[:40].decode("latin-1"), "Content-Type": "a/b"}
        self.reply = HttpResponse(status, headers, json_or_none(body), body)

    def send(self, _: HttpRequest) -> HttpResponse:
        """Return the reply."""
        return self.reply


def session(status: int, body: bytes) -> Session:
    """Return a session of a tenant that gives one and the same reply."""
    clock, masker, transport = FakeClock(), Masker(), Odd(status, body)
    http = HttpClient(lambda: transport, clock, masker, RateLimiter(clock), RetryPolicy(attempts=2))  # type: ignore[arg-type]
    return Session(TenantUrl("http://localhost", "acme"), http, Bearer("the-token", masker))


def _message(ask: Any) -> str:
    """Return the message of an error, which must be one of this package."""
    try:
        ask()
    except ImpexError as error:
        return str(error)
    return ""


@settings(max_examples=60)
@given(STATUSES, JSON)
def test_no_reply_breaks_the_client(status: int, text: str) -> None:
    """Each call returns a value or raises one of the package's errors, in one printable line."""
    tenant = session(status, text.encode())
    impex = ImpEx(tenant, 2, 1.0)
    exports, imports = impex.exports, impex.imports
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    token = ClientCredentials("e", lambda: tenant.http.transport.send(None), FakeClock(), Masker())  # type: ignore[arg-type]
    asked: list[Any] = [
        lambda: exports.create(Request(folders=("f",))),
        lambda: exports.get_status("1"),
        lambda: exports.cancel("1"),
        exports.job_limit,
        exports.listed,
        exports.listed_strict,
        exports.has_free_slot,
        lambda: imports.find("c", since),
        lambda: imports.get_status("1"),
        lambda: list(folders(tenant)),
        lambda: list(services(tenant)),
        lambda: list(versions(tenant, "f", "s")),
        token.headers,
    ]

    asked.append(lambda: [explain(each) for each in [exports.status("1")] if verdict(each)])
    messages = [_message(ask) for ask in asked]

    assert all(message.isprintable() for message in messages)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9" * 18, int("9" * 18)),
        ("9" * 19, 1e19),
        ("9" * 401, None),
        ("-" + "9" * 5000, None),
        ("1e999", None),
        ("[NaN, -Infinity, 1.5]", [None, None, 1.5]),
        ('{"\\ud800": "a\\udfffb"}', {"\ufffd": "a\ufffdb"}),
        ("[" * 100 + "]" * 100, ...),
    ],
)
def test_json_holds_only_what_its_readers_expect(text: str, value: Any) -> None:
    """Numbers are finite and of 64 bits, texts are whole."""
    found = fields.parse(text)

    assert value is ... or found == value


@pytest.mark.parametrize(
    "text", ["[" * 101 + "]" * 101, "[" * 100_000, "{", b"\xff", b"\xed\xa0\x80"]
)
def test_deep_or_broken_json_is_none(text: Any) -> None:
    """One error for all of it, which no caller has to guess."""
    with pytest.raises(ValueError, match=r"deep|JSON|decode|Expecting"):
        fields.parse(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5.0),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("5", None),
    ],
)
def test_a_number_is_finite(value: Any, expected: float | None) -> None:
    """A boolean is none, nor is what no float can hold."""
    assert fields.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        ("3", 3),
        (2.0, 2),
        (-1, 0),
        (True, 0),
        ("9" * 5000, 0),
        (10**400, 0),
        (None, 0),
        ([], 0),
    ],
)
def test_a_count_is_whole(value: Any, expected: int) -> None:
    """What counts nothing is 0."""
    assert fields.count(value) == expected


@pytest.mark.parametrize("id_", [".", ".."])
def test_an_id_cannot_leave_its_path(id_: str) -> None:
    """Dot segments would lead to another endpoint, with the tenant's credentials."""
    with pytest.raises(SparkSdkError, match="invalid as a segment"):
        session(200, b"{}").get("api", "v4", "export", id_, "status")


@pytest.mark.parametrize("text", ["9" * 5000, "1e999", "Fri, 31 Dec 9999 23:59:59 -2359", "\u0663"])
def test_retry_after_is_bounded(text: str) -> None:
    """A wait can always be added to a date."""
    found = retry_after({"Retry-After": text}, datetime(2026, 1, 1, tzinfo=timezone.utc))

    assert found is None or 0 <= found <= 366 * 86_400


def test_long_numbers_in_versions_have_an_order() -> None:
    """Python refuses to make an integer of more than 4300 digits."""
    versions_ = ["1." + "9" * 5000, "1.10", "1.9", "1.x", "0.1"]

    assert sorted(versions_, key=version_order) == ["0.1", "1.x", "1.9", "1.10", versions_[0]]
    assert sorted(["1.0", "1.x"], key=version_order) == ["1.x", "1.0"]


def test_invalid_claims_have_no_expiry() -> None:
    """The claims of a JWT were never validated."""
    import base64  # noqa: PLC0415

    for claims in (b'{"exp": 1e999}', b'{"exp": ' + b"9" * 401 + b"}", b"[" * 5000, b"[]"):
        assert expiry(f"a.{base64.urlsafe_b64encode(claims).decode()}.b") is None
