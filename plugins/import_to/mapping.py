"""Map the services of a package to the services that they become on the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence


# A package's manifest is small; this bounds the memory for a malicious one.
_MAX_MANIFEST = 16 << 20
_SHOWN = 5

Contents = tuple["models.ServiceVersion", ...]
Mapping = dict[str, str]


def contents_of(job: models.Job, package: models.Artifact) -> Contents:
    """Return the versions that a package's own manifest lists, else those of the job's status.

    The layout of a ``migrate`` package is not published, so it may have no manifest. Raises
    ``StepError`` if the package is not a ZIP file.
    """
    with (
        tools.package_errors(package),
        package.path.open("rb") as stream,
        tools.open_zip(stream) as archive,
    ):
        text = _manifest(archive)
    try:
        versions = tools.parse_status(tools.parse_json(text)).service_versions if text else ()
    except errors.SparkSdkError:  # JSON, but not a manifest in the documented form.
        versions = ()
    except ValueError as error:
        reason = tools.one_line(str(error))
        raise errors.StepError(f"{package.name}: the package is broken: {reason}") from error
    return versions or (job.status.service_versions if job.status else ())


def _manifest(archive: zipfile.ZipFile) -> bytes:
    """Return the bytes of ``{tenant}/manifest.json``, empty if there is no such entry."""
    for info in archive.infolist():
        if info.filename.endswith("/manifest.json") and info.filename.count("/") == 1:
            with archive.open(info) as stream:
                return stream.read(_MAX_MANIFEST)
    return b""


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
