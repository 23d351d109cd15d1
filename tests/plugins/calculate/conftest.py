"""Toy modules, and the packages that hold them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from spark_impex_runner.plugins import calculate as plugin
from spark_impex_runner.plugins.calculate.module import Module
from spark_impex_runner.plugins.calculate.process import Limits, ModuleProcess, Request

from spark_impex_runner.models import Artifact, Step
from spark_impex_runner.sandbox.tenant.package import PackageRequest, build
from spark_impex_runner.sandbox.tenant.tree import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from spark_impex_runner.plugins.calculate.process import Reply

    from spark_impex_runner.models import Job

    Ask = Callable[..., list[Reply]]

TOOLS = Path(__file__).parents[2] / "tools"
AGE, SUM, SMOKER = 47, 33515.1, 1


@pytest.fixture(scope="session")
def toys(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    """Return the program that makes toy modules."""
    return load_script(TOOLS / "toy_module.py")


@pytest.fixture(scope="session")
def as_module() -> Callable[..., Module]:
    """Return a function that makes a module of a toy."""

    def make(toy: Any, **more: Any) -> Module:
        files = {name.partition(".")[2]: content for name, content in toy.files().items()}
        sha256 = hashlib.sha256(files["wasm"]).hexdigest()
        return Module(
            "life/term[1]",
            tuple(toy.inputs),
            tuple(toy.outputs),
            "Neuron_v1.22.3",
            {**files, **more},
            sha256,
        )

    return make


@pytest.fixture
def ask(as_module: Callable[..., Module]) -> Ask:
    """Return a function that starts a toy and returns its replies to cases."""

    def call(toy: Any, *cases: Mapping[str, Any], limits: Limits | None = None) -> list[Reply]:
        module = toy if isinstance(toy, Module) else as_module(toy)
        with ModuleProcess(module, limits or Limits(case=1.0), lambda: None) as process:
            return list(process.calculate([Request(case) for case in cases]))

    return call


@pytest.fixture
def package_of(tmp_path: Path, output: Path) -> Callable[..., Artifact]:
    """Return a function that writes a package of services, each a toy by its URI."""

    def make(services: Mapping[str, Any], name: str = "package.zip") -> Artifact:
        root = tmp_path / f"tree of {name}"
        for place, toy in services.items():
            path = root / place
            path.mkdir(parents=True, exist_ok=True)
            about = {
                "inputs": [{"name": key, "default": value} for key, value in toy.inputs.items()],
                "outputs": [{"name": key} for key in toy.outputs],
            }
            (path / "service.json").write_text(json.dumps(about))
            for file, content in toy.files().items():
                (path / file).write_bytes(content)
        versions = list(Tenant("acme", root).all_versions())
        request = PackageRequest("acme", "https://here", "j1", versions, workbooks=False)
        build(request, output / name)
        return Artifact(output / name, name, (output / name).stat().st_size)

    return make


@pytest.fixture
def calculate(
    make_job: Callable[..., Job], package_of: Callable[..., Artifact], tmp_path: Path
) -> Callable[..., str]:
    """Return a function that runs the step on a toy, or a package, and returns its message."""

    def call(toy: Any, cases: str = "", *, name: str = "cases.csv", **options: Any) -> str:
        package = toy if isinstance(toy, Artifact) else package_of({"life/term/1.0.0": toy})
        if cases:
            (tmp_path / name).write_text(cases, encoding="utf-8")
            options["cases"] = name
        result = plugin.impex_run_step(make_job(package), Step("calculate", options), package)
        assert result
        return str(result.message)

    return call
