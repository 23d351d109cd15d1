"""The wheel holds what is installed, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import spark_impex_runner

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    """Return the wheel under test."""
    return zipfile.ZipFile(next(dist.glob("*.whl")))


def metadata(wheel: zipfile.ZipFile, file: str) -> str:
    """Return one file of the wheel's dist-info."""
    name = next(name for name in wheel.namelist() if name.endswith(f".dist-info/{file}"))
    return wheel.read(name).decode()


def test_every_module_of_the_source_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """A package that is missing from the list in pyproject.toml is found here."""
    package = Path(spark_impex_runner.__file__).parent
    source = {f"spark_impex_runner/{p.relative_to(package)}" for p in package.rglob("*.py")}

    assert source <= set(wheel.namelist())
    assert {f"spark_impex_runner/plugins/{name}/__init__.py" for name in ("unzip", "checksum")} <= (
        set(wheel.namelist())
    )


def test_the_wheel_holds_only_the_package_its_types_and_its_schemas(wheel: zipfile.ZipFile) -> None:
    """No tests, no examples, no stray files; the style of the HTML report is a file."""
    others = {
        name
        for name in wheel.namelist()
        if ".dist-info/" not in name
        and not (name.startswith("spark_impex_runner/") and name.endswith(".py"))
    }

    assert others == {
        "spark_impex_runner/py.typed",
        "spark_impex_runner/schemas/approval-statement.schema.json",
        "spark_impex_runner/schemas/delivery-statement.schema.json",
        "spark_impex_runner/schemas/diff.schema.json",
        "spark_impex_runner/schemas/import-statement.schema.json",
        "spark_impex_runner/schemas/history.schema.json",
        "spark_impex_runner/report/html/style.css",
        "spark_impex_runner/schemas/import-lock.schema.json",
        "spark_impex_runner/schemas/manifest.schema.json",
        "spark_impex_runner/schemas/overlay.schema.json",
        "spark_impex_runner/schemas/receipt.schema.json",
        "spark_impex_runner/schemas/report.schema.json",
    }


def test_the_schemas_in_the_wheel_are_json(wheel: zipfile.ZipFile) -> None:
    """Each says that it is draft 2020-12."""
    for name in wheel.namelist():
        if name.endswith(".schema.json"):
            document = json.loads(wheel.read(name))
            assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schemas_are_files_of_a_release(wheel: zipfile.ZipFile) -> None:
    """Beside the built wheel and the sdist lie the schemas that it holds, as they are in it."""
    folder = "spark_impex_runner/schemas/"
    schemas = {
        name.removeprefix(folder): wheel.read(name)
        for name in wheel.namelist()
        if name.startswith(folder) and name.endswith(".json")
    }

    assert len(schemas) == 10
    if (ROOT / "dist").exists():
        released = {path.name: path.read_bytes() for path in (ROOT / "dist").glob("*.json")}
        assert released == schemas
        assert list((ROOT / "dist").glob("*.tar.gz"))


def test_the_commands_are_installed(wheel: zipfile.ZipFile) -> None:
    """The console scripts are ``impex-run``, ``impex`` and one by the distribution's name."""
    scripts = metadata(wheel, "entry_points.txt")

    assert "impex-run = spark_impex_runner.cli.main:run" in scripts
    assert "impex = spark_impex_runner.cli.main:main" in scripts
    assert "spark-impex-runner = spark_impex_runner.cli.main:main" in scripts


def test_the_metadata_says_what_is_needed(wheel: zipfile.ZipFile) -> None:
    """Nine dependencies, Python 3.10, the licence and the version of the code."""
    said = Parser().parsestr(metadata(wheel, "METADATA"))
    needed = {
        line.split(">=")[0] for line in said.get_all("Requires-Dist") or [] if "extra" not in line
    }

    assert needed == {
        *("argcomplete", "filelock", "isal", "jsonschema", "packaging", "pluggy", "PyYAML"),
        *("requests", "urllib3"),
    }
    assert (said["Requires-Python"], said["License-Expression"]) == (">=3.10", "Apache-2.0")
    assert said["Version"] == spark_impex_runner.__version__


def test_what_is_tested_is_the_installed_wheel_or_the_checkout(wheel: zipfile.ZipFile) -> None:
    """Beside the built wheel lies no source: the code under test comes from the wheel."""
    if (ROOT / "dist").exists():
        assert not (ROOT / "spark_impex_runner").exists()
        package = Path(spark_impex_runner.__file__).parent
        same = [package / "models" / "__init__.py", package / "plugins" / "unzip" / "__init__.py"]
        for path in same:
            name = f"spark_impex_runner/{path.relative_to(package)}"
            assert wheel.read(name) == path.read_bytes()


def test_the_public_names_are_there() -> None:
    """What the contract lists can be imported from the top."""
    assert set(spark_impex_runner.__all__) == {
        "Clock",
        "Registry",
        "Spark",
        "StepOutput",
        "__version__",
        "errors",
        "hookimpl",
        "models",
        "run_manifest",
        "tools",
    }
    for name in spark_impex_runner.__all__:
        assert getattr(spark_impex_runner, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spark_impex_runner.nothing


def test_the_library_is_quiet_by_one_handler() -> None:
    """However often a public name is looked up, the logger has one handler that says nothing."""
    code = (
        "import logging, spark_impex_runner as runner\n"
        "for _ in range(3): runner.Spark, runner.hookimpl\n"
        "print(*map(repr, logging.getLogger('spark_impex_runner').handlers))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "<NullHandler (NOTSET)>"
