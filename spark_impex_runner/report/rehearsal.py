"""Write a rehearsal: what would succeed, what would be sent, and what was not rehearsed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.report.figures import format_size
from spark_impex_runner.text import counted, escaped_line, first_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_GOOD = {"succeeded", "unchanged"}
WOULD_SUCCEED = "would succeed"
_VERDICTS = {"failed": "would fail", "timed_out": "would time out"}
# The beginning of a body that people see.
_SHOWN = 200
# How many targets have lines of their own, and how many names a line has.
_FEW, _NAMED = 10, 3


@dataclass(frozen=True, slots=True)
class SentLine:
    """A request that a stand-in got instead of its destination; ``start`` is that of its body."""

    by: str
    method: str
    content_type: str
    size: int
    start: bytes

    @property
    def text(self) -> str:
        """The beginning of a body that is text, else empty."""
        if self.content_type.startswith("multipart/") or b"\0" in self.start:
            return ""
        return self.start.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class RehearsedTarget:
    """The rehearsal of one target.

    ``place`` is the position of what failed, else of the target. ``refused`` says that code tried
    to leave the machine, so that the outcome shows little. ``steps`` have name, outcome and
    message. ``approved`` are the connections that it waited for before they were approved.
    """

    name: str
    outcome: str
    error: str
    place: str
    refused: bool
    approved: tuple[str, ...]
    steps: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """What the run would do: ``would succeed``, ``would fail``, or that it is not known."""
        if self.refused:
            return "could not be rehearsed"
        if self.outcome in _GOOD:
            return WOULD_SUCCEED
        return _VERDICTS.get(self.outcome, f"would be {self.outcome}")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The rehearsal of one manifest.

    ``exit_code`` is that of such a run; with refused attempts it is not 0. ``left_out`` and, with
    the part of the manifest, ``replaced`` say what was not rehearsed.
    """

    manifest: str
    name: str
    seconds: float
    exit_code: int
    targets: tuple[RehearsedTarget, ...]
    tenants: tuple[tuple[str, str], ...]
    sent: tuple[SentLine, ...]
    problems: tuple[str, ...]
    refused: tuple[str, ...]
    left_out: tuple[str, ...]
    replaced: tuple[tuple[str, str], ...]


def render(rehearsal: Rehearsal, *, verbose: bool = False) -> str:
    """Return the headline, the targets with failures last, and the lists.

    Many targets that would succeed share a line; ``verbose`` shows each, with what its steps say.
    """
    verdicts = Counter(each.verdict for each in rehearsal.targets)
    found = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
    head = (
        f"rehearsed {counted(len(rehearsal.targets), 'target')} of {rehearsal.name} "
        f"({rehearsal.manifest}) in {rehearsal.seconds:.1f} s: {found}"
    )
    few = verbose or len(rehearsal.targets) <= _FEW
    sections = {
        "": list(_targets(rehearsal.targets, few=few)),
        "tenants:": _grouped(rehearsal.tenants, ", "),
        "would be sent:": list(map(_sent, rehearsal.sent)),
        "problems:": list(rehearsal.problems),
        "refused, since a rehearsal stays on this machine:": list(rehearsal.refused),
        "not rehearsed:": [*rehearsal.left_out, *_grouped(rehearsal.replaced, "; ")],
    }
    lines = [escaped_line(head)]
    for title, items in sections.items():
        if items:
            lines += ["", *([title] if title else []), *(f"  {escaped_line(e)}" for e in items)]
    return "\n".join(lines)


def as_data(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return the rehearsal as plain JSON values."""
    return {
        **asdict(rehearsal),
        "seconds": round(rehearsal.seconds, 3),
        "targets": [_target_data(each) for each in rehearsal.targets],
        "tenants": dict(rehearsal.tenants),
        "sent": [_sent_data(each) for each in rehearsal.sent],
        "replaced": [{"part": part, "left_out": text} for part, text in rehearsal.replaced],
    }


def _targets(targets: Sequence[RehearsedTarget], *, few: bool) -> Iterator[str]:
    """Yield the lines of the targets, without their margin."""
    good = [each for each in targets if each.verdict == WOULD_SUCCEED]
    others = [each for each in targets if each.verdict != WOULD_SUCCEED]
    shown = [*good, *others] if few else others
    if not few:
        yield from _grouped([(each.name, _summary(each)) for each in good], ", ")
    width = max((len(each.name) for each in shown), default=0)
    for target in shown:
        yield f"{target.name.ljust(width)}  {_summary(target)}"
        if target.error:
            yield f"  {target.place}: {target.error}"
        yield from (f"  warning: {each}" for each in target.warnings)
        for uses, outcome, message in target.steps:
            if message and outcome != "failed" and (few or outcome != "succeeded"):
                yield f"  {uses}: {'warning: ' if outcome == 'warned' else ''}{message}"


def _summary(target: RehearsedTarget) -> str:
    return f"{target.verdict}: {', '.join(_work(target))}"


def _grouped(pairs: Iterable[tuple[str, str]], separator: str) -> list[str]:
    """Return a line for each text, with the first of the names that share it."""
    names: dict[str, list[str]] = {}
    for name, text in pairs:
        names.setdefault(text, []).append(name)
    return [f"{first_of(each, _NAMED, separator)}: {text}" for text, each in names.items()]


def _work(target: RehearsedTarget) -> list[str]:
    """Return what was done for a target, in a few words."""
    work = ["export", *(uses for uses, _, _ in target.steps)]
    return [*work, *(f"held for {name}, then approved" for name in target.approved)]


def _sent(each: SentLine) -> str:
    about = f"{each.by}: {each.method}, {each.content_type or 'no type'}, {format_size(each.size)}"
    text = " ".join(each.text.split())
    return f"{about}: {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}" if text else about


def _target_data(target: RehearsedTarget) -> dict[str, Any]:
    steps = [dict(zip(("uses", "outcome", "message"), each, strict=True)) for each in target.steps]
    return {**asdict(target), "verdict": target.verdict, "steps": steps}


def _sent_data(each: SentLine) -> dict[str, Any]:
    data = {"by": each.by, "method": each.method, "content_type": each.content_type}
    return {**data, "size": each.size, "text": each.text}
