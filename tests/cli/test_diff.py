"""``impex diff``: its arguments, formats and exit codes."""

from __future__ import annotations

import json
import shutil
import zipfile
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator, validate

TARGETS = """
  - {name: new, services: [motor/pricing]}
  - {name: old, services: ['motor/pricing[1.4.1]']}
"""


@pytest.fixture
def delivered(shell: Any) -> Any:
    """Deliver two versions of a service to two folders."""
    for number in ("1.4.1", "1.4.2"):
        folder = shell.folder / "acme" / "motor" / "pricing" / number
        folder.mkdir(exist_ok=True)
        about = {"inputs": [{"name": "value", "default": number}], "outputs": []}
        (folder / "service.json").write_text(json.dumps(about))
    shell.write(TARGETS)
    assert shell("impex-run", "m.yaml", "-q").code == 0
    return shell


def test_unchanged_tenant_prints_nothing(delivered: Any) -> None:
    """Two exports of the same, by two jobs: no line, and 0."""
    shutil.move("exports", "before")
    delivered("impex-run", "m.yaml", "-q", "--fresh")

    found = delivered("impex", "diff", "before", "exports")

    assert (found.code, found.out, found.err) == (0, "", "")


def test_difference_is_printed_and_8(delivered: Any) -> None:
    """As ``impex plan --detailed-exitcode`` does, for scripts."""
    found = delivered("impex", "diff", "exports/old/package.zip", "exports/new")

    assert found.code == 8
    assert found.out.splitlines()[:2] == [
        "motor/pricing 1.4.1 -> 1.4.2: 1 input changed default, module and workbook changed",
        '  ~ input value: default "1.4.1" -> "1.4.2"',
    ]


def test_unknown_is_neither_equal_nor_different(delivered: Any) -> None:
    """3 says that nothing that could be compared differs."""
    package = delivered.folder / "exports" / "new" / "package.zip"
    with zipfile.ZipFile(package) as old, zipfile.ZipFile("other.zip", "w") as new:
        for name in set(old.namelist()):
            if not name.endswith("DefaultValidations.json"):
                new.writestr(name, old.read(name))

    found = delivered("impex", "diff", str(package), "other.zip")

    assert found.code == 3
    assert found.out.splitlines() == [
        "motor/pricing 1.4.2: defaults not compared",
        "  ? defaults: not compared; NEW: there is no DefaultValidations.json",
    ]


def test_json_follows_the_schema(delivered: Any) -> None:
    """Equal sides have a document, too."""
    schema = json.loads((files("spark_impex_runner.schemas") / "diff.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    for sides, code in ((("old", "new"), 8), (("old", "old"), 0)):
        found = delivered(
            "impex", "diff", *(f"exports/{side}" for side in sides), "--format", "json"
        )
        data = json.loads(found.out)
        validate(data, schema)
        assert (found.code, data["differs"], data["complete"]) == (code, bool(code), True)


def test_html_is_one_page(delivered: Any) -> None:
    """It can be redirected to a file."""
    found = delivered("impex", "diff", "exports/old", "exports/new", "--format", "html")

    assert found.code == 8
    assert found.out.startswith("<!doctype html>")
    assert found.out.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["exports/old", "absent"], "error: absent: there is no such file or folder"),
        (["m.yaml", "exports/old"], "error: m.yaml: is no ZIP package"),
        (["here:", "there:"], "error: here: is a connection; name its manifest with --manifest"),
        (["here:", "exports/old", "-m", "m.yaml"], "error: compare two packages or folders, or"),
        (["here:", "her:", "-m", "m.yaml"], "connection of m.yaml (did you mean 'here'?)"),
        (["exports/old", "exports/new", "-m", "m.yaml"], "error: --manifest is for connections"),
        (["exports/old"], "the following arguments are required: NEW"),
    ],
)
def test_usage_errors_are_2(delivered: Any, arguments: list[str], problem: str) -> None:
    """One line that says what to do; nothing was compared."""
    found = delivered("impex", "diff", *arguments)

    assert found.code == 2
    assert problem in found.err
    assert found.out == ""
