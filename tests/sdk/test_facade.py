"""What programs of the official SDK find besides its calls, and what they do not find."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any

import cspark.sdk as official  # type: ignore[import-untyped]
import pytest

import spark_impex_runner.sdk as Spark  # noqa: N812 - as programs write it
from spark_impex_runner import errors
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.sdk.outside import NAMES
from tests.conftest import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "https://excel.sit.coherent.global/acme"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve the example tenant."""
    with Sandbox(EXAMPLES / "tenant", Settings(tenant="acme", job_seconds=0)) as served:
        yield served


def client(sandbox: Sandbox, **options: Any) -> Spark.Client:
    """Return a client of the sandbox."""
    return Spark.Client(base_url=sandbox.base_url, logger=False, **options)


def test_every_public_name_is_known() -> None:
    """A class of the SDK is here, or is one that names what is outside."""
    theirs = {name for name, each in vars(official).items() if callable(each)}

    assert theirs - set(Spark.__all__) - NAMES == set()


@pytest.mark.parametrize("kind", ["exports", "imports"])
def test_resources_have_what_those_of_the_sdk_have(kind: str) -> None:
    """Configuration, logger and address of a resource are those of the official one."""
    options = {"base_url": BASE, "token": "t", "logger": False}
    with Spark.Client(**options) as ours, official.Client(**options) as theirs:
        mine, other = getattr(ours.impex, kind), getattr(theirs.impex, kind)

        assert mine.base_uri == other.base_uri
        assert mine.config.base_url.full == other.config.base_url.full
        assert not mine.logger.isEnabledFor(logging.ERROR)


@pytest.mark.parametrize("name", sorted(Spark.Client.OUTSIDE))
def test_other_resources_raise_one_clear_error(name: str) -> None:
    """It names what is missing, and what to import for it."""
    with (
        Spark.Client(base_url=BASE, token="t", logger=False) as spark,
        pytest.raises(Spark.SparkSdkError) as error,
    ):
        getattr(spark, name)

    assert error.value.message == (
        f"spark_impex_runner.sdk has the SDK's ImpEx only, not Client.{name}; import cspark.sdk "
        "for this part of the program"
    )


def test_other_classes_can_be_named_only() -> None:
    """An annotation does no harm; a call, or an attribute of the class, is an error."""

    def annotated(wasm: Spark.Wasm) -> None:
        """Do nothing."""

    assert "Wasm" in str(annotated.__annotations__["wasm"])
    for use in (lambda: Spark.Services(1), lambda: Spark.JwtConfig.decode("t")):
        with pytest.raises(Spark.OutsideImpExError, match=r"ImpEx only, not (Services|JwtConfig)"):
            use()
    with pytest.raises(Spark.OutsideImpExError):
        Spark.Client.health_check("sit")
    with pytest.raises(Spark.OutsideImpExError, match=r"not AsyncExport\.request"):
        Spark.AsyncClient(base_url=BASE, token="t", logger=False).impex.exports.request("/")
    config = Spark.Config(base_url=BASE, token="t", logger=False)
    for owner, name in ((config, "auth"), (config.base_url, "oauth2")):
        with pytest.raises(Spark.OutsideImpExError, match=rf"not \w+\.{name};"):
            getattr(owner, name)
    with pytest.raises(AttributeError):
        Spark.Client(base_url=BASE, token="t", logger=False).impexx  # noqa: B018
    with pytest.raises(AttributeError):
        Spark.Nonsense  # noqa: B018


def test_error_shows_both_sides_without_secrets(sandbox: Sandbox) -> None:
    """``cause`` has the request and the reply; credentials are in neither."""
    with client(sandbox, token=sandbox.token) as spark, pytest.raises(Spark.NotFoundError) as found:
        spark.impex.exp(services=["motor/nothing"])

    error = found.value
    assert isinstance(error.cause, Spark.ApiErrorCause)
    assert error.cause.request.method == "POST"
    assert error.cause.request.url == f"{sandbox.base_url}/api/v4/export"
    assert '"motor/nothing"' in error.cause.request.body
    assert error.cause.response.headers["Content-Type"] == "application/json"
    assert "SERVICE_NOT_FOUND" in error.cause.response.body
    shown = f"{error!r} {error} {error.details} {error.cause} {error.cause.request.headers}"
    assert sandbox.token not in shown


def test_reply_shows_both_sides_without_secrets(sandbox: Sandbox) -> None:
    """Each of the three schemes keeps its secret."""
    oauth = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    for scheme in ({"token": sandbox.token}, {"api_key": sandbox.api_key}, {"oauth": oauth}):
        with client(sandbox, **scheme) as spark:
            reply = spark.impex.exports.describe()
        raw = reply.raw_response
        assert raw
        assert (raw.status_code, raw.json(), raw.text) == (200, reply.data, reply.buffer.decode())
        assert raw.headers["content-type"] == "application/json"
        sent = str(dict(reply.raw_request.headers)).lower()
        assert "authorization" not in sent
        assert "synthetic" not in sent
        assert "x-request-id" in sent


def test_arguments_become_the_errors_of_the_sdk(sandbox: Sandbox) -> None:
    """An ``except`` clause for the SDK catches them."""
    with client(sandbox, token=sandbox.token) as spark:
        for wrong in (
            {},
            {"services": "motor/pricing"},
            {"folders": ["motor"], "file_filter": "x"},
        ):
            with pytest.raises(Spark.SparkError) as error:
                spark.impex.exports.initiate(**wrong)
            assert isinstance(error.value.cause, errors.UsageError)
        for destination in (5, [5]):
            with pytest.raises(Spark.SparkSdkError, match="a service URI or a mapping, not 5"):
                spark.impex.imports.initiate(destination, io.BytesIO(b""))
        with pytest.raises(Spark.SparkSdkError, match="a download link is empty"):
            spark.impex.exports.download(["", None])
    with pytest.raises(Spark.SparkError, match="tenant"):
        Spark.BaseUrl.at("uat.us")


def test_http_client_is_not_used(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """That is said once; a CA bundle and a proxy have other ways."""
    with client(sandbox, token=sandbox.token, http_client=object()) as spark:
        assert spark.impex.exports.describe().status == 200

    [record] = [each for each in caplog.records if "http_client" in each.message]
    assert "HTTPS_PROXY" in record.message
    assert "verify_tls" in record.message


def test_no_logger_prints_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python itself prints the warnings of a package without a handler."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("spark_impex_runner"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("spark_impex_runner"), "level", logging.NOTSET)

    Spark.Client(base_url=BASE, token="t", logger=False, http_client=object())
    off = capsys.readouterr().err
    Spark.Client(base_url=BASE, token="t", http_client=object())

    assert off == ""
    assert capsys.readouterr().err.count("http_client is accepted but not used") == 1


def test_logger_writes_unless_it_is_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``logger`` is True, False, or options; each logger has one handler."""
    for name in ("test-sdk", "spark_impex_runner"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    Spark.Client(base_url=BASE, token="t", logger=False)
    kinds = [type(each) for each in logging.getLogger("spark_impex_runner").handlers]
    assert kinds == [logging.NullHandler]

    Spark.Client(base_url=BASE, token="t", logger={"level": logging.WARNING, "timestamp": False})
    Spark.Client(base_url=BASE, token="t", logger=Spark.LoggerOptions(level=logging.WARNING))
    library = logging.getLogger("spark_impex_runner.spark")
    library.warning("seen")
    library.info("not seen")
    Spark.get_logger("test-sdk", disabled=True).error("not seen")

    kinds = [type(each) for each in logging.getLogger("spark_impex_runner").handlers]
    assert kinds == [logging.NullHandler, logging.StreamHandler]
    assert capsys.readouterr().err == "[spark_impex_runner.spark] WARNING - seen\n"


def test_configuration_shows_no_secret() -> None:
    """A copy has the credentials that it is given, and no others."""
    config = Spark.Config(base_url=BASE, api_key="s3cret", max_retries=7, logger=False)

    moved = config.copy_with(env="uat.us", timeout=9000)
    other = config.copy_with(token="t0ken")

    assert repr(config) == f"Config('{BASE}')"
    assert "s3cret" not in f"{config} {Spark.Client.use(config)!r}"
    assert (moved.base_url.full, moved.base_url.env, moved.timeout_in_sec, moved.max_retries) == (
        "https://excel.uat.us.coherent.global/acme",
        "uat.us",
        9.0,
        7,
    )
    with config.open() as first, moved.open() as second, other.open() as third:
        schemes = [each.session.scheme.headers() for each in (first, second, third)]
    assert schemes == [
        {"x-synthetic-key": "s3cret"},
        {"x-synthetic-key": "s3cret"},
        {"Authorization": "Bearer t0ken"},
    ]
    assert Spark.BaseUrl.at("uat.us/acme").copy_with(tenant="other").full.endswith("/other")


def test_resources_without_a_client(sandbox: Sandbox) -> None:
    """``ImpEx.only`` and ``ImpEx.migration`` take configurations."""
    config = Spark.Config(base_url=sandbox.base_url, token=sandbox.token, logger=False)
    impex = Spark.ImpEx.only(config, None)
    migration = Spark.ImpEx.migration(config, config, None)

    assert impex.exports.describe().status == 200
    assert migration.imports.describe().status == 200
    with pytest.raises(NotImplementedError, match="run a manifest"):
        migration.migrate()
    impex.close()
    migration.close()


def test_a_file_is_downloaded_without_credentials(sandbox: Sandbox) -> None:
    """``Client.download`` returns any file; an error status raises."""
    with client(sandbox, token=sandbox.token) as spark:
        job = spark.impex.exports.initiate(services=["motor/pricing"]).data["id"]
        [file] = spark.impex.exports.get_status(job).data["outputs"]["files"]

    assert Spark.Client.download(file["file"])[:2] == b"PK"
    with pytest.raises(Spark.SparkApiError) as error:
        Spark.Client.download(f"{sandbox.base_url}/nowhere")
    assert error.value.status in {401, 404}
    with pytest.raises(Spark.SparkSdkError, match="only https"):
        Spark.Client.download("http://example.com/robots.txt")


@pytest.mark.parametrize("secret", ["right", "wrong"])
def test_calls_of_an_async_client_share_a_token(sandbox: Sandbox, secret: str) -> None:
    """One is requested for all; a refused secret, which could lock the client, is sent once."""
    given = sandbox.client_secret if secret == "right" else "wrong"
    oauth = {"client_id": sandbox.client_id, "client_secret": given}

    async def program() -> list[Any]:
        async with Spark.AsyncClient(base_url=sandbox.base_url, oauth=oauth, logger=False) as spark:
            calls = [spark.impex.exports.describe() for _ in range(3)]
            return await asyncio.gather(*calls, return_exceptions=True)

    assert [each.status for each in asyncio.run(program())] == [
        200 if given != "wrong" else 401
    ] * 3
    assert [each.method for each in sandbox.requests if "/token" in each.path] == ["POST"]


def test_cancelled_task_cancels_its_job() -> None:
    """An export that nobody awaits any more would block the tenant's only slot."""

    async def program(sandbox: Sandbox) -> str:
        spark = Spark.AsyncClient(base_url=sandbox.base_url, token=sandbox.token, logger=False)
        exports = spark.impex.exports

        async def running() -> list[str]:
            found = (await exports.describe()).data["in_progress_exports"]
            return [each["id"] for each in found]

        export = asyncio.create_task(spark.impex.exp(folders=["motor"]))
        while not (jobs := await running()):
            pass
        export.cancel()
        with pytest.raises(asyncio.CancelledError):
            await export
        while await running():
            pass
        listed = (await exports.describe()).data["recent_exports"]
        return next(each["data"]["export_status"] for each in listed if [each["id"]] == jobs)

    with Sandbox(EXAMPLES / "tenant", Settings(tenant="acme", job_seconds=600)) as sandbox:
        assert asyncio.run(program(sandbox)) == "cancelled"
