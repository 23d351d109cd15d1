"""Write the table of all targets: those that need attention first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import artifacts, seconds
from spark_impex_runner.report.figures import format_duration, format_size
from spark_impex_runner.report.headline import outcome_text
from spark_impex_runner.report.html.markup import folded, shortened
from spark_impex_runner.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.report.html.target import Entry

# The rest of a long name or error is in the target's section.
_LONGEST_NAME = 120
_LONGEST_ERROR = 240
# The timeline below the table must not be too far away.
_MOST_OPEN = 20
_HEAD = (
    '<thead><tr><th scope="col">Target<th scope="col">Outcome<th scope="col" class="n wide">'
    'Packages<th scope="col" class="n wide">Size<th scope="col" class="n">Duration<tbody>\n'
)


def overview(entries: Sequence[Entry], *, fold: bool) -> Iterator[str]:
    """Yield one table, or two of which that of the good targets is shown on demand."""
    if not entries:
        return
    yield '<section aria-labelledby="targets"><h2 id="targets">Targets</h2>\n'
    bad = [each for each in entries if not each.result.good]
    good = entries[len(bad) :]
    if fold:
        yield from _folded(bad, good)
    else:
        yield _table(entries, "All targets")
    yield "</section>\n"


def _folded(bad: Sequence[Entry], good: Sequence[Entry]) -> Iterator[str]:
    """Yield the table of the first targets that need attention, and those of all others folded."""
    if bad:
        yield _table(bad[:_MOST_OPEN], "Targets that need attention")
    if more := bad[_MOST_OPEN:]:
        summary = f"{counted(len(more), 'more target')} that did not succeed"
        yield folded(summary, _table(more, "More targets that need attention"))
    if good:
        summary = f"{counted(len(good), 'target')} that succeeded"
        yield folded(summary, _table(good, "Targets that succeeded"))


def _table(entries: Sequence[Entry], label: str) -> str:
    return f'<table aria-label="{label}">{_HEAD}{"".join(map(_row, entries))}</table>\n'


def _row(entry: Entry) -> str:
    each = entry.result
    packages = [item for item in artifacts(each) if item.is_package]
    size = format_size(sum(item.size for item in packages)) if packages else ""
    length = format_duration(seconds(each.started, each.finished))
    # Why nothing had to be done is no error.
    error = "" if each.outcome is Outcome.UNCHANGED else shortened(each.error, _LONGEST_ERROR)
    row = (
        f'<tr><th scope="row">{entry.link(_LONGEST_NAME)}<td>{outcome_text(each.outcome)}'
        f'<td class="n wide">{len(packages) or ""}<td class="n wide">{size}'
        f'<td class="n">{length}\n'
    )
    return row + (f'<tr class="why"><td colspan="5">{error}\n' if error else "")
