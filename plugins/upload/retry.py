"""Retry what a store could not do because of a transient error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from spark_impex_runner import errors

from .store import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
# Seconds before each retry of a transient error.
WAITS: Final = (1.0, 4.0, 15.0)


def retried(
    work: Callable[[], _Result], check: Callable[[], None], wait: Callable[[float], None]
) -> _Result:
    """Call ``work``, and retry it after transient errors.

    ``check`` is called before each attempt and may raise to stop; ``wait`` waits so many seconds.
    """
    for number, pause in enumerate(WAITS, 2):
        check()
        try:
            return work()
        except (errors.StepError, OSError) as error:
            if not is_transient(error):
                raise
            _log.info(
                "%s; retrying in %g s (attempt %d of %d)", error, pause, number, len(WAITS) + 1
            )
        wait(pause)
    check()
    return work()
