"""As a release engineer I get my packages in any weather, from one job, or I am told why not."""

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
def through(
    tree: Path, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[RunResult, Sandbox]]]:
    """Give a function that runs one target through some faults."""
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
def weathers(draw: st.DrawFn, survivable: dict[str, list[str]] = SURVIVABLE) -> list[str]:
    """Return up to six faults at the first requests of any place."""
    faults = {}
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.sampled_from(sorted(survivable)))
        number = draw(st.integers(1, 2))
        what = draw(st.sampled_from(survivable[place]))
        faults[place, number] = f"{place}@{number}={what}"
    return list(faults.values())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=weathers())
def test_any_sequence_of_faults_that_pass_ends_with_one_job_and_its_package(
    through: Any, tmp_path: Path, faults: list[str]
) -> None:
    """However the faults are ordered: one job, a delivery that its receipt proves."""
    result, sandbox = through(*faults, job_seconds=2)

    assert [(each.outcome.value, each.error) for each in result.results] == [("succeeded", "")]
    assert sandbox.jobs_created == 1
    assert receipt.verify(tmp_path / "exports/a") == []


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=weathers(SURVIVABLE_LISTINGS))
def test_patterns_are_resolved_in_any_weather_that_passes(
    through: Any, tmp_path: Path, faults: list[str]
) -> None:
    """The listings are asked again, and what they say is what is exported, in one job."""
    result, sandbox = through(*faults, wanted="services: ['life/an*[1]', '*/annuity']")

    assert [(each.outcome.value, each.error) for each in result.results] == [("succeeded", "")]
    uris = [each.uri for each in result.results[0].service_versions]
    assert uris == ["life/annuity[1.0.0]"]
    assert sandbox.jobs_created == 1
    assert receipt.verify(tmp_path / "exports/a") == []


@pytest.mark.parametrize("place", ["search", "versions"])
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("503", "HTTP 503"),
        ("reset", "the connection failed"),
        ("403", "the credentials lack a permission"),
        ("html", "instead of JSON"),
    ],
)
def test_a_listing_that_stays_away_ends_the_run_before_any_job(
    through: Any, place: str, what: str, told: str
) -> None:
    """After some attempts, or at once where it cannot pass; the question is named."""
    with pytest.raises(SparkError, match=told) as caught:
        through(f"{place}@*={what}", wanted="services: ['life/an*[1]']")

    assert "\n" not in str(caught.value)
    assert "services/search" in str(caught.value) or "getversions" in str(caught.value)


@pytest.mark.parametrize("place", ["status", "download"])
def test_two_minutes_without_a_network_are_survived(through: Any, clock: Any, place: str) -> None:
    """In mid-poll and mid-download every connection breaks until two minutes have passed."""
    network = {"gone": True}
    clock.at_wait = lambda elapsed: network.update(gone=elapsed < 120)
    faults = [f"{place}@1-{number}=reset" for number in (200,)]

    def calm(sandbox: Sandbox) -> None:
        fault_for = sandbox.faults._fault_for
        sandbox.faults._fault_for = lambda request: fault_for(request) if network["gone"] else None  # type: ignore[method-assign]

    start = Sandbox.start
    try:
        Sandbox.start = lambda self: (calm(self), start(self))[1]  # type: ignore[method-assign,func-returns-value]
        result, sandbox = through(*faults)
    finally:
        Sandbox.start = start  # type: ignore[method-assign]

    assert result.exit_code == 0
    assert clock.monotonic() >= 120
    assert sandbox.jobs_created == 1


def test_a_wrong_client_secret_costs_one_token_request(
    tree: Path, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three targets and a question for the job limit share one refusal; exit 6."""
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


def test_a_cancel_that_is_lost_is_asked_again(through: Any) -> None:
    """``on_deadline: cancel`` does not hold the slot because one request broke."""
    result, sandbox = through(
        "cancel@1-2=reset", target=", deadline: 10s, on_deadline: cancel", job_seconds=1000
    )

    assert "it was cancelled" in result.results[0].error
    assert [r.status for r in sandbox.requests if r.method == "PATCH"] == [0, 0, 200]


def test_a_job_that_nobody_can_look_at_is_given_up_after_ten_minutes(
    through: Any, clock: Any
) -> None:
    """A tenant that answers nothing but errors does not hold a run until its deadline."""
    result, _ = through("status@*=503")

    assert result.results[0].outcome.value == "failed"
    assert "503" in result.results[0].error
    assert 600 <= clock.monotonic() < 800


def test_a_refused_package_is_fetched_three_times_and_no_more(through: Any, tmp_path: Path) -> None:
    """What is spoilt every time fails the target, and leaves no file."""
    result, sandbox = through("download@*=corrupt")

    assert result.exit_code == 4
    assert [r.origin for r in sandbox.requests].count("download") == 3
    assert not [path for path in (tmp_path / "exports").rglob("*") if path.is_file()]


def test_links_that_never_work_are_not_asked_for_without_end(through: Any) -> None:
    """Exit 4, not 6: a link carries its own permission."""
    result, sandbox = through("download@*=expired:403")

    assert "4 new links in a row do not work" in result.results[0].error
    assert result.exit_code == 4
    assert [r.origin for r in sandbox.requests].count("download") == 4


def test_credentials_refused_while_a_link_is_renewed_are_exit_6(through: Any) -> None:
    """The tenant refuses us, not the link: the exit code says so."""
    result, _ = through("download@1=expired:403", "status@2-=token-expired")

    assert "401" in result.results[0].error
    assert "fresh links" not in result.results[0].error
    assert result.exit_code == 6


def test_a_tenant_that_stays_busy_is_given_up_at_the_deadline(through: Any, caplog: Any) -> None:
    """Exit 5, no job, nothing to cancel, and one line that says what is waited for."""
    with caplog.at_level("INFO"):
        result, sandbox = through(
            "create@*=busy:409", target=", deadline: 60s, on_deadline: cancel"
        )

    assert (result.exit_code, sandbox.jobs_created) == (5, 0)
    assert "busy with other jobs for 60 s" in result.results[0].error
    assert not [r for r in sandbox.requests if r.method == "PATCH"]
    assert caplog.text.count("waiting for another job to end") == 1


def test_a_web_page_for_a_status_is_not_asked_for_in_a_hot_loop(through: Any) -> None:
    """Ten minutes of a login page cost a look every three seconds, no more."""
    result, sandbox = through("status@*=html")

    assert result.results[0].outcome.value == "failed"
    assert len([r for r in sandbox.requests if r.path.endswith("/status")]) < 250


def test_a_proxys_404_does_not_make_a_second_job(through: Any) -> None:
    """Only the API's own words say that a job is unknown."""
    result, sandbox = through("status@1-2=404:html", job_seconds=5)

    assert (result.exit_code, sandbox.jobs_created) == (0, 1)


def test_the_deadline_holds_although_the_server_asks_for_more(through: Any, clock: Any) -> None:
    """Looks are not repeated behind the deadline's back."""
    result, _ = through("status@*=503:retry=100", target=", deadline: 60s")

    assert result.exit_code == 5
    assert clock.monotonic() <= 61


def test_the_reliability_script_finds_nothing_lost(start: Any) -> None:
    """A kill and every kind of fault; the page's table comes from the same script."""
    words = ["--kills", "1", "--uploads", "0", "--stops", "0", "--size", "100000"]

    process = start(SCRIPT, "--json", *words)
    out, _ = process.communicate()

    rows = json.loads(out)
    assert [(row["what"], row["wrong"]) for row in rows if row["wrong"]] == []
    assert process.returncode == 0
    assert rows[0]["times"] == 1
    assert len(rows) > 55
    assert all(row["outcomes"].get("succeeded") for row in rows)
