"""The test of a store at the start: it has to refuse what two runners must not both do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.remote.objects import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.state.remote.objects import Objects

_OTHER = {"e_tag": '"00000000000000000000000000000000"', "version": "1"}


def check_store(objects: Objects, key: str, data: bytes) -> None:
    """Create an object that exists, and write it in place of a version that is not there.

    Raises ``StateError`` for a store that accepts one of them.
    """
    for expected in (None, _OTHER):
        if not _is_refused(objects, key, data, expected):
            raise StateError(
                f"{objects.place}: this store does not support conditional writes, so two runners "
                "could overwrite each other's state; use a store that refuses PUT with "
                "If-None-Match and If-Match, or --state DIR"
            )


def _is_refused(
    objects: Objects, key: str, data: bytes, expected: Mapping[str, str] | None
) -> bool:
    try:
        try:
            objects.put(key, data, expected, once=True)
        except StateError as error:
            # Some stores answer so to a condition that they do not know; any other error may pass.
            if "501" in str(error) or "NotImplemented" in str(error):
                return False
            objects.put(key, data, expected)
    except RefusedError:
        return True
    return False
