"""Open buckets with credentials of the options, or as the stores' own tools find them."""

from __future__ import annotations

import importlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from obstore.store import AzureStore, GCSStore, S3Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import ObjectStore

_S3: Final[Mapping[str, str]] = {
    "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
    "session_token": "session_token",
    "encryption": "server_side_encryption",
    "kms_key": "sse_kms_key_id",
}
_AZURE: Final[Mapping[str, str]] = {
    "endpoint": "endpoint",
    "account": "account_name",
    "account_key": "account_key",
    "sas_token": "sas_key",
}
_GOOGLE: Final[Mapping[str, str]] = {
    "endpoint": "base_url",
    "service_account": "service_account_key",
}
# Lets obstore send requests without a token, which emulators do not ask for.
_NO_KEY = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
# The fields of Azure's connection strings.
_CONNECTION: Final[Mapping[str, str]] = {
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "BlobEndpoint": "endpoint",
    "SharedAccessSignature": "sas_key",
}
# The code and the message in a store's XML error.
_XML = re.compile(
    r"(?:<\?xml[^>]*>\s*)?<Error>.*?<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>.*</Error>"
)
_DEBUG = "\n\nDebug source:"
# The user and password in an endpoint's address.
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")


@dataclass(frozen=True)
class Bucket:
    """A bucket (in Azure: a container) with the settings that open it."""

    kind: Callable[..., ObjectStore]
    name: str
    config: Mapping[str, Any]
    own: Mapping[str, Any] = field(default_factory=dict)

    def open(self, client: Mapping[str, str], retry: Mapping[str, Any]) -> ObjectStore:
        """Return a client; ``client`` are timeouts, ``retry`` what is done after an error."""
        # Unencrypted only if the user's endpoint is http.
        endpoint = str(self.config.get("endpoint") or self.config.get("base_url") or "")
        options = {"allow_http": endpoint.startswith("http://"), **client}
        return self.kind(
            self.name,
            config=dict(self.config),
            client_options=options,
            retry_config=dict(retry),
            **self.own,
        )


def bucket(scheme: str, name: str, options: Mapping[str, Any]) -> Bucket:
    """Return a bucket; options override the settings of the machine.

    Raises ``UsageError`` if these are not usable.
    """
    if scheme == "s3":
        # Imported on use: it belongs to an extra of its own.
        aws = importlib.import_module("spark_impex_runner.object_store.aws")
        found, provider = aws.settings(options)
        # Every write carries a SHA-256: buckets with Object Lock refuse one without a checksum.
        config = {**found, "checksum_algorithm": "sha256", **_pick(options, _S3)}
        return Bucket(S3Store, name, config, {"credential_provider": provider})
    if scheme == "az":
        return Bucket(AzureStore, name, {**_azure_settings(options), **_pick(options, _AZURE)})
    return Bucket(GCSStore, name, {**_google_settings(options), **_pick(options, _GOOGLE)})


def one_line(error: Exception) -> str:
    """Return a store's message in one line, without timings, passwords and debug output."""
    text = _USERINFO.sub("", str(error).partition(_DEBUG)[0])
    text = " ".join(re.sub(r" in [0-9.]+(ns|µs|ms|s)\b", "", text).split())
    text = _XML.sub(r"\1: \2", text)
    hint = "; check the endpoint and the network" if text.endswith("error sending request") else ""
    return text + hint


def _azure_settings(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the account and the endpoint of the environment; obstore reads the other variables."""
    if "account" in options:
        return {}
    string = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    fields = dict(part.partition("=")[::2] for part in string.split(";") if part)
    found = {name: fields[key] for key, name in _CONNECTION.items() if key in fields}
    endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT", "")
    return {**found, **({"endpoint": endpoint} if endpoint else {})}


def _google_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the emulator of the environment, as Google's own libraries find it."""
    host = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if not host or "endpoint" in options:
        return {}
    base_url = host if "://" in host else f"http://{host}"
    return {"base_url": base_url, "service_account_key": json.dumps(_NO_KEY)}


def _pick(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the given options under the store's names."""
    return {names[name]: options[name] for name in names if name in options}
