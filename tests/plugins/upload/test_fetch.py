"""Backups are fetched from every kind of destination, verified while they stream to disk."""

from __future__ import annotations

import hashlib
import importlib
import json
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_stores import SECRET

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Connection, Manifest, Step, Target

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

STORES = ["local", "s3", "azure", "gcs", "sftp", "webdav", "put"]
RECEIPT = "impex-receipt.json"
DAY = "2026-01-01"


@pytest.fixture(scope="session")
def fetching(upload: ModuleType) -> ModuleType:
    """Return the module that fetches."""
    return importlib.import_module(f"{upload.__name__}.fetch")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """Make a private folder."""
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


@pytest.fixture
def put(web_server: Any, request: pytest.FixtureRequest) -> Any:
    """Return a folder for plain PUT, which creates none."""
    folder = web_server.folder / hashlib.sha256(request.node.name.encode()).hexdigest()
    (folder / DAY).mkdir(parents=True)
    address = f"http://{web_server.address}/{folder.name}"
    return SimpleNamespace(options={"to": address, "user": "backup", "password": SECRET})


def nothing(*_: object) -> None:
    """Neither stop nor wait."""


def noise(size: int = 3_000_000) -> bytes:
    """Return bytes that no store could guess, the same every time."""
    return random.Random(size).randbytes(size)  # noqa: S311


@pytest.mark.parametrize("place", STORES, indirect=True)
def test_upload_is_fetched(
    place: Any, motor: Any, fetching: ModuleType, into: Path, tmp_path: Path
) -> None:
    """The packages and nothing else, by the options of the step that uploaded them."""
    package = motor.artifact("motor.zip", noise())
    sums = motor.artifact("SHA256SUMS", b"sum  motor.zip\n", "checksum")
    options = {**place.options, "prefix": DAY}
    motor.run(options, [package, sums])
    source = f"{place.options['to']}/{DAY}"
    target = Target("motor", "sit", tmp_path, steps=(Step("checksum"), Step("upload", options)))
    manifest = Manifest(tmp_path / "m.yaml", "m", {"sit": Connection("sit")}, (target,))

    found = fetching.fetch(source, options, into, (tmp_path, nothing, nothing))

    is_local = place.options["to"].startswith("/")
    assert fetching.uploads_to(source, manifest) == (None if is_local else ("motor", 1))
    [fetched] = found.packages
    assert (fetched.name, fetched.path.read_bytes()) == ("motor.zip", noise())
    assert [each.name for each in into.iterdir()] == ["1.zip"]


def receipt_of(files: dict[str, bytes], **change: Any) -> dict[str, Any]:
    """Return what fetching needs of a receipt."""
    artifacts = [
        {
            "name": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "made_by": "download",
        }
        for name, content in files.items()
    ]
    artifacts[0] |= change
    return {"version": 1, "artifacts": artifacts}


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """Make a delivered folder with one package."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "package.zip").write_bytes(b"package")
    write(folder, receipt_of({"package.zip": b"package"}))
    return folder


def write(folder: Path, receipt: Any, name: str = RECEIPT) -> None:
    """Write a record of a delivery."""
    (folder / name).write_text(json.dumps(receipt))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "../../etc/x.zip"}, "'../../etc/x.zip': leads outside of the folder"),
        ({"name": "/etc/x.zip"}, "'/etc/x.zip': leads outside of the folder"),
        ({"name": "a\\b.zip"}, "leads outside of the folder"),
        ({"name": "a\0.zip"}, "'a\\x00.zip': with a control character"),
        ({"name": "a\n.zip"}, "'a\\n.zip': with a control character"),
        ({"name": "\x1b[31m.zip"}, "with a control character"),
        ({"name": "Impex-Receipt.json"}, "is the name of a record"),
        ({"name": "missing.zip"}, "missing.zip: missing"),
        ({"size": 3}, "package.zip: has 7 bytes, the delivery records 3"),
        ({"size": -1}, "its artifacts are not those of a receipt"),
        ({"size": True}, "its artifacts are not those of a receipt"),
        ({"size": 10**17}, "needs 100,000,000,000,000,000 bytes"),
        ({"sha256": "0" * 64}, f"has sha256 {hashlib.sha256(b'package').hexdigest()}"),
        ({"sha256": "x"}, "without a SHA-256"),
        ({"sha256": None}, "its artifacts are not those of a receipt"),
        ({"made_by": "unzip"}, "the delivery has no package"),
    ],
)
def test_hostile_receipt_is_refused(
    delivery: Path, fetching: ModuleType, into: Path, change: dict[str, Any], text: str
) -> None:
    """In one line, and no name in it becomes a path."""
    write(delivery, receipt_of({"package.zip": b"package"}, **change))

    with pytest.raises(StepError) as error:
        fetching.fetch(str(delivery), {}, into, (delivery, nothing, nothing))

    assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert {each.name for each in into.iterdir()} <= {RECEIPT, "1.zip"}


def test_names_that_collide_are_refused(delivery: Path, fetching: ModuleType, into: Path) -> None:
    """On some file systems names that differ in case are one."""
    write(delivery, receipt_of({"package.zip": b"package", "PACKAGE.zip": b"other"}))

    with pytest.raises(StepError, match=r"names the package 'PACKAGE\.zip': twice"):
        fetching.fetch(str(delivery), {}, into, (delivery, nothing, nothing))


@pytest.mark.parametrize("name", ["package.zip", RECEIPT])
def test_link_out_of_the_folder_is_refused(
    delivery: Path, fetching: ModuleType, into: Path, name: str
) -> None:
    """It may lead to a file of somebody else."""
    (delivery / name).rename(delivery.parent / name)
    (delivery / name).symlink_to(delivery.parent / name)

    with pytest.raises(StepError, match=f"{name}: leads outside of the folder"):
        fetching.fetch(str(delivery), {}, into, (delivery, nothing, nothing))


@pytest.mark.parametrize(
    ("listing", "text"),
    [
        ({}, "not the listing of an upload"),
        ([], "not the listing of an upload"),
        ({"files": {"../x.zip": {"size": 1, "sha256": "0" * 64}}}, "not the listing of an upload"),
        ({"complete": False}, "the delivery is incomplete: run r7 still uploads it"),
        ({"files": {"x.zip": {"size": 9, "sha256": "y"}}}, "'x.zip': without a SHA-256"),
        ({}, ""),
    ],
)
def test_hostile_listing_is_refused(
    tmp_path: Path, fetching: ModuleType, into: Path, listing: Any, text: str
) -> None:
    """As one of a delivery that is not complete."""
    owner = dict.fromkeys(("tenant", "manifest", "target", "project"), "x")
    about = {"run_id": "r1", "at": "2026-01-01T00:00:00+00:00", "writer": "r7", "complete": True}
    whole = {"version": 2, **owner, **about, "files": {}}
    is_known = isinstance(listing, dict) and listing
    write(tmp_path, {**whole, **listing} if is_known else listing, "impex-upload.json")
    if not text:
        write(tmp_path, whole, "impex-upload.json")
        text = "the delivery has no package"

    with pytest.raises(StepError, match=text):
        fetching.fetch(str(tmp_path), {}, into, (tmp_path, nothing, nothing))


def test_folder_of_deliveries_names_them(
    tmp_path: Path, motor: Any, fetching: ModuleType, into: Path
) -> None:
    """The newest first: a retention has one folder for each delivery."""
    package = motor.artifact("motor.zip", noise(10))
    for day in ("2026-01-01", "2026-01-02"):
        motor.run({"to": str(tmp_path / "backup"), "prefix": day}, [package])

    with pytest.raises(StepError, match="name one of the folders in it: 2026-01-02, 2026-01-01"):
        fetching.fetch(str(tmp_path / "backup"), {}, into, (tmp_path, nothing, nothing))


def test_store_that_sends_more_than_it_says_is_refused(
    delivery: Path, fetching: ModuleType, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not fill the disk."""
    local = importlib.import_module(f"{fetching.__package__}.local")
    endless = iter(lambda: b"x" * 5, b"")
    monkeypatch.setattr(
        local, "_pieces", lambda path: endless if path.suffix == ".zip" else [path.read_bytes()]
    )

    with pytest.raises(StepError, match="has more bytes, the delivery records 7"):
        fetching.fetch(str(delivery), {}, into, (delivery, nothing, nothing))

    assert (into / "1.zip").stat().st_size == 5


TEXTS = st.text(max_size=8) | st.sampled_from(["package.zip", "../x", "download", "0" * 64])
VALUES = st.none() | st.booleans() | st.integers() | TEXTS
ENTRIES = st.dictionaries(st.sampled_from(["name", "size", "sha256", "made_by"]), VALUES)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(artifacts=st.lists(ENTRIES | VALUES, max_size=3), version=st.sampled_from([1, 2, None]))
def test_any_receipt_is_refused_in_one_line(
    delivery: Path, fetching: ModuleType, into: Path, artifacts: list[Any], version: Any
) -> None:
    """No receipt raises another error, or writes a file by a name of its own."""
    write(delivery, {"version": version, "artifacts": artifacts})

    with pytest.raises(StepError) as error:
        fetching.fetch(str(delivery), {}, into, (delivery, nothing, nothing))

    assert len(str(error.value).splitlines()) == 1
    assert {each.name for each in delivery.parent.iterdir()} == {"out", "fetched"}
    assert {each.name for each in into.iterdir()} <= {RECEIPT, "1.zip", "2.zip", "3.zip"}
