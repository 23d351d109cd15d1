"""What a tenant has, each question asked once: the plugins of one run share the answers."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spark_impex_runner.models import ServiceVersion

    Answer = Future[tuple[ServiceVersion, ...]]


class CachedListing:
    """The services of one tenant and their versions, as a client lists them; safe for threads.

    Whoever asks while a question is under way waits for its answer. An answer, even an error, is
    that of the run: nothing is asked again.
    """

    def __init__(
        self,
        list_services: Callable[[], Iterable[ServiceVersion]],
        list_versions: Callable[[str, str], Iterable[ServiceVersion]],
    ) -> None:
        self._list_services = list_services
        self._list_versions = list_versions
        self._answers: dict[tuple[str, ...], Answer] = {}
        self._lock = threading.Lock()

    def services(self) -> tuple[ServiceVersion, ...]:
        """Return every service that these credentials see, each with its latest version."""
        return self._once(self._list_services)

    def versions(self, folder: str, service: str) -> tuple[ServiceVersion, ...]:
        """Return every version of a service, the newest first."""
        return self._once(self._list_versions, folder, service)

    def _once(
        self, ask: Callable[..., Iterable[ServiceVersion]], *question: str
    ) -> tuple[ServiceVersion, ...]:
        with self._lock:
            is_new = question not in self._answers
            answer = self._answers.setdefault(question, Future())
        if is_new:
            try:
                answer.set_result(tuple(ask(*question)))
            except BaseException as error:  # noqa: BLE001 - it is raised for all who asked
                answer.set_exception(error)
        return answer.result()
