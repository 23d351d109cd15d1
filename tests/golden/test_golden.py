"""What 0.1.0 wrote is written and read the same.

The files beside this module were written by commit 1c11e63, by these tests with
``IMPEX_GOLDEN=write``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from spark_impex_runner import Spark

if TYPE_CHECKING:
    from tests.golden.conftest import Place

GOLDEN = Path(__file__).parent
WRITE = os.environ.get("IMPEX_GOLDEN") == "write"


@dataclass(frozen=True)
class Scenario:
    """A manifest, how the tenant behaves, and the options of the runs, one after the other."""

    targets: str
    settings: dict[str, Any]
    faults: tuple[str, ...] = ()
    runs: tuple[tuple[str, ...], ...] = ((),)


LIFE = "  - {name: life, folders: [life]"
STEPS = "steps: [{uses: checksum}, {uses: unzip}]"
MOTOR = "  - {name: motor, services: ['motor/pricing[1.4.2]']"
SCENARIOS = {
    "succeeded": Scenario(f"{LIFE}, {STEPS}}}\n{MOTOR}, needs: [life], tags: [a]}}", {}),
    "unchanged": Scenario(f"{LIFE}, skip_unchanged: true}}", {}, runs=((), ())),
    "partial": Scenario(
        f"{LIFE}}}\n  - {{name: gone, services: [motor/none]}}\n{MOTOR}, needs: [gone]}}",
        {},
    ),
    "failed": Scenario(f"{LIFE}}}", {"ending": "failed"}),
    "timed_out": Scenario(
        f"{LIFE}, polling: {{strategy: fixed, deadline: 300ms, on_deadline: leave}}}}",
        {"job_seconds": 3600},
    ),
    "held": Scenario(
        f"{LIFE}, steps: [{{uses: import, with: {{to: uat, gate: manual}}}}]}}",
        {},
        runs=((), ("--approve", "uat")),
    ),
    "split": Scenario(
        "  - {name: all, folders: [life, motor]}", {"size_limit": 6000, "over_limit": "refuse"}
    ),
    "warnings": Scenario(
        f"{LIFE}, steps: [{{uses: unzip, with: {{max_files: 1}}, on_failure: warn, "
        "retry: {attempts: 2, interval: 10ms}}]}",
        {},
        ("status@1=reset", "create@1=swallow", "download@1=expired:403"),
    ),
    "refused": Scenario(f"{LIFE}, file_filter: onprem}}", {}),
    "unauthorized": Scenario(f"{LIFE}}}", {}, ("create@*=401",)),
}
COMMANDS = (
    *("run", "resume", "cancel", "status", "history", "plan", "validate", "render", "schema"),
    *("init", "completion", "plugins", "verify", "sandbox"),
)


def golden(name: str, actual: Any) -> Any:
    """Return what a golden file holds, once it has been written where that is asked for."""
    path = GOLDEN / name
    if WRITE:
        path.write_text(json.dumps(actual, indent=1, sort_keys=True) + "\n")
    return json.loads(path.read_text())


def _schema(name: str) -> Draft202012Validator:
    path = files("spark_impex_runner.schemas") / f"{name}.schema.json"
    return Draft202012Validator(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("name", SCENARIOS)
def test_run_writes_what_it_wrote(place: Place, compare: Any, name: str) -> None:
    """Reports, receipts, logs and exit codes have every key and value of the golden file."""
    scenario = SCENARIOS[name]
    place.serve(*scenario.faults, **scenario.settings)
    place.write(f"targets:\n{scenario.targets}")

    written = [place.run(*options) for options in scenario.runs]

    assert compare(golden(f"{name}.json", written), written) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_old_reports_are_valid(name: str) -> None:
    """What the published schemas gained since is optional."""
    for run in json.loads((GOLDEN / f"{name}.json").read_text()):
        _schema("report").validate(run["report"])
        for receipt in run["receipts"].values():
            _schema("receipt").validate(receipt)


def test_help_names_the_same_options(place: Place) -> None:
    """Help goes to stdout, ends with 0, and has every option that it had."""
    options = {}
    for name in COMMANDS:
        code, out, err = place.call("impex", name, "--help")
        assert (code, err) == (0, "")
        options[name] = sorted(set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", out)))

    for name, expected in golden("help.json", options).items():
        assert set(expected) <= set(options[name]), name


STATE_TARGETS = f"""targets:
{LIFE}, steps: [{{uses: checksum}}]}}
  - name: held
    services: [life/annuity]
    steps: [{{uses: import, with: {{to: uat, gate: manual}}}}]
{MOTOR}, polling: {{strategy: fixed, deadline: 300ms, on_deadline: leave}}}}
"""


@pytest.fixture
def state(place: Place) -> str:
    """Give a state with a finished, a held and an unfinished attempt; return the latter's job."""
    if WRITE:
        _write_state(place)
    tenant = place.serve()
    place.write(STATE_TARGETS)
    with Spark(base_url=tenant.base_url, token=tenant.token) as spark:
        job = spark.impex.exports.initiate(services=["motor/pricing[1.4.2]"]).data["id"]
    place.restore((GOLDEN / "state.sql").read_text(), job)
    package = place.folder / "exports/held/package.zip"
    package.parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "package.zip", package)
    return job


def _write_state(place: Place) -> None:
    """Write the golden state: the tenant's third job answers no request for its status."""
    place.serve("status@3-=503")
    place.write(STATE_TARGETS)
    place.run()
    job = json.loads((place.folder / "r.json").read_text())["targets"][2]["job_id"]
    (GOLDEN / "state.sql").write_text(place.dump().replace(job, "{job}"))
    shutil.copy(place.folder / "exports/held/package.zip", GOLDEN)
    shutil.rmtree(place.folder / ".impex")
    shutil.rmtree(place.folder / "exports")


def test_old_state_is_shown(place: Place, compare: Any, state: str) -> None:
    """``status`` and ``history`` print what they printed."""
    shown = {name: place.json(name, "--json") for name in ("status", "history")}

    assert state in place.call("impex", "status")[1]
    assert compare(golden("shown.json", shown), shown) == []


def test_old_job_is_resumed(place: Place, state: str) -> None:
    """The unfinished attempt is delivered by its job, and the tenant is asked for no other."""
    result = place.run("-t", "motor")

    [target] = json.loads((place.folder / "r.json").read_text())["targets"]
    assert (result["exit"], target["job_id"]) == (0, state)
    assert place.tenants["sit"].jobs_created == 1


def test_old_hold_is_approved(place: Place, state: str) -> None:
    """The bytes that waited are imported, without another export."""
    del state

    result = place.run("-t", "held", "--approve", "uat")

    [target] = result["report"]["targets"]
    assert (result["exit"], target["outcome"]) == (0, "succeeded")
    assert place.tenants["sit"].jobs_created == 1
    sent = [r.path for r in place.tenants["uat"].requests if r.method == "POST"]
    assert [path for path in sent if path.endswith("/import")] == ["/uat/api/v4/import"]
