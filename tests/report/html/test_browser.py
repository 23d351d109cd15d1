"""What a browser makes of the page, at the widths of a telephone, a tablet and a desk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.models import Outcome
from spark_impex_runner.report import html

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models import RunResult

WIDTHS = (375, 768, 1280)
# What axe finds, and what it cannot decide but for contrasts: it does not read those in drawings.
BARRIERS = """axe.run({resultTypes: ["violations", "incomplete"]}).then(found => [
    ...found.violations, ...found.incomplete.filter(each => each.id != "color-contrast")
].map(each => [each.id, each.nodes.map(node => node.html).slice(0, 3)]))"""


PAINT = """new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))
    .observe({type: "paint", buffered: true}))"""


@pytest.fixture
def page(tmp_path: Path, many: Callable[..., RunResult]) -> Callable[..., Path]:
    """Write the report of a run with targets of every outcome, and long names."""

    def write(count: int) -> Path:
        finished = many(count)
        named = [
            replace(each, outcome=outcome, error="x" * 300, approve="prod", warnings=("y" * 90,))
            for each, outcome in zip(finished.results, Outcome, strict=False)
        ]
        named[0] = replace(named[0], target=replace(named[0].target, name="long" * 40))
        every = (*named, *finished.results[len(named) :])
        path = tmp_path / "report.html"
        path.write_text(html.render(replace(finished, results=every)), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_has_no_barriers(
    browser: Any, axe: str, page: Callable[..., Path], width: int, scheme: str
) -> None:
    """Nothing is too faint, unnamed or out of order, and nothing is wider than the window."""
    asked = browser.open(written := page(7), width, scheme)

    browser.evaluate(axe)

    assert browser.evaluate(BARRIERS) == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert asked == [written.as_uri()]


def test_a_link_opens_what_is_folded(browser: Any, axe: str, page: Callable[..., Path]) -> None:
    """The details of a good target are shown to those who follow the link of its row."""
    browser.open(page(41), 1280)
    browser.evaluate(axe)
    assert browser.evaluate(BARRIERS) == []

    browser.evaluate("location.hash = document.querySelector('details a').hash")
    opened = "document.querySelector(location.hash).closest('details').open"

    assert browser.evaluate(opened) is True


def test_print_shows_all_on_white(browser: Any, page: Callable[..., Path]) -> None:
    """Also from a dark screen; what is folded on the screen is printed."""
    browser.open(page(41), 1280, "dark")
    browser.send("Emulation.setEmulatedMedia", media="print")

    shown = browser.evaluate("document.querySelector('.details details > div').checkVisibility()")
    colour = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    assert colour == "rgb(255, 255, 255)"
    assert shown
    assert browser.pdf().startswith(b"%PDF")


def test_many_targets_are_painted(browser: Any, page: Callable[..., Path]) -> None:
    """The first of 500 targets are seen; ``-s`` shows how soon (0.2 s on an idle machine)."""
    path = page(500)
    browser.open(path, 1280)

    painted = browser.evaluate(PAINT)

    size = path.stat().st_size
    print(f"\n500 targets: {size} bytes, first paint after {painted:.0f} ms")  # noqa: T201 - a figure
    assert painted > 0
