"""Faults of tenant and network: one job and its package, or an error that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import SparkError
from spark_impex_runner.report import receipt
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import RunResult

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks/reliability.py"
# Faults after which a run must succeed in the end, whatever their order and number.
SURVIVABLE = {
    "create": ["reset", "swallow", "503", "500", "429:retry=2", "busy:409", "text", "empty"],
    "describe": ["503", "reset", "text"],
    "status": ["503", "502:html", "text", "html", "reset", "429:retry=2", "word:odd", "swallow"],
    "download": ["503", "reset", "cut:50", "corrupt", "html", "expired:403", "short:40"],
}


# The same of the questions by which patterns become services.
LISTINGS = ["500", "502:html", "503", "429:retry=2", "reset", "swallow"]
SURVIVABLE_LISTINGS = {"search": LISTINGS, "versions": LISTINGS, "token": ["503", "reset"]}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tenant with one small service."""
    root = tmp_path_factory.mktemp("tree") / "acme"
    (root / "life/annuity/1.0.0").mkdir(parents=True)
    return root


@pytest.fixture
def run_with(
    tree: Path, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[RunResult, Sandbox]]]:
    """Return a function that runs one target through some faults."""
    served: list[Sandbox] = []

    def run(
        *faults: str, wanted: str = "folders: [life]", target: str = "", **given: Any
    ) -> tuple[RunResult, Sandbox]:
        parsed = tuple(parse_fault(text) for text in faults)
        sandbox = Sandbox(tree, Settings(faults=parsed, **given), clock=clock.monotonic).start()
        served.append(sandbox)
        monkeypatch.setenv("ID", sandbox.client_id)
        monkeypatch.setenv("SECRET", sandbox.client_secret)
        auth = "{oauth: {client_id: '${env:ID}', client_secret: '${env:SECRET}'}}"
        (tmp_path / "m.yaml").write_text(
            f"version: 1\nconnections:\n  sit: {{base_url: '{sandbox.base_url}', auth: {auth}}}\n"
            f"targets:\n  - {{name: a, {wanted}, polling: {{strategy: fixed{target}}}}}\n"
        )
        return run_manifest(tmp_path / "m.yaml", clock=clock), sandbox

    yield run
    for sandbox in served:
        sandbox.close()


@st.composite
def fault_scripts(draw: st.DrawFn, survivable: dict[str, list[str]] = SURVIVABLE) -> list[str]:
    """Return up to six faults at the first requests of any endpoint."""
    faults = {}
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.sampled_from(sorted(survivable)))
        number = draw(st.integers(1, 2))
        what = draw(st.sampled_from(survivable[place]))
        faults[place, number] = f"{place}@{number}={what}"
    return list(faults.values())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=fault_scripts())
def test_any_transient_faults_give_one_job(
    run_with: Any, tmp_path: Path, faults: list[str]
) -> None:
    """The receipt verifies the delivery, whatever the order of the faults."""
    result, sandbox = run_with(*faults, job_seconds=2)

    assert [(each.outcome.value, each.error) for each in result.results] == [("succeeded", "")]
    assert sandbox.jobs_created == 1
    assert receipt.verify(tmp_path / "exports/a") == []


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=fault_scripts(SURVIVABLE_LISTINGS))
def test_any_transient_faults_resolve_patterns(
    run_with: Any, tmp_path: Path, faults: list[str]
) -> None:
    """Listings are requested again, and their services are exported in one job."""
    result, sandbox = run_with(*faults, wanted="services: ['life/an*[1]', '*/annuity']")

    assert [(each.outcome.value, each.error) for each in result.results] == [("succeeded", "")]
    uris = [each.uri for each in result.results[0].service_versions]
    assert uris == ["life/annuity[1.0.0]"]
    assert sandbox.jobs_created == 1
    assert receipt.verify(tmp_path / "exports/a") == []


@pytest.mark.parametrize("place", ["search", "versions"])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("503", "HTTP 503"),
        ("reset", "the connection failed"),
        ("403", "the credentials lack a permission"),
        ("html", "instead of JSON"),
    ],
)
def test_missing_listing_creates_no_job(run_with: Any, place: str, what: str, message: str) -> None:
    """The run retries transient errors only, and the error names the listing."""
    with pytest.raises(SparkError, match=message) as caught:
        run_with(f"{place}@*={what}", wanted="services: ['life/an*[1]']")

    assert "\n" not in str(caught.value)
    assert "services/search" in str(caught.value) or "getversions" in str(caught.value)


@pytest.mark.parametrize("place", ["status", "download"])
def test_two_minutes_offline_are_survived(run_with: Any, clock: Any, place: str) -> None:
    """Every connection breaks for two minutes, during polls and during the download."""
    network = {"gone": True}
    clock.at_wait = lambda elapsed: network.update(gone=elapsed < 120)
    faults = [f"{place}@1-{number}=reset" for number in (200,)]

    def calm(sandbox: Sandbox) -> None:
        fault_for = sandbox.faults._fault_for
        sandbox.faults._fault_for = lambda request: fault_for(request) if network["gone"] else None  # type: ignore[method-assign]

    start = Sandbox.start
    try:
        Sandbox.start = lambda self: (calm(self), start(self))[1]  # type: ignore[method-assign,func-returns-value]
        result, sandbox = run_with(*faults)
    finally:
        Sandbox.start = start  # type: ignore[method-assign]

    assert result.exit_code == 0
    assert clock.monotonic() >= 120
    assert sandbox.jobs_created == 1


def test_wrong_secret_sends_one_token_request(
    tree: Path, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three targets and the request for the job limit share one refusal; exit 6."""
    with Sandbox(tree, clock=clock.monotonic) as sandbox:
        monkeypatch.setenv("ID", sandbox.client_id)
        monkeypatch.setenv("SECRET", "wrong")
        auth = "{oauth: {client_id: '${env:ID}', client_secret: '${env:SECRET}'}}"
        targets = "".join(f"  - {{name: t{n}, folders: [life]}}\n" for n in range(3))
        (tmp_path / "m.yaml").write_text(
            f"version: 1\nconnections:\n  sit: {{base_url: '{sandbox.base_url}', auth: {auth}}}\n"
            f"targets:\n{targets}"
        )

        result = run_manifest(tmp_path / "m.yaml", clock=clock)

        assert [r.path.endswith("/token") for r in sandbox.requests] == [True]
    assert result.exit_code == 6


def test_lost_cancel_is_retried(run_with: Any) -> None:
    """``on_deadline: cancel`` frees the slot although one request failed."""
    result, sandbox = run_with(
        "cancel@1-2=reset", target=", deadline: 10s, on_deadline: cancel", job_seconds=1000
    )

    assert "it was cancelled" in result.results[0].error
    assert [r.status for r in sandbox.requests if r.method == "PATCH"] == [0, 0, 200]


def test_unreachable_status_ends_after_ten_minutes(run_with: Any, clock: Any) -> None:
    """A tenant that answers only errors ends the run before its deadline."""
    result, _ = run_with("status@*=503")

    assert result.results[0].outcome.value == "failed"
    assert "503" in result.results[0].error
    assert 600 <= clock.monotonic() < 800


def test_refused_package_is_downloaded_three_times(run_with: Any, tmp_path: Path) -> None:
    """A package that is always corrupt fails the target and leaves no file."""
    result, sandbox = run_with("download@*=corrupt")

    assert result.exit_code == 4
    assert [r.origin for r in sandbox.requests].count("download") == 3
    assert not [path for path in (tmp_path / "exports").rglob("*") if path.is_file()]


def test_broken_links_are_renewed_four_times(run_with: Any) -> None:
    """Exit 4, not 6: a link has its own permission."""
    result, sandbox = run_with("download@*=expired:403")

    assert "4 new links in a row do not work" in result.results[0].error
    assert result.exit_code == 4
    assert [r.origin for r in sandbox.requests].count("download") == 4


def test_refused_link_renewal_exits_6(run_with: Any) -> None:
    """The tenant refuses the credentials and not the link, so the exit code is 6."""
    result, _ = run_with("download@1=expired:403", "status@2-=token-expired")

    assert "401" in result.results[0].error
    assert "fresh links" not in result.results[0].error
    assert result.exit_code == 6


def test_busy_tenant_ends_at_deadline(run_with: Any, caplog: Any) -> None:
    """Exit 5, no job, nothing to cancel, and one line that names the reason."""
    with caplog.at_level("INFO"):
        result, sandbox = run_with(
            "create@*=busy:409", target=", deadline: 60s, on_deadline: cancel"
        )

    assert (result.exit_code, sandbox.jobs_created) == (5, 0)
    assert "busy with other jobs for 60 s" in result.results[0].error
    assert not [r for r in sandbox.requests if r.method == "PATCH"]
    assert caplog.text.count("waiting for another job to end") == 1


def test_web_page_as_status_is_paused_for(run_with: Any) -> None:
    """Ten minutes of a login page cost one status request every three seconds."""
    result, sandbox = run_with("status@*=html")

    assert result.results[0].outcome.value == "failed"
    assert len([r for r in sandbox.requests if r.path.endswith("/status")]) < 250


def test_proxy_404_creates_no_second_job(run_with: Any) -> None:
    """Only a reply of the API itself makes a job unknown."""
    result, sandbox = run_with("status@1-2=404:html", job_seconds=5)

    assert (result.exit_code, sandbox.jobs_created) == (0, 1)


def test_deadline_beats_retry_after(run_with: Any, clock: Any) -> None:
    """No status request is repeated after the deadline."""
    result, _ = run_with("status@*=503:retry=100", target=", deadline: 60s")

    assert result.exit_code == 5
    assert clock.monotonic() <= 61


def test_reliability_benchmark_loses_nothing(start: Any) -> None:
    """It kills a run and injects every fault; the table in the docs comes from it."""
    words = ["--kills", "1", "--size", "100000"]
    for part in ("uploads", "stops", "stateless", "cluster", "remote", "contended"):
        words += [f"--{part}", "0"]

    process = start(SCRIPT, "--json", *words)
    out, _ = process.communicate()

    rows = json.loads(out)
    assert [(row["what"], row["wrong"]) for row in rows if row["wrong"]] == []
    assert process.returncode == 0
    assert rows[0]["times"] == 1
    assert len(rows) > 55
    assert all(row["outcomes"].get("succeeded") for row in rows)
