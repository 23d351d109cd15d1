"""Whose the files of a destination are: only their owner's runs replace or remove them."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

LISTING = "impex-upload.json"
OTHERS: Mapping[str, Mapping[str, str]] = {
    "tenant": {"tenant": "uat"},
    "project": {"project": "other"},
    "manifest": {"manifest": "weekly"},
    "target": {"name": "life"},
}
STORES = ["local", "s3", "azure", "gcs", "sftp", "webdav"]
FIRST, SECOND, THIRD = ({"a.zip": b"a%d" % n * 9, "d/b.zip": b"b%d" % n * 99} for n in (1, 2, 3))


def contents(place: Any) -> dict[str, bytes]:
    """Return every file at a destination."""
    return {name: place.read(name) for name in place.names()}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_foreign_folder_is_refused(local: Any, motor: Any, other: Mapping[str, str]) -> None:
    """The message says whose it is; nothing changes, whatever if_exists says."""
    motor.deliver(local.options, {"motor.zip": b"1"})
    before = contents(local)

    for if_exists in ("replace", "keep", "fail"):
        options = {**local.options, "if_exists": if_exists}
        with pytest.raises(StepError) as caught:
            motor.but(**other).on(9).deliver(options, {"motor.zip": b"2", "more.zip": b"3"})

    assert str(caught.value).startswith(
        f"{local.options['to']}/impex-upload.json: the folder belongs to target motor of "
        f"manifest nightly in project {motor.output.parent} for tenant https://spark.example/acme, "
        "so nothing is replaced there; choose another to or prefix for "
    )
    assert contents(local) == before


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_foreign_deliveries_are_not_counted(
    local: Any, motor: Any, other: Mapping[str, str]
) -> None:
    """Each owner keeps as many as its own ``keep`` says."""
    stranger = motor.but(**other)
    for day in range(3):
        for each, prefix in ((motor, "m"), (stranger, "s")):
            options = {**local.options, "prefix": f"{prefix}{day}", "keep": {"last": 2}}
            each.on(day).deliver(options, {"motor.zip": b"%d" % day})

    left = {path.parent.name for path in local.folder.rglob("motor.zip")}

    assert left == {"m1", "m2", "s1", "s2"}


@pytest.mark.parametrize("place", STORES, indirect=True)
@pytest.mark.parametrize("other", [{"tenant": "uat"}, {"attempt": "b"}], ids=["tenant", "run"])
def test_faster_run_owns_the_folder(
    place: Any,
    motor: Any,
    upload: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    other: Mapping[str, str],
) -> None:
    """Of two that find the folder empty, the second sees the first one's claim."""
    begin, late = upload.delivery.Claim.begin, motor.but(**other)

    def overtaken(claim: Any, sources: Any) -> None:
        monkeypatch.setattr(upload.delivery.Claim, "begin", begin)
        motor.deliver(place.options, {"motor.zip": b"first"})
        begin(claim, sources)

    monkeypatch.setattr(upload.delivery.Claim, "begin", overtaken)
    if "tenant" in other:
        with pytest.raises(StepError, match="the folder belongs to target motor"):
            late.deliver(place.options, {"motor.zip": b"second"})
    else:
        late.deliver(place.options, {"motor.zip": b"second"})

    assert place.read("motor.zip") == (b"first" if "tenant" in other else b"second")
    assert place.names() == {"motor.zip", LISTING}


@pytest.mark.parametrize("instant", ["_replace", "_sent_file"])
def test_run_stops_where_another_took_over(
    local: Any, motor: Any, upload: ModuleType, monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    """It replaces nothing any more, and what it has replaced is not called complete."""
    motor.deliver(local.options, FIRST)
    other = replace(motor, day=1, attempt="b", output=motor.output.parent / "b")
    work = getattr(upload.delivery.Delivery, instant)

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.undo()
        other.deliver(local.options, SECOND)
        return work(*arguments)

    monkeypatch.setattr(upload.delivery.Delivery, instant, overtaken)
    with pytest.raises(StepError, match="run r1b of the same target delivers into the same folder"):
        motor.on(1).deliver({**local.options, "parallel": 1}, THIRD)

    complete = json.loads(local.read(LISTING))["complete"]
    whole = {name: local.read(name) for name in SECOND} == SECOND
    assert complete is whole
    assert whole is (instant == "_replace")


@pytest.mark.parametrize("place", STORES, indirect=True)
def test_file_of_unknown_origin_is_not_replaced(place: Any, motor: Any) -> None:
    """The run fails before anything is sent."""
    place.write("b.zip", b"theirs")

    with pytest.raises(
        StepError, match=r"b\.zip is not what an earlier run of this target delivered"
    ):
        motor.deliver(place.options, {"a.zip": b"a", "b.zip": b"ours!!"})

    assert contents(place) == {"b.zip": b"theirs"}


def test_changed_file_is_not_replaced(local: Any, motor: Any) -> None:
    """What was written over a delivered file by other means is not the owner's."""
    motor.deliver(local.options, {"motor.zip": b"1"})
    local.write("motor.zip", b"x")

    with pytest.raises(StepError, match=r"motor\.zip is not what an earlier run"):
        motor.on(1).deliver(local.options, {"motor.zip": b"2"})

    assert local.read("motor.zip") == b"x"


def test_touched_file_is_still_the_owners(local: Any, motor: Any) -> None:
    """A copy that kept the bytes and not the time is what was delivered."""
    motor.deliver(local.options, {"motor.zip": b"1"})
    os.utime(local.folder / "motor.zip", (1, 1))

    motor.on(1).deliver(local.options, {"motor.zip": b"2"})

    assert local.read("motor.zip") == b"2"


def version_1(motor: Any, tenant: str) -> bytes:
    """Return a listing as the first version of the format has it."""
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    sent = {"motor.zip": {"size": 1, "sha256": digest, "mark": "0"}}
    return json.dumps(
        {
            "version": 1,
            "manifest": motor.manifest,
            "target": motor.name,
            "run_id": "r",
            "at": "2025-12-01T00:00:00+00:00",
            "tenant": tenant,
            "job_id": "j",
            "complete": True,
            "files": sent,
        }
    ).encode()


@pytest.mark.parametrize("tenant", ["https://spark.example/acme", "https://spark.example/x", ""])
def test_first_listing_format_is_adopted_by_its_tenant_only(
    local: Any, motor: Any, tenant: str
) -> None:
    """Manifest and target alone do not say whose a delivery is."""
    local.write("motor.zip", b"1")
    local.write(LISTING, version_1(motor, tenant))

    if tenant.endswith("acme"):
        motor.deliver(local.options, {"motor.zip": b"2"})
    else:
        with pytest.raises(StepError, match="the folder belongs to"):
            motor.deliver(local.options, {"motor.zip": b"2"})

    assert local.read("motor.zip") == (b"2" if tenant.endswith("acme") else b"1")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 3}', '{"version": 2}', "null"])
def test_unreadable_listing_is_not_replaced(
    local: Any, motor: Any, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """It may be that of a newer version, or no listing at all; other folders are still pruned."""
    caplog.set_level("INFO")
    options = {**local.options, "keep": {"last": 1}}
    motor.deliver({**options, "prefix": "old"}, {"motor.zip": b"1"})
    local.write(f"odd/{LISTING}", text.encode())

    with pytest.raises(StepError, match="this version of the runner cannot read the listing"):
        motor.on(1).deliver({**options, "prefix": "odd"}, {"motor.zip": b"2"})
    motor.on(2).deliver({**options, "prefix": "new"}, {"motor.zip": b"3"})

    assert local.names() == {f"odd/{LISTING}", "new/motor.zip", f"new/{LISTING}"}
    assert "cannot read the listing" in caplog.text


def test_oversized_listing_is_not_read(
    local: Any, motor: Any, upload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file of that name does not fill the memory."""
    monkeypatch.setattr(upload.store, "MAX_TEXT", 1 << 20)
    local.write(LISTING, b"[" * (3 << 20))

    with pytest.raises(StepError, match="cannot read the listing"):
        motor.deliver(local.options, {"motor.zip": b"1"})

    store = upload.connect(upload.destination(local.options, local.folder), {}, local.folder)
    assert len(upload.store.read_text(store, LISTING)) == 1 << 20


def test_sandbox_is_known_by_its_folder(motor: Any, upload: ModuleType, tmp_path: Path) -> None:
    """Its port is another one in every run; the manifest's place may be another one, too."""
    owners = [
        owner(motor, upload, tmp_path / "ci", "ci/tenants/one", 1),
        owner(motor, upload, tmp_path / "home", "home/tenants/one", 2),
        owner(motor, upload, tmp_path / "ci", "ci/tenants/two", 1),
    ]

    assert owners[0] == owners[1] != owners[2]
    assert owners[0].tenant == "sandbox:tenants/one"


def test_sandboxes_of_one_name_are_two_owners(
    motor: Any, upload: ModuleType, tmp_path: Path
) -> None:
    """Where two projects each have one at the same place beside the manifest."""
    folders = [tmp_path / "one", tmp_path / "two"]

    owners = [owner(motor, upload, each, f"{each.name}/tenant", 1, "") for each in folders]

    assert owners[0].tenant == owners[1].tenant == "sandbox:tenant"
    assert owners[0] != owners[1]


def owner(
    motor: Any, upload: ModuleType, folder: Path, sandbox: str, port: int, project: str = "p"
) -> Any:
    """Return the owner of a target that a sandbox serves."""
    job = motor.job()
    connection = Connection("sit", sandbox=folder.parent / sandbox)
    manifest = replace(job.run.manifest, path=folder / "m.yaml", connections={"sit": connection})
    run = replace(job.run, manifest=manifest)
    url = f"http://127.0.0.1:{port}/one"
    return upload.delivery.Listing.of(replace(job, run=run, tenant=url), project).owner


class Killed(BaseException):
    """The end of a process."""


@contextmanager
def killed_before(nth: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the disk be changed ``nth`` - 1 times, and from then on never more."""
    left = iter(range(nth - 1))

    def counting(work: Callable[..., Any], changes: Callable[..., bool]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            if changes(*arguments) and next(left, None) is None:
                raise Killed
            return work(*arguments, **named)

        return counted

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "hardlink_to", "mkdir", "rmdir"):
            patch.setattr(Path, name, counting(getattr(Path, name), lambda *_: True))
        writes = counting(Path.open, lambda _, mode="r": not mode.startswith("r"))
        patch.setattr(Path, "open", writes)
        patch.setattr(os, "fsync", lambda _: None)
        yield


def instants(
    local: Any, second: Any, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> Iterator[Any]:
    """Have a second delivery killed before each of its changes of the disk.

    Yields the destination each time. The first delivery, in the folder ``p``, was complete.
    """
    artifacts = [second.artifact(*each) for each in SECOND.items()]
    for nth in range(1, 200):
        to = local.folder / str(nth)
        place = replace(local, options={"to": str(to)}, folder=to)
        rerun(second, 0).deliver(in_order(place, "p"), FIRST)
        try:
            with killed_before(nth, monkeypatch):
                second.run(in_order(place, prefix), artifacts)
        except Killed:
            yield place
            continue
        assert nth > 5
        return
    raise AssertionError


def in_order(place: Any, prefix: str) -> dict[str, Any]:
    """Return options that change the disk in one order, and keep one delivery."""
    return {**place.options, "prefix": prefix, "keep": {"last": 1}, "parallel": 1}


def rerun(motor: Any, day: int, attempt: str = "") -> Any:
    """Return the target in another run, with files in a folder of its own."""
    return replace(motor, day=day, attempt=attempt, output=motor.output.parent / f"r{day}{attempt}")


def found(place: Any, folder: str) -> dict[str, bytes]:
    """Return the delivered files of a folder that are in their places."""
    names = place.names()
    return {name: place.read(f"{folder}/{name}") for name in FIRST if f"{folder}/{name}" in names}


def is_complete(place: Any, folder: str) -> bool:
    """Tell whether the listing of a folder says that the delivery is complete."""
    return json.loads(place.read(f"{folder}/{LISTING}"))["complete"] is True


def staged(place: Any, folder: str, files: Mapping[str, bytes]) -> bool:
    """Tell whether all files of a delivery are there, in their places or beside them."""
    there = contents(place)
    return all(
        any(
            name.startswith((f"{folder}/{each}", f"{folder}/{hidden(each)}")) and data == content
            for name, data in there.items()
        )
        for each, content in files.items()
    )


def hidden(name: str) -> str:
    """Return how the name of a temporary file begins."""
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}.{tail}."


def test_killed_second_delivery_leaves_a_whole_one(
    local: Any, motor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each change of the disk one of the two is there; the next run cleans up."""
    for place in instants(local, rerun(motor, 1), monkeypatch, "p"):
        assert found(place, "p") == FIRST or staged(place, "p", SECOND)
        assert not is_complete(place, "p") or found(place, "p") in (FIRST, SECOND)

        parts = {name for name in place.names() if "part" in name and LISTING not in name}
        rerun(motor, 1, "c").deliver(in_order(place, "p"), THIRD)
        assert found(place, "p") == THIRD
        assert parts <= place.names()  # Another machine may be at work on them.
        assert is_complete(place, "p")

        rerun(motor, 3).deliver(in_order(place, "p"), THIRD)
        assert place.names() == {"p/a.zip", "p/d/b.zip", f"p/{LISTING}"}


def test_killed_delivery_is_removed_with_its_parts(
    local: Any, motor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder's delivery stays until this one is whole; later all that was left goes."""
    for place in instants(local, rerun(motor, 1), monkeypatch, "q"):
        assert found(place, "p") == FIRST or (
            found(place, "q") == SECOND and is_complete(place, "q")
        )

        rerun(motor, 4).deliver(in_order(place, "z"), THIRD)

        assert place.names() == {"z/a.zip", "z/d/b.zip", f"z/{LISTING}"}


def test_delivery_is_incomplete_while_it_is_removed(
    local: Any, motor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first file goes; a later run removes the rest."""
    for place in instants(local, rerun(motor, 9), monkeypatch, "q"):
        if f"p/{LISTING}" in place.names():
            assert not is_complete(place, "p") or found(place, "p") == FIRST
        else:
            assert not found(place, "p")

        rerun(motor, 11).deliver(in_order(place, "q"), SECOND)

        assert {name.split("/")[0] for name in place.names()} == {"q"}
