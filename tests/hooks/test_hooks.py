"""Every hook is called as its specification says, and none goes untested."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.hooks import specs
from spark_impex_runner.hooks.manager import make_plugin_manager
from spark_impex_runner.models import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKS = sorted(name for name in vars(specs) if name.startswith("impex_"))
VOCABULARY = {
    "registry",
    "run",
    "target",
    "uri",
    "job",
    "poll",
    "status",
    "artifact",
    "step",
    "change",
    "report",
    "error",
}
MANIFEST = """
version: 1
connections: {here: {sandbox: acme}}
targets:
  - {name: motor, services: [motor/pricing], steps: [{uses: note}], polling: {strategy: mine}}
"""
# Writes each call down in a file beside the plugin; strategy and step are its own.
RECORDER = """
from pathlib import Path
from spark_impex_runner import hookimpl, models

def note(name, *message):
    with Path(__file__).with_suffix(".log").open("a") as log:
        print(name, *message, file=log)

@hookimpl
def impex_register(registry):
    note("impex_register")
    registry.step("note", "Writes a line.")
    registry.strategy("mine", "Does not wait.")

@hookimpl
def impex_resolve_uri(uri, target, run):
    note("impex_resolve_uri", uri, target.name)
    return [uri + "[1.0.0]"]

@hookimpl
def impex_plan_step(job, step):
    raise AssertionError("nobody asked for a plan")

@hookimpl
def impex_poll_delay(job, poll):
    note("impex_poll_delay", poll.strategy, poll.checks)
    return 0 if poll.strategy == "mine" else None

@hookimpl
def impex_poll_verdict(job, status):
    note("impex_poll_verdict", status.status)

@hookimpl
def impex_download_path(job, artifact):
    note("impex_download_path", artifact.name)
    return "packages/" + artifact.name

@hookimpl
def impex_check_download(job, artifact):
    note("impex_check_download", artifact.path.name, artifact.hash_agreed)

@hookimpl
def impex_run_step(job, step, artifact):
    note("impex_run_step", step.uses, artifact.name)
    return [] if step.uses == "note" else None

@hookimpl(wrapper=True)
def impex_run_job(job):
    note("impex_run_job", "before")
    result = yield
    note("impex_run_job", result.outcome.value)
    return result

@hookimpl
def impex_job_changed(job, change):
    note("impex_job_changed", change.event)

@hookimpl
def impex_run_started(run):
    note("impex_run_started", len(run.targets))

@hookimpl
def impex_run_finished(run, report):
    note("impex_run_finished", report.exit_code)
"""


@pytest.fixture
def record(tmp_path: Path, clock: Any) -> Callable[[str], list[str]]:
    """Return a function that runs a manifest with a plugin and gives the plugin's log."""
    (tmp_path / "acme/motor/pricing/1.0.0").mkdir(parents=True)
    (tmp_path / "manifest.yaml").write_text(MANIFEST)

    def run(code: str) -> list[str]:
        plugin = tmp_path / "recorder.py"
        plugin.write_text(textwrap.dedent(code))
        options = RunOptions(plugin_files=(plugin,))
        run_manifest(tmp_path / "manifest.yaml", options, clock=clock)
        return plugin.with_suffix(".log").read_text().splitlines()

    return run


def test_hooks_run_in_documented_order(record: Callable[[str], list[str]]) -> None:
    """One target, from registration to the end of the run."""
    log = record(RECORDER)

    assert log == [
        "impex_register",
        "impex_resolve_uri motor/pricing motor",
        "impex_run_started 1",
        "impex_run_job before",
        "impex_job_changed job.created",
        "impex_poll_delay mine 0",
        "impex_poll_verdict closed",
        "impex_job_changed job.done",
        "impex_download_path package.zip",
        "impex_job_changed download.started",
        "impex_check_download .package.zip.part True",
        "impex_job_changed package.delivered",
        "impex_run_step note packages/package.zip",
        "impex_job_changed step.succeeded",
        "impex_job_changed target.succeeded",
        "impex_run_job succeeded",
        "impex_run_finished 0",
    ]


def test_run_follows_hook_answers(record: Callable[[str], list[str]], tmp_path: Path) -> None:
    """The resolved version is exported, and the package is at the path that the plugin returned."""
    record(RECORDER)

    output = tmp_path / "exports/motor"
    assert (output / "packages/package.zip").is_file()
    assert '"motor/pricing[1.0.0]"' in (output / "impex-receipt.json").read_text()


ANSWERS = {
    "impex_resolve_uri": ("'motor/pricing'", "a list of service URIs"),
    "impex_poll_verdict": ("'done'", "a Verdict"),
    "impex_download_path": ("'../outside.zip'", "a path inside the target's output"),
    "impex_run_step": ("['x']", "a list of Artifact"),
    "impex_run_job": ("7", "a TargetResult"),
}


@pytest.mark.parametrize("hook", ANSWERS)
def test_invalid_answer_names_hook_and_plugin(tmp_path: Path, clock: Any, hook: str) -> None:
    """Core validates what comes back; the error says which hook, what came, and who was asked."""
    answer, wanted = ANSWERS[hook]
    (tmp_path / "acme/motor/pricing/1.0.0").mkdir(parents=True)
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(MANIFEST.replace("note", "unzip").replace("mine", "fixed"))
    plugin = tmp_path / "odd.py"
    plugin.write_text(
        f"from spark_impex_runner import hookimpl\n@hookimpl\ndef {hook}():\n    return {answer}\n"
    )

    try:
        result = run_manifest(manifest, RunOptions(plugin_files=(plugin,)), clock=clock)
        output = result.results[0].error
    except Exception as error:  # noqa: BLE001 - resolving happens before the run
        output = str(error)

    assert f"{hook} answered " in output
    assert wanted in output
    assert "odd" in output


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test(hook: str) -> None:
    """A hook that no test names fails the build."""
    tests = [
        path for path in Path(__file__).parents[1].rglob("test_*.py") if path.name != "test_docs.py"
    ]

    assert any(hook in path.read_text(encoding="utf-8") for path in tests)


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_arguments_are_a_fixed_set(hook: str) -> None:
    """At most three arguments, from one list of names, without defaults, and a manual."""
    spec = getattr(specs, hook)
    parameters = inspect.signature(spec).parameters

    assert set(parameters) <= VOCABULARY
    assert len(parameters) <= 3
    assert all(p.default is inspect.Parameter.empty for p in parameters.values())
    assert len((spec.__doc__ or "").split()) > 5


def test_built_ins_are_called_last() -> None:
    """Where the first answer wins, ours are ``trylast``: installation order never matters."""
    plugins = make_plugin_manager()
    deciding = [hook for hook in HOOKS if getattr(specs, hook).impex_runner_spec["firstresult"]]

    impls = [i for hook in deciding for i in getattr(plugins.manager.hook, hook).get_hookimpls()]

    assert len(impls) >= 6
    assert all(impl.trylast for impl in impls)
