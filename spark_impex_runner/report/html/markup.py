"""Write the elements that several parts of the page share."""

from __future__ import annotations

from datetime import timezone
from html import escape
from typing import TYPE_CHECKING

from spark_impex_runner.text import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


def text(value: str) -> str:
    """Return foreign text on one line, escaped."""
    return escape(plain(value))


def shortened(value: str, limit: int) -> str:
    """Return the beginning of foreign text, at most ``limit`` characters, escaped."""
    return escape(one_line(value, limit=limit, replacement="\N{REPLACEMENT CHARACTER}"))


def moment(at: datetime) -> str:
    """Return a time for people: ``2026-01-31 12:00:05 UTC``."""
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values, which are markup, without the empty ones."""
    return f"<dl>{''.join(f'<dt>{name}<dd>{value}' for name, value in rows if value)}</dl>\n"


def listed(items: Iterable[str], kind: str) -> str:
    """Return a list of markup, an empty text without items."""
    body = "".join(f"<li>{each}" for each in items)
    return f'<ul class="{kind}">{body}</ul>\n' if body else ""


def folded(summary: str, content: str) -> str:
    """Return content that is shown when its summary is opened, and in print."""
    return f"<details><summary>{summary}</summary>\n{content}</details>\n"
