"""Imports: a package becomes part of the tree, by the documented rules."""

from __future__ import annotations

import io
import json
import tempfile
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOUNDARY = "b0undary"


def form(package: bytes | None, entity: Any) -> bytes:
    """Return a multipart body with the two parts of an import."""
    text = entity if isinstance(entity, str) else json.dumps(entity)
    parts = [f'Content-Disposition: form-data; name="importRequestEntity"\r\n\r\n{text}'.encode()]
    if package is not None:
        head = 'Content-Disposition: form-data; name="file"; filename="package.zip"\r\n'
        kind = "Content-Type: application/zip\r\n\r\n"
        parts.append(head.encode() + kind.encode() + package)
    body = b"".join(f"--{BOUNDARY}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"--{BOUNDARY}--\r\n".encode()


def upload(call: Any, body: bytes) -> Any:
    """Send a multipart body to the import endpoint."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return call("POST", "/api/v4/import", body, {**call.headers, "Content-Type": kind})


def bring(call: Any, package: bytes, move: dict[str, str], **more: Any) -> Any:
    """Import one service and return the job's first status."""
    created = upload(call, form(package, {"inputs": {"services_modify": [move]}, **more}))
    assert created.status == 200, created.body
    return call("GET", created.json["status_url"]).json


def numbers(call: Any, folder: str, service: str) -> list[str]:
    """Return the version numbers of a service, newest first."""
    answer = call.v1("GET", f"/product/{folder}/engines/getversions/{service}")
    return [version["revision"] for version in answer.json["data"] or []]


@pytest.fixture
def package(call: Any) -> bytes:
    """Return a ``migrate`` package of the two versions 1.4.1 and 1.4.2."""
    services = ["motor/pricing[1.4.1]", "motor/pricing[1.4.2]"]
    return bytes(call.package(inputs={"services": services}))


def test_a_new_service_appears_with_its_versions(call: Any, package: bytes) -> None:
    """A service that was not there is added, listed, and exported again."""
    move = {
        "service_uri_source": "motor/pricing",
        "service_uri_destination": "empty/copy",
    }

    status = bring(call, package, move, correlation_id="c-2")

    assert (status["object"], status["status"], status["errors"]) == ("import", "closed", None)
    assert status["correlation_id"] == "c-2"
    assert status["outputs"]["services"][0]["status"] == "added"
    assert numbers(call, "empty", "copy") == ["1.4.2", "1.4.1"]
    again = ZipFile(io.BytesIO(call.package(inputs={"folders": ["empty"]})))
    assert "acme/empty/copy/1.4.2/ModelMetaData.json" in again.namelist()


def test_the_files_survive_the_journey(call: Any, root: Path) -> None:
    """Code, workbook and description come out of the copy as they went into the original."""
    home = root / "life" / "annuity-rates" / "0.1.0"
    (home / "model.data").write_bytes(b"1,2,3")
    (home / "rates.xlsx").write_bytes(b"a workbook")
    (home / "service.json").write_text('{"inputs": [{"name": "age", "address": "B2"}]}')
    package = call.package(inputs={"folders": ["life"]})
    move = {
        "service_uri_source": "life/annuity-rates",
        "service_uri_destination": "empty/annuity-rates",
    }

    bring(call, package, move)

    copy = call.package(inputs={"folders": ["empty"]})
    assert essence(copy, "empty") == essence(package, "life")


def essence(package: bytes, folder: str) -> list[Any]:
    """Return the parts of a one-service package that have nothing to do with its place."""
    archive = ZipFile(io.BytesIO(package))
    home = f"acme/{folder}/annuity-rates/0.1.0/"
    metadata = json.loads(archive.read(f"{home}ModelMetaData.json"))
    engine = metadata["EngineInformation"]
    workbook = archive.read(f"{home}rates.xlsx")
    return [workbook, engine["CompiledOutputHash"], metadata["XInputTable"]]


@pytest.mark.parametrize("rule", [None, "abort"])
def test_an_existing_service_aborts_by_default(call: Any, package: bytes, rule: str | None) -> None:
    """Without another word an import over a service fails and changes nothing."""
    before = numbers(call, "motor", "pricing")

    status = bring(call, package, {"service_uri_source": "motor/pricing"}, services_existing=rule)

    assert status["status"] == "closed"
    assert "motor/pricing" in status["errors"][0]["message"]
    assert numbers(call, "motor", "pricing") == before


def test_replace_leaves_only_what_came(call: Any, package: bytes) -> None:
    """``replace`` puts the package's versions in place of all others, with their ids."""
    versions = call.v1("GET", "/product/motor/engines/getversions/pricing").json["data"]
    old = {version["revision"]: version["id"] for version in versions}
    move = {"service_uri_source": "motor/pricing"}

    status = bring(call, package, move, services_existing="replace")

    arrived = {
        entry["version_destination"]: entry["version_id_destination"]
        for entry in status["outputs"]["service_versions"]
    }
    assert numbers(call, "motor", "pricing") == ["1.4.2", "1.4.1"]
    assert arrived == {number: old[number] for number in ("1.4.1", "1.4.2")}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("major", ["3.0.0", "2.0.0"]),
        ("minor", ["1.22.0", "1.21.0"]),
        ("patch", ["1.20.2", "1.20.1"]),
    ],
)
def test_add_version_numbers_by_the_step(
    call: Any, package: bytes, step: str, expected: list[str]
) -> None:
    """``add_version`` keeps what is there and counts on from the newest."""
    move = {"service_uri_source": "motor/pricing", "update_version_type": step}

    bring(call, package, move, services_existing="add_version")

    kept = ["1.20.0", "1.4.2", "1.4.1", "1.2.0"]
    assert numbers(call, "motor", "pricing") == expected + kept


def test_version_ids_are_unique(call: Any, package: bytes) -> None:
    """Copies beside the original get ids of their own."""
    move = {"service_uri_source": "motor/pricing[1.4.1]"}

    status = bring(call, package, move, services_existing="add_version")

    (entry,) = status["outputs"]["service_versions"]
    assert entry["version_id_destination"] != entry["version_id_source"]


def test_the_users_tree_is_left_alone(call: Any, package: bytes, root: Path) -> None:
    """An import writes nothing into the served folder."""
    before = sorted(root.rglob("*"))
    move = {"service_uri_source": "motor/pricing", "service_uri_destination": "empty/copy"}

    bring(call, package, move)

    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("move", "code"),
    [
        ({"service_uri_source": "motor/absent"}, "SERVICE_NOT_FOUND"),
        ({"service_uri_source": "nonsense"}, "SERVICE_NOT_FOUND"),
        (
            {"service_uri_source": "motor/pricing", "service_uri_destination": "absent/x"},
            "FOLDER_NOT_FOUND",
        ),
    ],
)
def test_unknown_places_are_refused(
    call: Any, package: bytes, move: dict[str, str], code: str
) -> None:
    """A service that is not in the package, or a folder that is not there, gives 404."""
    refused = upload(call, form(package, {"inputs": {"services_modify": [move]}}))

    assert (refused.status, refused.json["code"]) == (404, code)


@pytest.mark.parametrize(
    "entity",
    [
        "{",
        {},
        {"inputs": {"services_modify": []}},
        {"inputs": {"services_modify": ["motor/pricing"]}},
        {"inputs": {"services_modify": [{"update_version_type": "huge"}]}},
        {"inputs": {"services_modify": [{}]}, "services_existing": "update"},
    ],
)
def test_a_malformed_entity_is_refused(call: Any, package: bytes, entity: Any) -> None:
    """An import request that cannot be meant is answered with 400."""
    assert upload(call, form(package, entity)).status == 400


def test_a_missing_file_is_refused(call: Any) -> None:
    """The file part is required."""
    assert upload(call, form(None, {})).status == 400


def test_what_is_no_form_is_refused(call: Any) -> None:
    """JSON, and a form that breaks off, are answered with 400."""
    assert call("POST", "/api/v4/import", {}).status == 400
    assert upload(call, form(b"x", {})[:-20]).status == 400


SOURCE = {"service_uri_source": "motor/pricing"}
MOVE = {"inputs": {"services_modify": [SOURCE]}}


def test_an_onpremises_package_cannot_come_back(call: Any) -> None:
    """Only what was exported for migration can be imported."""
    inputs = {"services": ["motor/pricing"]}
    package = call.package(inputs=inputs, file_filter="onpremises")

    refused = upload(call, form(package, MOVE))

    assert (refused.status, refused.json["code"]) == (500, "INVALID_IMPORT_ZIP")
    assert refused.json["type"] == "invalid_input"


def test_what_is_no_package_is_refused(call: Any) -> None:
    """Other bytes, and another ZIP, get the documented 500."""
    other = io.BytesIO()
    with ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing")

    for body in (b"not a zip", other.getvalue()):
        refused = upload(call, form(body, MOVE))
        assert (refused.status, refused.json["code"]) == (500, "INVALID_IMPORT_ZIP")


def test_a_file_over_the_limit_is_refused(start: Callable[..., Any]) -> None:
    """The limit is answered with 500 and a permanent code, as documented."""
    refused = upload(start(size_limit=10), form(b"x" * 11, MOVE))

    assert (refused.status, refused.json["code"]) == (500, "EXCEEDED_FILE_SIZE")


def test_uploads_leave_no_file_behind(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload is deleted when it was read, whether it was any good or not."""
    (tmp_path / "workplace").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "workplace"))
    call = start()

    bring(call, call.package(inputs={"folders": ["motor"]}), SOURCE, services_existing="replace")
    upload(call, form(b"not a zip", MOVE))

    assert not list(tmp_path.rglob("*.upload"))


def test_import_jobs_are_described(call: Any, package: bytes) -> None:
    """Imports have a listing of their own; exports are not in it."""
    bring(call, package, {"service_uri_source": "motor/pricing"})

    listing = call("GET", "/api/v4/import/status").json

    assert [job["object"] for job in listing["recent_imports"]] == ["import"]
    assert listing["tenant"]["status"] == {"import_api_jobs_in_progress": 0}
