"""What an import would do, forecast from the destination's listing by a pure function."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.models import ExportedVersions, ListedService, ServiceVersion
from spark_impex_runner.sandbox.tenant.placement import ImportRejected, Placement, arrange
from spark_impex_runner.sandbox.tenant.tree import Tenant, id_of
from spark_impex_runner.sandbox.tenant.unpack import UnpackedVersion
from spark_impex_runner.spark.import_forecast import forecast_import

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.models import ServiceForecast

HASHES = {"module": "a" * 64, "workbook": "b" * 64}
OTHER = {"module": "a" * 64, "workbook": "c" * 64}
TO_SELF = {"source": "motor/pricing", "target": "motor/pricing"}


def version(number: str, version_id: str = "", service: str = "pricing") -> ServiceVersion:
    """Return a version of a service of motor."""
    return ServiceVersion("motor", service, version=number, version_id=version_id)


def forecast(
    ours: list[ServiceVersion], theirs: list[ServiceVersion], if_present: str, **more: Any
) -> ServiceForecast:
    """Return the forecast of one service; ``theirs`` are newest first."""
    exported = ExportedVersions(tuple(ours), more.pop("hashes", {}))
    at = replace(ListedService(tuple(theirs)), **more)
    [found] = forecast_import(exported, [TO_SELF], if_present, {"motor/pricing": at})
    return found


A, B, C = (version(number, number[-1]) for number in ("1.4.1", "1.4.2", "1.5.3"))


@pytest.mark.parametrize(
    ("ours", "theirs", "if_present", "text"),
    [
        ([B], [], "abort", "new (1.4.2)"),
        ([A, B], [], "replace", "new (1.4.1, 1.4.2)"),
        ([], [], "abort", "new"),
        ([C], [B], "add_version", "adds 1.5.0 (now 1.4.2)"),
        ([B, A], [C], "add_version", "adds 1.6.0, 1.7.0 (now 1.5.3)"),
        ([], [C], "add_version", "adds versions (now 1.5.3)"),
        ([C], [B], "replace", "replaces 1 version, call history becomes unreachable"),
        ([B], [C, B, A], "replace", "replaces 3 versions, call history becomes unreachable"),
        ([C], [B], "abort", "would abort: it exists (now 1.4.2)"),
        ([B], [B], "abort", "identical: nothing to do (same version id)"),
        ([A, B], [B, A], "replace", "identical: nothing to do (same version id)"),
        ([B], [B, A], "add_version", "identical: nothing to do (same version id)"),
        # To replace leaves the versions of the package only; to add an older one makes it latest.
        ([B], [B, A], "replace", "replaces 2 versions, call history becomes unreachable"),
        ([A], [B, A], "add_version", "adds 1.5.0 (now 1.4.2)"),
        ([A, B], [B], "add_version", "adds 1.5.0, 1.6.0 (now 1.4.2)"),
        # The number alone shows nothing.
        ([B], [version("1.4.2", "x")], "abort", "would abort: it exists (now 1.4.2)"),
        ([version("1.4.2")], [version("1.4.2")], "abort", "would abort: it exists (now 1.4.2)"),
        # Added under another number, a version keeps its id.
        ([B], [version("7.0.0", "2")], "abort", "identical: nothing to do (same version id)"),
        ([B], [version("7.0.0", "2")], "replace", "replaces 1 version, call history becomes"),
        # Nothing tells which one the tenant counts on from.
        ([C], [A, B], "add_version", "adds versions (now 1.4.1)"),
        ([C], [version("1.4-b")], "add_version", "adds versions (now 1.4-b)"),
        ([C], [version(f"1.4.{'9' * 5000}")], "add_version", "adds versions (now 1.4.9"),
    ],
)
def test_forecast_follows_documented_rules(
    ours: list[ServiceVersion], theirs: list[ServiceVersion], if_present: str, text: str
) -> None:
    """Each outcome in the words that a person reads."""
    assert forecast(ours, theirs, if_present).text.startswith(text)


@pytest.mark.parametrize(
    ("version_id", "number", "there", "evidence"),
    [
        ("2", "1.4.2", HASHES, "same version id, module, workbook"),
        ("2", "1.4.2", {"module": "a" * 64}, "same version id, module"),
        ("2", "1.4.2", {"module": "", "workbook": ""}, "same version id"),
        ("2", "1.4.2", OTHER, ""),  # compiled or changed there since
        ("x", "1.4.2", HASHES, "same number, module, workbook"),
        ("x", "1.4.2", {"workbook": "b" * 64}, ""),
        ("x", "1.4.2", OTHER, ""),
        ("x", "1.4.3", HASHES, ""),  # perhaps with other settings
    ],
)
def test_hashes_are_evidence(
    version_id: str, number: str, there: dict[str, str], evidence: str
) -> None:
    """Stated hashes prove or refute that a version is the same, whatever its id is."""
    theirs = version(number, version_id)
    hashes = {"hashes": {"2": HASHES}}
    exported = ExportedVersions((B,), **hashes)
    at = {"motor/pricing": ListedService((theirs,), hashes={version_id: there})}

    [found] = forecast_import(exported, [TO_SELF], "abort", at)

    assert (found.outcome, found.reason) == (
        ("identical", evidence) if evidence else ("would_abort", "")
    )


def test_module_of_renamed_service_does_not_count() -> None:
    """The files in it have the service's name."""
    mapping = {"source": "motor/pricing[1.4.2]", "target": "uk/prices"}
    there = {"module": "f" * 64, "workbook": "b" * 64}
    listed = ServiceVersion("uk", "prices", version="1.4.2", version_id="2")
    at = {"uk/prices": ListedService((listed,), hashes={"2": there})}

    [found] = forecast_import(ExportedVersions((B,), {"2": HASHES}), [mapping], "abort", at)

    assert found.line == (
        "motor/pricing[1.4.2] -> uk/prices: identical: nothing to do (same version id, workbook)"
    )


def test_unknown_is_said_not_guessed() -> None:
    """What could not be asked, and two services that become one, have their reasons."""
    refused = forecast([B], [], "abort", problem="HTTP 403")
    both = [{"source": "motor/pricing", "target": "uk/x"}, {"source": "life/y", "target": "uk/x"}]
    shared = forecast_import(ExportedVersions(), both, "abort", {"uk/x": ListedService()})

    assert (refused.text, refused.outcome) == ("unknown: HTTP 403", "unknown")
    assert {each.text for each in shared} == {
        "unknown: another service of this import goes there, too"
    }


def test_missing_folder_is_named() -> None:
    """With what to do about it."""
    found = forecast([B], [], "replace", has_folder=False)

    assert (found.text, found.fails) == ("folder missing: create motor first", True)


def test_data_has_every_fact() -> None:
    """As JSON values, the text among them."""
    data = forecast([C], [B, A], "replace").as_data()

    assert json.loads(json.dumps(data)) == {
        "source": "motor/pricing",
        "target": "motor/pricing",
        "outcome": "replaces",
        "versions": ["1.5.3"],
        "now": "1.4.2",
        "replaced": 2,
        "reason": "",
        "text": "replaces 2 versions, call history becomes unreachable",
    }


# ---- the sandbox tenant is the other opinion ----

NUMBERS = st.lists(
    st.tuples(*[st.integers(0, 12)] * 3).map(lambda each: ".".join(map(str, each))),
    unique=True,
    max_size=4,
)
SERVICES = ["motor/pricing", "motor/claims", "life/term", "absent/pricing"]


def listed(tenant: Tenant, target: str) -> ListedService:
    """Return what the sandbox lists of a service."""
    folder, _, service = target.partition("/")
    versions = reversed(tenant.versions(folder, service))
    return ListedService(
        tuple(ServiceVersion(folder, service, "", each.number, each.id) for each in versions),
        has_folder=folder in tenant.folders(),
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.dictionaries(st.sampled_from(SERVICES[:3]), NUMBERS.filter(bool), min_size=1),
    destination=st.dictionaries(st.sampled_from(SERVICES[:3]), NUMBERS.filter(bool)),
    targets=st.permutations(SERVICES),
    if_present=st.sampled_from(["abort", "replace", "add_version"]),
    upgrade=st.sampled_from(["major", "minor", "patch"]),
    share_ids=st.booleans(),
)
def test_forecast_agrees_with_sandbox(
    tmp_path: Path,
    source: dict[str, list[str]],
    destination: dict[str, list[str]],
    targets: list[str],
    if_present: str,
    upgrade: str,
    share_ids: bool,
) -> None:
    """For any two tenants: numbers of new versions, replaced and aborted services are the same."""
    entries = [
        {"folder": f, "service": s, "number": number}
        for name, numbers in destination.items()
        for f, s in [name.split("/")]
        for number in numbers
    ]
    (tmp_path / "tenant.json").write_text(
        json.dumps({"folders": ["motor", "life"], "versions": entries})
    )
    tenant = Tenant("acme", tmp_path)
    owner = "acme" if share_ids else "other"
    packed = [
        UnpackedVersion(*name.split("/"), number, id_of(owner, *name.split("/"), number), tmp_path)
        for name, numbers in source.items()
        for number in numbers
    ]
    exported = ExportedVersions(
        tuple(ServiceVersion(v.folder, v.service, "", v.number, v.version_id) for v in packed)
    )
    mappings = [
        {"source": name, "target": target, "upgrade": upgrade}
        for name, target in zip(source, targets, strict=False)
    ]
    before = {each["target"]: listed(tenant, each["target"]) for each in mappings}

    found = forecast_import(exported, mappings, if_present, before)

    sent = [each for each in found if not each.is_identical]
    fails = any(each.fails for each in found)
    placements = [
        Placement(
            [v for v in packed if f"{v.folder}/{v.service}" == each.source],
            *each.target.split("/"),
            upgrade,
        )
        for each in sent
        if each.outcome != "folder_missing"
    ]
    try:
        arrange(tenant, placements, if_present, "job")
    except ImportRejected:
        assert fails
        return
    assert fails == any(each.outcome == "folder_missing" for each in found)
    for each in sent:
        if each.outcome == "folder_missing":
            assert each.target.startswith("absent/")
            continue
        now = [version.version for version in reversed(listed(tenant, each.target).versions)]
        was = [version.version for version in reversed(before[each.target].versions)]
        kept = was if each.outcome == "adds" else []
        assert now == [*kept, *each.versions]
        assert each.replaced == (len(was) if each.outcome == "replaces" else 0)
    for each in found:
        if each.is_identical:
            mine = {v.version_id for v in exported.versions if each.source in v.uri}
            there = {v.version_id for v in before[each.target].versions[: len(mine)]}
            assert mine == there


def test_every_outcome_is_named() -> None:
    """No combination of what is known gives an outcome without words."""
    theirs: list[list[ServiceVersion]] = [[], [A], [B], [B, A], [C, B]]
    for there, present, folder in product(theirs, ("abort", "replace", "add_version"), (0, 1)):
        found = forecast([B], there, present, has_folder=bool(folder))
        assert (found.outcome == "unknown") == found.text.startswith("unknown") is False
