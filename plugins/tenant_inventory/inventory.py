"""Read a tenant's folders and their transform documents, as far as the tenant allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from spark_impex_runner import Spark

# Of the documented properties those that a user sets, and who made the folder when. Left out: ids,
# counts and dates that change by themselves, the user's own star, and the link of the cover image,
# which may hold a token.
PROPERTIES: Final = (
    *("category", "createdAt", "createdBy", "description", "launchDate", "startDate", "status"),
)

_WILD: Final = frozenset("*?[")


@dataclass
class Inventory:
    """Properties by folder, transform documents by folder and name, and what is missing.

    ``missing`` has a line for each thing that the tenant did not give.
    """

    folders: dict[str, Any] = field(default_factory=dict)
    transforms: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, job: models.Job, patterns: Sequence[str] | None) -> Inventory:
        """Read the folders that match a pattern, by default those of the exported services."""
        spark, found = job.run.connect(job.target.connection), cls()
        patterns = patterns or _exported(job)
        found._read_folders(spark, patterns)
        # Without a listing those that are named have their transforms all the same.
        names = [each for each in patterns if not _WILD.intersection(each)]
        for folder in sorted({*names, *found.folders}):
            tools.stop_check(job)()
            found._read_transforms(spark, folder)
        masker = spark.session.http.masker
        found.folders = _masked(found.folders, masker)
        found.transforms = _masked(found.transforms, masker)
        return found

    def _read_folders(self, spark: Spark, patterns: Collection[str]) -> None:
        try:
            rows = {str(each["name"]): each for each in spark.list_folders()}
        except errors.SparkError as error:
            self.missing.append(f"folders' properties: {error}")
            return
        for pattern in patterns:
            # A name may have brackets, which are not meant as a pattern.
            matching = {pattern} & rows.keys() or {n for n in rows if fnmatchcase(n, pattern)}
            for name in matching:
                self.folders[name] = {
                    key: rows[name][key] for key in PROPERTIES if key in rows[name]
                }
            if not matching:
                self.missing.append(f"properties of {pattern}: the tenant lists no such folder")

    def _read_transforms(self, spark: Spark, folder: str) -> None:
        try:
            names = spark.list_transforms(folder)
        except errors.SparkError as error:
            self.missing.append(f"transforms of {folder}: {error}")
            return
        self.transforms[folder] = {}
        for name in names:
            try:
                self.transforms[folder][name] = spark.transform(folder, name)
            except errors.SparkError as error:
                self.missing.append(f"transform {folder}/{name}: {error}")


def _exported(job: models.Job) -> list[str]:
    """Return the folders of the services in the packages, else of those that the job names."""
    versions: list[models.ServiceVersion] = []
    for package in job.packages:
        others = (errors.UsageError, errors.SparkSdkError, ValueError, tools.DamagedFileError)
        with tools.package_errors(package, *others):
            for opened in tools.package_readers(package.path):
                with opened as reader:
                    versions += _versions(reader)
    # The layout of a migrate package is not published, so it may have no manifest.
    if not versions and job.status:
        versions += job.status.service_versions
    return sorted({each.folder for each in versions})


def _versions(package: tools.FileReader) -> Sequence[models.ServiceVersion]:
    place = package.manifest
    if place is None:
        return ()
    return tools.parse_status(tools.parse_json(package.text(place))).service_versions


def _masked(value: Any, masker: tools.Masker) -> Any:
    """Return JSON with every known secret of the run replaced by ``***``."""
    if isinstance(value, str):
        return masker.mask(value)
    if isinstance(value, Mapping):
        return {masker.mask(str(key)): _masked(each, masker) for key, each in value.items()}
    return [_masked(each, masker) for each in value] if isinstance(value, list) else value
