"""Addresses in object stores, such as ``s3://bucket/prefix``; loads no library of a store."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_impex_runner.errors import UsageError

ALIASES = {"abfs": "az", "abfss": "az", "gcs": "gs", "s3a": "s3"}
_HOSTS = {"s3": "bucket", "gs": "bucket", "az": "container"}


@dataclass(frozen=True, slots=True)
class Address:
    """A prefix in a bucket (in Azure: a container); ``path`` has no slash at its ends."""

    scheme: str
    bucket: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.path}".rstrip("/")


def parse_address(url: str) -> Address:
    """Return the address of a URL; raise ``UsageError`` that says what is wrong with it."""
    start, _, rest = url.partition("://")
    scheme = ALIASES.get(start.lower(), start.lower())
    bucket, _, path = rest.partition("/")
    path = path.strip("/")
    if problem := _problem(scheme, bucket, path):
        # Userinfo, query and fragment may be secrets.
        raise UsageError(f"{start}://{bucket.rpartition('@')[2].partition('?')[0]}…: {problem}")
    return Address(scheme, bucket, path)


def _problem(scheme: str, bucket: str, path: str) -> str:
    if scheme not in _HOSTS:
        return f"{scheme}:// is not supported; give {', '.join(f'{each}://' for each in _HOSTS)}"
    problems = {
        "a URL must not contain credentials; set them in the environment": "@" in bucket,
        f"the name of the {_HOSTS[scheme]} is missing": not bucket,
        "a query or a fragment is not supported": re.search(r"[?#]", bucket + path),
        "'.', '..' and empty names are not supported in a path": (
            path and re.search(r"(^|/)\.{0,2}(/|$)", path)
        ),
    }
    return next((problem for problem, found in problems.items() if found), "")
