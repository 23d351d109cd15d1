"""Choose credentials: from arguments, otherwise from the ``CSPARK_*`` environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spark_impex_runner import fields
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import Auth
from spark_impex_runner.paths import local_path

if TYPE_CHECKING:
    from pathlib import Path

_MISSING = (
    "no credentials for the tenant; set CSPARK_CLIENT_ID and CSPARK_CLIENT_SECRET,"
    " CSPARK_OAUTH_PATH, CSPARK_API_KEY or CSPARK_BEARER_TOKEN, or pass oauth, api_key or token"
)


def from_arguments(
    oauth: Mapping[str, str] | str | None, api_key: str | None, token: str | None
) -> Auth | None:
    """Return the credentials that were passed, None if none were.

    ``oauth`` is a mapping, or the path of a JSON file, with ``client_id`` and ``client_secret``
    (or ``clientId`` and ``clientSecret``, as the TypeScript SDK spells them). Where several are
    given, OAuth wins over the API key and that over the token (documented for the official SDK).
    """
    if oauth:
        if isinstance(oauth, Mapping):
            return _client(oauth)
        return read_oauth_file(local_path(oauth, "read", "OAuth file"))
    if api_key:
        return Auth(api_key=api_key)
    return Auth(token=token) if token else None


def from_environment(environment: Mapping[str, str]) -> Auth:
    """Return the credentials of the ``CSPARK_*`` variables, by the same precedence.

    Raises ``UsageError`` that names the variables if there are none. Credentials passed as
    arguments never mix with these: a stray variable must not win over an argument.
    """
    client_id = environment.get("CSPARK_CLIENT_ID")
    client_secret = environment.get("CSPARK_CLIENT_SECRET")
    if client_id and client_secret:
        return Auth(client_id=client_id, client_secret=client_secret)
    auth = from_arguments(
        environment.get("CSPARK_OAUTH_PATH"),
        environment.get("CSPARK_API_KEY"),
        environment.get("CSPARK_BEARER_TOKEN"),
    )
    if auth is None:
        raise UsageError(_MISSING)
    return auth


def chosen_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables that ``from_environment`` would read, none if none."""
    schemes = (
        ("CSPARK_CLIENT_ID", "CSPARK_CLIENT_SECRET"),
        ("CSPARK_OAUTH_PATH",),
        ("CSPARK_API_KEY",),
        ("CSPARK_BEARER_TOKEN",),
    )
    return next((names for names in schemes if all(map(environment.get, names))), ())


def read_oauth_file(path: Path) -> Auth:
    """Read a JSON file of client credentials; raise ``UsageError`` that does not show them."""
    try:
        found = fields.parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"OAuth file {path}: {error.strerror or error}") from None
    except ValueError:
        raise UsageError(f"OAuth file {path}: it is not JSON") from None
    if not isinstance(found, Mapping):
        raise UsageError(f"OAuth file {path}: it must hold a JSON object")
    return _client(found)


def _client(found: Mapping[str, str]) -> Auth:
    client_id = found.get("client_id") or found.get("clientId")
    client_secret = found.get("client_secret") or found.get("clientSecret")
    if not isinstance(client_id, str) or not isinstance(client_secret, str):
        raise UsageError("OAuth credentials need client_id and client_secret, both text")
    return Auth(client_id=client_id, client_secret=client_secret)
