from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_impex_runner.models import Outcome, StepResult
from spark_impex_runner.report import html

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import RunResult, TargetResult


class Page(HTMLParser):
    """What a browser would see: tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def test_the_page_says_everything(every_outcome: RunResult) -> None:
    """Headline, targets, errors, files and steps are there."""
    page = Page(html.render(every_outcome))

    for text in (
        "2 of 7 targets succeeded",
        'JobError: the tenant said <no> & "never"',
        "506.7 kB",
        "0a" * 32,
        "agreed",
        "bucket is gone",
        "motor/pricing[1.4.2]",
    ):
        assert text in page.text


def test_the_page_loads_nothing(every_outcome: RunResult) -> None:
    """No script, no link and no picture: the page is complete in itself, and forbids the rest."""
    text = html.render(every_outcome)
    page = Page(text)

    assert not {"script", "link", "img", "iframe", "a"} & set(page.tags)
    assert not {"src", "href", "style"} & page.attributes
    assert "default-src 'none'" in text
    assert "url(" not in text


def test_every_job_of_a_target_is_named(
    target: TargetResult, run: Callable[..., RunResult]
) -> None:
    """A request that was divided has several."""
    assert "j1, j2" in Page(html.render(run(replace(target, job_ids=("j1", "j2"))))).text


def test_a_run_of_nothing_has_a_page(run: Callable[..., RunResult]) -> None:
    """No target is no reason to fail."""
    assert "0 of 0 targets" in Page(html.render(run())).text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    foreign=st.text() | st.sampled_from(["</style><script>", "<b onclick='x'>", "&lt;", "\ud800"])
)
def test_foreign_text_stays_text(
    target: TargetResult, run: Callable[..., RunResult], foreign: str
) -> None:
    """No text from elsewhere adds a tag."""
    step = StepResult("x", "warned", 0.0, "x")
    plain = replace(target, outcome=Outcome.FAILED, error="x", warnings=("x",), steps=(step,))
    hostile = replace(
        plain,
        error=f"x{foreign}",
        warnings=(f"x{foreign}",),
        job_id=f"x{foreign}",
        steps=(replace(step, uses=foreign, message=foreign),),
        artifacts=tuple(replace(each, name=foreign, sha256=foreign) for each in plain.artifacts),
    )

    page = Page(html.render(run(hostile)).encode().decode())

    expected = Page(html.render(run(replace(plain, artifacts=hostile.artifacts[-1:]))))
    assert page.tags == expected.tags
