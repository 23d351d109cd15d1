"""The documentation site: every page, link and anchor, and no request to another server."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the generator of the site needs Python 3.11"
)
PAGES = sorted((ROOT / "docs").rglob("*.md"))


class Page(HTMLParser):
    """The links, the loaded files and the anchors of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element links to, loads and is called."""
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in {"canonical", "prev", "next"}:
            self.loaded.append(values["href"])
        if "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(load_script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder: Path = load_script(ROOT / "docs/site.py").build(
        tmp_path_factory.mktemp("docs") / "site"
    )
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Return every page of the site by its file."""
    # The page of a URL that does not exist may be shown at any depth: its links are absolute.
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_on_the_site(site: Path, pages: dict[Path, Page]) -> None:
    """Every page of docs/ is built, and the front page links to it."""
    front = {(site / link).resolve() for link in pages[site / "index.html"].links}

    for page in PAGES:
        built = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        assert built in pages
        assert built.name == "index.html" or built.resolve() in front


def test_links_and_anchors_lead_somewhere(pages: dict[Path, Page]) -> None:
    """Every link within the site has its file, every anchor its element."""
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), f"{path}: {link}"
            if parts.fragment and file in pages:
                assert unquote(parts.fragment) in pages[file].anchors, f"{path}: {link}"


def test_the_site_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    """Scripts, styles, fonts and pictures are files of the site; nothing asks another server."""
    for page in pages.values():
        assert [each for each in page.loaded if urlsplit(each).netloc] == []
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", text) == []
    # The theme's script loads a library from elsewhere only for a page with a diagram of Mermaid,
    # and asks GitHub only for a site with a `repo_url`.
    assert "repo_url" not in (ROOT / "docs/zensical.toml").read_text()
    assert [page for page in PAGES if "```mermaid" in page.read_text(encoding="utf-8")] == []


def test_llms_txt_lists_every_page(site: Path) -> None:
    """The file llms.txt has a line for each page, which says what it is about."""
    lines = (site / "llms.txt").read_text(encoding="utf-8").splitlines()
    listed = [
        re.fullmatch(r"- \[.+\]\((.+)\): \S.{20,}", line) for line in lines if line[:1] == "-"
    ]

    assert all(listed)
    urls = {found[1] for found in listed if found}
    expected = {page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in PAGES}
    assert urls >= expected - {"index.html"}
    assert all((site / url).is_file() for url in urls)


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("how-to/ci.md", "[x](../../examples/full.yaml)", "[x](../examples/full.yaml)"),
        ("how-to/ci.md", "[x](../reference/cli.md#run)", "[x](../reference/cli.md#run)"),
        ("CHANGELOG.md", "[x](docs/how-to/ci.md)", "[x](how-to/ci.md)"),
        ("examples/README.md", "[x](../docs/how-to/ci.md)", "[x](../how-to/ci.md)"),
        ("how-to/ci.md", "[x](https://example.org/docs/)", "[x](https://example.org/docs/)"),
    ],
)
def test_links_move_with_their_page(load_script: Any, page: str, before: str, after: str) -> None:
    """A link of a page leads to the same page or file where the site has it."""
    module = load_script(ROOT / "docs/site.py")

    assert module.moved(before, module.PurePosixPath(page)) == after
