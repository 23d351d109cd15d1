"""Find the module of one service in packages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from spark_impex_runner import errors, models, tools

from .module import Module, read_module, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

_MAX_TOTAL: Final = 2 << 30
_MAX_FILES: Final = 100_000


def packaged_module(job: models.Job, service: str) -> Module:
    """Return the module of a service in a job's packages.

    Raises ``StepError`` for a damaged package, and what ``select_module`` raises.
    """
    return select_module((_opened(job, each) for each in job.packages), service)


@contextmanager
def _opened(job: models.Job, artifact: models.Artifact) -> Iterator[tools.FileReader]:
    budget = tools.ReadBudget(_MAX_TOTAL, _MAX_FILES, job.stopping)
    others = (tools.OverLimitError, tools.DamagedFileError, errors.UsageError)
    with (
        tools.package_errors(artifact, *others),
        artifact.path.open("rb") as file,
        tools.ArchiveReader.open(file, budget) as package,
    ):
        yield package


def select_module(
    packages: Iterable[AbstractContextManager[tools.FileReader]], service: str
) -> Module:
    """Return the module of ``service``, or of the only one; raise ``UsageError`` otherwise."""
    uris: list[str] = []
    found: list[Module] = []
    for each in packages:
        with each as package:
            for version in versions(package):
                uris.append(version.uri)
                if not found and _names(version.uri, service):
                    found.append(read_module(package, version))
    uris = list(dict.fromkeys(uris))
    matching = [uri for uri in uris if _names(uri, service)]
    if len(matching) != 1:
        raise errors.UsageError(_explain(uris, matching, service))
    return found[0]


def _names(uri: str, service: str) -> bool:
    """Return whether a service is named, with or without its version; no name is any."""
    return service in {"", uri, uri.partition("[")[0]}


def _explain(uris: Sequence[str], matching: Sequence[str], service: str) -> str:
    """Return why there is not one module."""
    if matching:
        return (
            f"the package holds {tools.first_of(matching, 5)}; name one as the service, "
            f"such as {matching[0]}"
        )
    known = tools.first_of(uris, 5) or "no service"
    return f"the package holds no {service}, but {known}" if service else "the package is empty"
