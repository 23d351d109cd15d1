"""The options of ``upload``: what they may say, and for which stores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote
from urllib.request import url2pathname

from spark_impex_runner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _text(title: str, description: str, *examples: str) -> dict[str, Any]:
    """Return the schema of a text."""
    told = {"title": title, "description": description, "examples": list(examples)}
    return {**told, "type": "string", "minLength": 1}


def _secret(title: str, description: str, example: str) -> dict[str, Any]:
    """Return the schema of a secret, which only a reference may stand for."""
    told = {"title": title, "description": description, "examples": [example]}
    return {**told, "type": "string", "x-secret": True}


_PROPERTIES: Final[dict[str, Any]] = {
    "to": _text(
        "Destination",
        "Where the files go: a folder (relative to the manifest) or file:// URL, s3://bucket/…, "
        "az://container/…, gs://bucket/…, sftp://host/…, webdav(s)://host/… or http(s)://host/… "
        "(plain PUT). Credentials have options of their own, never a place in the URL.",
        "s3://acme-backup/motor",
        "sftp://backup.example/srv/spark",
        "/mnt/backup",
    ),
    "prefix": {
        "title": "Prefix",
        "description": (
            "Name of the one folder, directly in the destination, that holds this delivery and "
            "nothing else. The retention counts these folders."
        ),
        "type": "string",
        "examples": ["${run.date}"],
    },
    "files": {
        "title": "Files",
        "description": (
            "Which of the target's files are sent, by patterns for their paths in its output; "
            "* stands for any text, slashes included. By default all packages and all that "
            "earlier steps made."
        ),
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
        "default": ["*"],
        "examples": [["*.zip", "SHA256SUMS"]],
    },
    "if_exists": {
        "title": "If a file exists",
        "description": (
            "What happens to a file of the same name and other content: it is replaced, kept, or "
            "the step fails before anything is sent. The same content is never sent again."
        ),
        "enum": ["replace", "keep", "fail"],
        "default": "replace",
    },
    "parallel": {
        "title": "Files at once",
        "description": "So many files are sent at the same time.",
        "type": "integer",
        "minimum": 1,
        "maximum": 8,
        "default": 4,
    },
    "keep": {
        "title": "Retention",
        "description": (
            "Which deliveries stay, once this one is complete: those that either of the two "
            "names. Others of the same manifest and target are removed, as far as this step "
            "put them there. Needs prefix."
        ),
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "last": {
                "title": "How many",
                "description": "So many of the newest complete deliveries, this one included.",
                "type": "integer",
                "minimum": 1,
                "examples": [14],
            },
            "days": {
                "title": "How old",
                "description": "Deliveries of this many days.",
                "type": "number",
                "exclusiveMinimum": 0,
                "examples": [30],
            },
        },
    },
    "content_type": _text(
        "Content type",
        "Content type of every file, where the store knows such; by default what its name "
        "speaks of.",
        "application/zip",
    ),
    "encryption": {
        "title": "Encryption",
        "description": (
            "Encryption that an S3 store is asked for: with keys of its own, or of the key "
            "management service."
        ),
        "enum": ["AES256", "aws:kms"],
        "examples": ["aws:kms"],
    },
    "kms_key": _text(
        "Key",
        "Key of the key management service, for encryption: aws:kms.",
        "arn:aws:kms:eu-west-1:111122223333:key/backup",
    ),
    "tags": {
        "title": "Tags",
        "description": "Tags of every file on S3 or Azure Blob, by name.",
        "type": "object",
        "additionalProperties": {"type": "string"},
        "examples": [{"team": "pricing"}],
    },
    "endpoint": _text(
        "Endpoint",
        "Address of a store that speaks the protocol of S3, Azure Blob or Google Cloud Storage.",
        "https://minio.example:9000",
    ),
    "region": _text(
        "Region", "Region of an S3 bucket; by default AWS's own settings.", "eu-west-1"
    ),
    "access_key_id": _text(
        "Access key",
        "Access key of an S3 store, with secret_access_key. By default credentials are looked "
        "for where AWS's own tools look: environment, profile, role.",
        "${env:AWS_KEY}",
    ),
    "secret_access_key": _secret(
        "Secret access key", "Secret that belongs to access_key_id.", "${env:AWS_SECRET}"
    ),
    "session_token": _secret(
        "Session token", "Session token of temporary S3 credentials.", "${env:AWS_TOKEN}"
    ),
    "account": _text("Account", "Account of Azure storage.", "acmebackup"),
    "account_key": _secret(
        "Account key",
        "Key of the Azure account. By default credentials are looked for in AZURE_* variables "
        "and the machine's identity.",
        "${env:AZURE_KEY}",
    ),
    "sas_token": _secret(
        "SAS token", "Shared access signature for Azure, in place of a key.", "${env:AZURE_SAS}"
    ),
    "service_account": _secret(
        "Service account",
        "Google service account, as the JSON text of its key file. By default the application "
        "default credentials.",
        "${file:/run/secrets/gcs.json}",
    ),
    "user": _text("User", "User's name for SFTP, WebDAV or HTTP.", "backup"),
    "password": _secret("Password", "The user's password.", "${env:BACKUP_PASSWORD}"),
    "token": _secret("Token", "Bearer token for WebDAV or HTTP.", "${env:BACKUP_TOKEN}"),
    "private_key": _secret(
        "Private key",
        "The text of a private SSH key. By default the SSH agent and the keys in ~/.ssh.",
        "${file:/run/secrets/id_ed25519}",
    ),
    "passphrase": _secret("Passphrase", "What opens the private key.", "${env:BACKUP_PASSPHRASE}"),
    "known_hosts": _text(
        "Known hosts",
        "File with the SSH keys of known hosts (relative to the manifest), by default "
        "~/.ssh/known_hosts. A host that is not in it is refused.",
        "known_hosts",
    ),
}
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to"],
    "properties": _PROPERTIES,
}
_ANYWHERE = {"to", "prefix", "files", "if_exists", "parallel"}
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
        raise StepError(
            f"{odd[0]}: not an option for {found.scheme}:// destinations, which have {fitting}"
        )
    for name, needed in _NEEDS.items():
        if name in options and needed not in options:
            raise StepError(f"{name} needs {needed} beside it")
    if not re.fullmatch(r"(?!\.{1,2}$)[^/\\\0]+", options.get("prefix", "none")):
        raise StepError(f"prefix: '{options['prefix']}' is not a folder's name")
    here = found.host.startswith(("127.", "localhost", "[::1]"))
    if {"user", "token"} & options.keys() and found.scheme in _IN_THE_CLEAR and not here:
        raise StepError(f"to: credentials would be read on the way; use {found.scheme}s://")
    return found


def _parse(to: str, folder: Path) -> Destination:
    """Take a URL or a path apart."""
    start, colon, rest = to.partition("://")
    if not colon:
        path = str(folder / Path(to).expanduser())
        return Destination("file", "", path, path)
    scheme = _ALIASES.get(start.lower(), start.lower())
    if scheme not in _FITTING:
        known = ", ".join(f"{each}://" for each in _FITTING)
        raise StepError(f"to: {scheme}:// is not known; give a folder or one of {known}")
    host, _, path = rest.partition("/")
    shown = f"{scheme}://{host}/{path.strip('/')}"
    if fault := _fault(scheme, host, path):
        # Of what may be a secret, nothing is shown.
        raise StepError(f"to: {scheme}://{host.rpartition('@')[2]}/…: {fault}")
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
