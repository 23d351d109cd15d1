"""Open S3 and compatible stores."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from spark_impex_runner import errors

from .objects import ObjectsStore, open_store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from .destination import Destination

_KEYS = ("access_key_id", "secret_access_key", "session_token")
# By the store's clock.
_LEFT_BEHIND = timedelta(days=1)


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> ObjectsStore:
    """Open a bucket, with credentials of the options or of AWS's own configuration."""
    del folder
    return open_store(destination, options, S3Objects)


class S3Objects(ObjectsStore):
    """Stores objects in S3, whose uploads and locks obstore does not know."""

    @cached_property
    def _client(self) -> Any:
        given = {f"aws_{name}": self._options[name] for name in _KEYS if name in self._options}
        return botocore.session.Session().create_client(
            "s3",
            self._bucket.config["region"],
            endpoint_url=self._bucket.config.get("endpoint"),
            config=Config(s3={"addressing_style": "path"}),  # As obstore does.
            **given,
        )

    def abort_uploads(self, paths: Collection[str]) -> None:
        """Abort multipart uploads to these paths that are older than a day."""
        name = self._bucket.name
        with _translated_errors("cannot abort old multipart uploads"):
            for key in sorted(self._root + path for path in paths):
                found = self._client.list_multipart_uploads(Bucket=name, Prefix=key)
                for each in found.get("Uploads", ()):
                    if each["Key"] == key and each["Initiated"] < _now(found) - _LEFT_BEHIND:
                        self._client.abort_multipart_upload(
                            Bucket=name, Key=key, UploadId=each["UploadId"]
                        )

    def lock_of(self, path: str) -> str:
        """Return the lock of an object: removing a locked one would only hide it (documented).

        S3 tells a lock to those with ``s3:GetObjectRetention`` and ``s3:GetObjectLegalHold``.
        """
        with _translated_errors(path):
            try:
                found = self._client.head_object(Bucket=self._bucket.name, Key=self._root + path)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return ""
                raise
        until = found.get("ObjectLockRetainUntilDate")
        if until is not None and until > _now(found):
            mode = str(found.get("ObjectLockMode", "")).lower()
            return f"until {until:%Y-%m-%d %H:%M}Z ({mode} mode)"
        return "by a legal hold" if found.get("ObjectLockLegalHoldStatus") == "ON" else ""


def _now(reply: Mapping[str, Any]) -> datetime:
    """Return the store's time, in UTC."""
    return parsedate_to_datetime(reply["ResponseMetadata"]["HTTPHeaders"]["date"])


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise errors.StepError(f"{what}: {error}") from error
