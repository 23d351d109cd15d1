"""Send requests to Vault's HTTP API, which OpenBao shares, and interpret the replies.

The environment variables are those of Vault's own CLI.
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
    """The server does not reply, so further requests are pointless."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Vault and the credentials for it; every method raises ``LookupError`` with a reason."""

    address: str
    client: HttpClient = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The Vault with its address and namespace, for messages."""
        namespace = self.headers.get("X-Vault-Namespace")
        return f"the Vault at {self.address}{f' (namespace {namespace})' if namespace else ''}"

    def get(self, path: str, about: str) -> Mapping[str, Any] | None:
        """Return the data at a path, None if there is none; ``about`` is the entry for messages."""
        reply = self._send("GET", self._url(path))
        if reply.status == 403:
            raise LookupError(
                f"{self.name} refuses it ({self._error_text(reply)}); the token may have expired, "
                f"its policy may not allow reading {about!r}, or there is no store of that name"
            )
        # A deleted version has this status, too, with metadata in the body.
        return None if reply.status == 404 else self._data(reply, "data")

    def approle(self, role: str, secret: str) -> str:
        """Log in with an AppRole and return the token."""
        body = json.dumps({"role_id": role, "secret_id": secret}).encode()
        url = self._url("auth/approle/login")
        reply = self._send("POST", url, body)
        if reply.status in (400, 403):
            raise LookupError(
                f"{self.name} refuses the AppRole ({self._error_text(reply)}); check VAULT_ROLE_ID "
                "and VAULT_SECRET_ID"
            )
        return str(self._data(reply, "auth").get("client_token", ""))

    def _url(self, path: str) -> str:
        return f"{self.address}/v1/{quote(path, safe='/')}"

    def _send(self, method: str, url: str, body: bytes | None = None) -> HttpResponse:
        try:
            return self.client.send(method, url, self.headers, body)
        except errors.SparkSdkError as error:
            message = str(error).replace("verify_tls", "VAULT_CACERT")
            raise UnreachableError(f"{self.name}: {message}") from None

    def _data(self, reply: HttpResponse, key: str) -> Mapping[str, Any]:
        """Return the data of a successful reply; raise ``LookupError`` for any other."""
        text = self._error_text(reply)
        if reply.status == 503:
            raise LookupError(f"{self.name} cannot answer ({text}); unseal it, or wait for it")
        if not reply.good:
            code = f"HTTP {reply.status}"
            message = f"{code}; check VAULT_ADDR" if text == code else f"{code} {text}"
            if reply.status < 400:
                message = f"{code}; VAULT_ADDR must name the active server"
            raise LookupError(f"{self.name}: {message}")
        data = reply.data.get(key) if isinstance(reply.data, Mapping) else None
        if isinstance(data, Mapping):
            return data
        raise LookupError(f"{self.name} does not reply as a Vault does; check VAULT_ADDR")

    def _error_text(self, reply: HttpResponse) -> str:
        """Return the error message of a reply."""
        errors = reply.data.get("errors") if isinstance(reply.data, Mapping) else None
        text = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
        return tools.one_line(self.client.mask(text)) or f"HTTP {reply.status}"


def log_in(environ: Mapping[str, str]) -> Server:
    """Return the Vault of the environment, with its token or one from an AppRole login."""
    # Not kept alive: nothing closes the connection at the end, and an entry takes two requests.
    headers = {"X-Vault-Request": "true", "Connection": "close"}
    if namespace := environ.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    server = Server(_address(environ), _client(environ), headers)
    token = environ.get("VAULT_TOKEN", "")
    if not token and (role := environ.get("VAULT_ROLE_ID")):
        token = server.approle(role, environ.get("VAULT_SECRET_ID", ""))
    token = token or _token_from_file()
    if not token:
        raise LookupError(
            "no token for Vault; set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, "
            "or log in by 'vault login'"
        )
    # Replies may echo the token, so the client masks it in messages.
    server.client.add_secret(token)
    return replace(server, headers={**headers, "X-Vault-Token": token})


def _address(environ: Mapping[str, str]) -> str:
    address = environ.get("VAULT_ADDR", "").strip().rstrip("/")
    if not address:
        raise LookupError(
            "VAULT_ADDR is not set; set it to a URL such as https://vault.acme.com:8200"
        )
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise LookupError("VAULT_ADDR is not a URL such as https://vault.acme.com:8200")
    return address


def _client(environ: Mapping[str, str]) -> HttpClient:
    """Return a client with the timeout and certificates of the environment."""
    bundle = environ.get("VAULT_CACERT")
    if bundle and not Path(bundle).is_file():
        problem = tools.url_problem(bundle) or f"{bundle!r} is not a file"
        raise LookupError(f"VAULT_CACERT: {problem}")
    try:
        timeout = tools.parse_duration(environ.get("VAULT_CLIENT_TIMEOUT") or TIMEOUT)
        return HttpClient(timeout=timeout, verify=bundle or True)
    except errors.UsageError as error:
        raise LookupError(f"VAULT_CLIENT_TIMEOUT: {error}") from None


def _token_from_file() -> str:
    """Return the token that ``vault login`` stored, empty if there is none."""
    try:
        return (Path.home() / ".vault-token").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError, RuntimeError):
        return ""
