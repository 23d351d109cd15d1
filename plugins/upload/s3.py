"""S3 and what speaks like it.

Every request that writes carries a SHA-256, without which a bucket with Object Lock refuses it.
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

from .objects import chosen, opened

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
# AWS's own tools renew what they found well before it ends; they are asked this often.
_ASK_AGAIN = timedelta(minutes=10)
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_LEFT_BEHIND = timedelta(days=1)


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or of AWS's own settings."""
    del folder
    try:
        session = botocore.session.Session()
        region = options.get("region") or session.get_config_variable("region") or "us-east-1"
        given = "access_key_id" in options
        abort = partial(_abort_uploads, session, destination.host, options, region)
        provider = None if given else _provider(session.get_credentials())
    except BotoCoreError as error:
        raise errors.StepError(
            f"the AWS settings of this machine cannot be used: {error}"
        ) from error
    config = {"region": region, "checksum_algorithm": "sha256", **chosen(options, _NAMES)}
    return opened(
        S3Store, destination, options, abort=abort, config=config, credential_provider=provider
    )


def _abort_uploads(
    session: botocore.session.Session,
    bucket: str,
    options: Mapping[str, Any],
    region: str,
    keys: Collection[str],
) -> None:
    """End the uploads in parts to these keys that began more than a day ago.

    obstore cannot list uploads, so Amazon's own client does. The ages are by the store's clock.
    """
    given = {f"aws_{name}": options[name] for name in _KEYS if name in options}
    path_style = Config(s3={"addressing_style": "path"})  # As obstore has it.
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
        raise errors.StepError(f"uploads in parts that were left behind: {error}") from error


def _provider(found: Credentials | None) -> Callable[[], S3Credential]:
    """Return a function that gives what AWS's own tools found, renewed as they see fit."""
    if found is None:
        raise errors.StepError(
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
