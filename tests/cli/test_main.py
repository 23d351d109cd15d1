"""What a user sees: results, messages, exit codes."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli import run, selection
from spark_impex_runner.hooks.discovery import BUILT_IN
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from pathlib import Path

FAST = ", polling: {strategy: fixed}"
PRICING = f"  - {{name: pricing, services: ['motor/pricing[1.4.2]']{FAST}}}\n"
LOST = f"  - {{name: lost, services: [motor/nothing]{FAST}}}\n"


def test_summary_goes_to_stdout(shell: Any) -> None:
    """Scripts can keep the result and drop the noise."""
    shell.write(PRICING)

    done = shell("impex-run", "m.yaml")

    assert done.code == 0
    assert "1 of 1 target succeeded" in done.out
    assert "created" in done.err
    assert "created" not in done.out


@pytest.mark.parametrize(
    ("targets", "code"), [(PRICING, 0), (PRICING + LOST, 3), (LOST, 4)], ids=["0", "3", "4"]
)
def test_exit_code_counts_successes(shell: Any, targets: str, code: int) -> None:
    """All, some or none."""
    shell.write(targets)

    assert shell("impex-run", "m.yaml", "-q").code == code


def test_quiet_says_only_warnings_and_results(shell: Any) -> None:
    """A cron job that succeeds writes nothing to stderr."""
    shell.write(PRICING)

    assert shell("impex-run", "m.yaml", "-q").err == ""


def test_invalid_manifest_exits_with_2(shell: Any) -> None:
    """``file:line:column: path: what``, ready for an editor, and nothing was delivered."""
    shell.write("  - {name: a, folders: [life], file_filter: onprem}\n  - {nam: b, folders: [x]}\n")

    done = shell("impex-run", "m.yaml")

    lines = done.err.splitlines()
    assert done.code == 2
    assert lines[0] == (
        "m.yaml:4:45: targets[0].file_filter: 'onprem' is not one of 'migrate', 'onpremises' "
        "(did you mean 'onpremises'?)"
    )
    assert all(line.startswith("m.yaml:5:") for line in lines[1:])
    assert done.out == ""


def test_a_missing_manifest_is_one_line(shell: Any) -> None:
    """No traceback for a typo in a file name."""
    done = shell("impex-run", "nowhere.yaml")

    assert done.code == 2
    assert done.err.startswith("nowhere.yaml")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        "impex-run m.yaml --state",
        "impex-run m.yaml --state=",
        "impex-run m.yaml --output",
        "impex-run m.yaml -t",
        "impex-run m.yaml --tag",
        "impex-run m.yaml -f",
        "impex-run m.yaml --var",
        "impex-run m.yaml --approve",
        "impex-run m.yaml --report",
        "impex-run m.yaml --executor",
        "impex-run m.yaml -p",
        "impex resume m.yaml --job",
        "impex cancel m.yaml --job",
        "impex cancel m.yaml -c",
        "impex status",
        "impex jobs",
        "impex state migrate .impex",
    ],
)
def test_empty_values_are_refused(shell: Any, words: str) -> None:
    """A variable that is not set selects no other state, folder, target or job."""
    shell.write(PRICING)
    before = set(shell.folder.iterdir())
    for empty in [[]] if words.endswith("=") else [[""], [" "]]:
        done = shell(*words.split(), *empty)

        assert (done.code, done.out) == (2, "")
        assert "the value is empty; give one, or leave it out" in done.err
    assert set(shell.folder.iterdir()) == before


def test_all_manifests_are_checked_first(shell: Any) -> None:
    """A mistake in the second file means that nothing of the first is sent."""
    shell.write(PRICING)
    (shell.folder / "bad.yaml").write_text("version: 1\ntargets: []\n")

    done = shell("impex-run", "m.yaml", "bad.yaml")

    assert done.code == 2
    assert not (shell.folder / "exports").exists()


def test_several_manifests_share_one_exit_code(shell: Any) -> None:
    """The first succeeds, the second fails: together that is 3."""
    shell.write(PRICING)
    shell.write(LOST, "lost.yaml")

    assert shell("impex-run", "m.yaml", "lost.yaml", "-q").code == 3


def test_one_report_file_for_several_manifests_is_refused(shell: Any) -> None:
    """The second would overwrite the first."""
    shell.write(PRICING)
    shell.write(LOST, "lost.yaml")

    done = shell("impex-run", "m.yaml", "lost.yaml", "--report", "json=r.json")

    assert done.code == 2
    assert "several manifests would overwrite" in done.err


def test_manifests_with_one_report_file_are_refused(shell: Any) -> None:
    """Nothing is sent; a manifest that is given twice may replace its own report."""
    for name in ("m.yaml", "n.yaml"):
        shell.write(PRICING, name)
        with (shell.folder / name).open("a") as file:
            file.write("report: {json: out/r.json}\n")

    refused = shell("impex-run", "m.yaml", "n.yaml")

    assert refused.code == 2
    assert "n.yaml: report.json is " in refused.err
    assert "as in m.yaml; give each manifest its own file" in refused.err
    assert not (shell.folder / "out").exists()
    assert shell("impex-run", "m.yaml", "m.yaml").code == 0


def test_other_manifests_run_after_failure(shell: Any) -> None:
    """The first is delivered, the second's state is unusable: that is 3, not 2."""
    shell.write(PRICING)
    (shell.folder / "other").mkdir()
    text = (shell.folder / "m.yaml").read_text().replace("acme", "../acme")
    (shell.folder / "other/o.yaml").write_text(text)
    (shell.folder / "other/.impex").write_text("a file in its place")

    done = shell("impex-run", "m.yaml", "other/o.yaml")

    assert done.code == 3
    assert "1 of 1 target succeeded" in done.out
    assert "--state DIR" in done.err


def test_closed_pipe_keeps_exit_code(shell: Any, start: Any) -> None:
    """``impex-run m.yaml | head -0`` is as green as the run."""
    shell.write(PRICING)
    code = "from spark_impex_runner.cli.main import run; run()"
    process = start("-c", code, "m.yaml")
    process.stdout.close()
    _, output = process.communicate()

    assert process.returncode == 0
    assert "Traceback" not in output


def test_missing_credentials_name_variables(shell: Any) -> None:
    """A newcomer's first mistake has its cure in the message."""
    (shell.folder / "m.yaml").write_text(
        "version: 1\nconnections: {sit: {base_url: 'https://excel.sit.coherent.global/acme'}}\n"
        "targets:\n  - {name: a, folders: [life]}\n"
    )

    done = shell("impex-run", "m.yaml")

    assert done.code == 2
    assert "CSPARK_BEARER_TOKEN" in done.err
    assert "Traceback" not in done.err


def test_missing_plugin_exits_with_7(shell: Any) -> None:
    """``requires.plugins`` is checked before any network call."""
    shell.write("  - {name: a, folders: [life]}\nrequires: {plugins: ['impex-nowhere>=1']}\n")

    done = shell("impex-run", "m.yaml")

    assert done.code == 7
    assert "pip install 'impex-nowhere>=1'" in done.err


def test_broken_plugin_exits_with_7(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown step may be a broken plugin's: the reason for its absence is told."""
    monkeypatch.syspath_prepend(str(shell.folder))
    (shell.folder / "impex_broken_mailer.py").write_text("raise RuntimeError('no library')")
    place = shell.folder / "impex_broken_mailer-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: impex-broken-mailer\nVersion: 1\n"
    )
    (place / "entry_points.txt").write_text("[impex_runner]\nmail = impex_broken_mailer\n")
    shell.write("  - {name: a, folders: [life], steps: [{uses: mail}]}\n")

    done = shell("impex-run", "m.yaml")

    assert done.code == 7
    assert "'mail' is not one of" in done.err
    assert (
        "left out: mail (impex-broken-mailer): import failed: RuntimeError: no library" in done.err
    )


def test_old_runner_is_reported(shell: Any) -> None:
    """``requires.runner`` names both versions."""
    shell.write("  - {name: a, folders: [life]}\nrequires: {runner: '>=99'}\n")

    done = shell("impex-run", "m.yaml")

    assert done.code == 2
    assert "requires runner >=99" in done.err


@pytest.mark.parametrize("command", [["impex-run", "--dry-run"], ["impex", "plan"]])
def test_plan_sends_nothing(shell: Any, command: list[str]) -> None:
    """With ``-v`` body and address are shown; nothing is delivered."""
    shell.write(PRICING)

    done = shell(*command, "m.yaml", "-v")

    assert done.code == 0
    assert '{"inputs":{"services":["motor/pricing[1.4.2]"]}' in done.out
    assert done.out.rstrip().endswith("nothing was sent")
    assert not (shell.folder / "exports").exists()


def test_validate_names_the_mistakes_of_all_files(shell: Any) -> None:
    """A valid file is said to be valid, an invalid one has its lines, and the exit code is 2."""
    shell.write(PRICING)
    (shell.folder / "bad.yaml").write_text("version: 2\n")

    done = shell("impex", "validate", "m.yaml", "bad.yaml")

    assert done.code == 2
    assert done.out == "m.yaml: valid, 1 target\n"
    assert done.err.startswith("bad.yaml:1:")


def test_validate_needs_no_credentials(shell: Any) -> None:
    """A linter in CI has none; a run would ask for them."""
    (shell.folder / "m.yaml").write_text(
        "version: 1\nconnections: {sit: {base_url: 'https://excel.sit.coherent.global/acme'}}\n"
        "targets:\n  - {name: a, folders: [life]}\n"
    )

    assert shell("impex", "validate", "m.yaml").out == "m.yaml: valid, 1 target\n"


def test_report_option_writes_reports(shell: Any) -> None:
    """Each format lands in its file."""
    shell.write(PRICING)
    wanted = [f"--report={name}=out/r.{name}" for name in ("json", "junit", "html")]

    shell("impex-run", "m.yaml", *wanted)

    assert json.loads((shell.folder / "out/r.json").read_text())["outcome"] == "succeeded"
    assert (shell.folder / "out/r.junit").read_text().startswith("<?xml")
    assert "<html" in (shell.folder / "out/r.html").read_text()


def test_unwritable_report_is_found_first(shell: Any) -> None:
    """Nothing is sent for a run whose report has no place."""
    shell.write(PRICING)
    (shell.folder / "out").write_text("a file where a folder should be")

    done = shell("impex-run", "m.yaml", "--report", "json=out/r.json")

    assert done.code == 2
    assert "--report json=out/r.json: cannot write to out/r.json: out is not a folder" in done.err
    assert not (shell.folder / ".impex").exists()


def test_unwritten_report_fails_run(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An auditor's file that is missing may not look like success, nor be named as if it were."""
    shell.write(PRICING)
    (shell.folder / "out").write_text("it came while the run was under way")
    monkeypatch.setattr("spark_impex_runner.planning.disk.unwritable", lambda *_: "")

    done = shell("impex-run", "m.yaml", "--report", "json=out/r.json")

    assert done.code == 4
    assert "cannot write out/r.json" in done.err
    assert "report: " not in done.out


@pytest.mark.parametrize(
    "args",
    [
        ["--report", "pdf=x"],
        ["--report", "json"],
        ["--var", "x"],
        ["--jobs", "0"],
        ["--until", "poll"],
        ["--nonsense"],
    ],
)
def test_a_wrong_option_is_exit_2(shell: Any, args: list[str]) -> None:
    """The parser says which option, nothing is run."""
    shell.write(PRICING)

    done = shell("impex-run", "m.yaml", *args)

    assert done.code == 2
    assert not (shell.folder / "exports").exists()


def test_json_log_lines_carry_the_stable_fields(shell: Any) -> None:
    """Every line is an object with event, run, target, job, correlation id and UTC time."""
    shell.write(PRICING)

    done = shell("impex-run", "m.yaml", "--log-format", "json")

    first, *lines, last = [json.loads(line) for line in done.err.splitlines()]
    assert first["event"] == "run.started"
    assert first["detail"] == {"manifest": "m", "path": "m.yaml", "targets": 1}
    # Whether a check meets the job in each of its states depends on the machine's speed.
    assert [line["event"] for line in lines if line["event"] != "job.status"] == [
        "job.created",
        "job.done",
        "download.started",
        "package.delivered",
        "target.succeeded",
    ]
    assert (last["event"], last["message"]) == ("run.finished", "1 of 1 target succeeded")
    assert (last["detail"]["exit_code"], last["detail"]["counts"]) == (0, {"succeeded": 1})
    for line in lines:
        assert line["time"].endswith("Z")
        assert line["target"] == "pricing"
        assert line["job_id"]
        assert re.fullmatch(rf"{line['run_id']}-pricing-[0-9a-f]{{12}}", line["correlation_id"])


def test_var_and_output_options(shell: Any) -> None:
    """``--var`` and ``--output`` win over the manifest."""
    shell.write("  - {name: a, services: ['motor/pricing[${var:v}]']}\nvars: {v: '9.9.9'}\n")

    done = shell("impex-run", "m.yaml", "--var", "v=1.4.2", "--output", "elsewhere")

    assert done.code == 0
    assert (shell.folder / "elsewhere/exports/a/package.zip").is_file()


def test_plugins_are_listed_as_table_and_json(shell: Any) -> None:
    """Name, origin and what each provides; the same as JSON."""
    table = shell("impex", "plugins").out
    rows = json.loads(shell("impex", "plugins", "--json", "-p", "no:unzip").out)

    assert "step checksum" in table
    assert {row["name"] for row in rows} == {*BUILT_IN, "defaults"} - {"unzip"}
    checksum = next(row for row in rows if row["name"] == "checksum")
    assert checksum["hooks"] == ["impex_plan_step", "impex_register", "impex_run_step"]
    step = checksum["steps"][0]
    assert (step["name"], step["idempotent"], step["credentials"]) == ("checksum", True, False)
    assert "algorithms" in step["options"]["properties"]


def test_verify_detects_changes(shell: Any) -> None:
    """A flipped byte is found, named, and exit 4."""
    shell.write(PRICING)
    shell("impex-run", "m.yaml")
    package = shell.folder / "exports/pricing/package.zip"

    good = shell("impex", "verify", "exports/pricing")
    package.write_bytes(package.read_bytes()[:-1] + b"?")
    bad = shell("impex", "verify", "exports/pricing")

    assert (good.code, good.out) == (0, "exports/pricing: as delivered\n")
    assert bad.code == 4
    assert "package.zip" in bad.err


@pytest.mark.parametrize("args", [[], ["--with-plugins"]])
def test_the_schema_is_printed_as_json(shell: Any, args: list[str]) -> None:
    """With plugins the known steps stand in it."""
    done = shell("impex", "schema", *args)

    schema = json.loads(done.out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert ("SHA256SUMS" in done.out) == bool(args)


def loaded(program: str, *args: str) -> set[str]:
    """Return the names of all modules that a command has loaded when it ends."""
    code = (
        f"import sys\nfrom spark_impex_runner.cli.main import {program} as start\n"
        f"try:\n    start({list(args)})\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TOKEN": "a-token-of-a-test"},
    )
    return set(done.stdout.splitlines()[-1].split())


def test_dry_run_imports_no_http(tmp_path: Path) -> None:
    """A plan of a manifest without patterns sends nothing, so it starts without the library."""
    manifest = tmp_path / "plan.yaml"
    address = "base_url: 'https://excel.sit.coherent.global/acme', auth: {token: '${env:TOKEN}'}"
    manifest.write_text(
        f"version: 1\nconnections: {{sit: {{{address}}}}}\n"
        "targets: [{name: one, services: [motor/pricing]}]\n"
    )

    modules = loaded("run", str(manifest), "--dry-run")

    assert "spark_impex_runner.spark.client" in modules
    heavy = {"requests", "urllib3", "filelock", "packaging", "spark_impex_runner.delivery.download"}
    assert not modules & heavy


@pytest.mark.parametrize(
    ("program", "args"),
    [
        ("main", ["--help"]),
        ("main", ["--version"]),
        ("main", ["run", "--help"]),
        ("main", ["validate", "--help"]),
        ("run", ["--help"]),
        ("run", ["--version"]),
    ],
)
def test_help_and_version_load_little(program: str, args: list[str]) -> None:
    """What people and shells ask for all the time stays light."""
    modules = loaded(program, *args)

    heavy = {"requests", "urllib3", "pluggy", "yaml", "jsonschema", "http.server", "packaging"}
    heavy |= {"logging", "dataclasses", "spark_impex_runner.errors"}
    assert not heavy & modules
    assert not {name for name in modules if name.startswith("spark_impex_runner.plugins")}


def test_validate_loads_no_client(shell: Any) -> None:
    """They are loaded by what speaks to a tenant."""
    shell.write(PRICING)

    modules = loaded("main", "validate", "m.yaml")

    assert "spark_impex_runner.manifest.build" in modules
    unneeded = {"spark_impex_runner.spark.client", "spark_impex_runner.sandbox.server", "requests"}
    assert not unneeded & modules


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_cancels_job_and_reports(tmp_path: Path, start: Any, signum: int, code: int) -> None:
    """A real process, a real signal in mid-poll: prompt, cancelled, reported."""
    (tmp_path / "acme/life/annuity/1.0.0").mkdir(parents=True)
    with Sandbox(tmp_path / "acme", Settings(job_seconds=3600)) as sandbox:
        (tmp_path / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets: [{name: a, folders: [life]}]\nreport: {json: report.json}\n"
        )
        environ = {**os.environ, "CSPARK_BEARER_TOKEN": sandbox.token}
        command = "from spark_impex_runner.cli.main import run; run()"
        process = start("-c", command, tmp_path / "m.yaml", env=environ)
        assert any("created" in line for line in process.stderr)
        process.send_signal(signum)
        _, output = process.communicate()

        assert process.returncode == code
        assert "interrupted; to resume:\n" in output
        assert "Traceback" not in output
        assert [r.method for r in sandbox.requests].count("PATCH") == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["exit_code"], report["targets"][0]["outcome"]) == (code, "cancelled")


def test_overlay_changes_environment(shell: Any) -> None:
    """``-f`` changes what is run, and a mistake in it is told by its own line."""
    shell.write(PRICING)
    (shell.folder / "prod.yaml").write_text("targets: [{name: pricing, output: out/prod}]\n")
    (shell.folder / "bad.yaml").write_text("targets: [{name: pricing, output: 1}]\n")

    good = shell("impex-run", "m.yaml", "-f", "prod.yaml", "-q")
    bad = shell("impex", "validate", "m.yaml", "-f", "prod.yaml", "-f", "bad.yaml")

    assert good.code == 0
    assert (shell.folder / "out/prod/impex-receipt.json").is_file()
    assert not (shell.folder / "exports").exists()
    assert bad.code == 2
    assert bad.err == (
        "bad.yaml:1:35: targets[0].output: expected text, found the number 1: quote it\n"
    )


def test_validate_warns_of_expiring_token(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is valid, exit code 0; a token that has ended is a mistake."""
    claims = {"soon": time.time() + 60, "past": time.time() - 60}
    for name, end in claims.items():
        body = base64.urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
        monkeypatch.setenv(name, f"e30.{body}.c2lnbmF0dXJl")
        (shell.folder / f"{name}.yaml").write_text(
            "version: 1\n"
            f"connections: {{s: {{env: sit, tenant: a, auth: {{token: '${{env:{name}}}'}}}}}}\n"
            "targets: [{name: a, folders: [life]}]\n"
        )

    soon = shell("impex", "validate", "soon.yaml")
    past = shell("impex", "validate", "past.yaml", "--format", "json")

    assert (soon.code, soon.out) == (0, "soon.yaml: valid, 1 target\n")
    assert soon.err.startswith(
        "soon.yaml:2:54: connections.s.auth.token: warning: the token expires "
    )
    [problem] = json.loads(past.out)["manifests"][0]["problems"]
    assert past.code == 2
    assert problem["message"].startswith("the token expired at ")


def test_cancel_command_selects_same_targets() -> None:
    """Overlays, the choice and the memory are repeated, and nothing that only a run takes."""
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    line = "m.yaml -f prod.yaml -t a* --var x=y z --state st -p no:unzip --tag c --jobs 2 --fresh"

    again = selection.command_line(
        "impex cancel", parser.parse_args(line.replace("y z", "y_z").split())
    )

    assert again == (
        "impex cancel m.yaml -f prod.yaml -t 'a*' --tag c --var x=y_z --state st -p no:unzip"
    )


def test_bare_program_prints_help(shell: Any) -> None:
    """As with git, gh or kubectl; ``impex-run`` needs a manifest."""
    done = shell("impex")

    assert (done.code, done.err) == (0, "")
    assert done.out == shell("impex", "--help").out
    assert shell("impex-run").code == 2


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("impex plna", "impex: error: there is no command 'plna' (did you mean 'plan'?)"),
        ("impex zzz m.yaml", "impex: error: there is no command 'zzz'"),
        (
            "impex-run m.yaml --tgas x",
            "impex-run: error: unrecognized arguments: --tgas x (did you mean '--tag'?)",
        ),
        (
            "impex verify out --fromat=json",
            "impex verify: error: unrecognized arguments: --fromat=json (did you mean '--format'?)",
        ),
        (
            "impex render m.yaml overlay.yaml",
            "impex render: error: unrecognized arguments: overlay.yaml",
        ),
        ("impex plan", "impex plan: error: the following arguments are required: MANIFEST"),
        (
            "impex history -n x",
            "impex history: error: argument -n: 'x' is not a number from 1 to 999999999",
        ),
    ],
)
def test_usage_error_is_one_line(shell: Any, line: str, error: str) -> None:
    """What is wrong and where the help is, without the usage of every option."""
    done = shell(*line.split())

    program = error.partition(": error")[0]
    assert (done.code, done.out) == (2, "")
    assert done.err == f"{error}; see {program} --help\n"


def test_usage_error_is_a_json_line(shell: Any) -> None:
    """With ``--log-format json``, also if the command line cannot be parsed."""
    done = shell("impex", "plan", "m.yaml", "--log-format", "json", "--nope")

    line = json.loads(done.err)
    assert (line["event"], line["level"]) == ("error", "error")
    assert line["message"].endswith("unrecognized arguments: --nope; see impex plan --help")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ["-t", "pricin"],
            "--target pricin matches no target (did you mean 'pricing'?); known: pricing",
        ),
        (["-t", "x*"], "--target x* matches no target; known: pricing"),
        (["--tag", "nightl"], "--tag nightl is on no target (did you mean 'nightly'?)"),
        (["--tag", "x", "-f", "plain.yaml"], "--tag x is on no target; the manifest has no tags"),
        (["--approve", "hree"], "names no connection of m.yaml (did you mean 'here'?)"),
        (["-f", "o.yaml"], "there is no connection 'hree' (did you mean 'here'?)"),
    ],
)
def test_misspelt_name_has_a_suggestion(shell: Any, args: list[str], error: str) -> None:
    """Targets, tags and connections, on the command line and in a file."""
    shell.write("  - {name: pricing, folders: [life], tags: [nightly]}\n")
    (shell.folder / "o.yaml").write_text("targets: [{name: pricing, connection: hree}]\n")
    (shell.folder / "plain.yaml").write_text("targets: [{name: pricing, tags: []}]\n")

    done = shell("impex-run", "m.yaml", *args)

    assert done.code == 2
    assert error in done.err
    assert len(done.err.splitlines()) == 1


def test_many_known_targets_are_cut(shell: Any) -> None:
    """A misspelt name must not fill the screen."""
    shell.write("".join(f"  - {{name: t{n}, folders: [life]}}\n" for n in range(50)))

    done = shell("impex", "plan", "m.yaml", "-t", "x")

    assert done.err.endswith("known: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 40 more\n")


def test_overlay_given_as_manifest_is_recognized(shell: Any) -> None:
    """What is missing in it says how it is meant to be used."""
    (shell.folder / "o.yaml").write_text("targets: [{name: pricing, output: out/x}]\n")

    done = shell("impex", "validate", "o.yaml")

    hint = "version: this key is missing; if the file is an overlay, give it with -f"
    assert f"o.yaml:1:1: {hint}, after its manifest\n" in done.err
    assert done.err.count("overlay") == 1


@pytest.fixture
def delivered(shell: Any) -> Any:
    """Return the shell, with a folder of two deliveries, the second one damaged."""
    shell.write("  - {name: a, folders: [life]}\n  - {name: b, folders: [motor]}\n")
    shell("impex-run", "m.yaml", "-q")
    with (shell.folder / "exports/b/package.zip").open("ab") as file:
        file.write(b"x")
    return shell


def test_verify_descends_into_folders(delivered: Any) -> None:
    """Each delivery below the folder is checked, whatever lies beside it or in it."""
    (delivered.folder / "exports/report.json").write_text("{}")
    (delivered.folder / "exports/notes").mkdir()
    (delivered.folder / "exports/a/files").mkdir()
    (delivered.folder / "exports/a/files/inner.zip").touch()

    all_ = delivered("impex", "verify", "exports")
    good = delivered("impex", "verify", "exports/a")

    assert (all_.code, all_.out) == (4, "exports/a: as delivered\n")
    assert all_.err.startswith("error: exports/b: package.zip: has ")
    assert len(all_.err.splitlines()) == 1
    assert (good.code, good.out) == (0, "exports/a: as delivered\n")


def test_package_without_receipt_is_reported(delivered: Any) -> None:
    """A delivery that was interrupted is not passed over among others; nor is an empty folder."""
    (delivered.folder / "exports/b/impex-receipt.json").unlink()
    (delivered.folder / "empty").mkdir()

    done = delivered("impex", "verify", "exports", "empty", "nowhere")

    unfinished, empty, nowhere = done.err.splitlines()
    assert (done.code, done.out) == (4, "exports/a: as delivered\n")
    assert unfinished == (
        "error: exports/b: package.zip: no receipt beside it: its delivery did not end"
    )
    assert empty.startswith("error: empty: impex-receipt.json: missing; ")
    assert nowhere == "error: nowhere: there is no such folder"


def test_verify_prints_json(delivered: Any) -> None:
    """One document about all folders, by the same exit code."""
    done = delivered("impex", "verify", "exports", "nowhere", "--format", "json")

    document = json.loads(done.out)
    assert (done.code, done.err) == (4, "")
    assert (document["version"], document["valid"]) == (1, False)
    assert [(each["path"], each["valid"]) for each in document["folders"]] == [
        ("exports/a", True),
        ("exports/b", False),
        ("nowhere", False),
    ]
    assert [len(each["problems"]) for each in document["folders"]] == [0, 1, 1]


def test_the_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m spark_impex_runner`` is ``impex``."""
    monkeypatch.setattr(sys, "argv", ["__main__.py", "vlidate"])

    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("spark_impex_runner", run_name="__main__")

    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("impex: error: there is no command 'vlidate'")
