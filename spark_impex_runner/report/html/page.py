"""Write the page: summary, table of targets, timeline, and a section for each target."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import seconds
from spark_impex_runner.report.figures import format_duration
from spark_impex_runner.report.headline import BAD, headline, outcome, outcome_text
from spark_impex_runner.report.html.document import head
from spark_impex_runner.report.html.markup import facts, listed, moment, text
from spark_impex_runner.report.html.overview import overview
from spark_impex_runner.report.html.target import Entry, section
from spark_impex_runner.report.html.timeline import MOST_OPEN, timeline
from spark_impex_runner.text import counted, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models import RunResult

_ORDER = (*BAD, Outcome.SUCCEEDED, Outcome.UNCHANGED)
# Bytes of all sections. With tables and timeline, 500 targets then take less than 1 MB and 5,000
# less than 3 MB.
_MOST_DETAILS = 550_000
_MOST_TENANTS = 5
_CONTENTS = (
    '<nav aria-label="Contents"><a href="#targets">Targets</a> <a href="#timeline">Timeline</a> '
    '<a href="#details">Details</a></nav>\n'
)


def pieces(result: RunResult) -> Iterator[str]:
    """Yield the page in pieces."""
    ordered = sorted(result.results, key=lambda each: _ORDER.index(each.outcome))
    entries = [Entry(f"t{number}", each) for number, each in enumerate(ordered, 1)]
    fold = len(entries) > MOST_OPEN
    sections = _sections(entries, result, fold=fold)
    linked = [replace(each, has_section=n < len(sections)) for n, each in enumerate(entries)]
    yield from _head(result)
    if fold:
        yield _CONTENTS
    yield '<main class="many">\n' if fold else "<main>\n"
    yield from overview(linked, fold=fold)
    yield from timeline(result, linked)
    yield from _details(sections, len(entries))
    version = text(result.runner_version)
    yield f"</main>\n<footer>Written by spark-impex-runner {version}</footer>\n</body></html>\n"


def _head(result: RunResult) -> Iterator[str]:
    """Yield the head of the document, and its header with the summary of the run."""
    name, sentence = text(result.manifest.name), text(headline(result))
    yield head(f"{name}: {sentence}")
    yield f'<header class="{outcome(result)}"><h1>{name}</h1><p class="headline">{sentence}</p>\n'
    counts = Counter(each.outcome for each in result.results)
    yield listed(
        (
            f'<span class="o {each.value}">{counts[each]} {outcome_text(each)}</span>'
            for each in _ORDER
            if counts[each]
        ),
        "counts",
    )
    yield listed(map(text, result.problems), "warnings")
    yield facts(_facts(result))
    yield "</header>\n"


def _facts(result: RunResult) -> Iterator[tuple[str, str]]:
    tenants = list(dict.fromkeys(each.tenant for each in result.results if each.tenant))
    yield "Manifest", text(str(result.manifest.path))
    yield "Run", text(result.run_id)
    yield "Started", moment(result.started)
    yield "Finished", moment(result.finished)
    yield "Duration", format_duration(seconds(result.started, result.finished))
    yield "Exit code", str(result.exit_code)
    yield "Tenants" if len(tenants) > 1 else "Tenant", text(first_of(tenants, _MOST_TENANTS))


def _sections(entries: Sequence[Entry], result: RunResult, *, fold: bool) -> list[str]:
    """Return the sections of the first targets, as many as the page has space for."""
    written: list[str] = []
    space = _MOST_DETAILS
    for each in entries:
        piece = section(each, result, fold=fold and each.result.good)
        space -= len(piece.encode())
        if space < 0 and written:
            break
        written.append(piece)
    return written


def _details(sections: Sequence[str], count: int) -> Iterator[str]:
    if not sections:
        return
    yield '<section aria-labelledby="details" class="details"><h2 id="details">Details</h2>\n'
    yield from sections
    if left := count - len(sections):
        yield (
            f'<p class="note">The details of {counted(left, "more target")} are not on this page: '
            "it would be too large. The JSON report has them all "
            "(<code>--report json=FILE</code>).</p>\n"
        )
    yield "</section>\n"
