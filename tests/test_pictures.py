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


def test_trace_is_drawn_as_tree(load_script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each span has a row below its parent's, and a bar at its time whose colour is its kind's."""
    pb = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    monkeypatch.syspath_prepend(ROOT / "docs")
    waterfall = load_script(ROOT / "docs/waterfall.py")
    second = 10**9

    def request(*spans: Any) -> bytes:
        scopes = [pb.ScopeSpans(spans=spans)]
        return bytes(pb.TracesData(resource_spans=[{"scope_spans": scopes}]).SerializeToString())

    def span(number: int, name: str, began: int, ended: int, parent: int = 0, **more: Any) -> Any:
        times = {"start_time_unix_nano": began * second, "end_time_unix_nano": ended * second}
        ids = {"span_id": bytes([number]), "parent_span_id": bytes([parent] if parent else [])}
        return pb.Span(name=name, **ids, **times, **more)

    call = span(3, "GET", 103, 104, 2, kind=3, status={"code": 2})
    life, motor = span(4, "target b", 110, 120, 1), span(2, "target a", 101, 105, 1)
    rows = waterfall.rows([request(call, life, motor), request(span(1, "run <m>", 100, 120))])
    picture = ET.fromstring(waterfall.svg(rows, "one run"))  # noqa: S314 - ours

    assert [(each.name, each.depth, each.began, each.ended) for each in rows] == [
        ("run <m>", 0, 0, 20),
        ("target a", 1, 1, 5),
        ("GET", 2, 3, 4),
        ("target b", 1, 10, 20),
    ]
    bars = list(picture.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    widths = [float(each.get("width") or 0) for each in bars]
    assert widths == pytest.approx([448, 448 / 5, 448 / 20, 448 / 2], abs=0.1)
    assert bars[1].get("fill") == bars[3].get("fill") != bars[2].get("fill")


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
