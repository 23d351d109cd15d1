"""Where a tenant is, and what may carry a secret."""

from __future__ import annotations

import pytest

from spark_impex_runner.errors import UsageError
from spark_impex_runner.spark.tenant import TenantUrl, is_safe_to_call


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://excel.sit.coherent.global/acme", "https://excel.sit.coherent.global/acme"),
        ("https://excel.sit.coherent.global/acme/x/?q#f", "https://excel.sit.coherent.global/acme"),
        ("https://Spark.uat.us.Coherent.Global/Acme/", "https://excel.uat.us.coherent.global/Acme"),
        ("https://excel.sit.coherent.global:443/acme", "https://excel.sit.coherent.global/acme"),
        ("https://spark.example.com:8443/acme", "https://spark.example.com:8443/acme"),
        ("http://127.0.0.1:8080/acme", "http://127.0.0.1:8080/acme"),
        ("http://[::1]:8080/acme%20x", "http://[::1]:8080/acme%20x"),
    ],
)
def test_a_base_url_gives_origin_and_tenant(base_url: str, expected: str) -> None:
    """The first path segment is the tenant, the rest is dropped, the API's host is used."""
    assert TenantUrl.parse(base_url).base == expected


def test_the_tenant_of_the_url_wins() -> None:
    """A separate tenant counts only where the URL names none."""
    assert TenantUrl.parse("https://h.example/acme", "other").tenant == "acme"
    assert TenantUrl.parse("https://h.example/", "other").tenant == "other"


def test_env_and_tenant_are_normalized() -> None:
    """``env`` and ``tenant`` make the address that the SDK makes of them."""
    url = TenantUrl.of(" UAT.us ", " Acme ")

    assert url.base == "https://excel.uat.us.coherent.global/acme"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://excel.sit.coherent.global",
        "http://excel.sit.coherent.global/acme",
        "ftp://127.0.0.1/acme",
        "https://me:hunter2@excel.sit.coherent.global/acme",
        "https://hunter2@excel.sit.coherent.global/acme",
        "https://host:port/acme",
        "https://host/..",
        "https://host/%2F",
        "https://host/%C3%BC",
        "acme",
        "",
    ],
)
def test_invalid_base_url_is_refused(base_url: str) -> None:
    """The error does not repeat the URL, which may hold a password."""
    with pytest.raises(UsageError, match="base_url") as caught:
        TenantUrl.parse(base_url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("env", "tenant"), [("", "t"), ("a/b", "t"), ("sit", ""), ("sit", "a/b")])
def test_invalid_env_or_tenant_is_refused(env: str, tenant: str) -> None:
    """Neither can smuggle in another host or path."""
    with pytest.raises(UsageError):
        TenantUrl.of(env, tenant)


def test_path_segments_are_quoted() -> None:
    """A slash, a question mark or a hash inside a name stays inside its segment."""
    url = TenantUrl("https://h.example", "acme").at("api", "v4", "a/b?c#d e")

    assert url == "https://h.example/acme/api/v4/a%2Fb%3Fc%23d%20e"


def test_v1_paths_have_no_tenant() -> None:
    """What is older than v3 begins at the host; a tenant of that name is no such path."""
    at = TenantUrl("https://h.example", "acme").at

    assert at("api", "v1", "product", "list") == "https://h.example/api/v1/product/list"
    assert at("api", "v3", "api", "v1") == "https://h.example/acme/api/v3/api/v1"


def test_token_endpoint_is_on_keycloak() -> None:
    """Coherent's tokens come from keycloak, any other origin issues its own."""
    path = "/auth/realms/acme/protocol/openid-connect/token"

    coherent = TenantUrl.of("uat.us", "acme").token_endpoint
    assert coherent == f"https://keycloak.uat.us.coherent.global{path}"
    assert TenantUrl("http://127.0.0.1:1", "acme").token_endpoint == f"http://127.0.0.1:1{path}"
    excel = TenantUrl("https://excel.example.com", "acme").token_endpoint
    assert excel == f"https://excel.example.com{path}"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://any.example/x", True),
        ("http://localhost:1/x", True),
        ("http://127.8.8.8/x", True),
        ("http://localhost.example/x", False),
        ("http://10.0.0.1/x", False),
        ("file:///etc/passwd", False),
        ("https:///x", False),
        ("http://[bad/x", False),
    ],
)
def test_secrets_travel_encrypted_or_not_at_all(url: str, safe: bool) -> None:
    """Plain http is for this machine only."""
    assert is_safe_to_call(url) is safe
