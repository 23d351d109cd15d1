"""Addresses of object stores, and the settings of the machine that open them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import UsageError
from spark_impex_runner.object_store.address import Address, parse_address
from spark_impex_runner.object_store.clients import bucket, one_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what this machine has set."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://acme/impex/", Address("s3", "acme", "impex")),
        ("S3://acme", Address("s3", "acme")),
        ("abfss://acme/a/b", Address("az", "acme", "a/b")),
        ("gcs://acme/x", Address("gs", "acme", "x")),
    ],
)
def test_addresses_are_read(url: str, expected: Address) -> None:
    """With the other names of their schemes."""
    assert parse_address(url) == expected


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://acme/x", "ftp:// is not supported; give s3://, gs://, az://"),
        ("s3:///x", "the name of the bucket is missing"),
        ("s3://key:secret@acme/x", "must not contain credentials"),
        ("az://acme/x?sig=secret", "a query or a fragment is not supported"),
        ("s3://acme/a/../b", "are not supported in a path"),
        ("s3://acme/a//b", "are not supported in a path"),
    ],
)
def test_wrong_addresses_are_explained(url: str, problem: str) -> None:
    """Without a secret that one may contain."""
    with pytest.raises(UsageError) as caught:
        parse_address(url)

    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_s3_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of S3 counts before that of all services, an option before both."""
    assert "endpoint" not in bucket("s3", "acme", {}).config
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    assert bucket("s3", "acme", {}).config["endpoint"] == "http://all"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert bucket("s3", "acme", {}).config["endpoint"] == "http://s3"
    assert bucket("s3", "acme", {"endpoint": "http://own"}).config["endpoint"] == "http://own"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert "endpoint" not in bucket("s3", "acme", {}).config


def test_s3_settings_of_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint and region stand in the profile that AWS_PROFILE names."""
    (tmp_path / "config").write_text(
        "[profile acme]\nregion = eu-west-1\nservices = own\n"
        "[services own]\ns3 =\n  endpoint_url = http://store\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "acme")

    config = bucket("s3", "acme", {}).config

    assert (config["region"], config["endpoint"]) == ("eu-west-1", "http://store")


def test_azure_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's own tools print it; an option names another account."""
    string = "AccountName=acme;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:10000/acme"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", string)

    assert bucket("az", "c", {}).config == {
        "account_name": "acme",
        "account_key": "YQ==",
        "endpoint": "http://127.0.0.1:10000/acme",
    }
    assert bucket("az", "c", {"account": "other"}).config == {"account_name": "other"}


def test_google_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found as by Google's own libraries."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9023")

    assert bucket("gs", "acme", {}).config["base_url"] == "http://127.0.0.1:9023"


@pytest.mark.parametrize(
    "text",
    [
        "error sending request for url (http://me:s3cret@127.0.0.1:9/b/k)",
        "Invalid endpoint: http://me:s3cr@et@store:9",
    ],
)
def test_password_of_an_endpoint_is_left_out(text: str) -> None:
    """The errors of clients quote the address that they were given."""
    line = one_line(Exception(text))

    assert "s3cr" not in line
    assert "http://" in line
    assert ":9" in line
