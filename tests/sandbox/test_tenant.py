"""The served tree: what counts as a version, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.sandbox.tenant.tree import Tenant, version_key

if TYPE_CHECKING:
    from pathlib import Path


def test_versions_are_ordered_by_number(root: Path) -> None:
    """Twenty comes after four, whatever their texts say."""
    versions = Tenant("acme", root).versions("motor", "pricing")

    assert [version.number for version in versions] == ["1.2.0", "1.4.1", "1.4.2", "1.20.0"]


def test_ids_depend_on_names_alone(root: Path) -> None:
    """Two readings of one tree agree; another tenant has other ids."""
    first, again, other = (
        {version.id for version in Tenant(name, root).all_versions()}
        for name in ("acme", "acme", "other")
    )

    assert first == again
    assert not first & other
    assert len(first) == 5


def test_files_are_ignored(root: Path) -> None:
    """Files, hidden directories and services without versions are not served."""
    (root / "README.md").write_text("about", encoding="utf-8")
    (root / ".git" / "objects" / "ab").mkdir(parents=True)
    (root / "motor" / "unfinished").mkdir()

    tenant = Tenant("acme", root)

    assert tenant.folders() == ["empty", "life", "motor"]
    assert tenant.services("motor") == ["pricing"]


def test_an_empty_tree_is_refused(tmp_path: Path) -> None:
    """A folder without any version is a mistake, and the message names it."""
    (tmp_path / "motor" / "pricing").mkdir(parents=True)

    with pytest.raises(ValueError, match="serves nothing") as caught:
        Tenant("acme", tmp_path)

    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["absent", "file"])
def test_an_unreadable_tree_is_refused(tmp_path: Path, name: str) -> None:
    """A missing folder, or a file in its place, is one clear sentence."""
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=f"{name} cannot be served: "):
        Tenant("acme", tmp_path / name)


def test_odd_version_numbers_have_an_order() -> None:
    """Words sort before numbers and never break the comparison."""
    numbers = ["1.0", "draft", "1.0.rc", "1.0.0", "2\N{SUPERSCRIPT TWO}"]

    assert max(numbers, key=version_key) == "1.0.0"


def test_index_lists_a_tenant(tmp_path: Path) -> None:
    """With names that no folder can have, ids of its own, and possibly nothing in a folder."""
    listed = {"folder": "_a/b", "service": ".s", "number": "1.10.0", "id": "v", "service_id": "s"}
    versions = [listed, {**listed, "number": "1.9.0", "id": ""}]
    index = {"folders": ["empty"], "versions": versions}
    (tmp_path / "tenant.json").write_text(json.dumps(index))

    tenant = Tenant("acme", tmp_path)

    older, newer = tenant.versions("_a/b", ".s")
    assert (older.number, newer.number, newer.id, newer.service_id) == ("1.9.0", "1.10.0", "v", "s")
    assert (len(older.id), newer.path, tenant.services("empty")) == (36, tmp_path / "model", [])


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"folders": []}', '{"folders": 1}'])
def test_malformed_index_is_refused(tmp_path: Path, text: str) -> None:
    """Before anything is served."""
    (tmp_path / "tenant.json").write_text(text)

    with pytest.raises(ValueError, match=r"tenant\.json is malformed"):
        Tenant("acme", tmp_path)
