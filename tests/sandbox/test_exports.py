"""Exports: what is asked for is packed, and how a job may end."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PRICING = {"services": ["motor/pricing"]}


def exported(call: Any, **body: Any) -> list[str]:
    """Export and return the URIs of the versions that the status names."""
    versions = call.export(**body)["outputs"]["service_versions"]
    return [version["service_uri_source"] for version in versions]


def test_an_export_ends_closed_with_one_package(call: Any) -> None:
    """A job without duration is closed at the first look and names its one file."""
    status = call.export(inputs=PRICING, correlation_id="c-1", source_system="nightly")

    assert status["status"] == "closed"
    assert status["errors"] is None
    assert (status["correlation_id"], status["source_system"]) == ("c-1", "nightly")
    assert status["outputs"]["files"][0]["file"].endswith("/package.zip")


def test_the_creation_names_the_status_url(call: Any) -> None:
    """The answer to the creation is flat and holds where to look."""
    created = call("POST", "/api/v4/export", {"inputs": PRICING}).json

    assert created["object"] == "export"
    assert call("GET", created["status_url"]).json["id"] == created["id"]


def test_latest_is_the_default(call: Any) -> None:
    """Without a filter the newest version goes, by number and not by text."""
    assert exported(call, inputs=PRICING) == ["motor/pricing[1.20.0]"]


def test_all_versions_can_be_asked_for(call: Any) -> None:
    """``all`` takes every version, oldest first."""
    versions = exported(call, inputs={"folders": ["motor"]}, version_filter="all")

    numbers = ["1.2.0", "1.4.1", "1.4.2", "1.20.0"]
    assert versions == [f"motor/pricing[{number}]" for number in numbers]


def test_the_union_is_exported_once(call: Any) -> None:
    """What several entries name is packed once."""
    inputs = {"folders": ["life"], "services": ["motor/pricing[1.4]", "motor/pricing[1.4.2]"]}

    assert exported(call, inputs=inputs) == [
        "life/annuity-rates[0.1.0]",
        "motor/pricing[1.4.2]",
    ]


@pytest.mark.parametrize(
    "inputs",
    [
        {"services": ["motor/absent"]},
        {"services": ["motor/pricing[9]"]},
        {"services": ["motor/pricing", "service/motor"]},
        {"services": ["5f0f2f0e-1111-4222-8333-0123456789ab"]},
        {"folders": ["absent"]},
        {"folders": ["empty"]},
        {"version_ids": ["5f0f2f0e-1111-4222-8333-0123456789ab"]},
    ],
)
def test_what_does_not_exist_is_named(call: Any, inputs: dict[str, list[str]]) -> None:
    """One unknown thing refuses the whole export, and the message says which."""
    refused = call("POST", "/api/v4/export", {"inputs": inputs})

    assert refused.status == 404
    assert refused.json["type"] == "invalid_input"
    assert refused.json["code"] == "SERVICE_NOT_FOUND"
    assert next(iter(inputs.values()))[-1] in refused.json["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        {},
        {"inputs": {}},
        {"inputs": {"services": []}},
        {"inputs": {"services": "motor/pricing"}},
        {"inputs": {"services": [1]}},
        {"inputs": PRICING, "file_filter": "onprem"},
        {"inputs": PRICING, "version_filter": "newest"},
        {"inputs": PRICING, "file_name": 7},
    ],
)
def test_a_malformed_request_is_refused(call: Any, body: Any) -> None:
    """A body that cannot be meant is answered with 400 in the v4 form."""
    refused = call("POST", "/api/v4/export", body)

    assert refused.status == 400
    assert refused.json["type"] == "invalid_input"


def test_file_name_is_the_stem(call: Any) -> None:
    """``file_name`` names the package."""
    status = call.export(inputs=PRICING, file_name="motor release")

    assert status["outputs"]["files"][0]["file"].endswith("/motor%20release.zip")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("form", ["", "-upper", "-base64"])
def test_file_hash_takes_its_form(start: Callable[..., Any], algorithm: str, form: str) -> None:
    """``file_hash`` is the package's digest in the form that was set."""
    call = start(hash_form=algorithm + form)
    file = call.export(inputs=PRICING)["outputs"]["files"][0]

    digest = hashlib.new(algorithm, call("GET", file["file"], headers={}).body)
    hexadecimal = digest.hexdigest()
    text = {"": hexadecimal, "-upper": hexadecimal.upper()}
    text["-base64"] = base64.b64encode(digest.digest()).decode()
    assert file["file_hash"] == text[form]


def test_file_hash_may_be_missing(start: Callable[..., Any]) -> None:
    """``none`` gives null."""
    status = start(hash_form="none").export(inputs=PRICING)

    assert status["outputs"]["files"][0]["file_hash"] is None


@pytest.mark.parametrize(
    ("ending", "word", "has_errors", "has_file"),
    [
        ("completed", "completed", False, True),
        ("errors", "closed", True, False),
        ("failed", "failed", True, False),
        ("cancelled", "cancelled", True, False),
    ],
)
def test_a_job_may_end_otherwise(
    start: Callable[..., Any], ending: str, word: str, has_errors: bool, has_file: bool
) -> None:
    """Each ending has its word, and files exactly where it is a success."""
    status = start(ending=ending).export(inputs=PRICING)

    assert status["status"] == word
    assert bool(status["errors"]) is has_errors
    assert bool(status["outputs"]["files"]) is has_file


def test_outputs_may_be_null(start: Callable[..., Any]) -> None:
    """``null_outputs`` is closed without errors and without anything else."""
    status = start(ending="null_outputs").export(inputs=PRICING)

    assert (status["status"], status["errors"], status["outputs"]) == ("closed", None, None)


def test_the_download_may_be_a_web_page(start: Callable[..., Any]) -> None:
    """``not_zip`` serves a page of the announced length with status 200."""
    call = start(ending="not_zip")
    url = call.export(inputs=PRICING)["outputs"]["files"][0]["file"]

    page = call("GET", url, headers={})

    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert page.headers["content-length"] == str(len(page.body))


def test_over_limit_job_fails(start: Callable[..., Any]) -> None:
    """A package larger than the limit ends the job with an error and no file."""
    status = start(size_limit=100).export(inputs=PRICING)

    assert status["errors"][0]["code"] == "EXCEEDED_FILE_SIZE"
    assert status["outputs"]["files"] is None


def test_over_limit_create_is_refused(start: Callable[..., Any]) -> None:
    """``refuse`` answers the create call as documented for imports; there is no job."""
    call = start(size_limit=100, over_limit="refuse")

    refused = call("POST", "/api/v4/export", {"inputs": PRICING})

    assert (refused.status, refused.json["code"]) == (500, "EXCEEDED_FILE_SIZE")
    assert refused.json["type"] == "invalid_input"
    assert call("GET", "/api/v4/export/status").json["recent_exports"] == []


def test_only_cancelled_can_be_patched(call: Any) -> None:
    """Another word than ``cancelled`` is refused."""
    job = call.export(inputs=PRICING)["id"]

    assert call("PATCH", f"/api/v4/export/{job}", {"export_status": "closed"}).status == 400
