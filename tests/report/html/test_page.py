from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.models import Outcome, StepResult
from spark_impex_runner.report import html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.models import RunResult, TargetResult


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.links: list[str] = []
        self.in_link = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.in_link = tag == "a"
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a link."""
        self.in_link = self.in_link and tag != "a"

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data
        if self.in_link:
            self.links.append(data)

    def values(self, name: str) -> list[str]:
        """Return every value of an attribute."""
        return [value or "" for each, value in self.attributes if each == name]


def test_the_page_says_everything(every_outcome: RunResult) -> None:
    """Headline, targets, errors, files, steps, warnings and the run's own facts are there."""
    page = Page(html.render(every_outcome))

    for text in (
        "2 of 7 targets succeeded",
        'JobError: the tenant said <no> & "never"',
        "506.7 kB",
        "0a" * 32,
        "tenant's hash agreed",
        "bucket is gone",
        "no hash for motor.zip",
        "motor/pricing[1.4.2]",
        "CHG-4711",
        "34d7d465-86eb-4eed-a388-fa4525cf7be6",
        "20260131-1f2e",
        "/srv/release/release.yaml",
        "2026-01-31 12:00:00 UTC",
        "1m 13s",
        "spark-impex-runner 0.1.0",
    ):
        assert text in page.text


def test_the_page_loads_nothing(every_outcome: RunResult) -> None:
    """No script, no picture, no address but those of its own sections, and a policy against all."""
    text = html.render(every_outcome)
    page = Page(text)

    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert not {"src", "srcset", "style", "xlink:href"} & {name for name, _ in page.attributes}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(each.startswith("#") for each in page.values("href"))
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text


def test_what_failed_comes_first(every_outcome: RunResult) -> None:
    """In the table and in the details; each row leads to a section."""
    page = Page(html.render(every_outcome))
    names = ["a-failed", "a-timed_out", "a-held", "a-cancelled", "a-skipped", "motor", "life"]

    assert page.links == names
    assert page.values("href") == [f"#t{number}" for number in range(1, 8)]
    assert [each for each in page.values("id") if each[1:].isdigit()] == [
        each.removeprefix("#") for each in page.values("href")
    ]


def test_many_failures_leave_the_timeline_near(many: Callable[..., RunResult]) -> None:
    """The first twenty stand above it, the others are folded as those that succeeded."""
    page = html.render(many(500))
    table, _, rest = page.partition("<details><summary>5 more targets that did not succeed")

    assert table.count('<tr><th scope="row">') == 20
    assert "<summary>475 targets that succeeded" in rest
    assert rest.count('<section id="t') == 25
    assert '<a href="#timeline">Timeline</a>' in table


@pytest.mark.parametrize("count", [30, 500])
def test_every_target_has_its_section(many: Callable[..., RunResult], count: int) -> None:
    """Also where those of good targets are folded; identifiers are unique."""
    page = Page(html.render(many(count)))
    ids = page.values("id")

    assert len(set(ids)) == len(ids)
    assert {each.removeprefix("#") for each in page.values("href")} <= set(ids)
    assert sum(each.startswith("t") and each[1:].isdigit() for each in ids) == count


@pytest.mark.parametrize(("count", "tenants", "most"), [(500, 5, 1), (5000, 900, 3)])
def test_many_targets_keep_it_small(
    many: Callable[..., RunResult], count: int, tenants: int, most: int
) -> None:
    """At most 1 MB for 500 targets and 3 MB for 5,000; failed ones keep their sections."""
    text = html.render(many(count, tenants))

    assert len(text.encode()) <= most * 1_000_000
    assert text.count("To run it again:") == count // 20
    assert all(f"motor-release-{number:04d}" in text for number in range(count))


def test_large_results_keep_it_small(
    many: Callable[..., RunResult], target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """Services and jobs are counted beyond the first ones, and the page says what it leaves out."""
    services = target.service_versions * 3000
    jobs = tuple(map(str, range(3000)))
    long = [
        replace(each, service_versions=services, job_ids=jobs, outcome=Outcome.FAILED)
        for each in many(500).results
    ]

    text = html.render(run(*long))

    assert len(text.encode()) <= 1_000_000
    assert "and 2950 more" in text
    assert "more targets are not on this page" in text
    assert {each.removeprefix("#") for each in Page(text).values("href")} <= set(
        Page(text).values("id")
    )


def test_the_first_error_is_there_in_full(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """However long it is."""
    failed = replace(target, outcome=Outcome.FAILED, error="x" * 600_000)

    assert "x" * 600_000 in html.render(run(failed, failed))


def test_unchanged_is_no_failure(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """Where the earlier delivery is stands in the details alone."""
    unchanged = replace(target, outcome=Outcome.UNCHANGED, error="kept since Monday")

    assert Page(html.render(run(unchanged))).text.count("kept since Monday") == 1


def test_every_job_of_a_target_is_named(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """A request that was divided has several."""
    assert "j1, j2" in Page(html.render(run(replace(target, job_ids=("j1", "j2"))))).text


def test_a_run_of_nothing_has_a_page(run: Callable[..., RunResult]) -> None:
    """No target is no reason to fail; a refusal and problems of the run are shown."""
    page = Page(html.render(run(refusal="no credentials", refused_with=6, problems=("disk full",))))

    assert "the run did not begin: no credentials" in page.text
    assert "disk full" in page.text
    assert "Targets" not in page.text


def test_the_command_runs_one_target(every_outcome: RunResult) -> None:
    """With the options of the run, and with the digests that an approval must name."""
    results = [
        replace(each, digests=("3f" * 32, "4e" * 32, "3f" * 32)) for each in every_outcome.results
    ]
    command = "impex-run 'my release.yaml' --var a=b"

    text = Page(html.render(replace(every_outcome, results=tuple(results), command=command))).text
    bare = Page(html.render(every_outcome)).text

    assert f"{command} -t a-held --approve prod@{'3f' * 6} --approve prod@{'4e' * 6}" in text
    assert text.count(f"--approve prod@{'3f' * 6}") == 1
    assert f"To resume it:{command} -t a-timed_out" in text
    assert f"To run it again:{command} -t a-failed" in text
    assert f"{command} -t motor" not in text
    assert "impex-run /srv/release/release.yaml -t a-held --approve prod" in bare


def test_an_approval_is_shown(target: TargetResult, run: Callable[..., RunResult]) -> None:
    """Who reads the page sees what was approved."""
    assert "prod@3f2a" in Page(html.render(run(replace(target, approved=("prod@3f2a",))))).text


def test_drawings_are_well_formed(many: Callable[..., RunResult]) -> None:
    """Each is XML, so that it can be taken out of the page."""
    page = html.render(many(30)) + html.render(many(60))

    found = list(drawings(page))

    assert len(found) > 90
    for each in found:
        ET.fromstring(each)  # noqa: S314 - we wrote it


def drawings(page: str) -> Iterator[str]:
    """Yield each drawing with those inside it."""
    depth = start = 0
    for found in re.finditer("<svg |</svg>", page):
        if not depth:
            start = found.start()
        depth += 1 if found[0] == "<svg " else -1
        if not depth:
            yield page[start : found.end()]


def test_the_style_has_no_unknown_class(
    every_outcome: RunResult, many: Callable[..., RunResult]
) -> None:
    """What the style sheet names is on a page."""
    one = replace(many(1).results[0], approved=("prod",))
    every = tuple(replace(one, outcome=each) for each in Outcome)
    # A minute long: the last tick of the axis is at its end.
    minute = replace(every_outcome, results=every, finished=one.started + timedelta(seconds=60))
    runs = [many(700, 70), every_outcome, minute]
    style = (files("spark_impex_runner.report.html") / "style.css").read_text(encoding="utf-8")

    used = {
        name
        for each in runs
        for value in Page(html.render(each)).values("class")
        for name in value.split()
    }

    assert set(re.findall(r"\.([a-z_]+)[ .:,]", style)) - used == set()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    foreign=st.text() | st.sampled_from(["</style><script>", "<b onclick='x'>", "&lt;", "\ud800"])
)
def test_foreign_text_stays_text(
    target: TargetResult, run: Callable[..., RunResult], foreign: str
) -> None:
    """No text from elsewhere adds a tag or an attribute."""
    step = StepResult("x", "warned", 0.0, "x", started=target.started)
    plain = replace(target, outcome=Outcome.HELD, error="x", warnings=("x",), steps=(step,))
    plain = replace(plain, approve="x", approved=("x",), tenant="x")
    hostile = replace(
        plain,
        target=replace(plain.target, name=f"x{foreign}", tags=(f"x{foreign}",)),
        error=f"x{foreign}",
        warnings=(f"x{foreign}",),
        job_id=f"x{foreign}",
        tenant=f"x{foreign}",
        approve=f"x{foreign}",
        approved=(f"x{foreign}",),
        steps=(replace(step, uses=foreign, message=f"x{foreign}"),),
        artifacts=tuple(
            replace(each, name=foreign, sha256=f"x{foreign}") for each in plain.artifacts
        ),
    )

    page = Page(html.render(run(hostile)).encode().decode())

    expected = Page(html.render(run(replace(plain, artifacts=hostile.artifacts[-1:]))))
    names = [name for name, _ in page.attributes]
    assert page.tags == expected.tags
    assert names == [name for name, _ in expected.attributes]
