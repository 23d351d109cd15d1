"""What is asked at the destination of an import: the services that matter, and no others."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import ExportedVersions, Request, ServiceVersion
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.destination import exported_now, list_destination
from spark_impex_runner.spark.import_forecast import forecast_import
from spark_impex_runner.spark.listing import stated_hashes
from spark_impex_runner.spark.requested import UnknownVersionsError

if TYPE_CHECKING:
    from pathlib import Path

MINE = ServiceVersion("my-folder", "my-service", version="0.4.2", version_id="")
MAPPINGS = [
    {"source": "my-folder/my-service", "target": target}
    for target in ("my-folder/my-service", "my-folder/new", "absent/new")
]


def paths(served: Any) -> list[str]:
    """Return the last parts of the paths of all requests, sorted: several threads ask."""
    return sorted("/".join(each.path.split("/")[-3:]) for each in served.requests)


def test_only_named_services_are_asked_for(tree: Path, sandbox: Any, connect: Any) -> None:
    """Of a tenant of 5,000 services three are asked for, by seven requests."""
    entries = [
        {"folder": "my-folder", "service": f"s{number}", "number": "1.0.0"}
        for number in range(4999)
    ]
    entries.append({"folder": "my-folder", "service": "my-service", "number": "0.4.2", "id": "i"})
    index = {"folders": ["my-folder"], "versions": entries}
    (tree / "tenant.json").write_text(json.dumps(index))
    (tree / "model").mkdir()
    served = sandbox()
    exported = ExportedVersions((MINE,), {"": {"module": "a"}})

    found = list_destination(connect(served), exported, MAPPINGS)

    assert [(bool(each.versions), each.has_folder) for each in found.values()] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert paths(served) == [
        "engines/getversions/my-service",
        "get/my-service/i",
        "product/isproductexists/absent",
        "product/isproductexists/my-folder",
        "services/my-service/exists",
        "services/new/exists",
        "services/new/exists",
    ]
    assert set(found["my-folder/my-service"].hashes["i"]) == {"module", "workbook"}


def test_many_services_are_found_in_the_listing(tree: Path, sandbox: Any, connect: Any) -> None:
    """Of 30 services one is asked for by itself; of 30 new ones the folder is asked for once."""
    entries = [{"folder": "f", "service": f"s{n:02}", "number": "1.0.0"} for n in range(30)]
    (tree / "tenant.json").write_text(json.dumps({"folders": ["f"], "versions": entries}))
    (tree / "model").mkdir()
    there, here = sandbox(), sandbox()
    wanted = [{"source": f"f/s{number:02}"} for number in range(30)]
    renamed = [{**each, "target": f"{each['source']}x"} for each in wanted]

    found = list_destination(connect(there), ExportedVersions(), wanted)
    new = list_destination(connect(here), ExportedVersions(), renamed)

    assert [len(each.versions) for each in found.values()] == [1] * 30
    kinds = Counter(path.split("/")[1] for path in paths(there))
    assert kinds == {"getversions": 30, "services": 1, "s00": 1}
    assert [(each.versions, each.has_folder) for each in new.values()] == [((), True)] * 30
    assert len([path for path in paths(here) if "isproductexists" in path]) == 1


def test_unreadable_listing_is_done_without(sandbox: Any, connect: Any) -> None:
    """A key may import without the permission to list all services."""
    served = sandbox(faults=(parse_fault("search@*=403"),))
    wanted = [{"source": f"my-folder/new{number}"} for number in range(12)]

    found = list_destination(connect(served), ExportedVersions(), wanted)

    assert {(each.problem, each.has_folder) for each in found.values()} == {("", True)}


@pytest.mark.parametrize("place", ["exists", "versions", "folder"])
def test_refused_listing_is_said_once(sandbox: Any, connect: Any, place: str) -> None:
    """The reason is that of the tenant; the other services are not asked for in vain."""
    served = sandbox(faults=(parse_fault(f"{place}@*=403"),))
    wanted = MAPPINGS[1:] if place == "folder" else MAPPINGS

    found = list_destination(connect(served), ExportedVersions(), wanted)

    assert all("HTTP 403" in each.problem for each in found.values())
    assert len(served.requests) == (1 if place == "exists" else 2)
    forecasts = forecast_import(ExportedVersions(), wanted, "abort", found)
    assert {each.text.split(" api")[0].split("/")[0] for each in forecasts} == {
        f"unknown: {'POST' if place == 'folder' else 'GET'}"
    }


def test_service_without_versions_is_unknown_alone(
    script: Any, reply: Any, connect_to: Any
) -> None:
    """The first of the services has none; the others are asked for all the same."""
    exists = {"response_data": {"is_exists": True}}
    absent = {"response_data": {"is_exists": False}}
    bodies = [exists, {"data": []}, absent, {"data": True}]
    server = script(*(reply(json.dumps(each).encode()) for each in bodies))

    found = list_destination(connect_to(server), ExportedVersions(), MAPPINGS[:2])

    problems = [each.problem for each in found.values()]
    assert problems == ["the tenant lists no version of my-folder/my-service", ""]


def test_transient_fault_is_retried(sandbox: Any, connect: Any) -> None:
    """A listing that fails once decides nothing."""
    faults = tuple(map(parse_fault, ("exists@1=503", "versions@1=reset", "folder@1=500")))

    found = list_destination(connect(sandbox(faults=faults)), ExportedVersions(), MAPPINGS)

    assert {each.problem for each in found.values()} == {""}


def test_silent_destination_is_said(clock: Any, masker: Any) -> None:
    """Nothing listens there: each service is unknown, and nothing is raised."""
    with Spark(
        base_url="http://127.0.0.1:9/acme", token="t0p-s3cret-token", clock=clock, masker=masker
    ) as spark:
        found = list_destination(spark, ExportedVersions(), MAPPINGS)

    assert len({each.problem for each in found.values()}) == 1
    assert "127.0.0.1" in found["absent/new"].problem


@pytest.mark.parametrize(
    "body", [{}, [], {"response_data": None}, {"response_data": {"is_exists": "no"}}]
)
def test_unclear_reply_is_no_answer(script: Any, reply: Any, connect_to: Any, body: Any) -> None:
    """Neither there nor absent: a word that is no yes or no is not taken for one."""
    found = list_destination(connect_to(script(reply(body))), ExportedVersions(), MAPPINGS[:1])

    [service] = found.values()
    assert service.problem.endswith("the reply does not say whether it exists")


def test_secret_in_reason_is_masked(script: Any, reply: Any, connect_to: Any) -> None:
    """A tenant that repeats the token in its refusal does not bring it into the plan."""
    refusal = reply({"message": "t0p-s3cret-token is not welcome", "code": "NO"}, 403)

    found = list_destination(connect_to(script(refusal)), ExportedVersions(), MAPPINGS[:1])

    [service] = found.values()
    assert "*** is not welcome" in service.problem


@pytest.fixture
def connect_to(clock: Any, masker: Any, stack: Any) -> Any:
    """Return a function that connects to a scripted server."""
    return lambda server: stack.enter_context(
        Spark(base_url=f"{server.url}/acme", token="t0p-s3cret-token", clock=clock, masker=masker)
    )


# ---- what an export would hold ----


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(services=("my-folder/my-service",)), ["my-folder/my-service[0.4.2]"]),
        (Request(services=("my-folder/my-service[0.4.1]",)), ["my-folder/my-service[0.4.1]"]),
        (
            Request(folders=("my-folder",), version_filter="all"),
            ["my-folder/my-service[0.4.2]", "my-folder/my-service[0.4.1]"],
        ),
    ],
)
def test_export_is_known_beforehand(
    sandbox: Any, connect: Any, request_: Request, expected: list[str]
) -> None:
    """The versions by the version filter, with the hashes that the tenant states."""
    found = exported_now(connect(sandbox()), request_)

    assert [each.uri for each in found.versions] == expected
    names = [set(found.hashes[each.version_id]) for each in found.versions]
    assert names == [{"module", "workbook"}] * len(expected)


def test_hidden_details_leave_ids(sandbox: Any, connect: Any) -> None:
    """Hashes are a help, no condition."""
    served = sandbox(faults=(parse_fault("details@*=403"),))

    found = exported_now(connect(served), Request(services=("my-folder/my-service",)))

    assert (len(found.versions), found.hashes) == (1, {})


@pytest.mark.parametrize(
    "request_",
    [
        Request(folders=("empty",)),
        Request(services=("2c1b0a34-0000-4000-8000-000000000001",)),
        Request(version_ids=("2c1b0a34-0000-4000-8000-000000000001",)),
    ],
)
def test_unknown_export_is_no_empty_one(sandbox: Any, connect: Any, request_: Request) -> None:
    """What the listing does not tell is said."""
    with pytest.raises(UnknownVersionsError):
        exported_now(connect(sandbox()), request_)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, {}),
        ({"EngineInformation": []}, {}),
        ({"engineInformation": {"compiledOutputHash": None}}, {"module": ""}),
        ({"EngineInformation": {"CompiledOutputHash": "AB" * 32}}, {"module": "ab" * 32}),
        ({"EngineInformation": {"OriginalServiceHash": "pending"}}, {}),
    ],
)
def test_stated_hashes_are_read(metadata: Any, expected: dict[str, str]) -> None:
    """Of packages and of the API's answers; a text that is no hash is none."""
    assert stated_hashes(metadata) == expected
