"""The JSON Schema of the options of ``upload``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


def _text(title: str, description: str, *examples: str) -> dict[str, Any]:
    about = {"title": title, "description": description, "examples": list(examples)}
    return {**about, "type": "string", "minLength": 1}


def _secret(title: str, description: str, example: str) -> dict[str, Any]:
    """Return the schema of a secret, which must be a reference."""
    about = {"title": title, "description": description, "examples": [example]}
    return {**about, "type": "string", "x-secret": True}


_PROPERTIES: Final[dict[str, Any]] = {
    "to": _text(
        "Destination",
        "Where the files go: a folder (relative to the manifest) or file:// URL, s3://bucket/…, "
        "az://container/…, gs://bucket/…, sftp://host/…, webdav(s)://host/… or http(s)://host/… "
        "(plain PUT). Credentials go into their own options, never into the URL.",
        "s3://acme-backup/motor",
        "sftp://backup.example/srv/spark",
        "/mnt/backup",
    )
    | {"x-path": "either"},
    "prefix": {
        "title": "Prefix",
        "description": (
            "Name of the folder in the destination for this delivery alone. The retention counts "
            "these folders."
        ),
        "type": "string",
        "examples": ["${run.date}"],
    },
    "files": {
        "title": "Files",
        "description": (
            "Patterns of the files to upload, by their paths in the target's output; * matches any "
            "text, slashes included. By default all packages and all results of earlier steps."
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
            "What to do with a file of the same name and other content that an earlier run of this "
            "target delivered: replace it, keep it, or fail before anything is sent. Other files "
            "are never replaced, and the same content is never sent again."
        ),
        "enum": ["replace", "keep", "fail"],
        "default": "replace",
    },
    "parallel": {
        "title": "Files at once",
        "description": "Number of files to upload in parallel.",
        "type": "integer",
        "minimum": 1,
        "maximum": 8,
        "default": 4,
    },
    "keep": {
        "title": "Retention",
        "description": (
            "Deliveries to keep once this one is complete: those that either key names. Others "
            "of the same tenant, project, manifest and target are removed, as far as this step "
            "uploaded them. Requires prefix."
        ),
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "last": {
                "title": "How many",
                "description": "Number of newest complete deliveries to keep, including this one.",
                "type": "integer",
                "minimum": 1,
                "examples": [14],
            },
            "days": {
                "title": "How old",
                "description": "Age in days up to which deliveries are kept.",
                "type": "number",
                "exclusiveMinimum": 0,
                "examples": [30],
            },
        },
    },
    "project": _text(
        "Project",
        "Name of the project that the manifest belongs to: only runs of the same project replace, "
        "count and remove its deliveries. By default the remote origin of the manifest's git "
        "repository with the folder in it, else the manifest's folder. Set it where that changes, "
        "as in CI without a repository.",
        "github.com/acme/pricing//backup",
        "motor-backup",
    ),
    "content_type": _text(
        "Content type",
        "Content type of every file, if the store has such; by default derived from its name.",
        "application/zip",
    ),
    "encryption": {
        "title": "Encryption",
        "description": (
            "Server-side encryption of an S3 store: with its own keys, or those of the key "
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
        "URL of a store that is compatible with S3, Azure Blob or Google Cloud Storage.",
        "https://minio.example:9000",
    ),
    "region": _text(
        "Region", "Region of an S3 bucket; by default AWS's own settings.", "eu-west-1"
    ),
    "access_key_id": _text(
        "Access key",
        "Access key of an S3 store, with secret_access_key. By default the credentials "
        "that AWS's own tools find: environment, profile, role.",
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
        "Key of the Azure account. By default the AZURE_* variables or the machine's managed "
        "identity.",
        "${env:AZURE_KEY}",
    ),
    "sas_token": _secret(
        "SAS token", "Shared access signature for Azure, instead of a key.", "${env:AZURE_SAS}"
    ),
    "service_account": _secret(
        "Service account",
        "Google service account, as the JSON text of its key file. By default the application "
        "default credentials.",
        "${file:/run/secrets/gcs.json}",
    ),
    "user": _text("User", "User name for SFTP, WebDAV or HTTP.", "backup"),
    "password": _secret("Password", "The user's password.", "${env:BACKUP_PASSWORD}"),
    "token": _secret("Token", "Bearer token for WebDAV or HTTP.", "${env:BACKUP_TOKEN}"),
    "private_key": _secret(
        "Private key",
        "The text of a private SSH key. By default the SSH agent and the keys in ~/.ssh.",
        "${file:/run/secrets/id_ed25519}",
    ),
    "passphrase": _secret("Passphrase", "Passphrase of private_key.", "${env:BACKUP_PASSPHRASE}"),
    "known_hosts": {
        "x-path": "read",
        **_text(
            "Known hosts",
            "File with the SSH keys of known hosts (relative to the manifest), by default those of "
            "OpenSSH: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. A host that is not in it is "
            "refused.",
            "known_hosts",
        ),
    },
}
OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to"],
    "properties": _PROPERTIES,
}


def is_selected(name: str, patterns: Sequence[str]) -> bool:
    """Return whether the option ``files`` selects a file of the output."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
