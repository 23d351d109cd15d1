"""Differences as one page."""

from __future__ import annotations

from html.parser import HTMLParser

from spark_impex_runner.models.comparison import Diff
from spark_impex_runner.report.diff import html


class Page(HTMLParser):
    """Collects elements and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and its attributes."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data.strip())


def test_page_shows_all_differences(diff: Diff) -> None:
    """Each service with its summary, each change with both values, and what is unknown."""
    page = Page(html.render(diff))

    assert {
        "1 service changed, 1 service added, 1 other file changed; not everything was compared",
        "life/<b>term 1.0.0",
        "motor/pricing 1.4.1 -> 1.4.2",
        "input age",
        "type number, default 40, cell B4",
        "Files in the module that differ: _pricing.wasm",
        "workbook; the package states no hash of it, and holds no such file",
        "all; OLD is empty",
        "file note.txt",
        "1.1",
    } <= set(page.texts)


def test_page_is_self_contained(diff: Diff) -> None:
    """It loads nothing, runs nothing, and no name of a package becomes an element."""
    page = Page(html.render(diff))

    assert not {"script", "b", "img", "iframe"} & page.tags
    assert not {"src", "onclick", "style"} & page.attributes
    assert "\x1b" not in "".join(page.texts)


def test_equal_sides_say_so() -> None:
    """The page of no differences has no tables."""
    page = html.render(Diff("a", "b"))

    assert '<p class="headline">Nothing differs</p>' in page
    assert "<table" not in page
