"""Where files go, and which options mean something there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANYWHERE = {"to", "prefix", "files", "if_exists", "parallel", "project"}
_WEB = {"user", "password", "token", "content_type"}
_CLOUD = {"keep", "endpoint", "content_type"}
_S3 = {"region", "access_key_id", "secret_access_key", "session_token", "encryption", "kms_key"}
# The options that mean something to the stores of each scheme.
_FITTING: Final[Mapping[str, set[str]]] = {
    "file": {"keep"},
    "s3": {*_CLOUD, *_S3, "tags"},
    "az": {*_CLOUD, "account", "account_key", "sas_token", "tags"},
    "gs": {*_CLOUD, "service_account"},
    "sftp": {"keep", "user", "password", "private_key", "passphrase", "known_hosts"},
    "webdav": {"keep", *_WEB},
    "webdavs": {"keep", *_WEB},
    "http": _WEB,
    "https": _WEB,
}
_HOSTS = {"s3": "bucket", "gs": "bucket", "az": "container"}
# What makes no sense alone, and what it needs.
_NEEDS = {
    "keep": "prefix",
    "kms_key": "encryption",
    "access_key_id": "secret_access_key",
    "secret_access_key": "access_key_id",
    "session_token": "access_key_id",
    "passphrase": "private_key",
    "password": "user",
}
_AUTHORITY = re.compile(
    r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?$"
)
_IN_THE_CLEAR = ("http", "webdav")
_ALIASES = {"abfs": "az", "abfss": "az", "gcs": "gs", "s3a": "s3"}


@dataclass(frozen=True, slots=True)
class Destination:
    """A root of deliveries: ``host`` is the bucket, container or server, ``path`` what follows."""

    scheme: str
    host: str
    path: str
    shown: str


def destination(options: Mapping[str, Any], folder: Path) -> Destination:
    """Return where files go; raise ``StepError`` where the options cannot work.

    ``folder`` is the manifest's, to which a local path is relative.
    """
    found = _parse(options["to"], folder)
    if odd := sorted(options.keys() - _ANYWHERE - _FITTING[found.scheme]):
        fitting = ", ".join(sorted(_FITTING[found.scheme]))
        raise errors.StepError(
            f"{odd[0]}: not an option for {found.scheme}:// destinations, which have {fitting}"
        )
    for name, needed in _NEEDS.items():
        if name in options and needed not in options:
            raise errors.StepError(f"{name} needs {needed} beside it")
    if not re.fullmatch(r"(?!\.{1,2}$)[^/\\\0]+", options.get("prefix", "none")):
        raise errors.StepError(f"prefix: '{options['prefix']}' is not a folder's name")
    here = tools.is_loopback(urlsplit(f"//{found.host}").hostname or "")
    if {"user", "token"} & options.keys() and found.scheme in _IN_THE_CLEAR and not here:
        raise errors.StepError(f"to: credentials would be read on the way; use {found.scheme}s://")
    return found


def check(options: Mapping[str, Any]) -> str:
    """Return why options cannot work, or nothing; what is still a reference is not judged."""
    if any("${" in str(options.get(name, "")) for name in ("to", "prefix")):
        return ""
    try:
        destination(options, Path())
    except errors.StepError as error:
        return str(error)
    return ""


def scheme_of(to: str) -> str:
    """Return the scheme of a URL as this step calls it, empty for a path."""
    start, colon, _ = to.partition("://")
    return _ALIASES.get(start.lower(), start.lower()) if colon else ""


def _parse(to: str, folder: Path) -> Destination:
    """Take a URL or a path apart."""
    scheme, (_, colon, rest) = scheme_of(to), to.partition("://")
    if not colon:
        path = str(folder / Path(to).expanduser())
        return Destination("file", "", path, path)
    if scheme not in _FITTING:
        known = ", ".join(f"{each}://" for each in _FITTING)
        raise errors.StepError(f"to: {scheme}:// is not known; give a folder or one of {known}")
    host, _, path = rest.partition("/")
    shown = f"{scheme}://{host}/{path.strip('/')}"
    if fault := _fault(scheme, host, path):
        # Of what may be a secret, nothing is shown.
        raise errors.StepError(f"to: {scheme}://{host.rpartition('@')[2]}/…: {fault}")
    if scheme == "file":
        local = url2pathname(f"/{path}")
        return Destination(scheme, "", local, local)
    path = path if scheme in _HOSTS else unquote(path)
    return Destination(scheme, host, path.strip("/"), shown)


def _fault(scheme: str, host: str, path: str) -> str:
    """Return what is wrong with a URL, or nothing."""
    faults = {
        "a URL holds no user and no secret; they have options of their own": "@" in host,
        "'.' and '..' are followed by no store": re.search(r"(^|/)\.\.?(/|$)", path),
        "mount that host's folder and give its path": (
            scheme == "file" and host not in {"", "localhost"}
        ),
        f"the name of the {_HOSTS.get(scheme, 'host')} is missing": scheme != "file" and not host,
        "a query or a fragment cannot be used": (
            scheme not in {"file", *_HOSTS} and re.search(r"[?#]", host + path)
        ),
        "this is no host and port": scheme not in {"file", *_HOSTS} and not _AUTHORITY.match(host),
    }
    return next((fault for fault, found in faults.items() if found), "")
