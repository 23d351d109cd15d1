"""Given tokens that have ended, or will before a job is done: found before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from spark_impex_runner.errors import UsageError
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.spark.http.auth import expiry
from spark_impex_runner.spark.http.credentials import from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from spark_impex_runner.models import Connection, Target

_HINT = "get a new one, or give client credentials, which are renewed"


@dataclass(frozen=True, slots=True)
class TokenExpiry:
    """When the token of each connection ends, as of ``now``.

    ``now`` is of this machine's clock, which may be wrong by ``doubt``; the tenant's own decides.
    """

    connections: Mapping[str, Connection]
    environ: Mapping[str, str] = field(repr=False)
    now: datetime
    doubt: timedelta = timedelta(0)

    def of(self, name: str) -> datetime | None:
        """Return when a connection's token ends, None where it has none or does not say."""
        connection = self.connections[name]
        auth = connection.auth
        if auth is None and connection.sandbox is None:
            try:
                auth = from_environment(self.environ)
            except UsageError:
                return None  # Whoever connects is told what is missing.
        return expiry(auth.token) if auth and auth.token else None


def check_tokens(targets: Sequence[Target], ends: TokenExpiry) -> Iterator[Finding]:
    """Yield an error for each token of ``targets`` that has ended, a warning if it may soon."""
    slowest_of: dict[str, Target] = {}
    for target in targets:
        for name in target.connections:
            known = slowest_of.setdefault(name, target)
            if target.polling.deadline > known.polling.deadline:
                slowest_of[name] = target
    for name, slowest in slowest_of.items():
        end = ends.of(name)
        given = ends.connections[name].auth is not None
        path = ("connections", name, "auth", "token") if given else ("connections", name)
        which = "the token" if given else "the token of CSPARK_BEARER_TOKEN"
        if end is None:
            continue
        if end <= ends.now:
            certain = end <= ends.now - ends.doubt
            clock = "" if certain else ", if the clock of this machine is right"
            message = f"{which} ended at {end:%Y-%m-%d %H:%M:%S}Z{clock}; {_HINT}"
            yield Finding(path, message, severity="error" if certain else "warning")
        elif end < ends.now + timedelta(seconds=slowest.polling.deadline):
            message = (
                f"{which} ends at {end:%H:%M:%S}Z, before the deadline of the target "
                f"{slowest.name!r}; {_HINT}"
            )
            yield Finding(path, message, severity="warning")
