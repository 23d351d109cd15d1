"""Ask what an export would hold now, and what is at the destination of its import."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import map_in_threads
from spark_impex_runner.errors import SparkError
from spark_impex_runner.models import ExportedVersions, ListedService
from spark_impex_runner.spark.import_forecast import latest_pairs, may_be_same, target_of
from spark_impex_runner.spark.listing import has_folder, has_service, hashes_of, versions
from spark_impex_runner.spark.requested import requested_versions
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.models import Request
    from spark_impex_runner.spark.client import Spark

# Requests at a time; the connection's own limit of requests per second holds, too.
_THREADS = 4
# More versions are not asked for their hashes: there may be thousands, with a request each.
_MOST_HASHES = 100
# Seconds that the questions about an export, or about one service, may take, retries included.
_LONGEST = 20.0


def exported_now(spark: Spark, request: Request) -> ExportedVersions:
    """Return what an export would hold now, with the hashes that the tenant states.

    Sends one request for each version, up to 100 versions. Raises as ``requested_versions`` does.
    """
    clock = spark.session.http.clock
    with clock.until(clock.monotonic() + _LONGEST):
        versions = requested_versions(spark, request)
        asked = versions if len(versions) <= _MOST_HASHES else ()
        hashes = hashes_of(spark.session, asked)
    stated = ((each, hashes.get(each.version_id.lower(), {})) for each in versions)
    spark.catalogue.uncompiled |= {each for each, found in stated if found.get("module") == ""}
    return ExportedVersions(versions, hashes)


def list_destination(
    spark: Spark, exported: ExportedVersions, mappings: Sequence[Mapping[str, str]]
) -> dict[str, ListedService]:
    """Return the services that an import would change, by ``folder/service``.

    Sends two requests for a service that exists, or two for one that does not, and one for each of
    its latest versions that may equal one of the package. Raises no ``SparkError``: what could not
    be asked has its ``problem``. If the first service has one, the others are not asked for.
    """
    wanted = list({target_of(each): each for each in mappings}.values())
    try:
        # One first: a tenant that refuses or does not answer is not asked for the others.
        answers = [_ask(spark, exported, each) for each in wanted[:1]]
    except SparkError as error:
        answers = [_unknown(error)] * len(wanted)
    else:
        answers += map_in_threads(partial(_ask_safely, spark, exported), wanted[1:], _THREADS)
    return dict(zip(map(target_of, wanted), answers, strict=True))


def _ask(spark: Spark, exported: ExportedVersions, mapping: Mapping[str, str]) -> ListedService:
    folder, _, service = target_of(mapping).partition("/")
    clock = spark.session.http.clock
    with clock.until(clock.monotonic() + _LONGEST):
        if not has_service(spark.session, folder, service):
            return ListedService(has_folder=has_folder(spark.session, folder))
        # Not the cached list: an earlier step may have changed it.
        listed = tuple(versions(spark.session, folder, service))
        return _with_hashes(spark, exported, mapping, ListedService(listed))


def _ask_safely(
    spark: Spark, exported: ExportedVersions, mapping: Mapping[str, str]
) -> ListedService:
    try:
        return _ask(spark, exported, mapping)
    except SparkError as error:
        return _unknown(error)


def _unknown(error: SparkError) -> ListedService:
    return ListedService(problem=one_line(str(error)))


def _with_hashes(
    spark: Spark, exported: ExportedVersions, mapping: Mapping[str, str], found: ListedService
) -> ListedService:
    """Return a service with the hashes of the versions that may be those of the package."""
    if not found.versions:
        return ListedService(problem=f"the tenant lists no version of {target_of(mapping)}")
    candidates = [
        theirs
        for ours, theirs in latest_pairs(exported, mapping, found)
        if may_be_same(ours, theirs) and exported.hashes.get(ours.version_id.lower())
    ]
    return ListedService(found.versions, hashes=hashes_of(spark.session, candidates))
