"""``impex diff``: its arguments, formats and exit codes."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import zipfile
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, validate

from spark_impex_runner.cli import diff
from spark_impex_runner.cli.suggestions import suggest

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_secrets_are_masked(delivered: Any, secret: str, form: str) -> None:
    """Also where a package holds one, in every format."""
    versions = delivered.folder / "acme/motor/pricing"
    # A secret lies across the place where the text format cuts a long value.
    for version, start, end in (("1.4.1", "old", ""), ("1.4.2", "new", secret)):
        inputs = [{"name": "long", "default": start + "x" * 290 + end}]
        inputs += [{"name": "short", "default": end}] if end else []
        about = {"inputs": inputs, "outputs": []}
        (versions / version / "service.json").write_text(json.dumps(about))
    delivered("impex-run", "m.yaml", "-q", "--fresh")

    found = delivered("impex", "diff", "exports/old", "exports/new", "--format", form)

    assert found.code == 8
    assert "***" in found.out
    assert secret[:6] not in found.out


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


NOVEMBER = """
version: 1
connections: {uat: {sandbox: tenant}}
targets:
  - {name: motor, services: ["motor/claims[2.0]", "motor/pricing[1.4.1]"], output: exports/november}
"""
DECEMBER = """
version: 1
connections: {uat: {sandbox: tenant}}
targets:
  - {name: motor, services: [motor/claims, motor/pricing, life/term], output: exports/december}
"""
RELEASE = """
version: 1
connections: {sit: {sandbox: newer}, uat: {sandbox: tenant}}
targets:
  - {name: motor, connection: sit, folders: [motor]}
"""


def test_the_page_shows_real_output(shell: Any, examples: Path) -> None:
    """What the how-to prints is what the commands print on the example tenant."""
    page = (examples.parent / "docs/how-to/see-what-changed.md").read_text(encoding="utf-8")
    for name in ("tenant", "newer"):
        shutil.copytree(examples / "tenant", name)
    path = shell.folder / "newer/motor/pricing/1.4.2/service.json"
    about = json.loads(path.read_text())
    about["inputs"][0]["default"], about["outputs"][0]["type"] = 25000, "text"
    path.write_text(json.dumps(about))
    manifests = {"november": NOVEMBER, "december": DECEMBER, "release": RELEASE}
    for name, text in manifests.items():
        (shell.folder / f"{name}.yaml").write_text(text)
    for name in ("november", "december"):
        assert shell("impex-run", f"{name}.yaml", "-q").code == 0

    blocks = re.findall(r"^\$ (impex diff .*)\n((?:.*\n)*?)```", page, re.MULTILINE)
    shown = [(line, output) for line, output in blocks if ">" not in line]
    assert len(shown) == 2
    for line, output in shown:
        assert shell(*shlex.split(line)).out == output


def test_completion_offers_connections(shell: Any) -> None:
    """Beside folders and packages, once the line has the manifest."""
    shell.write(TARGETS)
    (shell.folder / "a.zip").touch()
    parser = argparse.ArgumentParser()
    diff.add_arguments(parser)
    action = next(each for each in parser._actions if each.dest == "new")

    line = parser.parse_args(["-m", "m.yaml", "x", "y"])

    assert list(suggest(action, "", line)) == ["here:", "a.zip", "acme/"]
