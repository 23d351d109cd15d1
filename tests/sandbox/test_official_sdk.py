"""The official SDK, unchanged, works against the sandbox."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import cspark.sdk as official  # type: ignore[import-untyped]
import pytest
from cspark.sdk._config import BaseUrl  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connect = Callable[..., official.Client]


@pytest.fixture
def connect(call: Any) -> Iterator[Connect]:
    """Return a function that opens the SDK's client with the credentials given."""
    clients = []
    options = {"logger": False, "max_retries": 2, "retry_interval": 1}

    def opened(**credentials: Any) -> official.Client:
        base = BaseUrl(url=call.api, tenant=call.sandbox.tenant)
        clients.append(official.Client(base_url=base, **options, **credentials))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


@pytest.fixture
def spark(connect: Connect, call: Any) -> official.Client:
    """Return the SDK's client with a bearer token."""
    return connect(token=call.sandbox.token)


def test_the_sdk_exports(spark: official.Client) -> None:
    """An export gives one package, which holds what was asked for."""
    files = spark.impex.exp(services=["motor/pricing[1.4.1]"], file_filter="onpremises")

    names = ZipFile(io.BytesIO(files[0].buffer)).namelist()
    assert len(files) == 1
    assert "acme/motor/pricing/1.4.1/ModelMetaData.json" in names


@pytest.mark.parametrize("scheme", ["token", "api_key", "oauth"])
def test_the_sdk_signs_in(connect: Connect, call: Any, scheme: str) -> None:
    """Each of the three schemes opens the export endpoints."""
    sandbox = call.sandbox
    credentials = {
        "token": sandbox.token,
        "api_key": sandbox.api_key,
        "oauth": {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret},
    }

    spark = connect(**{scheme: credentials[scheme]})

    assert spark.impex.exports.describe().status == 200


def test_the_sdk_imports_what_it_exported(spark: official.Client) -> None:
    """A migrate package comes back as a new version of the same service."""
    package = spark.impex.exp(services=["motor/pricing"])[0].buffer

    done = spark.impex.imp("motor/pricing", io.BytesIO(package), if_present="add_version")

    assert done.data["status"] == "closed"
    assert spark.services.get_versions("motor/pricing").data[0]["revision"] == "1.21.0"


def test_the_sdk_cancels(spark: official.Client) -> None:
    """Cancelling a job that has ended leaves it as it is."""
    job = spark.impex.exports.initiate(folders=["motor"])

    assert spark.impex.exports.cancel(job.data["id"]).data["status"] == "closed"


def test_the_sdk_lists(spark: official.Client) -> None:
    """Folders, services and versions are found through the SDK's own calls."""
    folders = [entry["name"] for entry in spark.folders.find().data["data"]]
    services = [hit["fileName"] for hit in spark.services.search().data["response_data"]]

    assert folders == ["empty", "life", "motor"]
    assert services == ["annuity-rates", "pricing"]
    assert spark.folders.exists("motor")
    assert not spark.folders.exists("moto")
    assert spark.services.exists("motor/pricing")
    assert not spark.services.exists("motor/absent")


def test_the_sdk_finds_the_tenant_in_health(spark: official.Client) -> None:
    """The SDK's health check is content."""
    assert spark.health.ok()
