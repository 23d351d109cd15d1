"""Map the services of a package to the services that they become on the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from collections.abc import Sequence


# The tenant's own limit of a package is 200 MiB compressed.
_MAX_TOTAL, _MAX_FILES = 2 << 30, 100_000
_SHOWN = 5

Contents = tuple["models.ServiceVersion", ...]
Mapping = dict[str, str]


def contents_of(job: models.Job, package: models.Artifact) -> models.ExportedVersions:
    """Return the versions that a package's own manifest lists, else those of the job's status.

    The layout of a ``migrate`` package is not published, so it may have no manifest. Raises
    ``StepError`` if the package is not a ZIP file.
    """
    budget = tools.ReadBudget(_MAX_TOTAL, _MAX_FILES, job.stopping)
    try:
        with (
            tools.package_errors(package, tools.DamagedFileError, tools.OverLimitError),
            package.path.open("rb") as stream,
            tools.ArchiveReader.open(stream, budget) as reader,
        ):
            found = tools.read_exported(reader)
    except ValueError as error:
        reason = tools.one_line(str(error))
        raise errors.StepError(f"{package.name}: the package is broken: {reason}") from error
    if found.versions or not job.status:
        return found
    return models.ExportedVersions(job.status.service_versions)


def mappings_for(
    services: Sequence[Any] | None, package: Contents, others: Sequence[Contents]
) -> list[Mapping]:
    """Return what to import from one package; empty if other packages hold the services.

    Without ``services`` that is everything in it. Raises ``StepError`` if a service is in no
    package of the target, or if the contents of this package are unknown.
    """
    if services is None:
        return [_mapping(uri, package) for uri in _all_services(package)]
    wanted = [each if isinstance(each, dict) else {"source": each} for each in services]
    found = []
    for each in wanted:
        uri = _parse(each["source"])
        if not package or _matching(uri, package):
            found.append(_mapping(uri, package) | {k: v for k, v in each.items() if k != "source"})
        elif not any(_matching(uri, other) for other in others):
            raise errors.StepError(f"{uri} is not in the package, which holds {describe(package)}")
    return found


def describe(package: Contents) -> str:
    """Return the versions of a package as text, cut after the first few."""
    names = [tools.one_line(each.uri) for each in package]
    return tools.first_of(names, _SHOWN) or "no service that it names"


def _all_services(package: Contents) -> list[tools.Uri]:
    if not package:
        raise errors.StepError("the package does not list its services; name them in services")
    pairs = dict.fromkeys((each.folder, each.service) for each in package)
    return [tools.Uri(folder, service) for folder, service in pairs]


def _parse(text: str) -> tools.Uri:
    try:
        uri = tools.Uri.parse(text)
    except errors.UriError as error:
        raise errors.StepError(str(error)) from error
    if not uri.service:
        raise errors.StepError(f"{uri}: an import needs the service as folder/service")
    return uri


def _matching(uri: tools.Uri, package: Contents) -> list[models.ServiceVersion]:
    return [each for each in package if uri.delivers(each)]


def _mapping(uri: tools.Uri, package: Contents) -> Mapping:
    """Return a mapping of a service to itself.

    A source with one version names it, as in the API's example; a bare name stands for all
    versions of the service in the package (inferred).
    """
    versions = _matching(uri, package)
    # Of several matching versions the latest counts, as for an export of this URI.
    if uri.version and versions:
        versions = [max(versions, key=lambda each: tools.version_order(each.version))]
    source = versions[0].uri if len(versions) == 1 else uri.wire
    return {"source": source, "target": f"{uri.folder}/{uri.service}"}
