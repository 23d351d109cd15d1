"""``Spark``: where arguments and the environment meet, and what it never shows."""

from __future__ import annotations

import inspect
from typing import Any

import cspark.sdk  # type: ignore[import-untyped]
import pytest

from spark_impex_runner import Spark, errors
from spark_impex_runner.clock import Clock
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Auth, Connection

BASE = "https://excel.sit.coherent.global/acme"


def test_the_environment_is_enough(sandbox: Any, monkeypatch: Any) -> None:
    """``CSPARK_*`` variables give address and credentials."""
    served = sandbox()
    monkeypatch.setenv("CSPARK_BASE_URL", served.base_url)
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", f"Bearer {served.token}")

    with Spark() as spark:
        assert spark.impex.exports.job_limit() == 1


def test_arguments_win_over_environment(monkeypatch: Any) -> None:
    """A stray variable changes neither the tenant nor the credentials."""
    monkeypatch.setenv("CSPARK_BASE_URL", "https://excel.prod.coherent.global/other")
    monkeypatch.setenv("CSPARK_API_KEY", "stray")

    with Spark(env="sit", tenant="acme", token="t0ken") as spark:
        assert (spark.url, spark.tenant) == (BASE, "acme")
        assert spark.session.scheme.headers() == {"Authorization": "Bearer t0ken"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token": "t"}, "CSPARK_BASE_URL"),
        ({"token": "t", "env": "sit"}, "tenant"),
        ({"base_url": BASE}, "CSPARK_CLIENT_ID"),
        ({"base_url": BASE, "oauth": {"client_id": "x"}}, "client_secret"),
        ({"base_url": BASE, "token": "t", "max_retries": 0}, "max_retries"),
        ({"base_url": BASE, "token": "t", "timeout": 0}, "timeout"),
    ],
)
def test_invalid_client_is_refused(arguments: Any, message: str) -> None:
    """The error names what is missing."""
    with pytest.raises(errors.UsageError, match=message):
        Spark(**arguments)


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (Auth(token="t"), {"Authorization": "Bearer t"}),
        (Auth(api_key="k"), {"x-synthetic-key": "k"}),
    ],
)
def test_a_connection_becomes_a_client(auth: Auth, headers: dict[str, str]) -> None:
    """Every field of a manifest's connection has its effect."""
    clock, masker = Clock(), Masker()
    connection = Connection(
        "sit", env="sit", tenant="acme", auth=auth, timeout=7, requests_per_second=4
    )

    with Spark.connect(connection, clock, masker) as spark:
        http = spark.session.http
        assert spark.url == BASE
        assert spark.session.scheme.headers() == headers
        assert (http.clock, http.masker) == (clock, masker)
        assert (http.transport._timeout, http.limiter._gap) == (7, 0.25)


def test_a_connection_with_client_credentials_works(sandbox: Any) -> None:
    """The run's masker knows the secret before its first use, and the token after."""
    served, masker = sandbox(), Masker()
    auth = Auth(client_id=served.client_id, client_secret=served.client_secret)
    connection = Connection("sandbox", base_url=served.base_url, auth=auth)

    with Spark.connect(connection, Clock(), masker) as spark:
        assert masker.mask(served.client_secret) == "***"
        spark.impex.exports.describe()
        token = spark.session.scheme.headers()["Authorization"].partition(" ")[2]

    assert masker.mask(token) == "***"


def test_nothing_printed_holds_a_secret() -> None:
    """Repr and str of client, session and resources show where, never who."""
    with Spark(base_url=BASE, oauth={"client_id": "i", "client_secret": "s3cret"}) as spark:
        shown = repr([spark, spark.session, spark.impex, spark.impex.exports, vars(spark)])

    assert "s3cret" not in shown
    assert repr(spark) == f"Spark('{BASE}')"


@pytest.mark.parametrize(
    "path",
    [
        *(f"exports.{name}" for name in ("initiate", "get_status", "cancel", "download")),
        *(f"imports.{name}" for name in ("initiate", "get_status", "describe")),
        "exports.describe",
        "export",
        "import_",
    ],
)
def test_every_argument_of_the_sdk_is_understood(path: str) -> None:
    """Names of methods and parameters are those of the official SDK."""
    with Spark(base_url=BASE, token="t") as spark:
        ours: Any = spark.impex
    with cspark.sdk.Client(base_url=BASE, token="t", logger=False) as client:
        theirs: Any = client.impex
    for name in path.split("."):
        ours, theirs = getattr(ours, name), getattr(theirs, name)

    missing = inspect.signature(theirs).parameters.keys() - inspect.signature(ours).parameters
    assert not missing


def test_the_short_names_of_the_sdk_exist() -> None:
    """``exp`` and ``imp`` are the SDK's first names for the two calls."""
    with Spark(base_url=BASE, token="t") as spark:
        assert spark.impex.exp == spark.impex.export
        assert spark.impex.imp == spark.impex.import_
