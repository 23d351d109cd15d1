"""Parse the destination and check which options apply to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMON = {"to", "prefix", "files", "if_exists", "parallel", "project"}
_WEB = {"user", "password", "token", "content_type"}
_CLOUD = {"keep", "endpoint", "content_type"}
_S3 = {"region", "access_key_id", "secret_access_key", "session_token", "encryption", "kms_key"}
# The options of each scheme, besides the common ones.
_OPTIONS_OF: Final[Mapping[str, set[str]]] = {
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
# Options that require another one.
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
_UNENCRYPTED = ("http", "webdav")
_ALIASES = {"abfs": "az", "abfss": "az", "gcs": "gs", "s3a": "s3"}


@dataclass(frozen=True, slots=True)
class Destination:
    """A root of deliveries: ``host`` is the bucket, container or server, ``path`` what follows."""

    scheme: str
    host: str
    path: str
    shown: str


def destination(options: Mapping[str, Any], folder: Path) -> Destination:
    """Return the destination; raise ``StepError`` if the options are invalid.

    ``folder`` is the manifest's, to which a local path is relative.
    """
    found = _parse(options["to"], folder)
    if unknown := sorted(options.keys() - _COMMON - _OPTIONS_OF[found.scheme]):
        fitting = ", ".join(sorted(_OPTIONS_OF[found.scheme]))
        raise errors.StepError(
            f"{unknown[0]}: not an option for {found.scheme}:// destinations, which have {fitting}"
        )
    for name, needed in _NEEDS.items():
        if name in options and needed not in options:
            raise errors.StepError(f"{name} requires {needed}; set both")
    if not re.fullmatch(r"(?!\.{1,2}$)[^/\\\0]+", options.get("prefix", "none")):
        raise errors.StepError(f"prefix: '{options['prefix']}' is not a folder name")
    here = tools.is_loopback(urlsplit(f"//{found.host}").hostname or "")
    if {"user", "token"} & options.keys() and found.scheme in _UNENCRYPTED and not here:
        raise errors.StepError(f"to: credentials would be sent unencrypted; use {found.scheme}s://")
    return found


def is_within(inner: Destination, outer: Destination) -> bool:
    """Return whether one destination is another one, or a folder below it."""
    same = (inner.scheme, inner.host) == (outer.scheme, outer.host)
    return same and f"{inner.path}/".startswith(f"{outer.path}/" if outer.path else "")


def check(options: Mapping[str, Any]) -> str:
    """Return the error of the options, empty if valid; unresolved references are not checked."""
    if any("${" in str(options.get(name, "")) for name in ("to", "prefix")):
        return ""
    try:
        destination(options, Path())
    except errors.StepError as error:
        return str(error)
    return ""


def applies(option: str, scheme: str) -> bool:
    """Return whether an option applies to the destinations of a scheme."""
    return option in _COMMON | _OPTIONS_OF[scheme]


def scheme_of(to: str) -> str:
    """Return the canonical scheme of a URL, empty for a path."""
    start, colon, _ = to.partition("://")
    return _ALIASES.get(start.lower(), start.lower()) if colon else ""


def _parse(to: str, folder: Path) -> Destination:
    scheme, (_, colon, rest) = scheme_of(to), to.partition("://")
    if not colon:
        path = str(folder / Path(to).expanduser())
        return Destination("file", "", path, path)
    if scheme not in _OPTIONS_OF:
        known = ", ".join(f"{each}://" for each in _OPTIONS_OF)
        raise errors.StepError(f"to: {scheme}:// is not known; give a folder or one of {known}")
    host, _, path = rest.partition("/")
    shown = f"{scheme}://{host}/{path.strip('/')}"
    if problem := _url_error(scheme, host, path):
        # The URL may contain a secret, so user and path are not shown.
        raise errors.StepError(f"to: {scheme}://{host.rpartition('@')[2]}/…: {problem}")
    if scheme == "file":
        from urllib.request import url2pathname  # noqa: PLC0415 - it imports an HTTP client

        local = url2pathname(f"/{path}")
        return Destination(scheme, "", local, local)
    path = path if scheme in _HOSTS else unquote(path)
    return Destination(scheme, host, path.strip("/"), shown)


def _url_error(scheme: str, host: str, path: str) -> str:
    """Return the error of a URL, empty if it is valid."""
    problems = {
        "a URL must not contain credentials; use the options for them": "@" in host,
        "'.' and '..' are not supported in a path": re.search(r"(^|/)\.\.?(/|$)", path),
        "mount that host's folder and give its path": (
            scheme == "file" and host not in {"", "localhost"}
        ),
        f"the name of the {_HOSTS.get(scheme, 'host')} is missing": scheme != "file" and not host,
        "a query or a fragment is not supported": (
            scheme not in {"file", *_HOSTS} and re.search(r"[?#]", host + path)
        ),
        "not a valid host and port": scheme not in {"file", *_HOSTS} and not _AUTHORITY.match(host),
    }
    return next((problem for problem, found in problems.items() if found), "")
