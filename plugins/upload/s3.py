"""Open S3 and compatible stores.

Every write carries a SHA-256: buckets with Object Lock refuse uploads without a checksum.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.store import S3Store

from spark_impex_runner import errors

from .objects import open_store, pick

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
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
# How often botocore is asked; it renews temporary credentials well before they expire.
_ASK_AGAIN = timedelta(minutes=10)
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_LEFT_BEHIND = timedelta(days=1)


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or of AWS's own configuration."""
    del folder
    try:
        session = botocore.session.Session()
        region = options.get("region") or session.get_config_variable("region") or "us-east-1"
        given = "access_key_id" in options
        abort = partial(_abort_uploads, session, destination.host, options, region)
        provider = None if given else _provider(session.get_credentials())
    except BotoCoreError as error:
        raise errors.StepError(f"cannot use the AWS settings of this machine: {error}") from error
    config = {"region": region, "checksum_algorithm": "sha256", **pick(options, _NAMES)}
    return open_store(
        S3Store, destination, options, abort=abort, config=config, credential_provider=provider
    )


def _abort_uploads(
    session: botocore.session.Session,
    bucket: str,
    options: Mapping[str, Any],
    region: str,
    keys: Collection[str],
) -> None:
    """Abort the multipart uploads to these keys that are older than a day."""
    # By botocore, as obstore cannot list uploads, and by the store's clock.
    given = {f"aws_{name}": options[name] for name in _KEYS if name in options}
    path_style = Config(s3={"addressing_style": "path"})  # As obstore does.
    client: Any = session.create_client(
        "s3", region, endpoint_url=options.get("endpoint"), config=path_style, **given
    )
    try:
        for key in sorted(keys):
            found = client.list_multipart_uploads(Bucket=bucket, Prefix=key)
            now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
            for each in found.get("Uploads", ()):
                if each["Key"] == key and each["Initiated"] < now - _LEFT_BEHIND:
                    client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=each["UploadId"])
    except (BotoCoreError, ClientError) as error:
        raise errors.StepError(f"cannot abort old multipart uploads: {error}") from error


def _provider(found: Credentials | None) -> Callable[[], S3Credential]:
    """Return a function that returns botocore's credentials, which it renews when needed."""
    if found is None:
        raise errors.StepError(
            "no AWS credentials found; set access_key_id and secret_access_key, or configure AWS's "
            "own tools"
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
