"""The three schemes: their headers, renewal, and a refused secret."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import SparkSdkError, UnauthorizedError, UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.spark.http.auth import ApiKey, Bearer, ClientCredentials
from spark_impex_runner.spark.http.response import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

ENDPOINT = "https://keycloak.sit.coherent.global/token"


class Issuer:
    """A token endpoint that issues T1, T2, ... or refuses."""

    def __init__(self, life: Any = 7200, status: int = 200) -> None:
        self.life = life
        self.status = status
        self.asked = 0

    def __call__(self) -> HttpResponse:
        """Answer one token request."""
        self.asked += 1
        data = {"access_token": f"T{self.asked}", "expires_in": self.life}
        if self.status != 200:
            data = {"error": "unauthorized_client", "error_description": "Invalid secret"}
        return HttpResponse(self.status, {}, data, json.dumps(data).encode())


@pytest.fixture
def credentials(
    clock: Any, masker: Masker
) -> Callable[[Callable[[], HttpResponse]], ClientCredentials]:
    """Return a function that makes credentials served by an issuer."""
    return lambda issuer: ClientCredentials(ENDPOINT, issuer, clock, masker)


@pytest.mark.parametrize("text", ["abc.def", "Bearer abc.def", " bearer   abc.def\n"])
def test_a_leading_bearer_is_taken_off(text: str) -> None:
    """A token pasted with its scheme is sent with the scheme once."""
    masker = Masker()

    assert Bearer(text, masker).headers() == {"Authorization": "Bearer abc.def"}
    assert masker.mask("x abc.def") == "x ***"


def test_an_api_key_travels_alone() -> None:
    """No Authorization header goes with a synthetic key, and there is nothing to renew."""
    scheme = ApiKey("k-1", Masker())

    assert scheme.headers() == {"x-synthetic-key": "k-1"}
    assert not scheme.renew(scheme.headers())


@pytest.mark.parametrize("secret", ["", "  ", "a\nb", "a b", "gehe\u00edm"])
def test_invalid_secret_is_refused_unseen(secret: str) -> None:
    """The error names the argument and never its value."""
    for make in (Bearer, ApiKey):
        with pytest.raises(UsageError) as caught:
            make(secret, Masker())

        assert not secret.strip() or secret not in str(caught.value)


def test_token_is_requested_once(credentials: Any, masker: Masker) -> None:
    """Nothing is sent before the first call; the token is masked from then on."""
    issuer = Issuer()
    scheme = credentials(issuer)
    assert issuer.asked == 0

    assert scheme.headers() == scheme.headers() == {"Authorization": "Bearer T1"}
    assert issuer.asked == 1
    assert masker.mask("T1") == "***"


@pytest.mark.parametrize(("life", "good_for"), [(7200, 7139), (60, 29), (None, 239), ("x", 239)])
def test_a_token_is_renewed_before_it_expires(
    credentials: Any, clock: Any, life: Any, good_for: float
) -> None:
    """A new token is requested a minute before the end, or halfway for a short-lived one."""
    issuer = Issuer(life)
    scheme = credentials(issuer)
    scheme.headers()

    clock.wait(good_for)
    assert scheme.headers()["Authorization"] == "Bearer T1"
    clock.wait(1)
    assert scheme.headers()["Authorization"] == "Bearer T2"


def test_refused_token_is_renewed_once(credentials: Any) -> None:
    """Whoever comes second with the old token finds the new one."""
    issuer = Issuer()
    scheme = credentials(issuer)
    old = scheme.headers()

    assert scheme.renew(old)
    assert scheme.renew(old)
    assert scheme.headers() == {"Authorization": "Bearer T2"}
    assert issuer.asked == 2


def test_many_threads_share_one_token_request(credentials: Any) -> None:
    """Eight threads that start together cause one request, however slow its answer."""
    issuer = Issuer()
    second = threading.Barrier(2)

    def slowly() -> HttpResponse:
        with suppress(threading.BrokenBarrierError):
            second.wait(0.1)
        return issuer()

    scheme = credentials(slowly)
    together = threading.Barrier(8)

    def call(_: int) -> dict[str, str]:
        together.wait(10)
        headers: dict[str, str] = scheme.headers()
        return headers

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, range(8)))

    assert found == [{"Authorization": "Bearer T1"}] * 8
    assert issuer.asked == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_secret_is_never_sent_again(credentials: Any, status: int) -> None:
    """The same error is raised each time, after one request."""
    issuer = Issuer(status=status)
    scheme = credentials(issuer)
    errors = []
    for _ in range(3):
        with pytest.raises(UnauthorizedError) as caught:
            scheme.headers()
        errors.append(str(caught.value))

    assert issuer.asked == 1
    assert len(set(errors)) == 1
    assert "unauthorized_client Invalid secret" in errors[0]
    assert ENDPOINT in errors[0]


def test_refusal_without_code_is_confirmed(credentials: Any) -> None:
    """A refusal without an error code is checked with one more request."""
    page = HttpResponse(403, {}, None, b"<html>")
    good = HttpResponse(200, {}, {"access_token": "T", "expires_in": 1})
    replies = [page, good, page, page]
    scheme = credentials(lambda: replies.pop(0))

    with pytest.raises(UnauthorizedError):
        scheme.headers()
    assert scheme.headers() == {"Authorization": "Bearer T"}
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            scheme.renew({"Authorization": "Bearer T"})
    assert replies == []


def test_token_endpoint_error_is_retried(credentials: Any) -> None:
    """A 503 does not judge the secret, so the next call requests again."""
    issuer = Issuer(status=503)
    scheme = credentials(issuer)
    with pytest.raises(Exception, match="HTTP 503"):
        scheme.headers()
    issuer.status = 200

    assert scheme.headers() == {"Authorization": "Bearer T2"}


def test_reply_without_token_fails(clock: Any) -> None:
    """HTML or an empty object from the token endpoint never becomes 'Bearer None'."""
    scheme = ClientCredentials(ENDPOINT, lambda: HttpResponse(200), clock, Masker())

    with pytest.raises(SparkSdkError, match="no access_token"):
        scheme.headers()


@pytest.mark.parametrize("life", [10**400, True, "soon", None, -1, float("nan"), float("inf")])
def test_any_token_lifetime_works(credentials: Callable[..., ClientCredentials], life: Any) -> None:
    """The token is used with any value of ``expires_in``."""
    issuer = Issuer(life)

    assert credentials(issuer).headers() == {"Authorization": "Bearer T1"}


@pytest.mark.parametrize("token", ["\ud83d", "a\nb", "é", "x" * 70_000, {"a": 1}, ""])
def test_unusable_token_is_an_error(
    credentials: Callable[..., ClientCredentials], token: object
) -> None:
    """The error about an invalid token is one line that does not show it."""
    data = {"access_token": token}
    scheme = credentials(lambda: HttpResponse(200, {}, data, b"{}"))

    with pytest.raises(SparkSdkError, match=r"asking .* for a token: ") as caught:
        scheme.headers()

    assert "xxx" not in str(caught.value)
