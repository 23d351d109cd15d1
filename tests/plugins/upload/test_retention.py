"""Which deliveries stay, which go, and what of them may be removed."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import Interrupted, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

LISTING = "impex-upload.json"


@pytest.fixture
def outdated(upload: ModuleType, motor: Any) -> Callable[..., list[str]]:
    """Tell what goes, of complete deliveries by days before now and of others."""
    present = upload.delivery.Listing.of(motor.job())

    def ask(keep: Mapping[str, Any], complete: list[float], others: list[float]) -> list[str]:
        own = {}
        for days in (*complete, *others):
            at = present.at - timedelta(days=days)
            listing = replace(present, at=at, complete=days in complete, writer="r")
            own[f"{days:g}"] = listing
        return upload.retention.outdated(own, keep, present)

    return ask


@pytest.mark.parametrize(
    ("keep", "complete", "others", "gone"),
    [
        ({"last": 1}, [1, 2], [], ["2", "1"]),
        ({"last": 3}, [1, 2, 3, 4], [], ["4", "3"]),
        ({"last": 99}, [1, 2], [], []),
        ({"last": 2}, [400, 500], [], ["500"]),
        ({"days": 7}, [1, 6.9, 7.1, 8], [], ["8", "7.1"]),
        ({"days": 7}, [100], [], ["100"]),
        ({"days": 7}, [1, 7], [], []),
        ({"last": 3, "days": 7}, [1, 2, 3, 4, 8], [], ["8"]),
        ({"last": 3, "days": 2}, [8, 9, 10], [], ["10"]),
        # One that never became complete counts as none, and another machine may be at it.
        ({"last": 2}, [3, 4], [0.5, 1, 2], ["4", "2"]),
        ({"last": 1, "days": 7}, [], [2, 8], ["8"]),
        # A clock that is ahead: what began after this run is no business of it.
        ({"last": 1}, [-1, -2, 1], [-3], ["1"]),
        ({"last": 2}, [-1, -2, 1], [], []),
    ],
)
def test_either_rule_keeps_a_delivery(
    outdated: Callable[..., list[str]],
    keep: Mapping[str, Any],
    complete: list[float],
    others: list[float],
    gone: list[str],
) -> None:
    """By number, by age, or both; the present one is always one of them."""
    assert outdated(keep, complete, others) == gone


def nights(motor: Any, local: Any, *days: int, **more: Any) -> str:
    """Deliver on some days, of which the last one stays, and return what the last told."""
    output = ""
    for day in days:
        today = motor.on(day)
        options = {**local.options, "prefix": today.date, "keep": {"last": 1}, **more}
        output = today.deliver(options, {"motor.zip": b"%d" % day})
    return output


def test_changed_file_stays(local: Any, motor: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is no longer what this step put there."""
    nights(motor, local, 0)
    local.write("2026-01-01/motor.zip", b"x")

    nights(motor, local, 1)

    assert local.read("2026-01-01/motor.zip") == b"x"
    assert f"2026-01-01/{LISTING}" not in local.names()
    assert "2026-01-01/motor.zip stays: it was changed after the delivery" in caplog.text


@pytest.mark.parametrize("other", [{"name": "life"}, {}])
def test_deliveries_of_other_targets_stay(local: Any, motor: Any, other: Any) -> None:
    """And those of another manifest, and what only looks like a listing."""
    nights(motor, local, 0)
    text = local.read(f"2026-01-01/{LISTING}").decode()
    if other:
        local.write(f"2026-01-01/{LISTING}", text.replace('"motor"', '"life"').encode())
    else:
        local.write(f"2026-01-01/{LISTING}", text.replace("motor.zip", "../motor.zip").encode())
    local.write("motor.zip", b"0")

    output = nights(motor, local, 1)

    assert output.endswith("0 old deliveries removed")
    assert {"motor.zip", "2026-01-01/motor.zip", f"2026-01-01/{LISTING}"} <= local.names()


def test_killed_delivery_is_removed_by_digest(local: Any, motor: Any) -> None:
    """What was on its way has no mark yet; what reads otherwise is somebody else's."""
    nights(motor, local, 0)
    listing = json.loads(local.read(f"2026-01-01/{LISTING}"))
    sent = listing["files"].pop("motor.zip")
    listing["complete"] = False
    for name in ("motor.zip", "theirs.zip"):
        begun = {"name": name, "size": 1, "sha256": sent["sha256"]}
        listing["pending"].append({**begun, "run_id": "r", "at": listing["at"]})
    local.write(f"2026-01-01/{LISTING}", json.dumps(listing).encode())
    local.write("2026-01-01/theirs.zip", b"9")

    nights(motor, local, 3)

    assert "2026-01-01/motor.zip" not in local.names()
    assert local.read("2026-01-01/theirs.zip") == b"9"


def test_incomplete_delivery_removes_nothing(local: Any, motor: Any) -> None:
    """Only a whole delivery can stand in for an older one."""
    nights(motor, local, 0)
    local.write("2026-01-02/motor.zip", b"x")

    nights(motor, local, 1, if_exists="keep")
    with pytest.raises(StepError, match="if_exists: fail"):
        nights(motor, local, 1, if_exists="fail")

    assert local.read("2026-01-01/motor.zip") == b"0"


def test_same_day_is_same_delivery(local: Any, motor: Any) -> None:
    """Files that only the first run had are still removed with the folder some day."""
    options = {**local.options, "prefix": "monday", "keep": {"last": 1}}
    motor.deliver(options, {"first.zip": b"1"})
    motor.deliver(options, {"second.zip": b"2"})

    motor.on(1).deliver({**options, "prefix": "tuesday"}, {"motor.zip": b"3"})

    assert local.names() == {"tuesday/motor.zip", f"tuesday/{LISTING}"}
    assert not (local.folder / "monday").exists()


def test_interrupted_run_removes_nothing(upload: ModuleType, local: Any, motor: Any) -> None:
    """A delivery is not even recorded as incomplete then."""
    nights(motor, local, 0)
    before = local.read(f"2026-01-01/{LISTING}")
    store = importlib.import_module(f"{upload.__name__}.local").LocalStore(local.folder)
    present = upload.delivery.Listing.of(motor.on(9).job())
    known = upload.retention.read(store, "2026-01-01/", present.owner)

    def stop() -> None:
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        upload.retention._remove(store, "2026-01-01", known, present, stop)

    assert local.read(f"2026-01-01/{LISTING}") == before


def test_removal_is_retried(
    local: Any, motor: Any, upload: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a delivery that is not a day old, and of which a part has been removed."""
    nights(motor, local, 0)
    local_store = importlib.import_module(f"{upload.__name__}.local").LocalStore
    remove, calls = local_store.remove, []

    def busy(store: Any, path: str) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise upload.store.TransientError(path)
        remove(store, path)

    monkeypatch.setattr(local_store, "remove", busy)
    monkeypatch.setattr(upload.retry, "WAITS", (0, 0, 0))
    options = {**local.options, "prefix": "noon", "keep": {"last": 1}}
    message = motor.on(0.5).deliver(options, {"motor.zip": b"5"})

    assert message.endswith("1 old delivery removed")
    assert local.names() == {"noon/motor.zip", f"noon/{LISTING}"}
