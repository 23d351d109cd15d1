"""Credentials: who gets in, and how the rest is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID = {"errorCode": "INVALID_TOKEN", "status": "Error"}


def ask_token(call: Any, **changes: str) -> Any:
    """Ask the token endpoint, with the right credentials but for ``changes``."""
    form = {
        "grant_type": "client_credentials",
        "client_id": call.sandbox.client_id,
        "client_secret": call.sandbox.client_secret,
    }
    url = f"{call.api}/auth/realms/acme/protocol/openid-connect/token"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return call("POST", url, urlencode({**form, **changes}).encode(), headers)


def describe(call: Any, headers: dict[str, str]) -> Any:
    """Look at the export jobs with these headers."""
    return call("GET", "/api/v4/export/status", headers=headers)


def test_client_credentials_give_a_bearer_token(call: Any) -> None:
    """The token endpoint issues a token that opens the API."""
    issued = ask_token(call)

    token = issued.json["access_token"]
    assert issued.json["expires_in"] == 7200
    assert issued.json["token_type"] == "Bearer"
    assert describe(call, {"Authorization": f"Bearer {token}"}).status == 200


def test_a_wrong_secret_gets_no_token(call: Any) -> None:
    """A wrong client secret is refused in Keycloak's form."""
    refused = ask_token(call, client_secret="guess")

    assert refused.status == 401
    assert refused.json["error"] == "unauthorized_client"


def test_another_grant_type_gets_no_token(call: Any) -> None:
    """Only client credentials are a known grant."""
    assert ask_token(call, grant_type="password").status == 400


def test_another_realm_gets_no_token(call: Any) -> None:
    """The credentials belong to one tenant."""
    url = f"{call.api}/auth/realms/other/protocol/openid-connect/token"

    assert call("POST", url, b"grant_type=client_credentials").status == 404


def test_an_issued_token_expires(start: Callable[..., Any], clock: Any) -> None:
    """A token opens the API for its seconds and not one longer."""
    call = start(token_seconds=60)
    bearer = {"Authorization": f"Bearer {ask_token(call).json['access_token']}"}

    clock.tick(59)
    before = describe(call, bearer)
    clock.tick(1)
    after = describe(call, bearer)

    assert before.status == 200
    assert (after.status, after.json) == (401, INVALID)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer None"},
        {"Authorization": "Basic abc"},
        {"x-synthetic-key": "guess", "x-tenant-name": "acme"},
    ],
)
def test_wrong_credentials_are_refused(call: Any, headers: dict[str, str]) -> None:
    """Missing and wrong credentials get the documented 401."""
    refused = describe(call, headers)

    assert (refused.status, refused.json) == (401, INVALID)


def test_a_key_needs_the_tenant_header(call: Any) -> None:
    """A synthetic key counts only together with the tenant's name."""
    key = {"x-synthetic-key": call.sandbox.api_key}

    assert describe(call, key).status == 401
    assert describe(call, {**key, "x-tenant-name": "acme"}).status == 200


def test_bearer_routes_refuse_keys(call: Any) -> None:
    """The configuration is for bearer tokens only."""
    key = {"x-synthetic-key": call.sandbox.api_key, "x-tenant-name": "acme"}
    url = f"{call.api}/api/v1/config/GetSparkConfiguration"

    assert call("GET", url, headers=key).status == 401
    assert call("GET", url).status == 200


def test_bearer_overrides_key(call: Any) -> None:
    """With both schemes in one request a bad bearer token spoils a good key."""
    both = {
        "x-synthetic-key": call.sandbox.api_key,
        "x-tenant-name": "acme",
        "Authorization": "Bearer guess",
    }

    assert describe(call, both).status == 401


def test_credentials_differ_between_instances(start: Callable[..., Any]) -> None:
    """Two sandboxes share no credential."""
    one, other = start().sandbox, start().sandbox

    assert not {one.token, one.api_key, one.client_secret} & {
        other.token,
        other.api_key,
        other.client_secret,
    }
