"""S3 and what speaks like it.

Every request that writes carries a SHA-256, without which a bucket with Object Lock refuses it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.exceptions import BotoCoreError
from obstore.store import S3Store

from spark_impex_runner.errors import StepError

from .objects import chosen, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from botocore.credentials import Credentials
    from obstore.store import S3Credential

    from .destination import Destination
    from .objects import ObjectsStore

_NAMES = {
    "endpoint": "endpoint",
    "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
    "session_token": "session_token",
    "encryption": "server_side_encryption",
    "kms_key": "sse_kms_key_id",
}
# AWS's own tools renew what they found well before it ends; they are asked this often.
_ASK_AGAIN = timedelta(minutes=10)


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or of AWS's own settings."""
    del folder
    try:
        session = botocore.session.Session()
        region = options.get("region") or session.get_config_variable("region") or "us-east-1"
        given = "access_key_id" in options
        provider = None if given else _provider(session.get_credentials())
    except BotoCoreError as error:
        raise StepError(f"the AWS settings of this machine cannot be used: {error}") from error
    config = {"region": region, "checksum_algorithm": "sha256", **chosen(options, **_NAMES)}
    return opened(S3Store, destination, options, config=config, credential_provider=provider)


def _provider(found: Credentials | None) -> Callable[[], S3Credential]:
    """Return a function that gives what AWS's own tools found, renewed as they see fit."""
    if found is None:
        raise StepError(
            "no AWS credentials were found; give access_key_id and secret_access_key, or set up "
            "what AWS's own tools read"
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
