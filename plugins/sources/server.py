"""A few requests of Vault's HTTP API, which OpenBao shares, and what the replies mean.

The variables are those of Vault's own command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from spark_impex_runner import errors, tools
from spark_impex_runner.tools.http import HttpClient, HttpResponse

TIMEOUT = "30s"


class UnreachableError(LookupError):
    """There is no answer at all, and there would be none to the next question."""


@dataclass(frozen=True, slots=True)
class Server:
    """One Vault, and who asks it; every method raises ``LookupError`` with a one-line reason."""

    address: str
    client: HttpClient = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The Vault with its address and namespace, for people."""
        namespace = self.headers.get("X-Vault-Namespace")
        return f"the Vault at {self.address}{f' (namespace {namespace})' if namespace else ''}"

    def get(self, path: str, about: str) -> Mapping[str, Any] | None:
        """Return the data behind a path, None where nothing is; ``about`` is the entry meant."""
        reply = self._send("GET", self._url(path))
        if reply.status == 403:
            raise LookupError(
                f"{self.name} refuses it ({self._words(reply)}); the token may have ended, its "
                f"policy must allow to read {about!r}, or there is no store of that name"
            )
        # Deleted versions come with this status, too, and with data about them.
        return None if reply.status == 404 else self._data(reply, "data")

    def approle(self, role: str, secret: str) -> str:
        """Return the token of an application role."""
        body = json.dumps({"role_id": role, "secret_id": secret}).encode()
        url = self._url("auth/approle/login")
        reply = self._send("POST", url, body)
        if reply.status in (400, 403):
            raise LookupError(
                f"{self.name} refuses the AppRole ({self._words(reply)}); check VAULT_ROLE_ID and "
                "VAULT_SECRET_ID"
            )
        return str(self._data(reply, "auth").get("client_token", ""))

    def _url(self, path: str) -> str:
        return f"{self.address}/v1/{quote(path, safe='/')}"

    def _send(self, method: str, url: str, body: bytes | None = None) -> HttpResponse:
        try:
            return self.client.send(method, url, self.headers, body)
        except errors.SparkSdkError as error:
            told = str(error).replace("verify_tls", "VAULT_CACERT")
            raise UnreachableError(f"{self.name}: {told}") from None

    def _data(self, reply: HttpResponse, key: str) -> Mapping[str, Any]:
        """Return what a good reply holds."""
        words = self._words(reply)
        if reply.status == 503:
            raise LookupError(f"{self.name} cannot answer ({words}); unseal it, or wait for it")
        if not reply.good:
            code = f"HTTP {reply.status}"
            told = f"{code}; check VAULT_ADDR" if words == code else f"{code} {words}"
            if reply.status < 400:
                told = f"{code}; VAULT_ADDR must name the active server"
            raise LookupError(f"{self.name}: {told}")
        data = reply.data.get(key) if isinstance(reply.data, Mapping) else None
        if isinstance(data, Mapping):
            return data
        raise LookupError(f"{self.name} answers as no Vault does; check VAULT_ADDR")

    def _words(self, reply: HttpResponse) -> str:
        """Return what the server says of an error."""
        errors = reply.data.get("errors") if isinstance(reply.data, Mapping) else None
        words = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
        return tools.one_line(self.client.mask(words)) or f"HTTP {reply.status}"


def log_in(environ: Mapping[str, str]) -> Server:
    """Return the Vault that the environment names, with a token that it accepts or has given."""
    # A connection is not kept: nobody would close it, and an entry takes but two requests.
    headers = {"X-Vault-Request": "true", "Connection": "close"}
    if namespace := environ.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    server = Server(_address(environ), _client(environ), headers)
    token = environ.get("VAULT_TOKEN", "")
    if not token and (role := environ.get("VAULT_ROLE_ID")):
        token = server.approle(role, environ.get("VAULT_SECRET_ID", ""))
    token = token or _kept_token()
    if not token:
        raise LookupError(
            "there is no token for Vault; set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, "
            "or log in by 'vault login'"
        )
    server.client.add_secret(token)
    return replace(server, headers={**headers, "X-Vault-Token": token})


def _address(environ: Mapping[str, str]) -> str:
    """Return the address that requests begin with."""
    address = environ.get("VAULT_ADDR", "").strip().rstrip("/")
    if not address:
        raise LookupError("VAULT_ADDR is not set; it names the Vault: https://vault.acme.com:8200")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise LookupError("VAULT_ADDR is no address such as https://vault.acme.com:8200")
    return address


def _client(environ: Mapping[str, str]) -> HttpClient:
    """Return a client with the limits and certificates that the environment names."""
    bundle = environ.get("VAULT_CACERT")
    if bundle and not Path(bundle).is_file():
        raise LookupError(f"VAULT_CACERT names {bundle!r}, which is no file")
    try:
        timeout = tools.parse_duration(environ.get("VAULT_CLIENT_TIMEOUT") or TIMEOUT)
        return HttpClient(timeout=timeout, verify=bundle or True)
    except errors.UsageError as error:
        raise LookupError(f"VAULT_CLIENT_TIMEOUT: {error}") from None


def _kept_token() -> str:
    """Return the token that ``vault login`` keeps, where there is one."""
    try:
        return (Path.home() / ".vault-token").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError, RuntimeError):
        return ""
