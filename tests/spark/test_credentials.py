"""Where credentials come from, and which win."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import Auth
from spark_impex_runner.spark.http.credentials import (
    chosen_variables,
    from_arguments,
    from_environment,
)

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = Auth(client_id="id", client_secret="s3cret")


@pytest.mark.parametrize("keys", [("client_id", "client_secret"), ("clientId", "clientSecret")])
def test_oauth_file_of_either_sdk(tmp_path: Path, keys: tuple[str, str]) -> None:
    """The Python and the TypeScript spelling both work."""
    path = tmp_path / "oauth.json"
    path.write_text(json.dumps(dict(zip(keys, ("id", "s3cret"), strict=True))))

    assert from_arguments(str(path), None, None) == CLIENT
    assert from_environment({"CSPARK_OAUTH_PATH": str(path)}) == CLIENT


def test_oauth_then_key_then_token() -> None:
    """The precedence is the one that the SDK documents, for arguments and for variables."""
    client = {"client_id": "id", "client_secret": "s3cret"}
    variables = {
        "CSPARK_CLIENT_ID": "id",
        "CSPARK_CLIENT_SECRET": "s3cret",
        "CSPARK_API_KEY": "key",
        "CSPARK_BEARER_TOKEN": "token",
    }

    assert from_arguments(client, "key", "token") == CLIENT
    assert from_arguments(None, "key", "token") == Auth(api_key="key")
    assert from_environment(variables) == CLIENT
    assert chosen_variables(variables) == ("CSPARK_CLIENT_ID", "CSPARK_CLIENT_SECRET")
    del variables["CSPARK_CLIENT_ID"]
    assert from_environment(variables) == Auth(api_key="key")
    assert chosen_variables(variables) == ("CSPARK_API_KEY",)
    del variables["CSPARK_API_KEY"]
    assert from_environment(variables) == Auth(token="token")
    assert chosen_variables(variables) == ("CSPARK_BEARER_TOKEN",)
    assert chosen_variables({"CSPARK_OAUTH_PATH": "f", **variables}) == ("CSPARK_OAUTH_PATH",)
    assert chosen_variables({"CSPARK_BEARER_TOKEN": ""}) == ()


def test_missing_credentials_name_the_variables() -> None:
    """The error names the variables."""
    assert from_arguments(None, None, None) is None
    with pytest.raises(UsageError, match=r"CSPARK_CLIENT_ID.*CSPARK_BEARER_TOKEN"):
        from_environment({})


@pytest.mark.parametrize("content", [None, "{", "[]", '{"client_id": "id"}'])
def test_invalid_oauth_file_is_refused(tmp_path: Path, content: str | None) -> None:
    """A missing, broken or incomplete file is one line, without its content."""
    path = tmp_path / "oauth.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(UsageError, match=r"OAuth"):
        from_arguments(str(path), None, None)
