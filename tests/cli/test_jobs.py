"""What a tenant runs: listed, cancelled and shown without any local state."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Manifest, Request, Target
from spark_impex_runner.planning.labels import Label
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.state.models import Intent
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.state.runs import PastRun

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hiding(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve a tenant that lists only the jobs of the same credentials."""
    settings = Settings(job_seconds=3600, job_limit=9, hide_jobs=True)
    with Sandbox(shell.folder / "acme", settings) as sandbox:
        monkeypatch.setenv("CSPARK_BEARER_TOKEN", sandbox.token)
        (shell.folder / "m.yaml").write_text(
            f"version: 1\nconnections: {{sit: {{base_url: '{sandbox.base_url}'}}}}\n"
            "targets:\n  - {name: life, folders: [life]}\n"
        )
        yield sandbox


@pytest.fixture
def lost(shell: Any, left: str) -> str:
    """Leave a job without any state; return its id."""
    shutil.rmtree(shell.folder / ".impex")
    return left


def start(sandbox: Sandbox, **request: Any) -> str:
    """Start a job as another user does, with an API key; return its id."""
    with Spark(base_url=sandbox.base_url, api_key=sandbox.api_key) as spark:
        return str(spark.impex.exports.initiate(folders=["motor"], **request).data["id"])


def cancelled(sandbox: Sandbox) -> list[str]:
    """Return the ids of the jobs that were cancelled."""
    return [r.path.rpartition("/")[2] for r in sandbox.requests if r.method == "PATCH"]


def on_one_line(text: str) -> str:
    """Return a text that was wrapped as one line."""
    return " ".join(text.split())


def test_jobs_of_a_manifest(shell: Any, tenant: Sandbox, lost: str) -> None:
    """Each job has its state, its age, whose it is and its correlation id, in 80 columns."""
    done = shell("impex", "jobs", "m.yaml")
    [found] = json.loads(shell("impex", "jobs", "m.yaml", "--format", "json").out)["tenants"]

    [job] = found["jobs"]
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:2] == [f"sit: {tenant.base_url}", "  1 of 1 job running"]
    assert f"  {lost}  in_progress  created " in done.out
    assert f"    target life, run {job['run_id']}\n" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert (job["id"], job["running"], job["target"]) == (lost, True, "life")
    assert (found["connection"], found["limit"], found["in_progress"]) == ("sit", 1, 1)
    assert not (shell.folder / ".impex").exists()


@pytest.mark.parametrize("words", [("m.yaml", "-c", "sit"), ("sit", "-m", "m.yaml"), ("URL",), ()])
def test_jobs_are_found_by_any_name(
    shell: Any, tenant: Sandbox, lost: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A manifest, a connection of it, an address, or the environment name the tenant."""
    monkeypatch.setenv("CSPARK_BASE_URL", tenant.base_url)

    done = shell("impex", "jobs", *(tenant.base_url if each == "URL" else each for each in words))

    assert done.code == 0
    assert lost in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sit",), "impex jobs sit --manifest release.yaml"),
        (("m.yaml", "-c", "sid"), "no connection of m.yaml (did you mean 'sit'?)"),
        ((), "name a manifest or a tenant's address, or set CSPARK_BASE_URL"),
        (("-c", "sit"), "name the manifest, too"),
        (("http://127.0.0.1:1/a", "-c", "sit"), "an address has no connections"),
        (("http://127.0.0.1:1/a", "-t", "a", "--var", "b=c"), "no manifest; leave out --var, -t"),
        (("s3://acme/m.yaml",), "'s3://acme/m.yaml' is a URL, not a local path; "),
        (("m.yaml", "--state", "st"), "unrecognized arguments: --state st"),
        (("m.yaml", "--output", "out"), "unrecognized arguments: --output out"),
    ],
)
def test_unclear_tenant_is_a_usage_error(
    shell: Any, tenant: Sandbox, words: tuple[str, ...], message: str
) -> None:
    """The message says what to name."""
    del tenant
    done = shell("impex", "jobs", *words)

    assert (done.code, message in done.err) == (2, True), done.err


def test_jobs_of_others(shell: Any, tenant: Sandbox, lost: str) -> None:
    """A job of another request, manifest or user says so; one that has ended is listed, too."""
    path = shell.folder / "m.yaml"
    text = path.read_text()
    tenant._authenticator.api_key = "k"
    path.write_text(text.replace("folders: [life]", "folders: [motor]"))
    other_request = shell("impex", "jobs", "m.yaml").out
    path.write_text(text.replace("name: life", "name: other"))
    other_manifest = shell("impex", "jobs", "m.yaml").out
    path.write_text(text)
    shell("impex", "cancel", "m.yaml")
    start(tenant, correlation_id="nightly\x1b[2J")
    after = shell("impex", "jobs", "m.yaml").out

    assert "target life, run 2" in other_request
    assert other_request.splitlines()[3].endswith(", another request")
    assert "a target named life (of another manifest), run 2" in other_manifest
    assert "api-key@sandbox.invalid" in after
    assert "\x1b" not in after
    assert f"{lost}  cancelled  created " in after


def test_unreachable_tenant_is_reported(
    shell: Any, tenant: Sandbox, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs of the others are listed; the code says that one is missing."""
    path = shell.folder / "m.yaml"
    both = f"{{sit: {{base_url: '{tenant.base_url}'}}, uat: {{base_url: '{tenant.base_url}/', "
    both += "auth: {api_key: '${env:WRONG}'}}}"
    line = path.read_text().splitlines()[1]
    text = path.read_text().replace(line, f"connections: {both}")
    path.write_text(text.replace("name: life", "name: life, connection: sit"))
    monkeypatch.setenv("WRONG", "wrong-key")

    some = shell("impex", "jobs", "m.yaml", "-c", "sit", "-c", "uat")
    none = shell("impex", "jobs", "uat", "-m", "m.yaml")

    assert (some.code, lost in some.out, "uat: " in some.err) == (3, True, True), some.err
    assert (none.code, none.out) == (6, "")
    assert "wrong-key" not in some.err + none.err


def test_hidden_jobs_are_counted(shell: Any, hiding: Sandbox) -> None:
    """Jobs of other credentials are not listed; no command says that there is nothing."""
    start(hiding)

    outputs = [shell("impex", name, "m.yaml").out for name in ("jobs", "status", "cancel")]

    for each in outputs:
        assert "1 running job is not listed for these credentials" in each
        assert "nothing" not in each
    assert cancelled(hiding) == []


def test_status_asks_the_tenant(shell: Any, tenant: Sandbox, lost: str) -> None:
    """Without a state the jobs of the manifest's targets are those that the tenant lists."""
    text = shell("impex", "status", "m.yaml").out
    [row] = json.loads(shell("impex", "status", "m.yaml", "--json").out)

    assert text.startswith("m/life: runs on the tenant, not in this state, since 2")
    assert max(map(len, text.splitlines())) <= 80
    assert (row["target"], row["job"], row["tenant"]) == ("m/life", lost, tenant.base_url)


def test_status_asks_for_what_the_state_lacks(shell: Any, tenant: Sandbox, lost: str) -> None:
    """An open attempt of another manifest in the same state hides no job of this one's targets."""
    intent = Intent("r", "other/a", tenant.base_url, "f", "C-9")
    with closing(open_state(shell.folder / "st")) as state:
        state.begin_run(PastRun("r", "other.yaml", datetime.now(timezone.utc)))
        state.intend(intent, datetime.now(timezone.utc))

    rows = json.loads(shell("impex", "status", "m.yaml", "--state", "st", "--json").out)

    assert [each["target"] for each in rows] == ["other/a", "m/life"]
    assert rows[1]["job"] == lost


def test_status_and_cancel_say_which_tenant_runs_nothing(shell: Any, tenant: Sandbox) -> None:
    """Once a tenant was asked, they do not say that nothing has been run here."""
    nothing = f"no job of these targets runs on {tenant.base_url}, and there is no state in .impex"

    status = shell("impex", "status", "m.yaml")
    cancel = shell("impex", "cancel", "m.yaml")

    assert (status.code, on_one_line(status.out)) == (0, nothing)
    assert (cancel.code, on_one_line(cancel.out)) == (0, f"nothing to cancel: {nothing}")


def test_json_status_names_hidden_jobs(shell: Any, hiding: Sandbox) -> None:
    """An empty list is no proof that nothing runs: stderr has what the text says."""
    start(hiding)

    done = shell("impex", "status", "m.yaml", "--format", "json")

    assert (done.code, json.loads(done.out)) == (0, [])
    assert "1 running job is not listed for these credentials" in done.err


def test_jobs_fit_into_80_columns(shell: Any, tenant: Sandbox) -> None:
    """A long correlation id is cut in the text, and whole in JSON."""
    start(tenant, correlation_id="C" * 90)

    text = shell("impex", "jobs", "m.yaml").out
    data = shell("impex", "jobs", "m.yaml", "--format", "json").out

    assert max(map(len, text.splitlines())) == 80
    assert "C" * 90 in data


def test_status_without_the_tenant(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a state the failure is the result; with one it is a line beside what is known."""
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "wrong")
    without = shell("impex", "status", "m.yaml")
    shell("impex-run", "m.yaml", "-q")
    (shell.folder / ".impex").mkdir(exist_ok=True)
    with_state = shell("impex", "status", "m.yaml")
    monkeypatch.delenv("CSPARK_BEARER_TOKEN")
    alone = shell("impex", "status", "m.yaml")

    assert (without.code, without.out) == (6, "")
    assert "401" in without.err
    for each in (with_state, alone):
        assert (each.code, each.out) == (0, "nothing is unfinished in this state\n")
        assert "sit" in each.err or "the tenant was not asked" in each.err
    assert not tenant.jobs_created


def test_cancel_asks_the_tenant(shell: Any, tenant: Sandbox, lost: str) -> None:
    """The job of a target is cancelled without a state, and only that of a selected target."""
    path = shell.folder / "m.yaml"
    path.write_text(path.read_text() + "  - {name: b, folders: [motor]}\n")

    other = shell("impex", "cancel", "m.yaml", "-t", "b")
    done = shell("impex", "cancel", "m.yaml")

    assert on_one_line(other.out) == (
        f"nothing to cancel: no job of these targets runs on {tenant.base_url}, "
        "and there is no state in .impex"
    )
    assert (done.code, done.out) == (0, f"life: job {lost} cancelled\n")
    assert cancelled(tenant) == [lost]
    assert shell("impex", "cancel", "m.yaml").out == other.out
    assert not (shell.folder / ".impex").exists()


def test_cancel_spares_another_request(shell: Any, tenant: Sandbox, lost: str) -> None:
    """A job that exports something else is named, with the command that cancels it."""
    path = shell.folder / "m.yaml"
    path.write_text(path.read_text().replace("folders: [life]", "folders: [motor]"))

    done = shell("impex", "cancel", "m.yaml")

    first, second = done.out.splitlines()
    assert first == f"life: job {lost}: it exports another request"
    assert cancelled(tenant) == []
    assert max(map(len, (first, second))) <= 80
    shell(*shlex.split(second.removeprefix("  cancel: ")))
    assert cancelled(tenant) == [lost]


@pytest.mark.parametrize("source_system", [None, "spark-impex-runner/0123456789ab"])
def test_cancel_spares_jobs_with_the_same_given_id(
    shell: Any, hiding: Sandbox, source_system: str | None
) -> None:
    """Without the target's digest it is perhaps the target's; with another it is not."""
    path = shell.folder / "m.yaml"
    path.write_text(path.read_text().replace("name: life", "name: life, correlation_id: C-1"))
    request = {"correlation_id": "C-1", "source_system": source_system}
    with Spark(base_url=hiding.base_url, token=hiding.token) as spark:
        job = spark.impex.exports.initiate(folders=["life"], **request).data["id"]

    done = shell("impex", "cancel", "m.yaml")
    shown = shell("impex", "status", "m.yaml").out

    note = f"life: job {job}: perhaps its job: only its correlation id is the same"
    note = f"{note} cancel: impex cancel m.yaml -c sit --job {job}"
    assert (done.code, note in on_one_line(done.out)) == (0, source_system is None), done.out
    assert ("not in this state; perhaps, since" in shown) is (source_system is None)
    assert cancelled(hiding) == []


def test_cancel_finds_its_job_by_a_given_id(shell: Any, hiding: Sandbox) -> None:
    """The digest beside the id tells that it is the target's, even of a target that shares it."""
    path = shell.folder / "m.yaml"
    target = "  - {name: %s, folders: [life], correlation_id: C-1}\n"
    path.write_text(path.read_text().partition("  - ")[0] + target % "a" + target % "b")
    manifest, request = Manifest(path, "m", {}, ()), Request(folders=("life",))
    targets = [Target(name, "sit", path, correlation_id="C-1") for name in "ab"]
    labels = [Label.of("", manifest, each, request) for each in targets]
    with Spark(base_url=hiding.base_url, token=hiding.token) as spark:
        jobs = [spark.impex.exports.create(each.on(request)).id for each in labels]

    assert shell("impex", "cancel", "m.yaml", "-t", "a").out == f"a: job {jobs[0]} cancelled\n"
    assert cancelled(hiding) == jobs[:1]


def test_target_of_another_connection_is_its_target(shell: Any, tenant: Sandbox, lost: str) -> None:
    """Two connections to one tenant list the same job; it is the target's in both, once."""
    path = shell.folder / "m.yaml"
    sit = f"sit: {{base_url: '{tenant.base_url}'}}"
    text = path.read_text().replace(sit, f"{sit}, uat: {{base_url: '{tenant.base_url}'}}")
    text = text.replace("name: life", "name: life, connection: sit")
    path.write_text(text + "  - {name: b, connection: uat, folders: [motor]}\n")

    assert f"{lost}\n    target life, run" in re.sub(
        "  in_progress .*", "", shell("impex", "jobs", "m.yaml", "-c", "uat").out
    )
    assert shell("impex", "status", "m.yaml").out.count(lost) == 1
    assert shell("impex", "cancel", "m.yaml").out == f"life: job {lost} cancelled\n"


def test_cancel_reports_silent_tenant(
    shell: Any, tenant: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that cannot be asked is an error, and not nothing."""
    del tenant
    monkeypatch.setenv("CSPARK_BEARER_TOKEN", "wrong")

    done = shell("impex", "cancel", "m.yaml")

    assert (done.code, done.out, "401" in done.err) == (4, "", True)


@pytest.mark.parametrize("words", [("m.yaml",), ("m.yaml", "-c", "sit"), ("URL",)])
def test_cancel_by_id(shell: Any, tenant: Sandbox, lost: str, words: tuple[str, ...]) -> None:
    """A job is cancelled by its id, on a manifest's tenant or by its address; then it is over."""
    where = [tenant.base_url if each == "URL" else each for each in words]
    done = shell("impex", "cancel", "--job", lost, *where)
    again = shell("impex", "cancel", "--job", lost, *where)
    unknown = shell("impex", "cancel", "--job", "none", *where)

    assert (done.code, f"job {lost} cancelled" in done.out) == (0, True)
    assert (again.code, "it has ended already (cancelled)" in on_one_line(again.out)) == (0, True)
    assert (unknown.code, f"no such job on {tenant.base_url}" in unknown.err) == (4, True)
    assert cancelled(tenant) == [lost]


def test_cancel_by_id_closes_the_attempt(shell: Any, tenant: Sandbox, left: str) -> None:
    """The next run starts a new job instead of resuming one that was cancelled."""
    shell("impex", "cancel", "--job", left, "m.yaml")

    assert cancelled(tenant) == [left]
    assert shell("impex", "status").out == "nothing is unfinished\n"


def test_cancel_by_id_during_a_run(shell: Any, tenant: Sandbox, left: str) -> None:
    """What was done is said first, then who has still to close the attempt."""
    now = datetime.now(timezone.utc)
    with closing(open_state(shell.folder / ".impex")) as state, state.storage.lease("m/life", now):
        done = shell("impex", "cancel", "--job", left, "m.yaml")

    assert cancelled(tenant) == [left]
    assert (done.code, done.err) == (0, "")
    text = on_one_line(done.out)
    assert f"job {left}: cancelled; the run that works on it closes its attempt (" in text
    assert "m/life is locked by process" in text
    assert f" since {now:%Y-%m-%dT%H:%M:%SZ}; wait for it or stop it)" in text
    assert max(map(len, done.out.splitlines())) <= 80


def test_cancel_by_id_asks_every_tenant(
    shell: Any, tenant: Sandbox, lost: str, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that cannot be asked hides no job of another one, and is named if none knows it."""
    monkeypatch.setattr("spark_impex_runner.clock.Clock", lambda: clock)
    path = shell.folder / "m.yaml"
    away = "connections: {away: {base_url: 'http://127.0.0.1:1/a', timeout: 1s}, "
    text = path.read_text().replace("connections: {", away)
    path.write_text(text.replace("name: life", "name: life, connection: sit"))
    both = ("-c", "away", "-c", "sit")

    done = shell("impex", "cancel", "m.yaml", *both, "--job", lost)
    unknown = shell("impex", "cancel", "m.yaml", *both, "--job", "none")

    assert (done.code, done.out) == (0, f"sit: job {lost} cancelled\n"), done.err
    assert cancelled(tenant) == [lost]
    assert (unknown.code, unknown.out) == (4, "")
    assert f"no such job on {tenant.base_url}; away cannot be asked: " in unknown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("m.yaml", "-c", "sit"), "--connection is for --job"),
        (("http://127.0.0.1:1/acme",), "name one of its jobs with --job ID"),
        (("m.yaml", "n.yaml", "--job", "1"), "a job belongs to one manifest or tenant"),
    ],
)
def test_unclear_cancel_is_a_usage_error(shell: Any, words: tuple[str, ...], message: str) -> None:
    """The message says what to write."""
    done = shell("impex", "cancel", *words)

    assert (done.code, message in done.err) == (2, True), done.err


@pytest.mark.parametrize("command", ["jobs", "status", "cancel"])
def test_unreadable_job_is_an_error(shell: Any, tenant: Sandbox, lost: str, command: str) -> None:
    """A running job without a readable correlation id is named, and not nothing."""
    tenant.faults._faults = (parse_fault("status@1-=403"),)

    done = shell("impex", command, "m.yaml")

    assert done.code == 4
    assert f"job {lost}: its correlation id cannot be read: " in done.err
    assert (lost in done.out) is (command == "jobs")
    assert "nothing" not in done.out


def test_transient_error_of_a_status_is_retried(shell: Any, tenant: Sandbox, lost: str) -> None:
    """One failed request does not hide a job from the command that cancels it."""
    tenant.faults._counts.clear()
    tenant.faults._faults = (parse_fault("status@1=503"),)

    assert shell("impex", "cancel", "m.yaml").out == f"life: job {lost} cancelled\n"
