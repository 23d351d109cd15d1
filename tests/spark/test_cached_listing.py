"""Each list is requested once for all callers, also if the request fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.models import ServiceVersion
from spark_impex_runner.spark.cached_listing import CachedListing

PRICING = ServiceVersion("motor", "pricing")


def test_concurrent_calls_share_one_request() -> None:
    """Those who come while a question is under way wait for it."""
    asked: list[str] = []
    waiting, go = threading.Barrier(8, timeout=30), threading.Event()

    def services() -> list[ServiceVersion]:
        asked.append("services")
        assert go.wait(30)
        return [PRICING]

    catalogue = CachedListing(services, lambda *_: [])

    def ask(_: int) -> tuple[ServiceVersion, ...]:
        if waiting.wait() == 0:
            go.set()
        return catalogue.services()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))

    assert answers == [(PRICING,)] * 8
    assert asked == ["services"]


def test_each_service_is_requested_once() -> None:
    """Its versions are those of that service."""
    asked: list[tuple[str, str]] = []

    def versions(folder: str, service: str) -> list[ServiceVersion]:
        asked.append((folder, service))
        return [ServiceVersion(folder, service, version="1")]

    catalogue = CachedListing(list, versions)
    found = [catalogue.versions("motor", name)[0].uri for name in ("a", "b", "a")]

    assert found == ["motor/a[1]", "motor/b[1]", "motor/a[1]"]
    assert asked == [("motor", "a"), ("motor", "b")]


def test_failed_listing_is_cached() -> None:
    """A refusal is not requested again by each target of a run."""
    asked: list[int] = []

    def services() -> list[ServiceVersion]:
        asked.append(1)
        raise SparkSdkError("no")

    catalogue = CachedListing(services, lambda *_: [])

    for _ in range(2):
        with pytest.raises(SparkSdkError, match="no"):
            catalogue.services()
    assert len(asked) == 1
