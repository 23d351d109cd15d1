"""The credentials that the sandbox accepts, and its token endpoint."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from spark_impex_runner.sandbox.http.messages import HttpError, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.sandbox.http.messages import Reply, Request


class Authenticator:
    """Checks credentials, which are random for each instance, and issues OAuth tokens."""

    def __init__(self, tenant: str, token_seconds: int, clock: Callable[[], float]) -> None:
        self.token = secrets.token_urlsafe(32)
        self.api_key = secrets.token_urlsafe(24)
        self.client_id = f"sandbox-{secrets.token_hex(4)}"
        self.client_secret = secrets.token_urlsafe(24)
        self._tenant = tenant
        self._seconds = token_seconds
        self._clock = clock
        self._expiry: dict[str, float] = {}

    def issue(self, request: Request, realm: str) -> Reply:
        """Answer the token endpoint as Keycloak does: client credentials in the form body."""
        form = parse_qs(request.body.decode("latin-1"))
        given = [form.get(key, [""])[-1] for key in ("grant_type", "client_id", "client_secret")]
        if realm != self._tenant:
            return json_reply({"error": "Realm does not exist"}, 404)
        if given[0] != "client_credentials":
            return json_reply({"error": "unsupported_grant_type"}, 400)
        if not _same(given[1], self.client_id) or not _same(given[2], self.client_secret):
            refused = "Invalid client or Invalid client credentials"
            return json_reply({"error": "unauthorized_client", "error_description": refused}, 401)
        return json_reply(self._new_token())

    def _new_token(self) -> dict[str, object]:
        token = secrets.token_urlsafe(48)
        self._expiry[token] = self._clock() + self._seconds
        return {
            "access_token": token,
            "expires_in": self._seconds,
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": "email profile",
        }

    def check(self, request: Request, access: str) -> None:
        """Raise 401 unless the request has credentials for ``access``.

        Of a request with both schemes only the bearer token counts (assumed).
        """
        if access == "none":
            return
        given = request.headers.get("authorization")
        # A wrong bearer token is refused even with a right key.
        if given is not None:
            allowed = self._is_bearer(given)
        else:
            allowed = access == "any" and self._is_key(request)
        if not allowed:
            raise HttpError(json_reply({"errorCode": "INVALID_TOKEN", "status": "Error"}, 401))

    def user(self, request: Request) -> str:
        """Return whose request it is: that of the token, of the API key, or of the OAuth client."""
        given = request.headers.get("authorization")
        if given is None:
            return "api-key"
        return "sandbox" if _same(given.partition(" ")[2], self.token) else self.client_id

    def _is_bearer(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            return False
        return _same(token, self.token) or self._expiry.get(token, 0.0) > self._clock()

    def _is_key(self, request: Request) -> bool:
        key = request.headers.get("x-synthetic-key", "")
        return _same(key, self.api_key) and request.headers.get("x-tenant-name") == self._tenant


def _same(given: str, expected: str) -> bool:
    # Compares in constant time: other users of this machine can reach the loopback port.
    return secrets.compare_digest(given.encode(), expected.encode())
