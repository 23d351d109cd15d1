"""What differs between two packages, and what does not count."""

from __future__ import annotations

import json
import re
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.report.diff.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("workbooks", [False, True], ids=["onpremises", "migrate"])
def test_unchanged_tenants_do_not_differ(
    workshop: Any, differences: Callable[..., Any], *, workbooks: bool
) -> None:
    """Another job, other dates, another tenant's name and ids: nothing of that counts."""
    workshop.workbooks = workbooks
    old = workshop.package("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/term/1.0.0")
    workshop.tenant = "other"
    new = workshop.package("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/term/1.0.0")

    diff = differences(old, new)

    assert (diff.services, diff.files, diff.unknown) == ((), (), ())
    assert old.read_bytes() != new.read_bytes()


def value(**more: Any) -> list[dict[str, Any]]:
    """Return the inputs with the first one changed."""
    first = {"name": "value", "description": "Value", "address": "B2", "default": 20000}
    second = {"name": "factor", "description": "Risk", "address": "B3", "default": 1.0}
    return [first | more, second]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"inputs": [*value(), {"name": "age"}]}, "1 input added"),
        ({"inputs": value()[:1]}, "1 input removed"),
        ({"inputs": value(default=5)}, "1 input changed default"),
        ({"inputs": value(default="x")}, "1 input changed type, 1 input changed default"),
        ({"inputs": value(default=True)}, "1 input changed type, 1 input changed default"),
        ({"inputs": value(address="C9")}, "1 input changed cell"),
        ({"inputs": value(description="?", address="C9")}, "1 input changed cell and description"),
        ({"outputs": []}, "1 output removed"),
        (
            {"outputs": [{"name": "premium", "description": "P", "address": "B6"}]},
            "1 output changed",
        ),
        ({"description": "Monthly."}, "1 setting changed"),
        ({"label": "rc"}, "1 setting changed"),
        ({"files": {"model.wasm": b"\0asm\x01\0\0\0?"}}, "module changed"),
        ({"files": {"a.xlsx": b"PK"}}, "1 setting changed, workbook changed"),
    ],
)
def test_each_difference_is_counted(
    workshop: Any, differences: Callable[..., Any], changed: dict[str, Any], expected: str
) -> None:
    """One line says how many inputs, outputs and so on differ between two versions."""
    old = workshop.package("motor/pricing/1.4.1")
    new = workshop.package("motor/pricing/1.4.2", **changed)

    [service] = differences(old, new).services

    assert summary(service).startswith(f"motor/pricing 1.4.1 -> 1.4.2: {expected}")


def test_versions_are_compared_by_number(workshop: Any, differences: Callable[..., Any]) -> None:
    """Those of one number, and the latest with the latest; others came or went."""
    old = workshop.package("motor/pricing/1.9.0", "motor/pricing/1.10.0")
    new = workshop.package(
        "motor/pricing/1.9.0", "motor/pricing/1.11.0", "motor/pricing/1.12.0", outputs=[]
    )

    [service] = differences(old, new).services

    assert (service.added, service.removed) == (("1.11.0", "1.12.0"), ("1.10.0",))
    pairs = [(each.old.version, each.new.version) for each in service.versions]
    assert pairs == [("1.9.0", "1.9.0"), ("1.10.0", "1.12.0")]
    assert summary(service) == (
        "motor/pricing 1.10.0 -> 1.12.0: 2 versions added, 1 version removed, 1 output removed, "
        "workbook changed, 1 other version changed"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["1.0.0"], ["1.0.0", "1.1.0"], "1.0.0 -> 1.1.0: 1 version added, nothing else differs"),
        (["1.0.0", "1.1.0"], ["1.1.0"], ": 1 version removed"),
        (["1.0.0", "3.0.0"], ["2.0.0", "3.0.0"], ": 1 version added, 1 version removed"),
        (["1.0.0"], ["1.1.0"], " 1.0.0 -> 1.1.0: nothing else differs"),
    ],
)
def test_versions_alone_are_a_difference(
    workshop: Any, differences: Callable[..., Any], old: list[str], new: list[str], expected: str
) -> None:
    """Versions with the same contents under other numbers differ all the same."""
    sides = [workshop.package(*(f"motor/pricing/{each}" for each in side)) for side in (old, new)]

    diff = differences(*sides)

    assert summary(diff.services[0]).replace("motor/pricing", "").endswith(expected.lstrip())
    assert diff.differs


def test_services_come_and_go(workshop: Any, differences: Callable[..., Any]) -> None:
    """Each is one line, in the order of the names."""
    old = workshop.package("motor/pricing/1.0.0", "life/term/2.0.0")
    new = workshop.package("motor/pricing/1.0.0", "a/b/1.0.0", "a/b/2.0.0", label="x")

    lines = [summary(each) for each in differences(old, new).services]

    assert lines == [
        "a/b: added, 2 versions added",
        "life/term 2.0.0: removed",
        "motor/pricing 1.0.0: 1 setting changed",
    ]


def renamed(package: bytes, service_id: str) -> bytes:
    """Return a manifest whose only service has this id."""
    manifest = json.loads(package)
    for each in manifest["outputs"]["service_versions"]:
        each["service_id_source"] = service_id
    return json.dumps(manifest).encode()


def test_moved_service_is_found_by_id(
    workshop: Any, rewritten: Callable[..., Any], differences: Callable[..., Any]
) -> None:
    """A service that has another folder or name is compared, not removed and added."""
    ids = ("0F2B0A34-0000-4000-8000-00000000000A", "0f2b0a34-0000-4000-8000-00000000000a")
    old, new = (
        rewritten(
            workshop.package(version, **about), {"manifest.json": partial(renamed, service_id=i)}
        )
        for version, about, i in (
            ("motor/pricing/1.0.0", {}, ids[0]),
            ("car/prices/1.0.0", {"label": "x"}, ids[1]),
        )
    )

    [service] = differences(old, new).services

    assert summary(service) == (
        "motor/pricing -> car/prices 1.0.0: moved, 2 settings changed, module changed"
    )


def test_moved_service_is_found_by_module(workshop: Any, differences: Callable[..., Any]) -> None:
    """The same module in another folder is the same service; of two candidates none is."""
    old = workshop.package("motor/pricing/1.0.0")
    moved = differences(old, workshop.package("car/pricing/1.0.0"))
    copied = differences(old, workshop.package("car/pricing/1.0.0", "van/pricing/1.0.0"))

    assert [summary(each) for each in moved.services] == ["motor/pricing -> car/pricing: moved"]
    assert [summary(each) for each in copied.services] == [
        "car/pricing 1.0.0: added",
        "motor/pricing 1.0.0: removed",
        "van/pricing 1.0.0: added",
    ]


def test_two_kinds_are_named(workshop: Any, differences: Callable[..., Any]) -> None:
    """Workbooks that only one kind of package has are no difference, and were not compared."""
    old = workshop.package("motor/pricing/1.0.0")
    workshop.workbooks = True
    new = workshop.package("motor/pricing/1.0.0")
    with zipfile.ZipFile(new, "a") as archive:
        archive.writestr("acme/motor/pricing/1.0.0/more.bin", b"1")
        archive.writestr("acme/more.bin", b"1")

    diff = differences(old, new)

    assert (diff.differs, diff.complete) == (False, False)
    assert [each.reason for each in diff.unknown] == ["OLD is onpremises, NEW is migrate"]


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"ModelMetaData.json": None}, {"inputs", "outputs", "settings", "workbook"}),
        ({"ModelMetaData.json": b"{"}, {"inputs", "outputs", "settings", "workbook"}),
        ({"ModelMetaData.json": b"{}"}, {"inputs", "outputs", "settings", "workbook"}),
        (
            {"ModelMetaData.json": b'{"XInputTable": [{}]}'},
            {"inputs", "outputs", "settings", "workbook"},
        ),
        (
            {"ModelMetaData.json": partial(re.sub, rb'"(value|factor)"', b'"same"')},
            {"inputs"},
        ),
        ({"DefaultValidations.json": None}, {"defaults"}),
        ({"DefaultValidations.json": b"[]"}, {"defaults"}),
        ({"DefaultValidations.json": b'{"outputs": null}'}, {"defaults"}),
    ],
)
def test_missing_metadata_is_never_equal(
    workshop: Any,
    rewritten: Callable[..., Any],
    differences: Callable[..., Any],
    changes: dict[str, Any],
    unknown: set[str],
) -> None:
    """What one side or both do not state was not compared, and is no difference either."""
    package = workshop.package()
    other = rewritten(package, changes)

    for sides in ((package, other), (other, package), (other, other)):
        diff = differences(*sides)
        [found] = diff.services[0].versions
        assert (diff.differs, diff.complete) == (False, False)
        assert {each.what for each in found.unknown} == unknown
        assert all(re.search(r"json|hash|rows|no \w+", each.reason) for each in found.unknown)


def test_changed_workbook_is_found(
    workshop: Any, rewritten: Callable[..., Any], differences: Callable[..., Any]
) -> None:
    """Also if the metadata still state the hash of the old one, or none at all."""
    workshop.workbooks = True
    package = workshop.package()
    other = rewritten(package, {"pricing.xlsx": b"other"})
    silent = [
        rewritten(each, {"ModelMetaData.json": lambda text: text.replace(b"OriginalS", b"S")})
        for each in (package, other)
    ]

    [found] = differences(package, other).services[0].versions
    assert [(each.section, each.name) for each in found.changes] == [("files", "pricing.xlsx")]
    [found] = differences(*silent).services[0].versions
    assert [each.section for each in found.changes] == ["workbook"]


def test_missing_module_has_its_announced_hash(
    workshop: Any, rewritten: Callable[..., Any], differences: Callable[..., Any]
) -> None:
    """Without the module its hash in the metadata is compared; without both it is unknown."""
    package = workshop.package()
    [module] = [each for each in zipfile.ZipFile(package).namelist() if each.endswith("zip")]
    absent = rewritten(package, {module: None})
    nothing = rewritten(
        absent, {"ModelMetaData.json": lambda text: text.replace(b"CompiledO", b"O")}
    )

    assert not differences(package, absent).services
    [found] = differences(package, nothing).services[0].versions
    assert [each.what for each in found.unknown] == ["types of outputs", "module"]
    changed = workshop.package(files={"model.data": b"{}"})
    [found] = differences(absent, changed).services[0].versions
    assert ([each.section for each in found.changes], found.parts) == (["module"], ())


def test_files_of_the_module_are_named(workshop: Any, differences: Callable[..., Any]) -> None:
    """Where the module differs, its own files say in what."""
    old, new = workshop.package(), workshop.package(files={"model.data": b'{"rate": 1}'})

    [found] = differences(old, new).services[0].versions

    assert found.parts == ("_pricing.data", "checksums.md5")
    assert [each.what for each in found.unknown] == ["types of outputs"]


def test_unknown_files_are_compared(workshop: Any, differences: Callable[..., Any]) -> None:
    """Bytes count, but for the ids and times in JSON, which each export may make anew."""
    job = {"id": "0f2b0a34-0000-4000-8000-00000000000a", "made": "2026-01-01T10:00:00Z", "n": 1}
    again = {"id": "1f2b0a34-0000-4000-8000-00000000000a", "made": "2027-01-01T10:00:00Z", "n": 1}
    package = workshop.package()
    home = "acme/motor/pricing/1.4.1/"

    def added(place: str, content: bytes, name: str) -> Any:
        target = package.with_name(f"with-{name}.zip")
        target.write_bytes(package.read_bytes())
        with zipfile.ZipFile(target, "a") as archive:
            archive.writestr(place, content)
        return target

    for place in (f"{home}extra.json", "acme/extra.json", "elsewhere/extra.json"):
        one, other, changed = (
            added(place, json.dumps(data).encode(), name)
            for data, name in ((job, "1"), (again, "2"), ({**again, "n": 2}, "3"))
        )
        assert not differences(one, other).differs
        assert differences(one, changed).differs
    bytes_differ = differences(added("acme/a.bin", b"1", "1"), added("acme/a.bin", b"2", "2"))
    assert [each.name for each in bytes_differ.files] == ["a.bin"]
