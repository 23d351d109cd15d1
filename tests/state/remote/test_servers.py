"""The servers of these tests refuse conditional writes as the stores do, or ignore them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore
import pytest
from obstore import exceptions

from spark_impex_runner.object_store.address import parse_address
from spark_impex_runner.object_store.clients import bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ObjectStore

REFUSED = (exceptions.PreconditionError, exceptions.AlreadyExistsError)
# Adds one to an object as often as its argument says, by compare and swap.
CONTENDER = """
import sys, obstore
from obstore import exceptions
from spark_impex_runner.object_store.clients import bucket
scheme, name, times = sys.argv[1:]
store, refused = bucket(scheme, name, {}).open({}, {}), 0
for _ in range(int(times)):
    while True:
        found = obstore.get(store, "count")
        number = int(bytes(found.bytes())) + 1
        mark = {key: found.meta[key] for key in ("e_tag", "version") if found.meta[key]}
        try:
            obstore.put(store, "count", str(number).encode(), mode=mark)
            break
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError):
            refused += 1
print(refused)
"""


def opened(request: pytest.FixtureRequest, kind: str) -> tuple[ObjectStore, tuple[str, str]]:
    """Return a client of an empty bucket, and the bucket's scheme and name."""
    address = parse_address(request.getfixturevalue(f"{kind}_state").url)
    return bucket(address.scheme, address.bucket, {}).open({}, {}), (
        address.scheme,
        address.bucket,
    )


@pytest.mark.parametrize("kind", ["s3", "azure", "google"])
def test_contending_writers_lose_nothing(
    kind: str, request: pytest.FixtureRequest, start: Callable[..., object]
) -> None:
    """Two processes add up by compare and swap: the server refuses, and no addition is lost."""
    store, place = opened(request, kind)
    obstore.put(store, "count", b"0", mode="create")

    writers = [start("-c", CONTENDER, *place, "20") for _ in range(2)]
    replies = [each.communicate() for each in writers]
    assert not "".join(err for _, err in replies)
    refused = [int(out) for out, _ in replies]

    assert bytes(obstore.get(store, "count").bytes()) == b"40"
    assert sum(refused)


@pytest.mark.parametrize("kind", ["s3", "azure", "google"])
def test_servers_refuse_what_exists(kind: str, request: pytest.FixtureRequest) -> None:
    """A second creation, and a write that expects another object."""
    store, _ = opened(request, kind)
    obstore.put(store, "a/b", b"1", mode="create")

    with pytest.raises(REFUSED):
        obstore.put(store, "a/b", b"2", mode="create")
    with pytest.raises(REFUSED):
        obstore.put(store, "a/b", b"2", mode={"e_tag": '"other"', "version": "1"})

    assert bytes(obstore.get(store, "a/b").bytes()) == b"1"


def test_careless_server_accepts_both(request: pytest.FixtureRequest) -> None:
    """The one that must be refused as a place for a state."""
    store, _ = opened(request, "careless_s3")
    obstore.put(store, "a", b"1", mode="create")

    obstore.put(store, "a", b"2", mode="create")
    obstore.put(store, "a", b"3", mode={"e_tag": '"other"'})

    assert bytes(obstore.get(store, "a").bytes()) == b"3"
