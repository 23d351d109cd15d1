"""``skip_unchanged: true``: nothing is exported while a tenant's versions are those of last time.

A job is compared with the last delivery by the ids of versions. What the tenant's listing does not
say for certain, such as which of two versions is the latest, is a doubt, and is exported.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spark_impex_runner import errors, hookimpl, models, tools

from .offered import DoubtError, Offered

if TYPE_CHECKING:
    from collections.abc import Iterable


_log = logging.getLogger(__name__)
# So many versions are told of.
_SHOWN = 3


@hookimpl(trylast=True)
def impex_unchanged(job: models.Job) -> str | None:
    """Say when and where the tenant's versions were delivered; None where they were not."""
    if job.last is None:
        return None
    spark, name = job.run.connect(job.target.connection), job.target.name
    try:
        now = Offered(job.request, job.last, spark).versions()
        before = _delivered(job.last)
    except (DoubtError, errors.SparkError) as error:
        _log.warning("%s: exported, as it is not known whether it is unchanged: %s", name, error)
        return None
    if now.keys() != before.keys():
        _log.info(
            "%s: exported, as it is not what was delivered last: %s", name, _told(now, before)
        )
        return None
    return (
        f"as delivered at {job.last.finished:%Y-%m-%d %H:%M}Z into {job.last.output} "
        f"by job {job.last.job_id} (skip_unchanged)"
    )


def _delivered(last: models.Delivery) -> dict[str, str]:
    """Return the versions of the last delivery: what each is called, by its id."""
    if not last.service_versions:
        raise DoubtError("the tenant did not say which versions it delivered last")
    for each in last.service_versions:
        if not each.version_id:
            raise DoubtError(f"the tenant gave no id for {each.uri} when it was delivered last")
    return {each.version_id.lower(): each.uri for each in last.service_versions}


def _told(now: dict[str, str], before: dict[str, str]) -> str:
    """Return what came and what went."""
    came = _some(uri for id_, uri in now.items() if id_ not in before)
    went = _some(uri for id_, uri in before.items() if id_ not in now)
    return "; ".join(part for part in (came and f"new: {came}", went and f"gone: {went}") if part)


def _some(uris: Iterable[str]) -> str:
    return tools.first_of(sorted(uris), _SHOWN)
