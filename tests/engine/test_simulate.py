"""A rehearsal runs the whole manifest, changes nothing, and says what it cannot show."""

from __future__ import annotations

import _socket
import socket
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.engine.simulate import Simulation
from spark_impex_runner.errors import PluginError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.report.rehearsal import Rehearsal

SANDBOX = "connections: {here: {sandbox: acme}}"
PLUGIN = """
import socket, threading
from pathlib import Path
from spark_impex_runner import hookimpl, StepOutput

@hookimpl
def impex_register(registry):
    options = {"type": "object", "properties": {"key": {"type": "string", "x-secret": True}}}
    registry.step("unaware", "posts something somewhere", options)
    registry.step("aware", "tells its options", options, rehearse=lambda options, _: options)
    registry.step("careless", "connects", rehearse=lambda options, _: options)
    registry.step("threaded", "connects", rehearse=lambda options, _: options)
    registry.step("asking", "asks how to rehearse it", rehearse=ask)

def ask(options, stand_ins):
    socket.create_connection(("192.0.2.1", 443), 0.1)

def connect():
    try:
        socket.create_connection(("192.0.2.1", 443), 0.1)
    except OSError:
        pass

@hookimpl
def impex_run_step(job, step):
    if step.uses == "aware":
        return StepOutput(message=f"key is {step.options.get('key')}")
    if step.uses == "careless":
        socket.create_connection(("192.0.2.1", 443), 0.1)
    if step.uses == "threaded":
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
    return [] if step.uses in {"careless", "threaded"} else None

@hookimpl
def impex_job_changed(job):
    Path(__file__).with_suffix(".called").touch()

@hookimpl
def impex_run_job(job):
    Path(__file__).with_suffix(".called").touch()
"""
EXPORTED = ("motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/annuity/1.0.0")


@pytest.fixture(autouse=True)
def _own_guard_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave connections to the confinement alone, not to the guard of the tests."""
    monkeypatch.setattr(socket.socket, "connect", _socket.socket.connect)


@pytest.fixture
def rehearse(tmp_path: Path, clock: Clock) -> Callable[..., Rehearsal]:
    """Return a function that rehearses a manifest in a folder with a tenant and a plugin."""
    serve(tmp_path / "acme", *EXPORTED)
    (tmp_path / "plugin.py").write_text(PLUGIN)

    def rehearse(text: str, **options: Any) -> Rehearsal:
        path = tmp_path / "m.yaml"
        path.write_text(f"version: 1\n{textwrap.dedent(text)}")
        chosen = RunOptions(plugin_files=(tmp_path / "plugin.py",), **options)
        return Simulation.of(path, chosen, Masker(), clock).run()

    return rehearse


def serve(root: Path, *versions: str) -> Path:
    """Make the folder of a tenant."""
    for each in versions:
        (root / each).mkdir(parents=True)
    return root


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve a tenant that stands for a real one, and set its address and token."""
    root = serve(tmp_path / "real", *EXPORTED, "uk/pricing/3.0.0")
    with Sandbox(root, Settings(tenant="real")) as sandbox:
        monkeypatch.setenv("REAL_URL", sandbox.base_url)
        monkeypatch.setenv("REAL_TOKEN", sandbox.token)
        yield sandbox


REAL = "connections: {real: {base_url: '${env:REAL_URL}', auth: {token: '${env:REAL_TOKEN}'}}}"


def test_failing_step_is_located(rehearse: Any) -> None:
    """The target, the step, its line and the reason, and the exit code of such a run."""
    found = rehearse(f"""\
        {SANDBOX}
        targets:
          - {{name: good, folders: [life]}}
          - name: bad
            services: [motor/pricing]
            steps:
              - uses: checksum
              - {{uses: unzip, with: {{max_total: 1kB}}}}
        """)

    good, bad = found.targets
    assert (good.verdict, bad.verdict) == ("would succeed", "would fail")
    assert (found.exit_code, [uses for uses, _, _ in bad.steps]) == (3, ["checksum", "unzip"])
    assert bad.place.endswith("m.yaml:9:9")
    assert bad.error.startswith("step unzip: package.zip:")


def test_failing_export_is_located(rehearse: Any) -> None:
    """At its target, in the tenant's own words."""
    found = rehearse(f"{SANDBOX}\ntargets:\n  - {{name: typo, services: [motor/prcing]}}\n")

    assert found.targets[0].place.endswith("m.yaml:4:5")
    assert "service could not be found: motor/prcing" in found.targets[0].error
    assert found.exit_code == 4


def test_gates_are_held_and_approved(rehearse: Any) -> None:
    """One after the other, with the targets that need them; nothing has credentials."""
    found = rehearse("""\
        connections:
          sit: {base_url: 'https://excel.sit.coherent.global/acme'}
          uat: {base_url: 'https://excel.uat.coherent.global/acme'}
          prod: {base_url: '${env:PROD_URL}', auth: {token: '${env:PROD_TOKEN}'}}
        targets:
          - name: motor
            connection: sit
            services: ['motor/pricing[1.4]']
            steps:
              - {uses: import, with: {to: uat, gate: manual}}
              - uses: import
                with:
                  to: prod
                  gate: manual
                  services: [{source: motor/pricing, target: uk/pricing}]
          - name: later
            connection: sit
            folders: [life]
            needs: [motor]
            steps: [{uses: import, with: {to: uat, gate: manual}}]
        """)

    motor, later = found.targets
    assert (motor.outcome, motor.error, later.outcome) == ("succeeded", "", "succeeded")
    assert (motor.approved, motor.warnings, later.approved) == (("uat", "prod"), (), ("uat",))
    assert "motor/pricing[1.4.0] added as uk/pricing[1.4.0]" in motor.steps[1][2]
    assert "references without a value here, which a run needs: " in " ".join(found.left_out)
    assert "${env:PROD_URL}, ${env:PROD_TOKEN}" in " ".join(found.left_out)


def test_unaware_step_is_left_out(rehearse: Any, tmp_path: Path) -> None:
    """And named with its line; the steps around it run, observers do not."""
    found = rehearse(f"""\
        {SANDBOX}
        targets:
          - name: one
            folders: [life]
            steps: [{{uses: unaware}}, {{uses: aware}}]
        """)

    assert [uses for uses, _, _ in found.targets[0].steps] == ["aware"]
    [(part, reason)] = found.replaced
    assert part.startswith("target one, step unaware (")
    assert part.endswith("m.yaml:6)")
    assert reason == "left out: the plugin plugin does not say how to rehearse it"
    assert "plugin plugin: impex_job_changed, impex_run_job not called" in found.left_out
    assert not (tmp_path / "plugin.called").exists()


@pytest.mark.parametrize("step", ["careless", "threaded"])
def test_step_that_connects_is_refused(rehearse: Any, step: str) -> None:
    """With a line that names target, step, plugin and address, also from a thread of its own."""
    found = rehearse(f"""\
        {SANDBOX}
        targets: [{{name: one, folders: [life], steps: [{{uses: {step}}}]}}]
        """)

    [line] = found.refused
    assert line == f"target one, step {step}, plugin plugin: tried to connect to 192.0.2.1:443"
    assert found.targets[0].verdict == "could not be rehearsed"
    assert found.exit_code == 4


def test_plugins_get_no_secret(rehearse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get the reference in its place, whether it has a value or not."""
    monkeypatch.setenv("KEY", "s3cret-value")

    found = rehearse(f"""\
        {SANDBOX}
        targets:
          - name: one
            folders: [life]
            steps: [{{uses: aware, with: {{key: '${{env:KEY}}'}}}}]
        """)

    assert found.targets[0].steps[0][2] == "key is ${env:KEY}"
    assert "s3cret-value" not in str(found)


def test_tenant_is_asked_for_its_listing_only(rehearse: Any, tenant: Sandbox) -> None:
    """No job is created there, and the sandbox has the versions that it lists."""
    found = rehearse(f"""\
        {REAL}
        targets:
          - {{name: pattern, services: ['m*/pr*[1.4.1]']}}
          - {{name: whole, folders: [motor], version_filter: all}}
        """)

    assert [each.verdict for each in found.targets] == ["would succeed"] * 2
    assert not tenant.jobs_created
    assert {each.path.split("/")[-1] for each in tenant.requests} <= {"search", "pricing"}
    assert dict(found.tenants)["real"].startswith("a sandbox with the 3 services that http")


def test_listing_shows_what_a_run_would_meet(rehearse: Any, tenant: Sandbox) -> None:
    """A version that the tenant does not have, and a service that is there already."""
    found = rehearse(f"""\
        {REAL}
        targets:
          - {{name: missing, services: ['motor/pricing[9.9.9]']}}
          - name: there
            services: [motor/pricing]
            steps:
              - uses: import
                with: {{to: real, services: [{{source: motor/pricing, target: uk/pricing}}]}}
        """)

    missing, there = found.targets
    assert "service could not be found: motor/pricing[9.9.9]" in missing.error
    assert "service exists already: uk/pricing" in there.error
    assert not tenant.jobs_created


@pytest.mark.usefixtures("tenant")
@pytest.mark.parametrize("same", [True, False])
def test_rehearsed_import_knows_what_is_identical(
    rehearse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, same: bool
) -> None:
    """By the versions' ids at the destination, which its listing tells, and by nothing else."""
    root = serve(tmp_path / "prod", "motor/pricing/1.4.2")
    with Sandbox(root, Settings(tenant="real")) as prod:
        if not same:
            [there] = prod._tree.versions("motor", "pricing")
            prod._tree.put("motor", "pricing", [replace(there, id=there.service_id)])
        monkeypatch.setenv("PROD_URL", prod.base_url)
        monkeypatch.setenv("PROD_TOKEN", prod.token)
        place = "{base_url: '${env:PROD_URL}', auth: {token: '${env:PROD_TOKEN}'}}"
        found = rehearse(f"""\
            {REAL[:-1]}, prod: {place}}}
            targets:
              - name: one
                connection: real
                services: [motor/pricing]
                steps: [{{uses: import, with: {{to: prod, if_present: add_version}}}}]
            """)

    [(_, outcome, message)] = found.targets[0].steps
    assert outcome == "succeeded"
    assert ("nothing sent, prod has identical versions" in message) == same
    assert ("motor/pricing[1.4.2] added as motor/pricing[1.5.0]" in message) != same


def test_silent_tenant_is_invented(rehearse: Any, tenant: Sandbox) -> None:
    """A rehearsal works without a network, and says why the contents are invented."""
    tenant.close()

    found = rehearse(f"{REAL}\ntargets:\n  - {{name: one, services: ['any*/thing', '*/x']}}\n")

    assert found.targets[0].verdict == "would succeed"
    assert "(cannot connect to 127.0.0.1:" in dict(found.tenants)["real"]


def test_waits_take_no_time(rehearse: Any) -> None:
    """Neither between the attempts of a step nor between requests."""
    found = rehearse("""\
        connections: {here: {sandbox: acme, requests_per_second: 0.0001}}
        targets:
          - name: one
            folders: [life]
            steps:
              - {uses: unzip, with: {max_total: 1kB}, retry: {attempts: 3, interval: 1h}}
        """)

    assert found.targets[0].verdict == "would fail"


def test_destinations_are_replaced(rehearse: Any, tmp_path: Path) -> None:
    """Uploads go to a folder, a lock file stays as it is, a notification is shown."""
    (tmp_path / "hook.txt").write_text("https://hooks.example/secret-path\n")
    lock = tmp_path / "lock.json"
    lock.write_text('{"version": 1, "packages": []}')
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    found = rehearse("""\
        connections:
          here: {sandbox: acme}
          uat: {base_url: 'https://excel.uat.coherent.global/acme'}
        targets:
          - name: one
            connection: here
            folders: [life]
            output: out
            steps:
              - {uses: upload, with: {to: 'webdavs://backup.example/srv', user: me}}
              - {uses: import, with: {to: uat, lock: lock.json}}
        report: {json: report.json}
        notify:
          - {uses: webhook, on: [failed], with: {url: '${file:hook.txt}'}}
        """)

    upload, imported = found.targets[0].steps
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert (upload[1], imported[1], found.exit_code) == ("succeeded", "succeeded", 0)
    assert upload[2].startswith("(a scratch folder): 2 files")
    assert {path: each for path, each in after.items() if path.name != "m.yaml"} == before
    [sent] = found.sent
    assert (sent.by, sent.method) == ("notify[0] (webhook, on failed)", "POST")
    assert '"text": "m: 1 of 1 target succeeded"' in sent.text
    assert found.replaced[0][1].startswith("webdavs://, its credentials and permissions, and what")


def test_file_that_a_step_extends_is_copied(rehearse: Any, tmp_path: Path) -> None:
    """What is in it counts, as in a run: this lock is none."""
    (tmp_path / "lock.json").write_text("nonsense")

    found = rehearse(f"""\
        {SANDBOX}
        targets:
          - name: one
            folders: [life]
            steps: [{{uses: import, with: {{to: here, lock: lock.json, if_present: replace}}}}]
        """)

    assert found.targets[0].error.startswith(f"step import: {tmp_path / 'lock.json'} ")
    assert (tmp_path / "lock.json").read_text() == "nonsense"


def test_ids_are_served(rehearse: Any) -> None:
    """Services and versions that the manifest names by their ids are exported under these."""
    service, version = (
        "2c1b0a34-0000-4000-8000-000000000001",
        "8a5f0f0e-1111-4222-8333-0123456789ab",
    )

    found = rehearse(f"""\
        connections: {{far: {{env: sit, tenant: acme}}}}
        targets:
          - {{name: one, services: ['service/{service}'], version_ids: ['{version}']}}
        """)

    assert found.targets[0].verdict == "would succeed"


def test_options_choose_what_is_rehearsed(rehearse: Any) -> None:
    """Targets, variables and tags, as in a plan."""
    found = rehearse(
        f"""\
        vars: {{folder: nowhere}}
        {SANDBOX}
        targets:
          - {{name: one, folders: ['${{var:folder}}']}}
          - {{name: two, folders: [nowhere]}}
        """,
        targets=("one",),
        variables={"folder": "life"},
    )

    assert [(each.name, each.verdict) for each in found.targets] == [("one", "would succeed")]


def test_asking_for_stand_ins_is_confined(rehearse: Any) -> None:
    """A plugin cannot connect either when it says how its step is rehearsed."""
    with pytest.raises(PluginError) as caught:
        rehearse(f"""\
            {SANDBOX}
            targets: [{{name: a, folders: [motor], steps: [{{uses: asking}}]}}]
            """)

    assert "failed to replace the destinations of 'asking': RefusedError: " in str(caught.value)
    assert "refused to connect to 192.0.2.1:443" in str(caught.value)
