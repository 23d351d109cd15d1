"""Finished runs, with a target for every outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from spark_impex_runner.models import (
    Artifact,
    Manifest,
    Outcome,
    RemoteFile,
    Request,
    RunResult,
    ServiceVersion,
    StepResult,
    Target,
    TargetResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
HERE = Path("/srv/release")
URL = "https://files.example/motor.zip?signature=s3cret"


@pytest.fixture
def target() -> TargetResult:
    """Return a target that succeeded, with everything that a result can hold."""
    output = HERE / "exports" / "motor"
    remote = RemoteFile(URL, "AB" * 16)
    return TargetResult(
        Target("motor", "sit", output, tags=("release",)),
        Outcome.SUCCEEDED,
        START,
        START + timedelta(seconds=12.4),
        tenant="acme",
        job_id="34d7d465-86eb-4eed-a388-fa4525cf7be6",
        request=Request(services=("motor/pricing",), correlation_id="CHG-4711"),
        services=(ServiceVersion("motor", "pricing", "s1"),),
        service_versions=(ServiceVersion("motor", "pricing", "s1", "1.4.2", "v1"),),
        artifacts=(
            Artifact(output / "motor.zip", "motor.zip", 506_657, "0a" * 32, remote, True),
            Artifact(output / "files", "files/", 508_515, "1b" * 32, made_by="unzip"),
        ),
        steps=(StepResult("unzip", "succeeded", 0.25, artifacts=("files/",)),),
    )


@pytest.fixture
def run() -> Callable[..., RunResult]:
    """Make the result of a run of these targets."""

    def make(*results: TargetResult, **more: Any) -> RunResult:
        path = HERE / "release.yaml"
        targets = tuple(each.target for each in results)
        manifest = Manifest(path, "motor-release", {}, targets, {"json": HERE / "report.json"})
        end = START + timedelta(seconds=73)
        return RunResult("20260131-1f2e", manifest, START, end, results, "0.1.0", **more)

    return make


@pytest.fixture
def every_outcome(target: TargetResult, run: Callable[..., RunResult]) -> RunResult:
    """Return a run with one target for each outcome."""
    bare = TargetResult(target.target, Outcome.SKIPPED, START, START + timedelta(seconds=3))
    errors = {
        Outcome.FAILED: ('JobError: the tenant said <no> & "never"', 4),
        Outcome.TIMED_OUT: ("the deadline of 30m passed; job 77ab may still run", 5),
        Outcome.HELD: ("step import: prod waits for --approve prod", 9),
        Outcome.CANCELLED: ("interrupted by SIGINT", 130),
        Outcome.SKIPPED: ("needs motor, which failed", 4),
    }
    upload = StepResult("upload", "warned", 1.0, "bucket is gone")
    good = replace(target, warnings=("no hash for motor.zip",), steps=(*target.steps, upload))
    results = [good, replace(named(bare, "life"), outcome=Outcome.UNCHANGED)]
    for outcome, (error, code) in errors.items():
        each = named(bare, f"a-{outcome.value}")
        approve = "prod" if outcome is Outcome.HELD else ""
        each = replace(each, outcome=outcome, error=error, exit_code=code, approve=approve)
        results.append(each)
    return run(*results)


def named(result: TargetResult, name: str) -> TargetResult:
    """Return the same result under another name."""
    output = result.target.output.with_name(name)
    return replace(result, target=replace(result.target, name=name, output=output))


@pytest.fixture
def schema() -> Callable[[str], dict[str, Any]]:
    """Load a published schema by its name."""

    def load(name: str) -> dict[str, Any]:
        text = (files("spark_impex_runner.schemas") / f"{name}.schema.json").read_text()
        loaded: dict[str, Any] = json.loads(text)
        Draft202012Validator.check_schema(loaded)
        return loaded

    return load
