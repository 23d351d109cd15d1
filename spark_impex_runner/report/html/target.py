"""Write the section of one target: what was requested, what came, how it went."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from spark_impex_runner.models import Outcome
from spark_impex_runner.report.data import artifacts, job_ids, output_place, seconds
from spark_impex_runner.report.figures import format_duration, format_size
from spark_impex_runner.report.headline import outcome_text
from spark_impex_runner.report.html.markup import facts, folded, listed, moment, shortened, text
from spark_impex_runner.text import first_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spark_impex_runner.models import Artifact, RunResult, StepResult, TargetResult

# So many services or jobs of one target; the JSON report lists all of them.
_MOST_LISTED = 50
# As many digits as an approval needs.
_DIGITS = 12
_AGREED = {True: "tenant's hash agreed", False: "tenant's hash differs", None: ""}
_COMMANDS = {
    Outcome.HELD: "To approve it",
    Outcome.TIMED_OUT: "To resume it",
    Outcome.CANCELLED: "To resume it",
    Outcome.FAILED: "To run it again",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A target on the page: its anchor, and whether a section of its own has it."""

    id: str
    result: TargetResult
    has_section: bool = True

    def link(self, limit: int) -> str:
        """Return the target's name, shortened, as a link to its section."""
        name, kind = shortened(self.result.target.name, limit), self.result.outcome.value
        if self.has_section:
            return f'<a class="o {kind}" href="#{self.id}">{name}</a>'
        return f'<span class="o {kind}">{name}</span>'


def section(entry: Entry, run: RunResult, *, fold: bool) -> str:
    """Return the section of a target; ``fold`` shows only its name until it is opened."""
    each = entry.result
    kind = each.outcome.value
    name = f'<span class="o {kind}">{text(each.target.name)}</span>'
    heading = f"<h3>{name} <small>{outcome_text(each.outcome)}</small></h3>"
    body = "".join(_body(each, run))
    if fold:
        # Browsers open what encloses the element that a link leads to.
        return folded(heading, f'<div id="{entry.id}">{body}</div>')
    return f'<section id="{entry.id}" class="{kind}">{heading}\n{body}</section>\n'


def _body(each: TargetResult, run: RunResult) -> Iterator[str]:
    if each.error:
        yield f'<p class="error">{text(each.error)}</p>\n'
    if label := _COMMANDS.get(each.outcome):
        yield f"<p>{label}:</p><pre><code>{text(_command(each, run))}</code></pre>\n"
    yield listed(map(text, each.warnings), "warnings")
    yield facts(_facts(each))
    yield listed(map(_file, artifacts(each)), "files")
    yield listed(map(_step, each.steps), "steps")


def _command(each: TargetResult, run: RunResult) -> str:
    """Return the command line that runs this target alone, and approves what it holds."""
    line = run.command or shlex.join(["impex-run", str(run.manifest.path)])
    waits = [f"{each.approve}@{digest[:_DIGITS]}" for digest in dict.fromkeys(each.digests)]
    approvals = (waits or [each.approve]) if each.approve else []
    options = ["-t", each.target.name, *(word for one in approvals for word in ("--approve", one))]
    return f"{line} {shlex.join(options)}"


def _facts(each: TargetResult) -> Iterator[tuple[str, str]]:
    length = format_duration(seconds(each.started, each.finished))
    yield "Time", f"{length} from {moment(each.started)}"
    yield "Request", text(_request(each))
    yield "Delivered", _first(item.uri for item in each.service_versions or each.services)
    yield "Job", _first(job_ids(each))
    yield "Tenant", text(each.tenant)
    yield "Correlation id", text((each.request and each.request.correlation_id) or "")
    yield "Output", text(output_place(each))
    yield "Approved", _first(each.approved)
    yield "Needs", _first(each.target.needs)
    yield "Tags", _first(each.target.tags)


def _request(each: TargetResult) -> str:
    """Return what was requested of the tenant, or would have been."""
    asked = each.request or each.target
    lists = {
        "services": asked.services,
        "folders": asked.folders,
        "versions": asked.version_ids,
    }
    parts = [f"{name} {first_of(items, _MOST_LISTED)}" for name, items in lists.items() if items]
    parts.append(f"file_filter {asked.file_filter}; version_filter {asked.version_filter}")
    return "; ".join(parts)


def _file(each: Artifact) -> str:
    """Return an artifact: name, size and origin, and its SHA-256 on a line of its own."""
    made = "" if each.is_package else f"made by {text(each.made_by)}"
    notes = " · ".join(filter(None, (format_size(each.size), made, _AGREED[each.hash_agreed])))
    digest = f"<code>{text(each.sha256)}</code>" if each.sha256 else ""
    return f"<b>{text(each.name)}</b> {notes}{digest}"


def _step(each: StepResult) -> str:
    """Return a step: its name, outcome and duration, and its message."""
    name = f'<b class="o {escape(each.outcome)}">{text(each.uses)}</b>'
    message = f"<p>{text(each.message)}</p>" if each.message else ""
    when = format_duration(each.seconds) if each.started else "in an earlier run"
    return f"{name} {text(each.outcome)}, {when}{message}"


def _first(items: Iterable[str]) -> str:
    return text(first_of(list(items), _MOST_LISTED))
