"""Write differences for people: one line a service, then what differs in it."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from spark_impex_runner.report.diff import calculation
from spark_impex_runner.report.diff.summary import (
    NOUNS,
    change_kind,
    lists_versions,
    summary,
    versions,
)
from spark_impex_runner.text import escaped_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models.comparison import (
        Change,
        Diff,
        ServiceDiff,
        Unknown,
    )

_WIDTH = 80
_INDENT = " " * 6
# Enough to recognize a value; the JSON format has all of it.
_LONGEST = 300
_MARKS = {"added": "+", "removed": "-", "changed": "~"}
# ANSI colours: green, red, yellow.
_COLOURS = {"+": "32", "-": "31", "~": "33", "?": "33"}
# Values that are clear without quotes.
_PLAIN = frozenset({"type", "cell", "sha256"})
_SHOWN = ("type", "default", "cell", "value", "sha256")


def render(diff: Diff, *, colour: bool = False, show: int = 0) -> str:
    """Return the differences as text, which is empty without any.

    What moved in the results of cases comes first, with at most ``show`` single moves.

    All foreign text is escaped, so that it cannot move a terminal's cursor.
    """
    blocks = [_service(each) for each in diff.services]
    rest = [*_details(diff.files, diff.unknown)]
    if rest:
        blocks.append(["the whole package", *rest])
    if len(blocks) > 1:
        blocks.insert(0, [summary(each) for each in diff.services])
    # A service without details has its line in the overview.
    kept = [block for at, block in enumerate(blocks) if len(block) > 1 or at == 0]
    if diff.calculation:
        kept.insert(0, calculation.render(diff.calculation, show))
    lines = "\n\n".join("\n".join(map(escaped_line, block)) for block in kept).split("\n")
    return "\n".join(_coloured(line) if colour else line for line in lines)


def _service(service: ServiceDiff) -> list[str]:
    """Return the line of a service, and those of its details."""
    lines = [summary(service)]
    if lists_versions(service):
        lines += [f"  + version {number}" for number in service.added]
        lines += [f"  - version {number}" for number in service.removed]
    for each in service.versions:
        if len(service.versions) > 1:
            lines.append(f"  {versions(each)}:")
        lines += _details(each.changes, each.unknown, each.parts)
    return lines


def _details(
    changes: Sequence[Change], unknown: Sequence[Unknown], parts: Sequence[str] = ()
) -> Iterator[str]:
    for each in changes:
        yield from _change(each)
        if each.section == "module" and parts:
            names = ", ".join(parts)
            yield from textwrap.wrap(
                f"in it: {names}", _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT
            )
    for reason in unknown:
        yield from _unknown(reason)


def _change(change: Change) -> Iterator[str]:
    """Yield one line for a change, or three if the values are long."""
    noun = NOUNS.get(change.section, "")
    thing = f"{noun} {change.name}" if noun else change.name
    start = f"  {_MARKS[change_kind(change)]} {thing}"
    if not change.property or change.old is None or change.new is None:
        known = shown_properties(change.new or change.old or "{}")
        yield f"{start}: {known}" if known else start
        return
    name = "" if change.property == "value" else f" {change.property}"
    old, new = shortened(change.property, change.old, change.new)
    line = f"{start}:{name} {old} -> {new}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield from (f"{start}:{name}", f"{_INDENT}- {old}", f"{_INDENT}+ {new}")


def shown_properties(text: str) -> str:
    """Return what is known of an added or removed thing, without what is empty."""
    found: dict[str, Any] = json.loads(text)
    return ", ".join(
        f"{name} {_value(name, json.dumps(value, ensure_ascii=False))}"
        for name in _SHOWN
        if (value := found.get(name)) is not None
    )


def shortened(name: str, old: str, new: str) -> tuple[str, str]:
    """Return two values; of long ones, the part where they begin to differ."""
    old, new = _value(name, old), _value(name, new)
    if max(len(old), len(new)) <= _LONGEST:
        return old, new
    same = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
        min(len(old), len(new)),
    )
    start = max(0, same - _LONGEST // 4)
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    end = start + _LONGEST
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _value(name: str, text: str) -> str:
    """Return a value; hashes by their beginning."""
    value = json.loads(text) if name in _PLAIN else None
    if not isinstance(value, str):
        return text
    return value[:12] if name == "sha256" else value


def _unknown(unknown: Unknown) -> Iterator[str]:
    start = f"  ? {unknown.what}: not compared"
    line = f"{start}; {unknown.reason}"
    yield from (line,) if len(line) <= _WIDTH else (start, f"{_INDENT}{unknown.reason}")


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line.lstrip()[:1]) if line.startswith("  ") else None
    return f"\x1b[{colour}m{line}\x1b[0m" if colour else line
