"""Ask what an export would hold now, and what is at the destination of its import."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from spark_impex_runner.blocking import map_in_threads
from spark_impex_runner.errors import SparkError
from spark_impex_runner.models import ExportedVersions, ListedService
from spark_impex_runner.progress_log import ProgressLog
from spark_impex_runner.spark.import_forecast import latest_pairs, may_be_same, target_of
from spark_impex_runner.spark.listing import has_folder, has_service, hashes_of, services, versions
from spark_impex_runner.spark.requested import requested_services, requested_versions
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spark_impex_runner.models import Delivery, Request
    from spark_impex_runner.spark.client import Spark

R = TypeVar("R")

# Requests at a time; the connection's own limit of requests per second holds, too.
_THREADS = 4
# More versions are not asked for their hashes: there may be thousands, with a request each.
_MOST_HASHES = 100
# From so many services on, the listing is read first: of that, so many rows for each of them, which
# are a tenth of a request.
_MANY, _ROWS = 10, 10
# Seconds that one listing of services, or the questions about one service, may take with retries.
_LONGEST = 20.0


def exported_now(spark: Spark, request: Request, last: Delivery | None = None) -> ExportedVersions:
    """Return what an export would hold now, with the hashes that the tenant states.

    ``last``, the last delivery, tells what the ids in the request name. Sends one request for each
    version, up to 100 versions. Raises as ``requested_versions`` does.
    """
    clock = spark.session.http.clock
    with clock.until(clock.monotonic() + _LONGEST):
        names = list(requested_services(spark, request))
    progress = ProgressLog(clock, f"listed {{}} of {{}} services of {spark.url}", len(names))

    def in_time(function: Callable[..., R], *args: Any) -> R:
        with clock.until(clock.monotonic() + _LONGEST):
            return function(*args)

    def ask(name: tuple[str, str]) -> None:
        in_time(spark.catalogue.versions, *name)
        progress.advance()

    # One first: a tenant that refuses or does not answer is not asked for the others.
    for each in names[:1]:
        ask(each)
    map_in_threads(ask, names[1:], _THREADS)
    versions = in_time(requested_versions, spark, request, last)
    asked = versions if len(versions) <= _MOST_HASHES else ()
    found = map_in_threads(lambda each: in_time(hashes_of, spark.session, [each]), asked, _THREADS)
    hashes = {key: value for each in found for key, value in each.items()}
    stated = ((each, hashes.get(each.version_id.lower(), {})) for each in versions)
    spark.catalogue.uncompiled |= {each for each, known in stated if known.get("module") == ""}
    return ExportedVersions(versions, hashes)


def list_destination(
    spark: Spark, exported: ExportedVersions, mappings: Sequence[Mapping[str, str]]
) -> dict[str, ListedService]:
    """Return the services that an import would change, by ``folder/service``.

    Sends two requests for a service that exists, or one if the tenant's listing names it; one for a
    service that does not, and one for its folder; and one for each of its latest versions that may
    equal one of the package. Raises no ``SparkError``: what could not be asked has its ``problem``.
    If the first service has one, the others are not asked for.
    """
    wanted = list({target_of(each): each for each in mappings}.values())
    clock = spark.session.http.clock
    progress = ProgressLog(clock, f"asked {spark.url} for {{}} of {{}} services", len(wanted))
    questions = _Questions(spark, exported, progress)
    try:
        # One first: a tenant that refuses or does not answer is not asked for the others.
        answers = [questions.ask(each) for each in wanted[:1]]
    except SparkError as error:
        answers = [_unknown(error)] * len(wanted)
    else:
        if len(wanted) > _MANY:
            questions = replace(questions, listed=_listed(spark, _ROWS * len(wanted)))
        answers += map_in_threads(questions.ask_safely, wanted[1:], _THREADS)
    return dict(zip(map(target_of, wanted), answers, strict=True))


def _listed(spark: Spark, most: int) -> frozenset[str]:
    """Return the first services of the tenant's listing, none if it is refused.

    It may lack a service that was just added, so that only what is in it counts.
    """
    clock = spark.session.http.clock
    with suppress(SparkError), clock.until(clock.monotonic() + _LONGEST):
        found = islice(services(spark.session, once=True), most)
        return frozenset(f"{each.folder}/{each.service}" for each in found)
    return frozenset()


@dataclass(frozen=True, slots=True)
class _Questions:
    """Asks a destination for one service after the other; safe to share by threads.

    ``listed`` are services that it is known to have, ``folders`` tells which folders exist.
    """

    spark: Spark
    exported: ExportedVersions
    progress: ProgressLog
    listed: frozenset[str] = frozenset()
    folders: dict[str, bool] = field(default_factory=dict)

    def ask(self, mapping: Mapping[str, str]) -> ListedService:
        """Return what is there; raise ``SparkError`` if that cannot be asked."""
        target, session = target_of(mapping), self.spark.session
        folder, _, service = target.partition("/")
        clock = session.http.clock
        with clock.until(clock.monotonic() + _LONGEST):
            if target not in self.listed and not has_service(session, folder, service):
                # Two threads may ask for one folder; both get the same answer.
                if folder not in self.folders:
                    self.folders[folder] = has_folder(session, folder)
                return ListedService(has_folder=self.folders[folder])
            # Not the cached list: an earlier step may have changed it.
            found = ListedService(tuple(versions(session, folder, service)))
            return _with_hashes(self.spark, self.exported, mapping, found)

    def ask_safely(self, mapping: Mapping[str, str]) -> ListedService:
        """Return what is there, or why that cannot be asked."""
        try:
            return self.ask(mapping)
        except SparkError as error:
            return _unknown(error)
        finally:
            self.progress.advance()


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
