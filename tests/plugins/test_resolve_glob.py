"""Patterns become the services that a tenant lists, and the same ones each time."""

from __future__ import annotations

import json
import logging
import re
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.engine.run import run_manifest
from spark_impex_runner.errors import ForbiddenError, ManifestError, UriError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Outcome, RunOptions, ServiceVersion
from spark_impex_runner.planning.load import load
from spark_impex_runner.planning.prepare import prepare
from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark import listing
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

glob = import_module("spark_impex_runner.plugins.resolve_glob")
pattern = import_module("spark_impex_runner.plugins.resolve_glob.pattern")

VERSIONS = (
    "motor/pricing/1.4.1",
    "motor/pricing/1.4.2",
    "motor/pricing/1.20.0",
    "motor/pricing/2.0.0",
    "motor/claims/2.1.0",
    "motor/old-pricing/1.0.0",
    "motor/old-claims/1.4.9",
    "life/annuity/1.0.0",
    "life/pricing/3.0.0",
    "version/pricing/1.0.0",
)
LIFE, MOTOR = ["life/annuity", "life/pricing"], ["motor/claims", "motor/pricing"]
OLD = ["motor/old-claims", "motor/old-pricing"]
WORD = "folders/version/services/pricing"


@pytest.fixture
def serve(tmp_path: Path, clock: Any, monkeypatch: Any) -> Iterator[Callable[..., Sandbox]]:
    """Give a function that serves a tenant, whose listings have pages of three rows."""
    monkeypatch.setattr(listing, "PAGE_SIZE", 3)
    for version in VERSIONS:
        (tmp_path / "acme" / version).mkdir(parents=True)
    served: list[Sandbox] = []

    def start(*faults: str) -> Sandbox:
        settings = Settings(faults=tuple(map(parse_fault, faults)))
        served.append(Sandbox(tmp_path / "acme", settings, clock=clock.monotonic).start())
        return served[-1]

    yield start
    for sandbox in served:
        sandbox.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a manifest, a target for each list of services."""

    def write(sandbox: Sandbox, *targets: Sequence[str]) -> Path:
        (tmp_path / "token").write_text(sandbox.token)
        auth = {"token": f"${{file:{tmp_path}/token}}"}
        document = {
            "version": 1,
            "connections": {"sit": {"base_url": sandbox.base_url, "auth": auth}},
            "targets": [{"name": f"t{n}", "services": [*s]} for n, s in enumerate(targets)],
        }
        path = tmp_path / "m.yaml"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def planned(write: Any, clock: Any) -> Callable[..., list[list[str]]]:
    """Give a function that returns the services that each target's request asks for."""

    def plan(sandbox: Sandbox, *targets: Sequence[str]) -> list[list[str]]:
        with prepare(write(sandbox, *targets), RunOptions(), clock, Masker()) as prepared:
            return [list(each.request.services) for each in prepared.plan]

    return plan


def asked(sandbox: Sandbox, arguments: str) -> int:
    """Return how many requests had these words in their path."""
    return sum(arguments in request.path for request in sandbox.requests)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["motor/*"], ["motor/claims", *OLD, "motor/pricing"]),
        (["motor/*", "!motor/old-*"], MOTOR),
        (["!motor/old-*", "motor/*"], MOTOR),
        (["life/*", "!life/annuity"], ["life/pricing"]),
        (["*/pricing"], ["life/pricing", "motor/pricing", "version/pricing"]),
        (["m*/pr?cing"], ["motor/pricing"]),
        (["folders/version/services/*"], ["version/pricing"]),
        (["*", "!motor/*", "!version*/*"], LIFE),
        (["*", "!*/pricing", "!motor/*", "motor/pricing"], ["life/annuity", "motor/pricing"]),
        (["motor/pricing[1]"], ["motor/pricing[1.20.0]"]),
        (["motor/pricing[1.4]"], ["motor/pricing[1.4.2]"]),
        (["motor/pricing?1.4"], ["motor/pricing[1.4.2]"]),
        (["motor/pricing[1.2]", "life/annuity"], None),
        (["motor/pr?cing[1.*]"], ["motor/pricing[1.20.0]"]),
        (["*/pricing[1.4.*]"], ["motor/pricing[1.4.2]"]),
        (["*/*[1.4]"], ["motor/old-claims[1.4.9]", "motor/pricing[1.4.2]"]),
        (["motor/pricing[1.4.2]", "motor/p*"], ["motor/pricing[1.4.2]", "motor/pricing"]),
    ],
)
def test_pattern_expands_to_services(
    serve: Any, planned: Any, entries: list[str], expected: list[str] | None
) -> None:
    """In the order of the entries, and each entry's in the order of names; none is 1.2.x."""
    sandbox = serve()

    if expected is None:
        with pytest.raises(UriError, match=r"'motor/pricing\[1\.2\]' matches no version on .*"):
            planned(sandbox, entries)
    else:
        assert planned(sandbox, entries) == [expected]


def test_tenant_is_listed_once(serve: Any, planned: Any) -> None:
    """Seven services are three pages of three rows, for all patterns together."""
    sandbox = serve()

    found = planned(sandbox, ["motor/*"], ["*"], ["*/pricing[2]", "!life/*"], ["*/pr*[1.4]"])

    assert len(found[1]) == 7
    assert asked(sandbox, "/services/search") == 3
    assert asked(sandbox, "/getversions/") == 3


def test_order_of_listing_does_not_matter(serve: Any, planned: Any, monkeypatch: Any) -> None:
    """Else a run that goes on would not know its own job again."""
    listed = Spark.list_services
    before = planned(serve(), ["motor/*"])
    monkeypatch.setattr(Spark, "list_services", lambda spark: listed(spark)[::-1])

    assert planned(serve(), ["motor/*"]) == before


def test_full_names_need_no_listing(serve: Any, planned: Any) -> None:
    """Whole versions, names and ids are sent as they stand."""
    sandbox, uuid = serve(), "2c1b0a34-0000-4000-8000-000000000001"
    entries = ["motor/pricing[1.4.2]", "motor/claims", f"service/{uuid}"]

    assert planned(sandbox, entries) == [[*entries[:2], uuid]]
    assert not sandbox.requests


def test_next_run_lists_again(serve: Any, planned: Any, tmp_path: Path) -> None:
    """Nothing of one run is left for another: a new service is found."""
    before = planned(serve(), ["life/*"])
    (tmp_path / "acme/life/term/1.0.0").mkdir(parents=True)

    assert before == [LIFE]
    assert planned(serve(), ["life/*"]) == [[*LIFE, "life/term"]]


@pytest.mark.parametrize(
    ("entry", "output"),
    [
        ("motr/*", r"'motr/\*' matches no service of http://.*/acme; nearest: motor/\w"),
        ("motor/prcing*", r"'motor/prcing\*' matches no service of .*; nearest: motor/pricing"),
        ("Motor/*", r"'Motor/\*' matches no service of .*; nearest: motor/"),
        ("zzz/*", r"'zzz/\*' matches no service of .*; there are 7 others"),
        ("motor/pricing[7]", r"matches no version on .*; motor/pricing has 2.0.0, 1.20.0, 1.4.2$"),
        ("motor/c*[1.*]", r"matches no version on .*; motor/claims has 2.1.0$"),
        ("!motor/*", r"'!motor/\*' has no pattern to exclude from; add one, such as motor/\*"),
    ],
)
def test_pattern_without_match_suggests_names(
    serve: Any, planned: Any, entry: str, output: str
) -> None:
    """Target and pattern are named; case counts."""
    with pytest.raises(UriError, match=f"^target t0: .*{output}"):
        planned(serve(), [entry])


def test_exclusion_keeps_full_names(serve: Any, planned: Any) -> None:
    """A service with a part of a version is named, too: there is no pattern to take from."""
    with pytest.raises(UriError, match="has no pattern to exclude from"):
        planned(serve(), ["motor/pricing[1]", "!motor/p*"])


def test_excluding_everything_is_an_error(serve: Any, planned: Any) -> None:
    """A target without services would export nothing."""
    with pytest.raises(UriError, match=r"^target t0: 'life/\*', '!\*' matches no service"):
        planned(serve(), ["life/*", "!*"])


def test_unused_exclusion_warns(serve: Any, planned: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It may be a typo, and it may be that the old services are gone."""
    with caplog.at_level(logging.WARNING):
        assert planned(serve(), ["life/*", "!life/anuity", "!life/p*"]) == [["life/annuity"]]

    assert [each.message for each in caplog.records] == [
        "'!life/anuity' excludes no service; nearest: life/annuity, life/pricing"
    ]


def test_failed_listing_is_retried(serve: Any, planned: Any) -> None:
    """A lost connection or a busy server is no reason to export less."""
    sandbox = serve("search@2=503", "versions@1=reset")

    assert planned(sandbox, ["*/pricing[2]"]) == [["motor/pricing[2.0.0]"]]
    assert asked(sandbox, "/services/search") == 4


def test_refused_listing_creates_no_job(serve: Any, write: Any, clock: Any) -> None:
    """Half a list is never taken for the whole."""
    sandbox = serve("search@2=403")

    with pytest.raises(ForbiddenError, match="services/search"):
        run_manifest(write(sandbox, ["*"]), clock=clock)

    assert sandbox.jobs_created == 0


def test_patterns_are_delivered_and_compared(serve: Any, write: Any, clock: Any) -> None:
    """The run asks for what the plan shows, and the tenant delivers it."""
    result = run_manifest(write(serve(), ["motor/*", "!motor/old-*"]), clock=clock)

    assert [each.outcome for each in result.results] == [Outcome.SUCCEEDED]
    assert {f"{each.folder}/{each.service}" for each in result.results[0].services} == {*MOTOR}


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("motor/*", ""),
        ("!motor/x", ""),
        ("*", ""),
        ("!*", ""),
        ("motor/pr?cing", ""),
        ("*/pricing[1.*]", ""),
        ("motor/pricing[1.4]", ""),
        ("motor/pricing[1.4", "service URI 'motor/pricing[1.4' is in no known form"),
        ("motor/*[1.4", "pattern 'motor/*[1.4' has a bracket too many or too few"),
        ("motor/*[]", "pattern 'motor/*[]' has no valid version in ''"),
        ("motor/x[*.1]", "pattern 'motor/x[*.1]' has no valid version in '*.1'"),
        ("motor/x[1.?]", "service URI 'motor/x[1.?]' is in no known form"),
        ("!", "pattern '!' is in no known form"),
        ("!x", "pattern '!x' is in no known form"),
        ("!motor/x[1.4.2]", "pattern '!motor/x[1.4.2]' gives a version, and an exclusion has none"),
        ("motor*", "pattern 'motor*' is in no known form"),
        ("a/b/*", "pattern 'a/b/*' is in no known form"),
        ("version/*", "pattern 'version/*' is ambiguous: 'version' is a keyword of service URIs"),
    ],
)
def test_entries_are_checked_offline(
    serve: Any, write: Any, clock: Any, entry: str, fault: str
) -> None:
    """Patterns and plain URIs alike are told where they stand, as soon as the manifest is read."""
    sandbox = serve()
    path = write(sandbox, [entry])

    try:
        load(path, RunOptions(), clock, Masker())
        found = ""
    except ManifestError as error:
        found = re.sub(r"^.*m\.yaml:1:\d+: targets\[0\]\.services\[0\]: ", "", str(error))

    assert found.startswith(fault)
    assert bool(found) == bool(fault)
    assert not sandbox.requests


def test_pattern_needs_plugin(serve: Any, write: Any, clock: Any) -> None:
    """Nobody would resolve it."""
    options = RunOptions(blocked_plugins=frozenset({"resolve_glob"}))

    with pytest.raises(ManifestError, match="is a pattern, and no plugin here resolves it"):
        load(write(serve(), ["motor/*"]), options, clock, Masker())


NAMES = st.text(st.sampled_from("ab-. "), min_size=1, max_size=6).filter(
    lambda text: text.strip() == text and text not in {".", ".."}
)
GLOBS = st.text(st.sampled_from("ab-.*?"), min_size=1, max_size=6)
NUMBERS = st.lists(st.integers(0, 30).map(str), min_size=3, max_size=3)


@given(NAMES, NAMES)
def test_name_matches_itself_and_star(folder: str, service: str) -> None:
    """So a service can always be excluded by its name."""
    assert pattern.Pattern.parse(f"!{folder}/{service}").matches(folder, service)
    assert pattern.Pattern.parse("*").matches(folder, service)


@given(GLOBS, GLOBS, NAMES, NAMES)
def test_pattern_matches_like_shell(one: str, two: str, folder: str, name: str) -> None:
    """Folder and service each on their own: no star goes beyond a slash."""
    read = pattern.Pattern.parse(f"{one}/{two}[1.*]")

    assert read.matches(folder, name) == (fnmatchcase(folder, one) and fnmatchcase(name, two))
    assert not read.excludes


@given(st.lists(NUMBERS, max_size=6), st.lists(st.integers(0, 30).map(str), max_size=3))
def test_latest_has_highest_number(have: Any, wanted: list[str]) -> None:
    """By component and by number: 1.4 is not 1.40, and 1.10 is later than 1.9."""
    versions = [ServiceVersion("f", "s", version=".".join(each)) for each in have]
    fitting = [[*map(int, each)] for each in have if each[: len(wanted)] == wanted]

    found = pattern.Pattern("f", "s", tuple(wanted)).latest(versions)

    assert found == ".".join(map(str, max(fitting, default=())))


@given(st.text(st.sampled_from("ab1.[]!*?/@ \x00"), max_size=12))
def test_entry_is_pattern_uri_or_error(entry: str) -> None:
    """Any text can be checked, and a plain URI means no other service when it is resolved."""
    fault = glob.check(entry, None)
    if fault:
        with pytest.raises(UriError):
            pattern.parse_entry(entry)
        assert len(fault.splitlines()) == 1
    elif fault is None and (found := pattern.parse_entry(entry)):
        uri = Uri.parse(entry)
        assert (uri.folder, uri.service) == (found.folder, found.service)
