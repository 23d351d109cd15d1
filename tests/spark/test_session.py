"""API calls: headers, repeats, renewal, errors, limiter."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.http.session import Body, RateLimiter


def test_call_has_identifying_headers(session_to: Any, script: Any, reply: Any) -> None:
    """Credentials, tenant, agent and a request id travel with each call."""
    server = script(reply({"ok": True}))

    assert session_to(server).get("api", "v4", "x y").data == {"ok": True}

    seen = server.seen[0]
    assert seen.path == "/acme/api/v4/x%20y"
    assert seen.headers["authorization"] == "Bearer the-token"
    assert seen.headers["x-tenant-name"] == "acme"
    assert seen.headers["x-spark-ua"].startswith("agent=spark-impex-runner/")
    assert seen.headers["user-agent"].startswith("spark-impex-runner/")
    assert uuid.UUID(seen.headers["x-request-id"]).version == 4


def test_retry_keeps_request_id(session_to: Any, script: Any, reply: Any, clock: Any) -> None:
    """A transient failure has a pause and keeps the id; the next call has another."""
    server = script(reply(status=503), reply(status=502), reply(), reply())
    session = session_to(server)

    session.get("x")
    session.get("x")

    first, second, third, other = [seen.headers["x-request-id"] for seen in server.seen]
    assert first == second == third != other
    assert clock.waits == [1.0, 2.0]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_write_is_sent_once(
    session_to: Any, script: Any, reply: Any, clock: Any, status: int
) -> None:
    """What may have started a job is never repeated."""
    server = script(reply(status=status))

    with pytest.raises(errors.SparkApiError) as caught:
        session_to(server).post("x", body=Body(b"{}"))

    assert caught.value.status == status
    assert len(server.seen) == 1
    assert clock.waits == []


def test_permanent_500_is_not_retried(session_to: Any, script: Any, reply: Any) -> None:
    """``type: invalid_input`` ends it, and the error carries every field."""
    body = {"type": "invalid_input", "code": "INVALID_JOB_ID", "message": "Please\nmind the-token"}
    server = script(reply(body, status=500))

    with pytest.raises(errors.InternalServerError) as caught:
        session_to(server).get("api", "v4", "export", "1", "status")

    error = caught.value
    assert len(server.seen) == 1
    assert (error.code, error.type) == ("INVALID_JOB_ID", "invalid_input")
    assert error.details == "Please mind ***"
    assert error.request_id == server.seen[0].headers["x-request-id"]
    assert f"GET api/v4/export/1/status on {server.url}/acme: HTTP 500" in str(error)


def test_expired_credentials_are_renewed_once(sandbox: Any, connect: Any, clock: Any) -> None:
    """A token that the tenant calls invalid too early costs one token request and one repeat."""
    served = sandbox(token_seconds=100)
    client = {"client_id": served.client_id, "client_secret": served.client_secret}
    spark = connect(served, oauth=client)
    spark.session.get("api", "v4", "export", "status")
    spark.session.scheme._good_until += 1000  # the tenant's clock runs ahead of ours
    clock.wait(150)

    spark.impex.exports.initiate(folders=["my-folder"])

    calls = [(seen.path.rpartition("/")[2], seen.status) for seen in served.requests]
    assert calls == [
        ("token", 200),
        ("status", 200),
        ("export", 401),
        ("token", 200),
        ("export", 200),
    ]


def test_a_second_401_is_an_error(session_to: Any, script: Any, reply: Any) -> None:
    """A bearer token cannot be renewed: one request, then the error that exits with 6."""
    server = script(reply({"errorCode": "INVALID_TOKEN", "status": "Error"}, status=401))

    with pytest.raises(errors.UnauthorizedError, match=r"INVALID_TOKEN.*check the credentials"):
        session_to(server).get("x")

    assert len(server.seen) == 1


def test_a_wrong_secret_costs_one_token_request(sandbox: Any, connect: Any) -> None:
    """However many calls are made, the refused client is not locked by repeats."""
    served = sandbox()
    spark = connect(served, oauth={"client_id": served.client_id, "client_secret": "wr0ng-one"})

    for _ in range(3):
        with pytest.raises(errors.UnauthorizedError) as caught:
            spark.impex.exports.describe()
        assert "wr0ng-one" not in str(caught.value)

    assert [seen.path.rpartition("/")[2] for seen in served.requests] == ["token"]


@pytest.mark.parametrize(
    ("page", "description"),
    [(b"<html>Sign in</html>", "an HTML page"), (b"\xff\xfe\x00", "no JSON"), (b"OK", "no JSON")],
)
def test_a_success_without_json_is_an_error(
    session_to: Any, script: Any, reply: Any, page: bytes, description: str
) -> None:
    """A login page that answers 200 is named as what it is."""
    with pytest.raises(
        errors.SparkSdkError, match=rf"{description} instead of JSON.*check base_url"
    ):
        session_to(script(reply(page))).get("x")


def test_redirect_of_api_call_fails(session_to: Any, script: Any, reply: Any) -> None:
    """Credentials do not follow; the message names the other host only."""
    location = {"Location": "https://login.example/sso?state=secret"}
    server = script(reply(b"", status=302, headers=location))

    with pytest.raises(errors.UnknownApiError) as caught:
        session_to(server).get("x")

    assert caught.value.status == 302
    assert "a redirect to login.example" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(server.seen) == 1


def test_dead_tenant_is_named(session_to: Any, script: Any, reply: Any, clock: Any) -> None:
    """The error names the call and the tenant without a connection."""
    server = script(reply())
    session = session_to(server)
    server.__exit__()

    with pytest.raises(errors.TransportError, match=r"GET x on .*Connection refused"):
        session.get("x")

    assert clock.waits == [1.0, 2.0, 2.0, 2.0, 2.0]
    server.__exit__ = None


def test_dead_token_endpoint_is_named(sandbox: Any, connect: Any, clock: Any) -> None:
    """The error names the token request that had no connection."""
    served = sandbox()
    spark = connect(served, oauth={"client_id": "i", "client_secret": "s3cret"})
    served.close()

    with pytest.raises(errors.TransportError, match=r"asking http.*/token for a token: .*refused"):
        spark.impex.exports.describe()

    assert clock.waits


def test_token_endpoint_gets_six_requests(script: Any, reply: Any, clock: Any) -> None:
    """The call that needs the token does not repeat what the token's own repeats gave up."""
    server = script(reply(status=503))
    oauth = {"client_id": "i", "client_secret": "s3cret"}

    with (
        Spark(base_url=f"{server.url}/acme", oauth=oauth, clock=clock) as spark,
        pytest.raises(errors.ServiceUnavailableError, match=r"asking http.*/token for a token"),
    ):
        spark.impex.exports.describe()

    assert {seen.path.rpartition("/")[2] for seen in server.seen} == {"token"}
    assert len(server.seen) == 6


def test_requests_keep_their_distance(clock: Any) -> None:
    """At 4 requests a second each waits for its turn, a late one does not."""
    limiter = RateLimiter(clock, 4)

    for _ in range(3):
        limiter.wait()
    clock.wait(10)
    limiter.wait()

    assert clock.waits == [0.25, 0.25, 10]


def test_a_stopping_run_still_says_goodbye(clock: Any) -> None:
    """The cancelling of a job after an interrupt is not held up by the limiter."""
    limiter = RateLimiter(clock, 1)
    limiter.wait()
    clock.stop(2)

    limiter.wait()

    assert clock.waits == []


def test_a_pace_of_zero_is_refused(clock: Any) -> None:
    """No request could ever be sent."""
    with pytest.raises(errors.UsageError, match="requests_per_second"):
        RateLimiter(clock, 0)


def test_the_body_travels_as_it_is(session_to: Any, script: Any, reply: Any) -> None:
    """The bytes given are the bytes sent, with their type and length."""
    server = script(reply())
    body = json.dumps({"a": "ü"}, ensure_ascii=False).encode()

    session_to(server).patch("x", body=Body(body))

    seen = server.seen[0]
    assert (seen.method, seen.body) == ("PATCH", body)
    assert seen.headers["content-type"] == "application/json"
