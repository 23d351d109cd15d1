"""``impex plugins`` lists, explains and traces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spark_impex_runner.hooks.registry import KINDS

PLUGIN = """
import os
from spark_impex_runner import hookimpl

OPTIONS = {"type": "object", "properties": {"to": {"description": "Where.", "default": "here"}}}

@hookimpl
def impex_register(registry):
    registry.step("shout", "says it", OPTIONS, idempotent=False, credentials=True)
    registry.strategy("nightly", "waits for the night")
    registry.source("strongroom", "reads a vault", str.upper)
    registry.resolver("tagged", "services by tag", lambda entry, folder: None)
    registry.report("tally", "counts it", str)
    registry.notifier("horn", "blows it", None, print)
    registry.executor("farm", "runs it", lambda address: None)

@hookimpl
def impex_resolve_uri(uri):
    return [uri, os.environ["TOKEN"]]
"""
TARGETS = "  - {name: one, services: [motor/pricing], steps: [{uses: checksum}]}\n"


@pytest.fixture
def shout(shell: Any) -> Any:
    """Return the shell, with a plugin of every kind."""
    (shell.folder / "shout.py").write_text(PLUGIN)
    (shell.folder / "broken.py").write_text("raise ValueError('no\\nluck')")
    return shell


def test_json_has_plugin_offers(shout: Any) -> None:
    """Every kind, with options and traits; nothing of what did not load."""
    rows = json.loads(shout("impex", "plugins", "--json", "-p", "shout.py").out)

    row = next(row for row in rows if row["name"] == "shout")
    assert all(row[kind] for kind in KINDS)
    assert (row["version"], row["origin"], row["error"]) == ("", "shout.py", "")
    assert row["steps"][0] == {
        "name": "shout",
        "summary": "says it",
        "provider": "shout",
        "options": {
            "type": "object",
            "properties": {"to": {"description": "Where.", "default": "here"}},
        },
        "always": False,
        "covered_by_approval": False,
        "file_filter": None,
        "idempotent": False,
        "dry_run": False,
        "credentials": True,
        "delivers": False,
        "rehearse": False,
    }
    assert row["sources"] == [
        {"name": "strongroom", "summary": "reads a vault", "provider": "shout", "secret": False}
    ]
    assert row["hooks"] == ["impex_register", "impex_resolve_uri"]


def test_named_plugin_shows_options(shout: Any) -> None:
    """For people; whoever belongs to a distribution of the name, too."""
    message = shout("impex", "plugins", "shout", "-p", "shout.py").out.splitlines()
    ours = shout("impex", "plugins", "spark-impex-runner").out

    assert message == [
        "shout (shout.py)",
        "  hooks: impex_register, impex_resolve_uri",
        "  step shout: Says it. Done once only, needs credentials.",
        "    with.to: Where. (default: here)",
        "  polling strategy nightly: Waits for the night.",
        "  source strongroom: Reads a vault.",
        "  resolver tagged: Services by tag.",
        "  executor farm: Runs it.",
        "  report tally: Counts it.",
        "  notifier horn: Blows it.",
    ]
    assert "\nunzip spark-impex-runner " in ours


def test_a_name_that_is_nobodys_is_told_with_the_nearest(shout: Any) -> None:
    """A mistake of the user's, in one line."""
    done = shout("impex", "plugins", "unzp")

    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no plugin is named 'unzp' (did you mean 'unzip'?)\n"
    far = shout("impex", "plugins", "qqqq")
    assert far.err == "error: no plugin is named 'qqqq'; impex plugins lists them\n"


def test_a_broken_file_is_one_line(shout: Any) -> None:
    """It was asked for, so it is exit code 7."""
    done = shout("impex", "plugins", "-p", "broken.py")

    assert done.code == 7
    assert done.err == (
        "error: plugin broken (broken.py) cannot be used: import failed: ValueError: no luck\n"
    )


def test_a_block_that_blocks_nothing_is_refused(shout: Any) -> None:
    """``-p no:`` with a typo would run what is to be kept out, whatever the command."""
    shout.write(TARGETS)

    for args in (("plugins",), ("schema", "--with-plugins"), ("validate", "m.yaml")):
        done = shout("impex", *args, "-p", "no:unzpi")

        assert done.err == "error: -p no:unzpi names no plugin (did you mean 'unzip'?)\n"
        assert done.code == 2


@pytest.mark.parametrize(
    ("block", "step", "reason"),
    [
        ("no:unzip", "{uses: unzip}", "unzip (spark-impex-runner): -p no:unzip blocks it"),
        ("no:import-to", "{uses: import}", "import_to (spark-impex-runner): -p no:import-to"),
        ("no:sources", '{uses: unzip, with: {to: "${vault:a#b}"}}', "sources (spark-impex-runner)"),
    ],
)
def test_blocked_offers_are_named(shell: Any, block: str, step: str, reason: str) -> None:
    """A manifest that needs a blocked plugin is not valid, and says who has blocked it."""
    shell.write(f"  - {{name: a, folders: [motor], steps: [{step}]}}\n")

    done = shell("impex", "validate", "m.yaml", "-p", block)

    assert done.code == 2
    assert done.err.startswith("m.yaml:4:")
    assert f"left out: {reason}" in done.err


def test_the_environment_blocks_for_every_command(
    shout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a blocked plugin is in the list, the schema, or a run."""
    monkeypatch.setenv("IMPEX_DISABLE_PLUGINS", "checksum")
    shout.write(TARGETS)

    assert "checksum" not in shout("impex", "plugins").out
    assert "step-checksum" not in shout("impex", "schema", "--with-plugins").out
    for args in (("impex", "validate"), ("impex", "plan"), ("impex-run",)):
        done = shout(*args, "m.yaml")
        assert done.code == 2
        assert "'checksum' is not one of" in done.err


def test_trace_masks_secrets(shout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call on stdout with plugin, time and result; nothing is exported or written."""
    monkeypatch.setenv("TOKEN", "verysecret/service")
    (shout.folder / "m.yaml").write_text(
        "version: 1\nconnections: {here: {sandbox: acme, auth: {token: '${env:TOKEN}'}}}\n"
        f"targets:\n{TARGETS}"
    )

    done = shout("impex", "plugins", "--trace", "m.yaml", "-p", "shout.py")
    lines = [line.rpartition(", ")[0] for line in done.out.splitlines()]

    assert done.code == 0
    assert all(line.endswith(" ms") for line in done.out.splitlines())
    assert "plugin shout: import: done" in lines
    assert "plugin shout: impex_register(registry=shout): None" in lines
    message = "plugin shout: impex_resolve_uri(uri='motor/pricing'): ['motor/pricing', '***']"
    assert message in lines
    assert not any("plugin defaults" in line and "impex_resolve_uri" in line for line in lines)
    message = 'impex_plan_step(step=checksum): "write each package\'s checksum to SHA256SUMS"'
    assert f"plugin checksum (spark-impex-runner): {message}" in lines
    assert "verysecret" not in done.out + done.err
    assert "impex_resolve_uri" not in done.err
    assert {path.name for path in shout.folder.iterdir()} == {
        *("acme", "m.yaml", "shout.py", "broken.py")
    }


@pytest.mark.parametrize(
    ("args", "variable", "traced"),
    [
        ((), "", False),
        (("-v",), "", False),
        (("-vv",), "", True),
        ((), "1", True),
        (("-q",), "1", True),
        ((), "0", False),
    ],
)
def test_verbose_run_traces_plugins(
    shell: Any,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    variable: str,
    traced: bool,
) -> None:
    """By ``-vv`` or by the environment, among all other lines, with an event of its own."""
    monkeypatch.setenv("IMPEX_TRACE_PLUGINS", variable)
    shell.write(TARGETS)

    done = shell("impex-run", "m.yaml", "--log-format", "json", *args)
    lines = [json.loads(line) for line in done.err.splitlines()]
    calls = [line for line in lines if line["event"] == "plugin.called"]

    assert done.code == 0
    assert bool(calls) is traced
    steps = [line["detail"] for line in calls if line["detail"]["hook"] == "impex_run_step"]
    assert not traced or {"plugin": "checksum"}.items() <= steps[0].items()


@pytest.mark.parametrize(("trusted", "loaded"), [("false", False), ("true", True)])
def test_files_beside_a_manifest_need_its_word(shell: Any, trusted: str, loaded: bool) -> None:
    """No line of ``plugins/*.py`` runs unless ``requires.local_plugins`` is true."""
    (shell.folder / "plugins").mkdir()
    (shell.folder / "plugins/mark.py").write_text("open('ran', 'w').close()\n")
    (shell.folder / "m.yaml").write_text(
        "version: 1\nconnections: {sit: {base_url: https://sit/acme}}\n"
        f"requires: {{local_plugins: {trusted}}}\n"
        "targets:\n- {name: a, folders: [f]}\n"
    )

    done = shell("impex", "validate", "m.yaml")

    assert done.code == 0
    assert (shell.folder / "ran").exists() is loaded
