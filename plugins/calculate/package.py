"""Find the module of one service in the packages of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors, models, tools

from .module import Module, read_module, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAX_TOTAL: Final = 2 << 30
_MAX_FILES: Final = 100_000


def select_module(
    packages: Sequence[models.Artifact], service: str, stopping: Callable[[], bool]
) -> Module:
    """Return the module of ``service``, or of the only one; raise ``StepError`` otherwise."""
    uris: list[str] = []
    found: list[Module] = []
    for artifact in packages:
        budget = tools.ReadBudget(_MAX_TOTAL, _MAX_FILES, stopping)
        with (
            tools.package_errors(artifact, tools.OverLimitError, tools.DamagedFileError),
            artifact.path.open("rb") as file,
            tools.ArchiveReader.open(file, budget) as package,
        ):
            for version in versions(package):
                uris.append(version.uri)
                if not found and _matches(version, service):
                    found.append(read_module(package, version))
    matching = [uri for uri in dict.fromkeys(uris) if not service or _names(uri, service)]
    if len(matching) == 1:
        return found[0]
    if matching:
        raise errors.StepError(
            f"the package holds {tools.first_of(matching, 5)}; name one with service: {matching[0]}"
        )
    known = tools.first_of(list(dict.fromkeys(uris)), 5) or "no service"
    raise errors.StepError(f"service: the package holds no {service}, but {known}")


def _matches(version: models.ServiceVersion, service: str) -> bool:
    return not service or _names(version.uri, service)


def _names(uri: str, service: str) -> bool:
    """Return whether a service is named, with or without its version."""
    return service in {uri, uri.partition("[")[0]}
