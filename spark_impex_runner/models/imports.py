"""What an import would do at its destination: what is known of both sides, and the forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_impex_runner.models.wire import ServiceVersion

# By the id of a version in lower case: the SHA-256 of its ``module`` and its ``workbook`` in
# lower-case hexadecimal, each only if it is stated.
Hashes = Mapping[str, Mapping[str, str]]
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ExportedVersions:
    """What a package holds, or what an export would hold.

    Attributes:
        versions: The versions; empty if the package does not list them.
        hashes: What is stated of the contents of the versions.
    """

    versions: tuple[ServiceVersion, ...] = ()
    hashes: Hashes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedService:
    """One service at the destination of an import, as the tenant lists it.

    Attributes:
        versions: Its versions, newest first; empty if there is no such service.
        has_folder: Whether its folder exists.
        hashes: What is stated of the contents of the versions.
        problem: One line that says why the rest is unknown; else empty.
    """

    versions: tuple[ServiceVersion, ...] = ()
    has_folder: bool = True
    hashes: Hashes = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ServiceForecast:
    """What an import would do with one service at its destination.

    Attributes:
        source: The service in the package: ``motor/pricing``, or with a version.
        target: The service that it becomes: ``uk/pricing``.
        outcome: ``new``, ``adds``, ``replaces``, ``identical`` (the import leaves it out),
            ``folder_missing``, ``would_abort`` or ``unknown``.
        versions: The numbers that the versions of the package get, or have there if they are
            identical; empty if that is unknown.
        now: The number of the latest version there; empty without one.
        replaced: How many versions are replaced.
        reason: What shows that the service is identical, or why its forecast is unknown.
    """

    source: str
    target: str
    outcome: str
    versions: tuple[str, ...] = ()
    now: str = ""
    replaced: int = 0
    reason: str = ""

    @property
    def is_identical(self) -> bool:
        """Whether the destination has it already, so that nothing is done."""
        return self.outcome == "identical"

    @property
    def fails(self) -> bool:
        """Whether this service would end the whole import without success."""
        return self.outcome in {"folder_missing", "would_abort"}

    @property
    def text(self) -> str:
        """What would happen, without the service: ``adds 1.5.0 (now 1.4.2)``."""
        numbers = ", ".join(self.versions[:_SHOWN])
        if more := len(self.versions[_SHOWN:]):
            numbers += f" and {more} more"
        return {
            "new": f"new ({numbers})" if numbers else "new",
            "adds": f"adds {numbers or 'versions'} (now {self.now})",
            "replaces": f"replaces {_versions(self.replaced)}, call history becomes unreachable",
            "identical": f"identical: nothing to do ({self.reason})",
            "folder_missing": f"folder missing: create {self.target.partition('/')[0]} first",
            "would_abort": f"would abort: it exists (now {self.now})",
        }.get(self.outcome, f"unknown: {self.reason}")

    @property
    def line(self) -> str:
        """The service and what would happen: ``motor/pricing -> uk/pricing: new (1.4.2)``."""
        renamed = self.source.partition("[")[0] != self.target
        return f"{self.source}{f' -> {self.target}' if renamed else ''}: {self.text}"

    def as_data(self) -> dict[str, Any]:
        """Return the forecast as plain JSON values, the text included."""
        return {**asdict(self), "versions": list(self.versions), "text": self.text}


def forecast_lines(services: Iterable[ServiceForecast]) -> list[str]:
    """Return the lines of forecasts; several that are unknown for one reason are one line."""
    lines: list[str] = []
    for text, group in groupby(services, key=lambda each: each.text):
        same = list(group)
        if len(same) == 1 or same[0].outcome != "unknown":
            lines += [each.line for each in same]
        else:
            lines.append(f"{same[0].source} and {len(same) - 1} more: {text}")
    return lines


def _versions(number: int) -> str:
    return "1 version" if number == 1 else f"{number} versions"
