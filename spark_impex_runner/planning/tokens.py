"""Find tokens that have expired, or will before their targets' deadlines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.spark.http.auth import expiry as expiry_of
from spark_impex_runner.spark.http.credentials import from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from spark_impex_runner.models import Connection, Target

_HINT = "get a new one, or give client credentials, which are renewed"


@dataclass(frozen=True, slots=True)
class TokenExpiry:
    """When the token of each connection expires.

    ``now`` is this machine's time, which may differ from the tenant's by ``clock_error``.
    """

    connections: Mapping[str, Connection]
    environ: Mapping[str, str] = field(repr=False)
    now: datetime
    clock_error: timedelta = timedelta(0)

    def of(self, name: str) -> datetime | None:
        """Return when a connection's token expires, None if unknown or without a token."""
        connection = self.connections[name]
        auth = connection.auth
        if auth is None and connection.sandbox is None:
            try:
                auth = from_environment(self.environ)
            except UsageError:
                return None  # connecting reports what is missing
        return expiry_of(auth.token) if auth and auth.token else None


def check_tokens(targets: Sequence[Target], expiry: TokenExpiry) -> Iterator[Finding]:
    """Yield an error for each expired token of ``targets``, a warning for one that may expire."""
    slowest_of: dict[str, Target] = {}
    for target in targets:
        for name in target.connections:
            known = slowest_of.setdefault(name, target)
            if target.polling.deadline > known.polling.deadline:
                slowest_of[name] = target
    for name, slowest in slowest_of.items():
        end = expiry.of(name)
        given = expiry.connections[name].auth is not None
        path = ("connections", name, "auth", "token") if given else ("connections", name)
        which = "the token" if given else "the token of CSPARK_BEARER_TOKEN"
        if end is None:
            continue
        if end <= expiry.now:
            certain = end <= expiry.now - expiry.clock_error
            clock = "" if certain else ", by this machine's clock"
            message = f"{which} expired at {end:%Y-%m-%d %H:%M:%S}Z{clock}; {_HINT}"
            yield Finding(path, message, severity="error" if certain else "warning")
        elif end < expiry.now + timedelta(seconds=slowest.polling.deadline):
            message = (
                f"{which} expires at {end:%H:%M:%S}Z, before the deadline of the target "
                f"{slowest.name!r}; {_HINT}"
            )
            yield Finding(path, message, severity="warning")
