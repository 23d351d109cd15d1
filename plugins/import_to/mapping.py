"""What is to be imported: the services of a package, and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence


# The text that a package says of itself is small; so many bytes of one are kept in memory.
_TEXT = 16 << 20
_SHOWN = 5

Contents = tuple["models.ServiceVersion", ...]
Mapping = dict[str, str]


def contents_of(job: models.Job, package: models.Artifact) -> Contents:
    """Return the versions in a package as its own manifest names them.

    What is in a ``migrate`` package is not published: where it has no manifest, the words of the
    tenant that exported it count. Raises ``StepError`` for what is no ZIP file.
    """
    with (
        tools.package_errors(package),
        package.path.open("rb") as stream,
        tools.open_zip(stream) as archive,
    ):
        text = _manifest(archive)
    try:
        said = tools.parse_status(tools.parse_json(text)).service_versions if text else ()
    except errors.SparkSdkError:
        said = ()
    except ValueError as error:
        fault = tools.one_line(str(error))
        raise errors.StepError(f"{package.name}: the package is broken: {fault}") from error
    return said or (job.status.service_versions if job.status else ())


def _manifest(archive: zipfile.ZipFile) -> bytes:
    """Return the text of ``{tenant}/manifest.json``, nothing where there is none."""
    for info in archive.infolist():
        if info.filename.endswith("/manifest.json") and info.filename.count("/") == 1:
            with archive.open(info) as stream:
                return stream.read(_TEXT)
    return b""


def mappings_for(
    written: Sequence[Any] | None, package: Contents, others: Sequence[Contents]
) -> list[Mapping]:
    """Return what is to be imported from one package; nothing where other packages hold it.

    Without a word of the manifest that is everything. Raises ``StepError`` where a service that
    the manifest names is in no package of the target, or where nobody says what is in this one.
    """
    if written is None:
        return [_mapping(uri, package) for uri in _every(package)]
    wanted = [each if isinstance(each, dict) else {"source": each} for each in written]
    found = []
    for each in wanted:
        uri = _read(each["source"])
        if not package or _held(uri, package):
            found.append(_mapping(uri, package) | {k: v for k, v in each.items() if k != "source"})
        elif not any(_held(uri, other) for other in others):
            raise errors.StepError(f"{uri} is not in the package, which holds {shown(package)}")
    return found


def shown(package: Contents) -> str:
    """Return the versions of a package for a person, the first of very many."""
    names = [tools.one_line(each.uri) for each in package]
    return tools.first_of(names, _SHOWN) or "nothing that it names"


def _every(package: Contents) -> list[tools.Uri]:
    if not package:
        raise errors.StepError(
            "the package does not say which services it holds; name them in services"
        )
    pairs = dict.fromkeys((each.folder, each.service) for each in package)
    return [tools.Uri(folder, service) for folder, service in pairs]


def _read(text: str) -> tools.Uri:
    try:
        uri = tools.Uri.parse(text)
    except errors.UriError as error:
        raise errors.StepError(str(error)) from error
    if not uri.service:
        raise errors.StepError(f"{uri}: an import takes services by their names, folder/service")
    return uri


def _held(uri: tools.Uri, package: Contents) -> list[models.ServiceVersion]:
    return [each for each in package if uri.delivers(each)]


def _mapping(uri: tools.Uri, package: Contents) -> Mapping:
    """Return a mapping of a service to itself.

    The source names its version where that is one, as in the API's example; a bare name stands for
    all versions of the service in the package (inferred).
    """
    versions = _held(uri, package)
    if uri.version and versions:
        versions = [max(versions, key=lambda each: tools.version_order(each.version))]
    source = versions[0].uri if len(versions) == 1 else uri.wire
    return {"source": source, "target": f"{uri.folder}/{uri.service}"}
