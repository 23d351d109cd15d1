"""The settings of AWS are found where AWS's own tools find them."""

from __future__ import annotations

import pytest

from spark_impex_runner.object_store import aws

KEYS = {"access_key_id": "a", "secret_access_key": "b"}


@pytest.mark.parametrize(
    ("variables", "options", "region"),
    [
        ({}, {}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, {}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-3"}, {}, "eu-west-3"),
        ({"AWS_REGION": "eu-west-3"}, {"region": "eu-north-1"}, "eu-north-1"),
    ],
)
def test_region_is_found(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    options: dict[str, str],
    region: str,
) -> None:
    """The option, then either variable, AWS_REGION first."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    found, _ = aws.settings({**KEYS, **options})

    assert found["region"] == region
