"""Services from files: every line counts, and a bad one is told by file and number."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.errors import ManifestError, UriError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load
from spark_impex_runner.planning.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

resolve_file = import_module("spark_impex_runner.plugins.resolve_file")

TEXT = """\ufeff# all that we back up

motor/pricing[1.4.2]   # the one in production
  life/annuity
version/8A5F0F0E-1111-4222-8333-0123456789ab
"""
CSV = """owner, uri ,note
Ann,motor/pricing[1.4.2],"a note
of two lines"
Bob,,none yet

Cyd,"life/annuity",
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a manifest of one target, in a folder beside the lists."""
    (tmp_path / "acme/motor/pricing/1.4.2").mkdir(parents=True)

    def write(*entries: str) -> Path:
        target = {"name": "a", "services": entries}
        document = {"version": 1, "connections": {"c": {"sandbox": "acme"}}, "targets": [target]}
        (tmp_path / "m.yaml").write_text(json.dumps(document))
        return tmp_path / "m.yaml"

    return write


@pytest.mark.parametrize(
    ("entry", "services", "versions"),
    [
        ("@list.txt", ["motor/pricing[1.4.2]", "life/annuity"], 1),
        ("@sub/list.csv#uri", ["motor/pricing[1.4.2]", "life/annuity"], 0),
    ],
)
def test_file_lists_services_in_order(
    tmp_path: Path, write: Any, clock: Any, monkeypatch: Any,
    entry: str, services: list[str], versions: int,
) -> None:  # fmt: skip
    """Comments, blank lines and empty cells give none; the manifest's folder is where to look."""
    (tmp_path / "list.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/list.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path / "sub")

    with prepare(write(entry, "motor/claims"), RunOptions(), clock, Masker()) as prepared:
        [planned] = prepared.plan

    assert list(planned.request.services) == [*services, "motor/claims"]
    assert len(planned.request.version_ids) == versions
    assert list(planned.resolved) == [entry]


@pytest.mark.parametrize(
    ("entry", "content", "output"),
    [
        ("@none.txt", None, "there is no file 'none.txt'"),
        ("@.", None, "there is no file '.'"),
        ("@", None, "'@' names no file; use @services.txt or @services.csv#column"),
        ("@x.txt#", "motor/a", "'@x.txt#' names no file"),
        ("@x.csv", "uri", "'@x.csv' names no column; use @x.csv#column"),
        ("@x.csv#url", "uri, n", "x.csv:1: there is no column 'url'; known: 'uri', 'n'"),
        ("@x.csv#uri", 'uri\nmotor/a\n"motor', "'x.csv' is not valid CSV: "),
        ("@x.csv#uri", "uri\n\n", "'x.csv' names no service"),
        ("@x.csv#uri", 'n,uri\n"a\nb",motor\n', "x.csv:3: service URI 'motor' has one name only"),
        ("@x.txt", "# nothing\n", "'x.txt' names no service"),
        ("@x.txt", "motor/a\n\nmotor/b[1.4\n", "x.txt:3: service URI 'motor/b[1.4' is in no "),
        ("@x.txt", "motor/*\n", "x.txt:1: service URI 'motor/*' is a pattern, and no plugin here"),
        ("@x.txt", "a\nb\nc\nd\ne", "x.txt:1: service URI 'a' has one name only"),
        ("@x.txt", b"\xff", "'x.txt' is not UTF-8 text"),
        (f"@{'x' * 5000}", None, "xxx"),
    ],
)
def test_invalid_file_is_found_on_validation(
    tmp_path: Path, write: Any, clock: Any, entry: str, content: Any, output: str
) -> None:
    """One line that begins with the entry's place and names the line of the file."""
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / entry.removeprefix("@").partition("#")[0]).write_bytes(data)

    with pytest.raises(ManifestError) as caught:
        load(write("motor/pricing", entry), RunOptions(), clock, Masker())

    [line] = str(caught.value).splitlines()
    assert "targets[0].services[1]: " in line
    assert output in line
    assert line.endswith("; and 2 more") == (content == "a\nb\nc\nd\ne")


def test_removed_file_names_target(tmp_path: Path, write: Any, clock: Any) -> None:
    """Between validation and plan a list may vanish."""
    (tmp_path / "x.txt").write_text("motor/pricing")
    with prepare(write("@x.txt"), RunOptions(), clock, Masker()) as prepared:
        (tmp_path / "x.txt").unlink()

        with pytest.raises(UriError, match=r"^target a: there is no file 'x\.txt'$"):
            resolve_file.impex_resolve_uri("@x.txt", prepared.run.targets[0], prepared.run)


@given(st.binary(max_size=60), st.sampled_from(["x.txt", "x.csv#uri"]))
def test_any_bytes_give_list_or_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, entry: str
) -> None:
    """No file breaks the check."""
    folder = tmp_path_factory.getbasetemp() / "lists"
    folder.mkdir(exist_ok=True)
    (folder / entry.partition("#")[0]).write_bytes(content)

    found = resolve_file.check(f"@{entry}", folder)

    assert found is not None
    assert len(found.splitlines()) <= 1
