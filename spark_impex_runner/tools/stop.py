"""End long work when the run is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import Job


def stop_check(job: Job) -> Callable[[], None]:
    """Return a function that raises ``Interrupted`` once the run is being interrupted.

    ``file_digests`` and ``digest_of`` call it between pieces of 1 MiB.
    """

    def check() -> None:
        if job.stopping():
            raise Interrupted

    return check
