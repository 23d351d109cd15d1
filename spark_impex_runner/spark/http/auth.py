"""Authenticate by bearer token, API key or OAuth2 client credentials."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from spark_impex_runner import fields
from spark_impex_runner.errors import (
    ErrorReply,
    SparkSdkError,
    TransportError,
    UnauthorizedError,
    UsageError,
)
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.response import HttpResponse, api_error, read_error

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker

# A token is renewed so many seconds early: an upload that begins before its end may end after it.
_EARLY = 60.0
_MAX_LIFE = 366 * 86_400
_REFUSALS = (400, 401, 403)


class Scheme(Protocol):
    """Credentials in the shape of request headers."""

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the credentials, valid now."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Renew credentials that got a 401; return False if there are no newer ones."""

    # When these credentials expire for good, None if they can be renewed or do not say.
    expires: datetime | None


class _FixedCredentials:
    """Credentials from outside, which cannot be renewed."""

    expires: datetime | None = None

    def __init__(self, name: str, secret: str, masker: Masker) -> None:
        self._secret = _printable(name, secret)
        masker.add(self._secret)
        self._headers: dict[str, str] = {}

    def headers(self) -> dict[str, str]:
        """Return the one header that carries the secret."""
        return self._headers

    def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 - the protocol's shape
        """Return False: there are no newer ones."""
        return False


class ApiKey(_FixedCredentials):
    """A synthetic key, sent as ``x-synthetic-key`` (documented).

    It never travels together with ``Authorization``, which the tenant would read as a JWT and
    refuse (inferred from a report of a third party).
    """

    def __init__(self, key: str, masker: Masker) -> None:
        super().__init__("api_key", key, masker)
        self._headers = {"x-synthetic-key": self._secret}


class Bearer(_FixedCredentials):
    """A bearer token; a leading ``Bearer`` is removed, ``expires`` is read from a JWT."""

    def __init__(self, token: str, masker: Masker) -> None:
        super().__init__("token", _without_scheme(token), masker)
        self._headers = {"Authorization": f"Bearer {self._secret}"}
        self.expires = expiry(self._secret)


class ClientCredentials:
    """OAuth2 client credentials: a token requested when needed and renewed before it expires.

    ``request`` performs the token request at ``endpoint`` and returns the reply, whatever its
    status. Many threads may wait for one token: it is requested once. A refused secret is
    remembered and never sent again, since repeating it may lock the client. A refusal without an
    error code, which may be a proxy's page, is remembered only if the next reply is one, too.
    """

    expires: datetime | None = None

    def __init__(
        self, endpoint: str, request: Callable[[], HttpResponse], clock: Clock, masker: Masker
    ) -> None:
        self._action = f"asking {endpoint} for a token"
        self._request = request
        self._clock = clock
        self._masker = masker
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = 0.0
        self._refusal: ErrorReply | None = None
        self._refused_before = False

    def headers(self) -> dict[str, str]:
        """Return the ``Authorization`` header; request a token if none is valid.

        Raises ``UnauthorizedError`` if the client is refused, another ``SparkError`` otherwise.
        """
        with self._locked():
            if not self._token or self._clock.monotonic() >= self._good_until:
                self._obtain()
            return {"Authorization": f"Bearer {self._token}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Request a new token, unless another thread did so since ``refused`` was sent."""
        with self._locked():
            if refused.get("Authorization") == f"Bearer {self._token}":
                self._obtain()
            return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one thread at a time request a token; raise ``TransportError`` at its deadline."""
        if not self._lock.acquire(timeout=min(self._clock.left(), threading.TIMEOUT_MAX)):
            raise TransportError(f"{self._action}: no answer before the deadline")
        try:
            yield
        finally:
            self._lock.release()

    def _obtain(self) -> None:
        if self._refusal is None:
            requested = self._clock.monotonic()
            reply = self._request()
            if reply.good:
                self._store(reply, requested)
                return
            if reply.status not in _REFUSALS:
                raise api_error(reply, self._action, "", self._masker)
            refusal = read_error(reply, "", self._masker)
            if refusal.code or self._refused_before:
                self._refusal = refusal
            self._refused_before = True
        else:
            refusal = self._refusal
        text = " ".join(part for part in (refusal.code, refusal.details) if part)
        raise UnauthorizedError(
            f"{self._action}: the client credentials are refused (HTTP {refusal.status} {text}); "
            "check client_id and client_secret",
            refusal,
        )

    def _store(self, reply: HttpResponse, requested: float) -> None:
        """Store the token until a minute before its end, or half its life if that is longer."""
        data = reply.data if isinstance(reply.data, Mapping) else {}
        token, life = data.get("access_token"), data.get("expires_in")
        if not isinstance(token, str) or not token:
            raise SparkSdkError(f"{self._action}: the reply holds no access_token; check base_url")
        try:
            token = _printable("access_token", token)
        except UsageError as error:
            raise SparkSdkError(f"{self._action}: {error}") from None
        if len(token) > limits.TOKEN:
            most = limits.size(limits.TOKEN)
            raise SparkSdkError(f"{self._action}: the access_token is larger than {most}")
        self._masker.add(token)
        self._token, self._refused_before = token, False
        life = fields.number(life) or 0.0
        seconds = min(life, _MAX_LIFE) if life > 0 else 300.0
        self._good_until = requested + max(seconds - _EARLY, seconds / 2)


def _without_scheme(token: str) -> str:
    """Return a token without a leading ``Bearer``."""
    return re.sub(r"(?i)^\s*bearer\s+", "", token)


def expiry(token: str) -> datetime | None:
    """Return the claim ``exp`` of a JWT, unverified, None if there is none.

    It only predicts the tenant's reply. Tokens of Spark's Keycloak are JWTs (seen in a published
    sample).
    """
    try:
        payload = _without_scheme(token).split(".")[1]
        claims = fields.parse(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(claims["exp"], timezone.utc)
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def _printable(name: str, secret: str) -> str:
    """Return the secret without surrounding blanks; raise ``UsageError`` that does not show it."""
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageError(f"{name} is empty or contains characters that are invalid in a header")
    return secret
