"""Import the packages of a backup to a tenant: forecast, approve, and import each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.comparison.exported import read_exported
from spark_impex_runner.comparison.places import opened
from spark_impex_runner.engine.restore_plan import PlannedImport, RestorePlan
from spark_impex_runner.errors import UsageError
from spark_impex_runner.models import (
    ExportedVersions,
)
from spark_impex_runner.spark.destination import list_destination
from spark_impex_runner.spark.import_forecast import forecast_import

if TYPE_CHECKING:
    from collections.abc import Collection

    from spark_impex_runner.engine.restore_plan import Backup
    from spark_impex_runner.models import Artifact, RunOptions
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.spark.client import Spark


@dataclass(frozen=True, slots=True)
class Restore:
    """The restore of one backup to one connection.

    With ``first_only``, a service in several packages is restored from the first one alone; else
    there may be none, unless all versions are added.
    """

    prepared: Prepared
    options: RunOptions
    to: str
    backup: Backup
    first_only: bool = False

    @property
    def client(self) -> Spark:
        """The client of the destination."""
        return self.prepared.connections.client(self.to)

    def plan(self, if_present: str) -> RestorePlan:
        """Ask the destination, and return what the import would do; send nothing else.

        Raises ``UsageError`` for a package that cannot be read or names no services.
        """
        imports: list[PlannedImport] = []
        for each in self.backup.packages:
            earlier = {one.target for done in imports for one in done.services}
            left_out = earlier if self.first_only else set()
            imports.append(self._forecast(each, if_present, left_out))
        plan = RestorePlan(if_present, tuple(imports))
        if plan.repeated and if_present != "add_version":
            raise UsageError(
                f"{plan.repeated} is in several packages; only --if-present add_version imports "
                "all of its versions"
            )
        return plan

    def _forecast(
        self, package: Artifact, if_present: str, left_out: Collection[str]
    ) -> PlannedImport:
        with opened(package.path) as reader:
            try:
                exported = read_exported(reader)
            except ValueError as error:
                raise UsageError(f"{package.name}: the package is broken: {error}") from error
        if not exported.versions:
            exported = ExportedVersions(self.backup.reported)
        services = dict.fromkeys(f"{each.folder}/{each.service}" for each in exported.versions)
        if not services:
            raise UsageError(f"{package.name}: neither the package nor its receipt lists services")
        mappings = [{"source": each, "target": each} for each in services if each not in left_out]
        listed = list_destination(self.client, exported, mappings)
        forecasts = forecast_import(exported, mappings, if_present, listed)
        wanted = tuple(each.target for each in forecasts if each.outcome != "identical")
        return PlannedImport(package, wanted, forecasts)
