"""``skip_unchanged: true``: skip the export of versions that were delivered last time.

Versions are compared by id. If the tenant's listing is ambiguous, such as about which of two
versions is the latest, the target is exported.
"""

from __future__ import annotations

import logging

from spark_impex_runner import errors, hookimpl, models, tools

_log = logging.getLogger(__name__)
# How many versions a message names.
_MAX_SHOWN = 3


@hookimpl(trylast=True)
def impex_unchanged(job: models.Job) -> str | None:
    """Return when and where the current versions were delivered, None to export them."""
    if job.last is None:
        return None
    spark, name = job.run.connect(job.target.connection), job.target.name
    try:
        found = tools.requested_versions(spark, job.request, job.last)
        now = {each.version_id.lower(): each.uri for each in found}
        before = _delivered(job.last)
    except (tools.UnknownVersionsError, errors.SparkError) as error:
        _log.warning("%s: exporting, cannot tell whether it is unchanged: %s", name, error)
        return None
    if now.keys() != before.keys():
        _log.info(
            "%s: exporting, changed since the last delivery: %s", name, _difference(now, before)
        )
        return None
    return (
        f"as delivered at {job.last.finished:%Y-%m-%d %H:%M}Z into {job.last.output} "
        f"by job {job.last.job_id} (skip_unchanged)"
    )


def _delivered(last: models.Delivery) -> dict[str, str]:
    """Return the URIs of the last delivery's versions by their ids."""
    if not last.service_versions:
        reason = "the tenant did not list the versions of the last delivery"
        raise tools.UnknownVersionsError(reason)
    for each in last.service_versions:
        if not each.version_id:
            reason = f"the tenant gave no id for {each.uri} in the last delivery"
            raise tools.UnknownVersionsError(reason)
    return {each.version_id.lower(): each.uri for each in last.service_versions}


def _difference(now: dict[str, str], before: dict[str, str]) -> str:
    new = sorted(uri for id_, uri in now.items() if id_ not in before)
    gone = sorted(uri for id_, uri in before.items() if id_ not in now)
    changes = (("new", new), ("gone", gone))
    return "; ".join(
        f"{name}: {tools.first_of(uris, _MAX_SHOWN)}" for name, uris in changes if uris
    )
