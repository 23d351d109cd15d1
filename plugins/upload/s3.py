"""Open S3 and compatible stores."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from spark_impex_runner import errors

from .objects import open_store

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from spark_impex_runner.tools.object_store import Bucket

    from .destination import Destination
    from .objects import ObjectsStore

_KEYS = ("access_key_id", "secret_access_key", "session_token")
_LEFT_BEHIND = timedelta(days=1)


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or of AWS's own configuration."""
    del folder
    return open_store(destination, options, partial(_abort_uploads, options))


def _abort_uploads(options: Mapping[str, Any], bucket: Bucket, keys: Collection[str]) -> None:
    """Abort the multipart uploads to these keys that are older than a day."""
    # By botocore, as obstore cannot list uploads, and by the store's clock.
    given = {f"aws_{name}": options[name] for name in _KEYS if name in options}
    path_style = Config(s3={"addressing_style": "path"})  # As obstore does.
    try:
        client: Any = botocore.session.Session().create_client(
            "s3",
            bucket.config["region"],
            endpoint_url=bucket.config.get("endpoint"),
            config=path_style,
            **given,
        )
        for key in sorted(keys):
            found = client.list_multipart_uploads(Bucket=bucket.name, Prefix=key)
            now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
            for each in found.get("Uploads", ()):
                if each["Key"] == key and each["Initiated"] < now - _LEFT_BEHIND:
                    client.abort_multipart_upload(
                        Bucket=bucket.name, Key=key, UploadId=each["UploadId"]
                    )
    except (BotoCoreError, ClientError) as error:
        raise errors.StepError(f"cannot abort old multipart uploads: {error}") from error
