"""Error bodies of all families, and of none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import SentRequest, SparkApiError
from spark_impex_runner.masking import Masker
from spark_impex_runner.spark.http.response import HttpResponse, api_error, read_error

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["error", "code", "message", "type", "errorCode"]), inner)
    ),
    max_leaves=8,
)


def failed(data: Any, status: int = 400) -> HttpResponse:
    """Return a reply with a JSON body."""
    return HttpResponse(status, {}, data, json.dumps(data).encode())


@pytest.mark.parametrize(
    ("data", "code", "kind", "details"),
    [
        ({"type": "t", "code": "C", "message": "m"}, "C", "t", "m"),
        ({"type": None, "code": "C", "message": None}, "C", "", ""),
        ({"errorCode": "INVALID_TOKEN", "status": "Error"}, "INVALID_TOKEN", "", ""),
        ({"error": {"error_type": "e.x", "message": "MISMATCH"}}, "MISMATCH", "e.x", ""),
        ({"error": "invalid_client", "error_description": "d"}, "invalid_client", "", "d"),
        ({}, "", "", ""),
        ([1], "", "", ""),
    ],
)
def test_each_family_of_error_bodies_is_read(data: Any, code: str, kind: str, details: str) -> None:
    """v4, v3, gateway and token errors give code, type and the server's message."""
    reply_error = read_error(failed(data), "id", Masker())

    assert (reply_error.code, reply_error.type, reply_error.details) == (code, kind, details)


def test_cause_hides_echoed_secrets() -> None:
    """A server may write what it was sent into its error page."""
    masker, sent = Masker(), SentRequest("POST", "https://here/acme", {"x-request-id": "1"})
    masker.add("s3cret-value")
    reply = HttpResponse(500, {}, buffer=b"<p>you sent s3cret-value</p>", request=sent)

    cause = read_error(reply, "1", masker).cause

    assert cause.request == sent
    assert cause.response.body == "<p>you sent ***</p>"
    assert cause.response.raw == b"<p>you sent ***</p>"
    assert read_error(failed({}), "1", masker).cause is None


@given(JSON)
def test_no_error_body_breaks_the_client(data: Any) -> None:
    """Any JSON gives an API error of one printable line."""
    error = api_error(failed(data, 418), "POST x", "id", Masker())

    assert isinstance(error, SparkApiError)
    assert error.status == 418
    assert str(error).isprintable()


def test_web_page_is_not_quoted() -> None:
    """HTML of a proxy is described, not shown."""
    reply = HttpResponse(502, {}, None, b" <html><body>Bad Gateway</body></html>")

    error = api_error(reply, "GET x", "id-1", Masker())

    assert str(error) == "GET x: HTTP 502 the reply is an HTML page (request id id-1)"


@pytest.mark.parametrize(
    ("data", "todo"),
    [
        ({"code": "NO_PERMISSION"}, "; the credentials lack a permission for this; ask the "),
        (None, "; a proxy may refuse the request, or the credentials lack a permission"),
    ],
)
def test_page_is_not_api_error(data: Any, todo: str) -> None:
    """The advice for a 403 without an error code mentions a proxy."""
    error = api_error(failed(data, 403), "GET x", "", Masker())

    assert todo in str(error)


def test_a_long_wait_is_in_the_message() -> None:
    """The message has the server's ``Retry-After``, also an excessive one."""
    reply = HttpResponse(503, {"Retry-After": "7200"})

    assert str(api_error(reply, "GET x", "", Masker())) == (
        "GET x: HTTP 503 (the server asks to wait 7200 s)"
    )


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://me:s3cret@login.example/x?state=s3cret", "login.example"),
        ("/elsewhere", "another path"),
        ("http://[bad", "another path"),
    ],
)
def test_redirect_error_names_host(location: str, host: str) -> None:
    """The message shows only the host of a Location."""
    reply = HttpResponse(302, {"Location": location})

    error = api_error(reply, "GET x", "", Masker())

    assert str(error) == f"GET x: HTTP 302 a redirect to {host}; check base_url"


def test_error_is_masked_and_bounded() -> None:
    """A server that echoes the key, at length, cannot leak it or flood the screen."""
    masker = Masker()
    masker.add("s3cret")

    error = api_error(failed({"message": "s3cret " * 1000}), "GET x", "id", masker)

    assert "s3cret" not in str(error)
    assert len(error.details) == 500


def test_repr_shows_status_and_path() -> None:
    """Job data hold links, and headers may hold cookies: neither is in repr."""
    reply = HttpResponse(200, {"Set-Cookie": "s3cret"}, {"file": "s3cret"}, b"s3cret")

    assert repr(reply) == "HttpResponse(status=200, path=None)"
