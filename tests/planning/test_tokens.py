from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from spark_impex_runner.models import Auth, Connection, Polling, Target
from spark_impex_runner.planning.tokens import TokenExpiry, check_tokens

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def jwt(end: datetime) -> str:
    """Return what looks like a token that ends at a moment."""
    claims = json.dumps({"exp": end.timestamp()}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def messages(connection: Connection, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is found of two targets on one connection, the slower with an hour's deadline."""
    targets = [
        Target("quick", connection.name, Path("a"), polling=Polling(deadline=60)),
        Target("slow", connection.name, Path("b"), polling=Polling(deadline=3600)),
    ]
    findings = check_tokens(targets, TokenExpiry({connection.name: connection}, environ or {}, NOW))
    return [f"{finding.severity} {finding.path[-1]}: {finding.message}" for finding in findings]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "error token: the token expired at 2026-11-24 12:00:00Z; "),
        (3599, "warning token: the token expires at 12:59:59Z, before the deadline of the target "),
        (3600, ""),
    ],
)
def test_token_and_longest_deadline(seconds: int, expected: str) -> None:
    """A connection has at most one finding, for the target with the longest deadline."""
    auth = Auth(token=f"Bearer {jwt(NOW + timedelta(seconds=seconds))}")

    findings = messages(Connection("sit", base_url="https://x/acme", auth=auth))

    assert len(findings) == bool(expected)
    assert all(finding.startswith(expected) for finding in findings)
    assert all("'slow'" in finding for finding in findings if "warning" in finding)


@pytest.mark.parametrize(("hours", "severity"), [(0, "warning"), (23, "warning"), (25, "error")])
def test_wrong_clock_is_tolerated(hours: int, severity: str) -> None:
    """A token that expired within a day is a warning, since the tenant's clock decides."""
    connection = Connection("sit", auth=Auth(token=jwt(NOW - timedelta(hours=hours))))
    ends = TokenExpiry({"sit": connection}, {}, NOW, timedelta(days=1))

    [finding] = check_tokens([Target("a", "sit", Path("a"))], ends)

    assert finding.severity == severity
    assert ("by this machine's clock" in finding.message) == (severity == "warning")


def test_token_of_the_environment() -> None:
    """The finding names CSPARK_BEARER_TOKEN; client credentials there win, and do not expire."""
    environ = {"CSPARK_BEARER_TOKEN": jwt(NOW)}
    client = {"CSPARK_CLIENT_ID": "a", "CSPARK_CLIENT_SECRET": "b"}
    connection = Connection("sit", base_url="https://x/acme")

    [finding] = messages(connection, environ)

    assert finding.startswith("error sit: the token of CSPARK_BEARER_TOKEN expired at ")
    assert messages(connection, environ | client) == []


@pytest.mark.parametrize(
    "connection",
    [
        Connection("sit", base_url="https://x/acme"),
        Connection("sit", base_url="https://x/acme", auth=Auth(api_key="k")),
        Connection("sit", base_url="https://x/acme", auth=Auth(token="opaque")),
        Connection("sit", sandbox=Path("tenant")),
    ],
)
def test_tokens_without_expiry(connection: Connection) -> None:
    """No credentials, keys, opaque tokens and the sandbox have no finding."""
    assert messages(connection) == []


def test_sandbox_ignores_environment() -> None:
    """The sandbox has its own token, so an expired one in the environment does not matter."""
    connection = Connection("sit", sandbox=Path("tenant"))

    assert messages(connection, {"CSPARK_BEARER_TOKEN": jwt(NOW)}) == []


def test_token_of_a_steps_connection() -> None:
    """The token of a step's connection must last until the export has ended."""
    auth = Auth(token=jwt(NOW))
    connections = {name: Connection(name, base_url="https://x/acme") for name in ("sit", "uat")}
    connections["uat"] = Connection("uat", base_url="https://x/acme", auth=auth)
    target = Target("motor", "sit", Path("a"), step_connections=("uat",))

    [finding] = check_tokens([target], TokenExpiry(connections, {}, NOW))

    assert finding.path == ("connections", "uat", "auth", "token")
