"""Write the HTML report: one page for people, self-contained and without scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from spark_impex_runner.report.data import artifacts, job_ids, seconds, timestamp
from spark_impex_runner.report.figures import format_duration, format_size
from spark_impex_runner.report.headline import headline, outcome_text
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.models import Artifact, RunResult, TargetResult

# The second line of defence behind escaping: a script that slips in does not run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --other: #9a6700 }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --other: #d29922 } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
section { border: 1px solid #8886; border-left: .3rem solid; border-radius: .3rem;
  margin: 1rem 0; padding: .5rem 1rem }
section.succeeded, section.unchanged { border-left-color: var(--good) }
section.failed, section.timed_out { border-left-color: var(--bad) }
section.held, section.cancelled, section.skipped { border-left-color: var(--other) }
h1 { font-size: 1.5rem }
h2 { font-size: 1.1rem; margin: .25rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .5rem 0 }
dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
td { overflow-wrap: anywhere; border-top: 1px solid #8884 }
td:first-child { min-width: 8rem }
td:nth-child(2) { white-space: nowrap }
""".strip()


def render(result: RunResult) -> str:
    """Return the report as one page, which loads nothing and escapes all foreign text."""
    title = _text(f"{result.manifest.name}: {headline(result)}")
    facts = {
        "Run": result.run_id,
        "Manifest": str(result.manifest.path),
        "Started": timestamp(result.started),
        "Duration": format_duration(seconds(result.started, result.finished)),
        "Error": result.refusal,
        "Exit code": str(result.exit_code),
        "Runner": f"spark-impex-runner {result.runner_version}",
    }
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{title}</title>",
        f"<style>\n{_STYLE}\n</style>",
        f"<h1>{title}</h1>",
        _facts(facts),
        *map(_section, result.results),
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _section(each: TargetResult) -> str:
    """Return the section of one target."""
    facts = {
        "Error": each.error,
        "Tenant": each.tenant,
        "Job": ", ".join(job_ids(each)),
        "Duration": format_duration(seconds(each.started, each.finished)),
        "Output": str(each.target.output),
        "Services": ", ".join(item.uri for item in each.service_versions or each.services),
        "Warnings": "; ".join(each.warnings),
    }
    steps = [(step.uses, step.outcome, step.message) for step in each.steps]
    parts = [
        f'<section class="{each.outcome.value}">',
        f"<h2>{_text(each.target.name)}: {outcome_text(each.outcome)}</h2>",
        _facts(facts),
        _table(("File", "Size", "SHA-256", "Tenant's hash"), map(_file, artifacts(each))),
        _table(("Step", "Outcome", "Message"), steps),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _file(each: Artifact) -> tuple[str, ...]:
    """Return the row of one artifact."""
    agreed = {True: "agreed", False: "differs", None: "-"}[each.hash_agreed]
    return each.name, format_size(each.size), each.sha256 or "-", agreed


def _facts(facts: dict[str, str]) -> str:
    """Return a list of names and values without the empty ones."""
    rows = (f"<dt>{name}<dd>{_text(value)}" for name, value in facts.items() if value)
    return "<dl>\n" + "\n".join(rows) + "\n</dl>"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table, an empty text without rows."""
    body = ["<tr>" + "".join(f"<td>{_text(cell)}" for cell in row) for row in rows]
    if not body:
        return ""
    names = "".join(f"<th>{escape(name)}" for name in head)
    return "\n".join(["<table>", f"<tr>{names}", *body, "</table>"])


def _text(value: str) -> str:
    """Return foreign text on one line, escaped."""
    return escape(plain(value))
