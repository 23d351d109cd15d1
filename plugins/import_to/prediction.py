"""Predict what an import would do at its destination: before an export, and before the upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner import errors, models, tools

from .mapping import contents_of, mappings_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from spark_impex_runner import Spark

SHOWN = 5


def predict(
    spark: Spark,
    exported: models.ExportedVersions,
    mappings: Sequence[Mapping[str, str]],
    if_present: str,
) -> tuple[models.ServiceForecast, ...]:
    """Return what an import would do with each service; ask the destination for these only."""
    listed = tools.list_destination(spark, exported, mappings)
    return tools.forecast_import(exported, mappings, if_present, listed)


def describe(forecasts: Sequence[models.ServiceForecast]) -> str:
    """Return the forecasts on one line, what would fail first, cut after the first few."""
    ordered = sorted(forecasts, key=lambda each: not each.fails)
    lines = tools.first_of([tools.one_line(each.line) for each in ordered], SHOWN, "; ")
    fails = any(each.fails for each in forecasts)
    return f"would fail and import nothing: {lines}" if fails else lines


def to_send(
    mappings: Sequence[Mapping[str, str]], forecasts: Sequence[models.ServiceForecast]
) -> list[dict[str, str]]:
    """Return what must be imported: all but what is identical at the destination."""
    pairs = zip(mappings, forecasts, strict=True)
    return [dict(mapping) for mapping, each in pairs if not each.is_identical]


def name_identical(forecasts: Sequence[models.ServiceForecast]) -> str:
    """Return the names of what is identical at the destination, cut after the first few."""
    return tools.first_of([each.source for each in forecasts if each.is_identical], SHOWN)


def predict_plan(job: models.Job, options: Mapping[str, Any]) -> tuple[models.ServiceForecast, ...]:
    """Return what the step would do with each service, according to both tenants.

    Raises ``StepError`` if a service is in none of the packages, or would not be.
    """
    try:
        exported = _exported(job)
    except (tools.UnknownVersionsError, errors.SparkError) as error:
        return _unknown(options, tools.one_line(str(error)))
    forecasts: list[models.ServiceForecast] = []
    spark, if_present = job.run.connect(options["to"]), options.get("if_present", "abort")
    for each in exported:
        others = [other.versions for other in exported if other is not each]
        mappings = mappings_for(options.get("services"), each.versions, others)
        forecasts += predict(spark, each, mappings, if_present)
    return tuple(forecasts)


def _exported(job: models.Job) -> list[models.ExportedVersions]:
    """Return the contents of each package, or of the one that an export would make now."""
    if job.packages:
        return [contents_of(job, each) for each in job.packages]
    return [tools.exported_now(job.run.connect(job.target.connection), job.request, job.last)]


def _unknown(options: Mapping[str, Any], reason: str) -> tuple[models.ServiceForecast, ...]:
    """Return forecasts that say why they are unknown."""
    named = options.get("services") or ["everything in the package"]
    wanted = [each if isinstance(each, dict) else {"source": each} for each in named]
    return tuple(
        models.ServiceForecast(
            each["source"],
            each.get("target") or each["source"].partition("[")[0],
            "unknown",
            reason=f"what would be exported is not known: {reason}",
        )
        for each in wanted
    )
