"""The settings of AWS's own tools: credentials, region and endpoint, through botocore."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError

from spark_impex_runner.errors import UsageError
from spark_impex_runner.object_store.clients import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from botocore.credentials import Credentials
    from obstore.store import S3Credential

# How often botocore is asked; it renews temporary credentials well before they expire.
_ASK_AGAIN = timedelta(minutes=10)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate what is wrong with the settings to ``UsageError``."""
    try:
        yield
    except BotoCoreError as error:
        reason = one_line(error)
        raise UsageError(f"cannot use the AWS settings of this machine: {reason}") from error


def settings(
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], Callable[[], S3Credential] | None]:
    """Return region and endpoint, and what provides credentials unless the options do."""
    with translated_errors():
        session = botocore.session.Session()
        given = "access_key_id" in options
        provider = None if given else _provider(session.get_credentials())
        endpoint = options.get("endpoint") or _configured_endpoint(session)
        found = {"region": region(session, options)}
        return {**found, **({"endpoint": endpoint} if endpoint else {})}, provider


def region(session: botocore.session.Session, options: Mapping[str, Any]) -> str:
    """Return the region of the options, or of the settings."""
    # Other AWS tools read AWS_REGION first; botocore does not read it.
    configured = os.environ.get("AWS_REGION") or session.get_config_variable("region")
    return str(options.get("region") or configured or "us-east-1")


def _configured_endpoint(session: botocore.session.Session) -> str:
    """Return the endpoint of ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL`` or the profile."""
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return ""
    found = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), "s3")
    return str(found.provide() or "")


def _provider(found: Credentials | None) -> Callable[[], S3Credential]:
    """Return a function that returns botocore's credentials, which it renews when needed."""
    if found is None:
        raise UsageError(
            "no AWS credentials found; configure AWS's own tools (AWS_ACCESS_KEY_ID, a profile, "
            "a role)"
        )

    def provide() -> S3Credential:
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key or "",
            "secret_access_key": frozen.secret_key or "",
            "token": frozen.token,
            "expires_at": datetime.now(timezone.utc) + _ASK_AGAIN,
        }

    return provide
