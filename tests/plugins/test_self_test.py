"""The step ``package_check`` reads the compiler's self-test, and what a package states twice."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins import package_check

from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Artifact, Request, Step
from spark_impex_runner.sandbox.tenant.package import PackageRequest, build
from spark_impex_runner.sandbox.tenant.tree import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import Job

# Read here: no test sees such variables.
COPY = os.environ.get("IMPEX_GENUINE_PACKAGE")
LOG = {
    "Warnings": [],
    "Errors": [],
    "CompilerVersion": "1.22.3",
    "SelfTestCellMatches": 3,
    "SelfTestCellsInspected": 3,
    "SelfTestDigits": 12,
}
VERIFIED = "package.zip: 1 service as its manifest lists, 1 module by SHA-256, 5 files by MD5"


@pytest.fixture
def check(make_job: Callable[..., Job], tmp_path: Path, output: Path) -> Callable[..., str]:
    """Return a function that checks a package with this log, and returns the message."""

    def call(log: Any, mode: str = "", rules: Any = None) -> str:
        folder = tmp_path / "tenant" / "life" / "term" / "1.0.0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "service.json").write_text('{"inputs": [{"name": "age", "default": 3}]}')
        (folder / "CompilerLog.json").write_text(json.dumps(log) if log else "")
        if rules:
            (folder / "DefaultValidations.json").write_text(json.dumps(rules))
        versions = list(Tenant("acme", tmp_path / "tenant").all_versions())
        request = PackageRequest("acme", "https://here", "j1", versions, workbooks=False)
        build(request, output / "package.zip")
        package = Artifact(output / "package.zip", "package.zip")
        return run(make_job, package, "life/term", mode)

    return call


def run(make_job: Callable[..., Job], package: Artifact, service: str, mode: str) -> str:
    """Run the step for a package that was asked for by its service."""
    request = Request(services=(service,), file_filter="onpremises")
    job = replace(make_job(package), request=request)
    options = {"self_test": mode} if mode else {}
    result = package_check.impex_run_step(job, Step("package_check", options), package)
    assert result
    return str(result.message).partition("; not verified")[0]


def failure(check: Callable[..., str], *arguments: Any) -> str:
    """Return the message of a check that fails."""
    with pytest.raises(StepError) as error:
        check(*arguments)
    return str(error.value)


def test_self_test_is_counted(check: Callable[..., str]) -> None:
    """Also by default; not if it is off."""
    assert check(LOG) == f"{VERIFIED}, self-test 3 of 3 outputs at 12 digits"
    assert check({**LOG, "Warnings": ["x"]}, "required").endswith(", 1 compiler warning")
    assert check(LOG, "off") == VERIFIED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SelfTestCellMatches": 2}, "self-test: expected 3 matching outputs, found 2"),
        ({"Errors": ["no\nsheet"]}, "the compiler reports an error: no sheet"),
        (
            {"CompilerVersion": "1.22.4"},
            "expected the compiler 1.22.3 of ModelMetaData.json, found 1.22.4",
        ),
    ],
)
def test_bad_self_test_fails(
    change: dict[str, Any], reason: str, check: Callable[..., str]
) -> None:
    """In each mode but off."""
    assert reason in failure(check, {**LOG, **change})
    assert reason in failure(check, {**LOG, **change}, "required")
    assert check({**LOG, **change}, "off") == VERIFIED


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({"Errors": []}, "expected a self-test in the compiler's log, found none"),
        ({**LOG, "SelfTestCellMatches": "3"}, "expected a self-test in the compiler's log"),
        ({**LOG, "SelfTestCellMatches": 0, "SelfTestCellsInspected": 0}, "found 0 inspected"),
    ],
)
def test_missing_self_test_fails_if_required(
    log: dict[str, Any], reason: str, check: Callable[..., str]
) -> None:
    """By default it is only not counted."""
    assert reason in failure(check, log, "required")
    assert check(log).startswith(VERIFIED)


def test_inputs_are_compared_with_rules(check: Callable[..., str]) -> None:
    """Either may lack one."""
    rules = {"outputs": {"aeg": {}}}

    message = failure(check, LOG, "", rules)

    assert "DefaultValidations.json" in message
    assert "ModelMetaData.json: expected the input aeg of DefaultValidations.json" in message
    assert "(and 1 more)" in message


def test_copies_of_rules_are_compared(
    check: Callable[..., str], make_job: Callable[..., Job], output: Path
) -> None:
    """Those beside the module are the ones in it, byte for byte."""
    check(LOG)
    path = output / "package.zip"
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries.items():
            new.writestr(name, content + b" " * name.endswith("/DefaultValidations.json"))

    with pytest.raises(StepError, match="the same as in DefaultValidations"):
        run(make_job, Artifact(path, path.name), "life/term", "")


def test_genuine_package_agrees(make_job: Callable[..., Job], output: Path) -> None:
    """All that it states twice is the same, and its self-test matched."""
    if not COPY:
        pytest.skip("IMPEX_GENUINE_PACKAGE names no copy of volume-cylinder.zip")
    (output / "package.zip").write_bytes(Path(COPY).read_bytes())
    package = Artifact(output / "package.zip", "package.zip")

    message = run(make_job, package, "my-folder/volume-cylinder", "required")

    assert message == f"{VERIFIED}, self-test 1 of 1 outputs at 12 digits"
