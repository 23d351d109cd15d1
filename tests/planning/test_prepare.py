"""What only the engine knows is found with the rest, by ``impex validate`` too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ManifestError, PluginError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.planning.load import load

if TYPE_CHECKING:
    from pathlib import Path


def problems(folder: Path, clock: Any, head: str) -> list[str]:
    """Return what is wrong with a manifest that has ``head`` and one good target."""
    path = folder / "m.yaml"
    path.write_text(f"version: 1\n{head}\ntargets: [{{name: a, folders: [x]}}]\n")
    with pytest.raises((ManifestError, PluginError)) as caught:
        load(path, RunOptions(), clock, Masker())
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("base_url: excel.sit/acme", "2:31: connections.sit.base_url: base_url must begin with "),
        ("base_url: 'https://x'", "2:31: connections.sit.base_url: base_url names no tenant; "),
        ("base_url: 'http://x/acme'", "2:31: connections.sit.base_url: base_url must begin with "),
        ("env: 'a b', tenant: acme", "2:26: connections.sit.env: env 'a b' is invalid"),
        ("env: sit, tenant: 'a/b'", "2:39: connections.sit.tenant: tenant 'a/b' is invalid"),
        ("sandbox: nowhere", "2:30: connections.sit.sandbox: there is no folder 'nowhere'"),
        (
            "base_url: 'https://x/a', verify_tls: ca.pem",
            "2:58: connections.sit.verify_tls: there is no file 'ca.pem'",
        ),
    ],
)
def test_invalid_connection_has_a_line(
    tmp_path: Path, clock: Any, connection: str, expected: str
) -> None:
    """An unusable address or path of a connection is reported with its line."""
    [problem] = problems(tmp_path, clock, f"connections: {{sit: {{{connection}}}}}")

    assert problem.startswith(f"m.yaml:{expected}")


def test_required_runner_has_a_line(tmp_path: Path, clock: Any) -> None:
    """A version that does not fit, or an invalid specifier, is reported with its line."""
    sit = "connections: {sit: {env: sit, tenant: acme}}\n"

    [old] = problems(tmp_path, clock, f"{sit}requires: {{runner: '>=99'}}")
    [wrong] = problems(tmp_path, clock, f"{sit}requires: {{runner: new}}")

    assert old.startswith("m.yaml:3:20: requires.runner: the manifest requires runner >=99, this ")
    assert old.endswith("pip install 'spark-impex-runner>=99'")
    assert wrong == (
        "m.yaml:3:20: requires.runner: 'new' is not a version specifier such as '>=0.1'"
    )


def test_missing_plugins_have_lines(tmp_path: Path, clock: Any) -> None:
    """All missing plugins are reported, each with the command that installs it."""
    sit = "connections: {sit: {env: sit, tenant: acme}}\n"

    found = problems(tmp_path, clock, f"{sit}requires: {{plugins: [impex-no>=1, impex-none]}}")

    assert found == [
        (
            "m.yaml:3:22: requires.plugins[0]: plugin impex-no is not installed; "
            "pip install 'impex-no>=1'"
        ),
        (
            "m.yaml:3:35: requires.plugins[1]: plugin impex-none is not installed; "
            "pip install 'impex-none'"
        ),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pricing", ""),
        ("elsewhere", ""),
        (
            "pricng",
            "m.yaml:2:7: vars: warning: --var pricng=… sets no variable of this manifest (did you ",
        ),
    ],
)
def test_unused_variable_is_a_warning(tmp_path: Path, clock: Any, name: str, expected: str) -> None:
    """A variable that the manifest does not have is a warning; one that is only used is not."""
    path = tmp_path / "m.yaml"
    path.write_text(
        "version: 1\nvars: {pricing: '1'}\nconnections: {sit: {env: sit, tenant: acme}}\n"
        "targets: [{name: a, folders: ['x${var:elsewhere}', '${var:pricing}']}]\n"
    )
    variables = {"elsewhere": "y"} | {name: "z"}

    loaded = load(path, RunOptions(variables=variables), clock, Masker())

    assert [str(each).startswith(f"{tmp_path}/{expected}") for each in loaded.warnings] == (
        [True] if expected else []
    )


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            "vars: {plcae: uat}",
            "vars.plcae: warning: no reference uses this variable (did you mean 'place'",
        ),
        ("vars: {place: uat}", ""),
        (
            "connections: {st: {env: uat, tenant: acme}}",
            "connections.st: only this overlay has the connection 'st', and a target names none",
        ),
    ],
)
def test_overlay_without_effect(tmp_path: Path, clock: Any, overlay: str, expected: str) -> None:
    """A wrong name in an overlay is reported."""
    path, change = tmp_path / "m.yaml", tmp_path / "prod.yaml"
    path.write_text(
        "version: 1\nvars: {place: sit}\nconnections: {sit: {env: sit, tenant: acme}}\n"
        "targets: [{name: a, folders: ['${var:place}']}]\n"
    )
    change.write_text(f"{overlay}\n")

    try:
        loaded = load(path, RunOptions(overlays=(change,)), clock, Masker())
        messages = [str(warning) for warning in loaded.warnings]
    except ManifestError as error:
        messages = [str(problem) for problem in error.problems]

    assert len(messages) == bool(expected)
    assert all(
        f"prod.yaml:1:{8 if 'vars' in expected else 15}: {expected}" in line for line in messages
    )


RESOLVER = """
from spark_impex_runner import hookimpl

@hookimpl
def impex_register(registry):
    registry.resolver("tagged", "By tag.", check)

def check(entry, folder):
    if not entry.startswith("#"):
        return None
    return "" if (folder / entry[1:]).is_dir() else f"there is no tag {entry}"

@hookimpl
def impex_resolve_uri(uri):
    return ["f/s"] if uri.startswith("#") else None
"""


@pytest.mark.parametrize(
    ("plugin", "entry", "expected"),
    [
        ("", "#x", "service URI '#x' has one name only"),
        (RESOLVER, "#x", ""),
        (RESOLVER, "#y", "there is no tag #y"),
        (RESOLVER, "motor/pricing[1.4", "service URI 'motor/pricing[1.4' is in no known form"),
        (RESOLVER, "motor/pricing", ""),
        (RESOLVER.partition("def check")[0] + "check = print", "#x", "service URI '#x' has one"),
        (RESOLVER.replace("return None", "1 / 0", 1), "f/s", "plugin own failed to check 'f/s' as"),
    ],
    ids=["alone", "claimed", "wrong", "plain-wrong", "plain", "not-mine", "broken"],
)
def test_resolver_checks_its_entries(
    tmp_path: Path, clock: Any, plugin: str, entry: str, expected: str
) -> None:
    """Entries that no resolver claims are checked as service URIs."""
    (tmp_path / "x").mkdir()
    (tmp_path / "own.py").write_text(plugin)
    path = tmp_path / "m.yaml"
    path.write_text(
        "version: 1\nconnections: {sit: {env: sit, tenant: acme}}\n"
        f"targets: [{{name: a, services: ['{entry}']}}]\n"
    )

    try:
        load(path, RunOptions(plugin_files=(tmp_path / "own.py",)), clock, Masker())
        messages = ""
    except (ManifestError, PluginError) as error:
        messages = str(error)

    assert expected in messages
    assert bool(messages) == bool(expected)
