"""What holds for every kind of destination, against a real server of each."""

from __future__ import annotations

import hashlib
import importlib
import json
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import Interrupted, StepError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

STORES = ["local", "s3", "azure", "gcs", "sftp", "webdav"]
everywhere = pytest.mark.parametrize("place", STORES, indirect=True)
LISTING = "impex-upload.json"


def noise(size: int = 3_000_000) -> bytes:
    """Return bytes that no store could guess, the same every time."""
    return random.Random(size).randbytes(size)  # noqa: S311


@everywhere
def test_files_arrive_with_listing(place: Any, motor: Any) -> None:
    """Packages, and what earlier steps made of them, folders included."""
    package = motor.artifact("motor.zip", noise())
    sums = motor.artifact("SHA256SUMS", b"sum  motor.zip\n", "checksum")
    (motor.output / "files/a b").mkdir(parents=True)
    (motor.output / "files/a b/ü#1%.json").write_bytes(b"{}")
    tree = motor.artifact("more.txt", b"more", "other"), motor.output / "files"

    text = motor.run(
        {**place.options, "prefix": motor.date},
        [package, sums, type(package)(tree[1], "files/", made_by="unzip")],
    )

    day = "2026-01-01"
    assert place.names() == {
        f"{day}/{name}" for name in ("motor.zip", "SHA256SUMS", "files/a b/ü#1%.json", LISTING)
    }
    assert place.read(f"{day}/motor.zip") == noise()
    assert text.startswith(f"{place.options['to']}/{day}: 3 files (3000017 bytes) sent")
    listing = json.loads(place.read(f"{day}/{LISTING}"))
    assert listing["complete"] is True
    assert listing["files"]["motor.zip"]["sha256"] == hashlib.sha256(noise()).hexdigest()
    assert (listing["target"], listing["run_id"]) == ("motor", "r0")


@everywhere
def test_multipart_file_arrives_whole(place: Any, motor: Any) -> None:
    """Several parts of a file are on their way at once, several files too."""
    files = {f"{number}.zip": noise(number << 23) for number in (1, 2, 3)}
    files["3.zip"] += b"end"
    files["empty.zip"] = b""

    motor.deliver(place.options, files)

    assert place.names() == {*files, LISTING}
    assert all(place.read(name) == content for name, content in files.items())


@everywhere
def test_present_file_is_not_sent_again(place: Any, motor: Any) -> None:
    """Neither what this step knows it sent, nor the same bytes of somebody else."""
    place.write("theirs.zip", b"theirs")
    files = {"ours.zip": b"ours", "theirs.zip": b"theirs"}

    first = motor.deliver(place.options, files)
    times = place.times()
    second = motor.on(1).deliver(place.options, files)

    assert first.endswith("1 file (4 bytes) sent, 1 file (6 bytes) there already")
    assert second.endswith("0 files (0 bytes) sent, 2 files (10 bytes) there already")
    assert place.times() == times


@everywhere
@pytest.mark.parametrize("if_exists", ["replace", "keep", "fail"])
def test_if_exists_decides_about_changed_file(place: Any, motor: Any, if_exists: str) -> None:
    """Replaced, kept, or refused before anything is sent; of the same size, too."""
    motor.deliver(place.options, {"b.zip": b"before"})
    options = {**place.options, "if_exists": if_exists}

    try:
        text = motor.on(1).deliver(options, {"a.zip": b"a", "b.zip": b"after!"})
    except StepError as error:
        text = str(error)

    assert place.read("b.zip") == (b"after!" if if_exists == "replace" else b"before")
    assert ("a.zip" in place.names()) == (if_exists != "fail")
    assert text.endswith(
        {
            "replace": "2 files (7 bytes) sent",
            "keep": "1 file (1 bytes) sent, 1 file (6 bytes) kept as found",
            "fail": "b.zip exists with other content (if_exists: fail)",
        }[if_exists]
    )


@everywhere
def test_files_are_replaced_together(place: Any, motor: Any) -> None:
    """New ones are there before the first of the old ones goes, and nothing is left of it."""
    motor.deliver(place.options, {"a.zip": b"1", "d/b.zip": noise(9 << 20)})

    message = motor.on(1).deliver(place.options, {"a.zip": b"2", "d/b.zip": noise(9 << 20)[::-1]})

    assert message.endswith("2 files (9437185 bytes) sent")
    assert place.read("a.zip") == b"2"
    assert place.read("d/b.zip") == noise(9 << 20)[::-1]
    assert place.names() == {"a.zip", "d/b.zip", LISTING}
    assert json.loads(place.read(LISTING))["complete"] is True


@everywhere
def test_retention_keeps_last_deliveries(place: Any, motor: Any) -> None:
    """Days with a delivery are counted, not days; other targets' and people's files stay."""
    options = {**place.options, "keep": {"last": 2}}
    place.write("2025-12-31/theirs.zip", b"somebody's backup")
    place.write("2026-01-01/note.txt", b"somebody's note")
    for day in (0, 3, 7):
        today = motor.on(day)
        text = today.deliver({**options, "prefix": today.date}, {"motor.zip": b"%d" % day})

    assert text.endswith("1 file (1 bytes) sent, 1 old delivery removed")
    assert place.names() == {
        "2025-12-31/theirs.zip",
        "2026-01-01/note.txt",
        "2026-01-04/motor.zip",
        f"2026-01-04/{LISTING}",
        "2026-01-08/motor.zip",
        f"2026-01-08/{LISTING}",
    }


@everywhere
def test_removing_missing_file_succeeds(
    place: Any, motor: Any, upload: ModuleType, tmp_path: Path
) -> None:
    """Another run may have removed it at the same moment."""
    motor.deliver(place.options, {"a.zip": b"1"})
    with closing(
        upload.connect(upload.destination(place.options, tmp_path), place.options, tmp_path)
    ) as store:
        store.remove("b.zip")
        store.remove("a.zip")
        store.remove("a.zip")

    assert place.names() == {LISTING}


@everywhere
def test_interrupted_upload_is_finished_later(place: Any, motor: Any) -> None:
    """The signal is heard between pieces; the next run sends what is missing."""
    big = noise(40 << 20)
    calls = iter(range(1_000_000))
    motor.stopping = lambda: next(calls) > 60

    with pytest.raises(Interrupted):
        motor.deliver({**place.options, "parallel": 1}, {"big.zip": big})
    left = place.names()
    motor.stopping = lambda: False
    motor.deliver(place.options, {"big.zip": big})

    assert {name for name in left if not name.endswith(".part")} == {LISTING}
    assert place.read("big.zip") == big
    assert place.names() == {"big.zip", LISTING}
    assert json.loads(place.read(LISTING))["complete"] is True


@everywhere
def test_changed_source_is_not_delivered(place: Any, motor: Any) -> None:
    """What the tenant's hash proved is what arrives, or nothing."""
    package = motor.artifact("motor.zip", b"proven")
    changed = type(package)(package.path, package.name, 6, hashlib.sha256(b"other").hexdigest())

    with pytest.raises(StepError, match=r"motor\.zip: the file has changed since"):
        motor.run(place.options, [changed])

    assert place.names() == {LISTING}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            (
                'PUT http://s3/b/k - 404 Not Found: <?xml version="1.0" encoding="utf-8"?>\n<Error>'
                "<Code>NoSuchBucket</Code>\n<Message>The bucket does not exist</Message>"
                "<RequestId>hNu0</RequestId></Error>"
            ),
            "k: PUT http://s3/b/k - 404 Not Found: NoSuchBucket: The bucket does not exist",
        ),
        (
            "HEAD http://s3/b/k in 2.1s - HTTP error: error sending request",
            (
                "k: HEAD http://s3/b/k - HTTP error: error sending request; "
                "check the endpoint and the network"
            ),
        ),
    ],
)
def test_store_error_is_one_line(output: str, expected: str) -> None:
    """Its code and message without the XML around them, and what to check where it has none."""
    objects = importlib.import_module("spark_impex_runner.plugins.upload.objects")

    with pytest.raises(StepError) as caught, objects.translated_errors("k"):
        raise FileNotFoundError(output)

    assert str(caught.value) == expected
