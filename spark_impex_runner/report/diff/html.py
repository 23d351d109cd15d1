"""Write differences as one page, self-contained and without scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from spark_impex_runner.report.diff.text import render as render_text
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from spark_impex_runner.models.comparison import Diff


def render(diff: Diff) -> str:
    """Return the differences as one page."""
    title = escape(plain(f"{diff.old} -> {diff.new}"))
    return f"<!doctype html>\n<title>{title}</title>\n<pre>{escape(render_text(diff))}</pre>"
