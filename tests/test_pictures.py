"""The pictures of the documentation: drawn from a terminal's screen, and each of them used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pyte
import pytest

ROOT = Path(__file__).parent.parent
IMAGES = sorted((ROOT / "docs/images").iterdir())
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


@pytest.fixture(scope="module")
def terminal(load_script: Any) -> Any:
    """Return docs/terminal.py as a module."""
    return load_script(ROOT / "docs/terminal.py")


def test_a_screen_is_drawn_as_it_is(terminal: Any) -> None:
    """Each word has its column, its colour and its characters; empty lines below are left out."""
    screen = pyte.Screen(40, 10)
    pyte.Stream(screen).feed("a  <b> & c\r\n\x1b[31mfailed\x1b[0m      late")

    picture = ET.fromstring(terminal.svg(screen, "impex-run m.yaml"))  # noqa: S314 - ours

    texts = [each for each in picture.iter("{http://www.w3.org/2000/svg}text") if each.get("x")]
    assert [each.text for each in texts] == ["impex-run m.yaml", "a", "<b> & c", "failed", "late"]
    first, far = (float(texts[index].get("x") or 0) for index in (1, 4))
    assert far - first == pytest.approx(12 * 8.4)
    assert texts[3].get("fill") == "#ff7b72"
    assert picture.get("viewBox") == "0 0 364 84"


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_picture_is_shown_and_described(image: Path) -> None:
    """A page shows it with a text for those who do not see it; it names no folder of its maker."""
    shown = re.compile(rf"!\[([^\]]{{30,}})\]\([\w./]*images/{re.escape(image.name)}\)")

    assert any(shown.search(page.read_text(encoding="utf-8")) for page in PAGES)
    if image.suffix == ".svg":
        text = image.read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 - ours
        assert not re.search(r"/(home|root|tmp|work)/", text)
    assert image.stat().st_size < 250_000
