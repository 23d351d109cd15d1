"""Write differences as one page with the look of the HTML report, and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.report.diff import calculation_page
from spark_impex_runner.report.diff.summary import (
    NOUNS,
    change_kind,
    headline,
    lists_versions,
    summary,
    title,
    versions,
)
from spark_impex_runner.report.diff.text import shortened, shown_properties
from spark_impex_runner.report.html.document import head
from spark_impex_runner.report.html.markup import facts, listed, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models.comparison import Change, Diff, ServiceDiff, Unknown

# The shapes of a change are its signs: neither colour nor order alone tells them apart.
_STYLE = """
.changes { table-layout: fixed }
.changes td, .changes th { white-space: normal; overflow-wrap: anywhere; width: auto }
.c::before { display: inline-block; width: 1.2em; font-weight: 700 }
.added::before { content: "+"; color: var(--good) }
.removed::before { content: "\\2212"; color: var(--bad) }
.changed::before { content: "~"; color: var(--other) }
.unknown li { color: var(--other); overflow-wrap: anywhere }
.unknown li::before { content: "Not compared: " }
"""


def render(diff: Diff, show: int = 0) -> str:
    """Return the differences as one page with ``show`` moves; all foreign text is escaped."""
    return "".join(_page(diff, show))


def _page(diff: Diff, show: int) -> Iterator[str]:
    names = text(f"{diff.old} → {diff.new}")
    sentence = text(headline(diff))
    yield head(f"{names}: {sentence}", _STYLE + calculation_page.STYLE)
    kind = "succeeded" if diff.complete and not diff.differs else "changes"
    yield f'<header class="{kind}"><h1>{names}</h1><p class="headline">{sentence}</p>\n'
    yield facts((("Old", text(diff.old)), ("New", text(diff.new))))
    yield _unknown(diff.unknown)
    yield "</header>\n<main>\n"
    if diff.calculation:
        yield from calculation_page.section(diff.calculation, show)
    if diff.services:
        yield '<section aria-labelledby="services"><h2 id="services">Services</h2>\n'
        yield listed((_overview(number, each) for number, each in _numbered(diff)), "files")
        yield "</section>\n"
    if diff.files:
        yield '<section aria-labelledby="files"><h2 id="files">Other files</h2>\n'
        yield f"{_table(diff.files)}</section>\n"
    if detailed := [pair for pair in _numbered(diff) if _has_details(pair[1])]:
        yield '<section aria-labelledby="details" class="details"><h2 id="details">Details</h2>\n'
        yield from (_service(number, each) for number, each in detailed)
        yield "</section>\n"
    yield "</main>\n</body></html>\n"


def _numbered(diff: Diff) -> Iterator[tuple[int, ServiceDiff]]:
    return enumerate(diff.services, 1)


def _has_details(service: ServiceDiff) -> bool:
    return bool(service.versions) or lists_versions(service)


def _kind(service: ServiceDiff) -> str:
    if service.old and service.new:
        return "changed" if service.differs else "unknown"
    return "added" if service.new else "removed"


def _overview(number: int, service: ServiceDiff) -> str:
    """Return the line of a service, with a link to its details if it has any."""
    name = text(title(service))
    link = f'<a href="#s{number}">{name}</a>' if _has_details(service) else name
    rest = text(summary(service).removeprefix(f"{title(service)}: "))
    return f'<span class="c {_kind(service)}">{link}</span>: {rest}'


def _service(number: int, service: ServiceDiff) -> str:
    kind = _kind(service)
    parts = [f'<section id="s{number}"><h3 class="c {kind}">{text(title(service))}</h3>\n']
    for numbers, word in ((service.added, "added"), (service.removed, "removed")):
        if numbers and lists_versions(service):
            parts.append(f"<p>Versions {word}: {text(', '.join(numbers))}</p>\n")
    for each in service.versions:
        if len(service.versions) > 1:
            parts.append(f"<h4>{text(versions(each))}</h4>\n")
        parts.append(_table(each.changes))
        if each.parts:
            names = text(", ".join(each.parts))
            parts.append(f"<p>Files in the module that differ: {names}</p>\n")
        parts.append(_unknown(each.unknown))
    return f"{''.join(parts)}</section>\n"


def _table(changes: Sequence[Change]) -> str:
    if not changes:
        return ""
    names = "".join(f'<th scope="col">{name}</th>' for name in ("What", "Old", "New"))
    rows = "".join(_row(each) for each in changes)
    return (
        f'<table class="changes"><thead><tr>{names}</tr></thead>\n<tbody>{rows}</tbody></table>\n'
    )


def _row(change: Change) -> str:
    kind = change_kind(change)
    noun = NOUNS.get(change.section, "")
    name = f"{noun} {change.name}".strip()
    if change.property and change.old is not None and change.new is not None:
        old, new = shortened(change.property, change.old, change.new)
    else:
        old, new = (shown_properties(each or "{}") for each in (change.old, change.new))
    cells = "".join(f"<td><code>{text(value)}</code></td>" for value in (old, new))
    thing = f"{text(name)} <small>{text(change.property or kind)}</small>"
    return f'<tr><th scope="row" class="c {kind}">{thing}</th>{cells}</tr>\n'


def _unknown(unknown: Sequence[Unknown]) -> str:
    return listed((text(f"{each.what}; {each.reason}") for each in unknown), "unknown")
