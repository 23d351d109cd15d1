"""A manifest run end to end against a served tenant."""

from __future__ import annotations

import base64
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import run_manifest
from spark_impex_runner.errors import ManifestError, UsageError
from spark_impex_runner.models import Outcome, RunOptions
from spark_impex_runner.sandbox.faults import parse_fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRICING = """
    - name: pricing
      services: ["motor/pricing[1.4.2]"]
"""


def posted(sandbox: Any) -> list[Any]:
    """Return every create call that the tenant saw."""
    return [
        r
        for r in sandbox.requests
        if (r.method, r.path.endswith("/api/v4/export")) == ("POST", True)
    ]


def test_target_is_delivered(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """A package has its final name, its verified hash and a receipt beside it."""
    result = run(serve(), PRICING)

    target = only(result)
    output = target.target.output
    assert (target.outcome, result.exit_code) == (Outcome.SUCCEEDED, 0)
    assert sorted(path.name for path in output.iterdir()) == ["impex-receipt.json", "package.zip"]
    assert target.artifacts[0].hash_agreed is True
    assert "acme/motor/pricing/1.4.2/" in zipfile.ZipFile(output / "package.zip").namelist()
    receipt = json.loads((output / "impex-receipt.json").read_text())
    assert receipt["job_id"] == target.job_id


def test_request_body_byte_for_byte(run: Any, serve: Callable[..., Any]) -> None:
    """Every field of a full request is sent under the API's name, in the SDK's order."""
    sandbox = serve()

    run(
        sandbox,
        """
        - name: full
          folders: [life]
          services: ["motor/pricing[1.4.2]", "folders/motor/services/claims"]
          file_filter: onpremises
          version_filter: all
          source_system: nightly
          correlation_id: CHG-4711
          file_name: motor-release
        """,
    )

    assert posted(sandbox)[0].body == (
        b'{"inputs":{"folders":["life"],"services":["motor/pricing[1.4.2]","motor/claims"]},'
        b'"file_filter":"onpremises","version_filter":"all","source_system":"nightly",'
        b'"correlation_id":"CHG-4711","file_name":"motor-release"}'
    )


def test_failed_target_stops_no_other(run: Any, serve: Callable[..., Any]) -> None:
    """An unknown service fails its target with the server's message; the exit code is 3."""
    result = run(
        serve(), "- {name: lost, services: [motor/nothing]}\n- {name: life, folders: [life]}"
    )

    failed, life = result.results
    assert (failed.outcome, life.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
    assert "SERVICE_NOT_FOUND" in failed.error
    assert "motor/nothing" in failed.error
    assert result.exit_code == 3


def test_target_waits_for_its_needs(run: Any, serve: Callable[..., Any]) -> None:
    """``needs`` orders targets whatever their order in the file."""
    sandbox = serve()

    result = run(
        sandbox, "- {name: b, folders: [life], needs: [a]}\n- {name: a, services: [motor/claims]}"
    )

    assert result.exit_code == 0
    assert [b"motor/claims" in request.body for request in posted(sandbox)] == [True, False]


def test_failed_need_skips_target(run: Any, serve: Callable[..., Any]) -> None:
    """Nothing is sent for the target, nor for those that need it."""
    sandbox = serve()
    targets = (
        "- {name: a, services: [motor/nothing]}\n"
        "- {name: b, folders: [life], needs: [a]}\n"
        "- {name: c, folders: [life], needs: [b]}"
    )

    result = run(sandbox, targets)

    assert [r.outcome.value for r in result.results] == ["failed", "skipped", "skipped"]
    assert len(posted(sandbox)) == 1
    assert result.exit_code == 4


def test_selection_includes_needs(run: Any, serve: Callable[..., Any]) -> None:
    """``--target`` runs the named target and its needs, nothing else."""
    targets = (
        "- {name: a, folders: [life]}\n"
        "- {name: b, folders: [life], needs: [a], tags: [release]}\n"
        "- {name: c, folders: [life]}"
    )

    by_name = run(serve(), targets, targets=("b*",))
    by_tag = run(serve(), targets, tags=("release",))

    assert [r.target.name for r in by_name.results] == ["a", "b"]
    assert [r.target.name for r in by_tag.results] == ["a", "b"]


@pytest.mark.parametrize("options", [{"targets": ("z*",)}, {"tags": ("z",)}])
def test_empty_selection_is_an_error(
    run: Any, serve: Callable[..., Any], options: dict[str, Any]
) -> None:
    """A typo in --target or --tag never ends as a green run of nothing."""
    with pytest.raises(UsageError, match="z"):
        run(serve(), PRICING, **options)


def test_fail_fast_starts_nothing_new(run: Any, serve: Callable[..., Any]) -> None:
    """After the first failure queued targets are skipped, with the reason."""
    sandbox = serve()
    targets = "- {name: a, services: [motor/nothing]}\n- {name: b, folders: [life], needs: [a]}\n"

    result = run(sandbox, targets, fail_fast=True)

    assert [r.outcome.value for r in result.results] == ["failed", "skipped"]
    assert result.results[1].error == "another target failed (--fail-fast)"
    assert len(posted(sandbox)) == 1


def test_fail_fast_with_fresh(run: Any, serve: Callable[..., Any]) -> None:
    """With --fresh a target that was delivered before is skipped, too."""
    sandbox = serve(faults=(parse_fault("create@3=400"),))
    steps = "steps: [{uses: unzip, with: {max_total: 1}}]"
    targets = f"- {{name: a, folders: [life], {steps}}}\n- {{name: b, folders: [life], {steps}}}\n"
    run(sandbox, targets)

    result = run(sandbox, targets, fail_fast=True, fresh=True, jobs=1)

    assert sorted(r.outcome.value for r in result.results) == ["failed", "skipped"]
    assert len(posted(sandbox)) == 3


def test_wrong_token_is_exit_6(run: Any, serve: Callable[..., Any], monkeypatch: Any) -> None:
    """Refused credentials are reported as such, without the token."""
    sandbox = serve()
    path = run.write(sandbox, PRICING)
    monkeypatch.setenv("TOKEN", "wrong-secret-token")

    result = run_manifest(path, clock=run.clock)

    assert result.exit_code == 6
    assert "401" in result.results[0].error
    assert "wrong-secret-token" not in repr(result)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("errors", "ended as 'closed'"),
        ("failed", "ended as 'failed'"),
        ("cancelled", "ended as 'cancelled'"),
        ("null_outputs", "ended as 'closed'"),
        ("not_zip", "HTML page"),
    ],
)
def test_failed_job_quotes_the_server(
    run: Any, serve: Callable[..., Any], only: Any, ending: str, message: str
) -> None:
    """The exit code is 4, the error one line, and the output folder is empty."""
    result = run(serve(ending=ending), PRICING)

    target = only(result)
    assert (target.outcome, result.exit_code) == (Outcome.FAILED, 4)
    assert message in target.error
    assert "\n" not in target.error
    assert not [p for p in target.target.output.glob("**/*") if p.is_file()]


def test_if_exists_fail(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """With ``if_exists: fail`` and files in the output no job is created."""
    sandbox = serve()
    run(sandbox, "- {name: a, folders: [life], if_exists: fail}")

    again = run(sandbox, "- {name: a, folders: [life], if_exists: fail}")

    assert "exists and is not empty (if_exists: fail)" in only(again).error
    assert len(posted(sandbox)) == 1


def test_unwritable_output_is_found_first(
    run: Any, serve: Callable[..., Any], only: Any, tmp_path: Any
) -> None:
    """With a file in the place of the output no job is created."""
    sandbox, file = serve(), tmp_path / "file"
    file.touch()

    result = run(sandbox, f"- {{name: a, folders: [life], output: {file}/exports}}")

    assert f"cannot write to {file}/exports: {file} is not a writable folder" in only(result).error
    assert not posted(sandbox)


def test_if_exists_keep(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``if_exists: keep`` sends nothing, and the target is ``unchanged``."""
    sandbox = serve()
    run(sandbox, "- {name: a, folders: [life]}")

    result = run(sandbox, "- {name: a, folders: [life], if_exists: keep}")

    assert (only(result).outcome, result.exit_code) == (Outcome.UNCHANGED, 0)
    assert len(posted(sandbox)) == 1


def test_until_download_runs_no_steps(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``--until download`` ends with the packages."""
    targets = "- {name: a, folders: [life], steps: [{uses: unzip}]}"

    result = run(serve(), targets, until="download")

    assert only(result).steps == ()
    assert not (only(result).target.output / "files").exists()


def test_reports_of_a_failed_run(run: Any, serve: Callable[..., Any], tmp_path: Any) -> None:
    """The JSON report of a failed run has its errors and exit code."""
    file = tmp_path / "out" / "report.json"

    run(serve(), "- {name: lost, services: [motor/nothing]}", reports={"json": file})

    assert json.loads(file.read_text())["exit_code"] == 4


def test_invalid_uris_have_lines(run: Any, serve: Callable[..., Any]) -> None:
    """All invalid URIs are reported with their lines, and nothing is sent."""
    sandbox = serve()

    with pytest.raises(ManifestError) as caught:
        run(sandbox, "- name: a\n  services:\n    - motor\n    - 'motor/pricing[1.4'")

    first, second = str(caught.value).splitlines()
    assert "manifest.yaml:7:9: targets[0].services[0]: " in first
    assert "manifest.yaml:8:9: targets[0].services[1]: " in second
    assert not sandbox.requests


def jwt(expires: float) -> str:
    """Return what looks like a token that ends at a moment."""
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-90_000, "the token expired at 20"),
        (-1, "by this machine's clock"),
        (60, "the token expires at "),
        (7200, ""),
    ],
)
def test_expired_token_is_found_first(
    run: Any,
    serve: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    expected: str,
) -> None:
    """An expired token is an error with its line, one that may expire a warning."""
    sandbox = serve()
    path = run.write(sandbox, PRICING)
    token = jwt(run.clock.now().timestamp() + seconds)
    monkeypatch.setenv("TOKEN", token)

    try:
        run_manifest(path, clock=run.clock)
        output = caplog.text
    except ManifestError as error:
        output = str(error)
        assert not sandbox.requests

    assert ("manifest.yaml:3:" in output) == bool(expected)
    assert expected in output
    assert token not in output


def test_if_exists_keep_needs_success(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``if_exists: keep`` does not keep a delivery whose step failed."""
    sandbox = serve()
    target = "- {name: a, folders: [life], if_exists: keep, steps: [{uses: unzip%s}]}"
    first = run(sandbox, target % ", with: {max_files: 1}")

    second = run(sandbox, target % "")
    third = run(sandbox, target % "")

    outcomes = [only(each).outcome for each in (first, second, third)]
    assert outcomes == [Outcome.FAILED, Outcome.SUCCEEDED, Outcome.UNCHANGED]


def test_step_may_return_its_package(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """The package stays one, and the next step still gets it."""
    plugin = run.folder / "same.py"
    plugin.write_text(
        "from spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_register(registry):\n    registry.step('same', 'Nothing.')\n"
        "@hookimpl\ndef impex_run_step(step, artifact):\n"
        "    return [artifact] if step.uses == 'same' else None\n"
    )

    result = run(
        serve(),
        "- {name: a, folders: [life], steps: [{uses: same}, {uses: checksum}]}",
        plugin_files=(plugin,),
    )

    assert result.exit_code == 0
    assert (only(result).target.output / "SHA256SUMS").is_file()


def test_message_of_a_step(
    run: Any, serve: Callable[..., Any], only: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The message is in the result, the receipt and the log, without secrets."""
    plugin = run.folder / "telling.py"
    plugin.write_text(
        "import os\nfrom spark_impex_runner import StepOutput, hookimpl\n"
        "@hookimpl\ndef impex_register(registry):\n    registry.step('telling', 'Tells.')\n"
        "@hookimpl\ndef impex_run_step(step, artifact):\n"
        "    if step.uses == 'telling':\n"
        "        return StepOutput([artifact], 'well done with ' + os.environ['TOKEN'])\n"
    )
    sandbox, message = serve(), "well done with ***"

    with caplog.at_level("INFO"):
        result = run(
            sandbox,
            "- {name: a, folders: [life], steps: [{uses: telling}]}",
            plugin_files=(plugin,),
        )

    [step] = only(result).steps
    receipt = json.loads((only(result).target.output / "impex-receipt.json").read_text())
    assert (step.outcome, step.message, step.artifacts) == ("succeeded", message, ("package.zip",))
    assert receipt["steps"][0]["message"] == message
    assert f"step telling succeeded: {message}" in caplog.text
    assert sandbox.token not in repr(result) + caplog.text


def test_plugin_that_exits(run: Any, serve: Callable[..., Any], only: Any) -> None:
    """``sys.exit`` in a hook fails its target, not the run."""
    plugin = run.folder / "leaving.py"
    plugin.write_text(
        "import sys\nfrom spark_impex_runner import hookimpl\n"
        "@hookimpl\ndef impex_poll_delay():\n    sys.exit(3)\n"
    )

    result = run(serve(), PRICING, plugin_files=(plugin,))

    assert "plugin leaving failed in impex_poll_delay: SystemExit" in only(result).error


def test_secret_in_error_is_masked(
    run: Any, serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Observers, the result and an embedding program's log get masked errors."""
    plugin = run.folder / "leak.py"
    plugin.write_text(
        "import os\nfrom pathlib import Path\nfrom spark_impex_runner import errors, hookimpl\n"
        "@hookimpl\ndef impex_register(registry):\n    registry.step('leak', 'Fails.')\n"
        "@hookimpl\ndef impex_run_step(step):\n"
        "    if step.uses == 'leak':\n"
        "        raise errors.StepError('denied for ' + os.environ['TOKEN'])\n"
        "@hookimpl\ndef impex_job_changed(change):\n"
        "    with Path(__file__).with_suffix('.log').open('a') as log:\n"
        "        log.write(change.message)\n"
    )
    sandbox = serve()

    with caplog.at_level("DEBUG"):
        result = run(
            sandbox, "- {name: a, folders: [life], steps: [{uses: leak}]}", plugin_files=(plugin,)
        )

    received = plugin.with_suffix(".log").read_text()
    assert "denied for ***" in received
    assert sandbox.token not in received + repr(result) + caplog.text


def test_connection_of_step_is_checked(run: Any, serve: Callable[..., Any], tmp_path: Path) -> None:
    """Missing credentials of a step's connection are found before the export."""
    (tmp_path / "goes.py").write_text(
        "from spark_impex_runner import hookimpl\n"
        "OPTIONS = {'properties': {'to': {'type': 'string', 'x-connection': True}}}\n"
        "@hookimpl\n"
        "def impex_register(registry):\n"
        "    registry.step('go', 'goes there', {'type': 'object', **OPTIONS})\n"
    )
    sandbox = serve()
    run.monkeypatch.delenv("CSPARK_BEARER_TOKEN")
    step = "steps: [{uses: go, with: {to: uat}}]"
    path = run.write(sandbox, f"- {{name: a, connection: sit, folders: [life], {step}}}")
    uat = "connections:\n  uat: {base_url: 'https://excel.uat.us.coherent.global/acme'}\n"
    path.write_text(path.read_text().replace("connections:\n", uat))

    with pytest.raises(UsageError, match="connection uat: no credentials"):
        run_manifest(path, RunOptions(plugin_files=(tmp_path / "goes.py",)), clock=run.clock)

    assert not sandbox.requests
