from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import validate

from spark_impex_runner import digests
from spark_impex_runner.models import RECEIPT, Artifact
from spark_impex_runner.report import receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models import RunResult, TargetResult

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture
def delivered(tmp_path: Path, target: TargetResult) -> Path:
    """Deliver a package and a folder with their receipt."""
    (tmp_path / "files" / "acme").mkdir(parents=True)
    contents = {"motor.zip": b"PK", "files/acme/a.json": b"{}", "files/b": b"bb"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    tree = digests.of_tree({"acme/a.json": hashes["files/acme/a.json"], "b": hashes["files/b"]})
    artifacts = (
        Artifact(tmp_path / "motor.zip", "motor.zip", 2, hashes["motor.zip"]),
        Artifact(tmp_path / "files", "files/", 4, tree, made_by="unzip"),
    )
    text = receipt.render(replace(target, artifacts=artifacts), "r1", "0.1.0")
    (tmp_path / RECEIPT).write_text(text)
    return tmp_path


def test_a_receipt_of_every_outcome_validates(
    every_outcome: RunResult, schema: Callable[[str], Any]
) -> None:
    """The published schema describes what is written."""
    for result in every_outcome.results:
        text = receipt.render(result, "r1", "0.1.0")

        validate(json.loads(text), schema("receipt"))
        assert "signature" not in text


def test_a_delivered_folder_agrees_with_its_receipt(delivered: Path) -> None:
    """Files that the receipt does not name do not matter."""
    (delivered / "note.txt").touch()

    assert receipt.verify(delivered) == []


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("motor.zip", b"KP", "motor.zip: has sha256 "),
        ("motor.zip", b"P", "motor.zip: has 1 bytes, the receipt says 2"),
        ("files/b", b"BB", "files/: has sha256 "),
        ("files/b", b"", "files/: has 2 bytes, the receipt says 4"),
        ("files/extra", b"", "files/: has sha256 "),
    ],
)
def test_a_change_is_found(delivered: Path, name: str, content: bytes, problem: str) -> None:
    """A file that differs, in a folder or not, is named; so is a folder with one file more."""
    (delivered / name).write_bytes(content)

    [found] = receipt.verify(delivered)

    assert found.startswith(problem)


def test_a_missing_file_is_found(delivered: Path) -> None:
    """What the receipt lists has to be there."""
    (delivered / "motor.zip").unlink()

    assert receipt.verify(delivered) == ["motor.zip: missing"]


def test_a_renamed_file_is_found(delivered: Path) -> None:
    """A folder's digest is over the names, too."""
    (delivered / "files/b").rename(delivered / "files/c")

    assert "has sha256" in receipt.verify(delivered)[0]


def test_a_link_in_a_folder_is_found(delivered: Path) -> None:
    """No package has links, and their targets are not read."""
    (delivered / "files/link").symlink_to("/etc")

    assert receipt.verify(delivered) == ["files/: holds link, a link or another special file"]


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "link"])
def test_outside_name_is_refused(delivered: Path, name: str) -> None:
    """A receipt cannot make anybody read other files."""
    (delivered / "link").symlink_to("/etc/hostname")
    text = (delivered / RECEIPT).read_text().replace("motor.zip", name)
    (delivered / RECEIPT).write_text(text)

    assert receipt.verify(delivered) == [f"{name}: leads outside of the folder"]


def test_missing_receipt_is_reported(tmp_path: Path) -> None:
    """A message names the file that is missing."""
    [problem] = receipt.verify(tmp_path)

    assert problem == "impex-receipt.json: missing; was this folder delivered by a run?"


def test_other_path_is_reported(delivered: Path) -> None:
    """A file and a misspelt folder are named as such."""
    assert receipt.verify(delivered / RECEIPT) == [
        "is a file; give the folder that a run delivered"
    ]
    assert receipt.verify(delivered / "nowhere") == ["there is no such folder"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=JSON
    | st.fixed_dictionaries(
        {
            "version": st.just(1),
            "artifacts": st.lists(
                st.fixed_dictionaries({"name": JSON, "size": JSON, "sha256": JSON}), max_size=4
            ),
        }
    )
)
def test_no_receipt_breaks_the_check(tmp_path: Path, value: Any) -> None:
    """Any content gives a list of problems."""
    (tmp_path / RECEIPT).write_text(json.dumps(value))

    problems = receipt.verify(tmp_path)

    assert all(isinstance(problem, str) and problem for problem in problems)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b'{"version": 2}'])
def test_invalid_receipt_is_reported(tmp_path: Path, content: bytes) -> None:
    """A damaged receipt, or one of a later version, proves nothing."""
    (tmp_path / RECEIPT).write_bytes(content)

    [problem] = receipt.verify(tmp_path)

    assert problem.endswith("impex-receipt.json: not a receipt of version 1")
