"""Which target waits for which: names of matrices spread out, unknown names and cycles found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark_impex_runner.manifest.schema.wording import Hints
from spark_impex_runner.manifest.yaml.document import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.manifest.expand import Expanded


@dataclass(frozen=True, slots=True)
class Need:
    """One edge: ``target`` waits for ``name``, as item ``index`` of its ``needs`` says."""

    target: Expanded
    index: int
    name: str

    def finding(self, message: str) -> Finding:
        """Return a finding where the need is written."""
        return Finding(self.target.origin(("needs", self.index)), message)


@dataclass(slots=True)
class Graph:
    """The needs of all targets, by the name of the target that has them."""

    targets: Sequence[Expanded]
    edges: Mapping[str, list[Need]] = field(init=False)
    unknown: list[Need] = field(default_factory=list)

    def __post_init__(self) -> None:
        names: dict[str, list[str]] = {}
        for target in self.targets:
            names.setdefault(target.base, []).append(target.name)
            if target.name != target.base:
                names.setdefault(target.name, [target.name])
        self.edges = {target.name: list(self._edges(target, names)) for target in self.targets}

    def needs(self, name: str) -> tuple[str, ...]:
        """Return the names of all targets that the target ``name`` waits for."""
        return tuple(dict.fromkeys(need.name for need in self.edges[name]))

    def check(self, *, all_named: bool) -> Iterator[Finding]:
        """Yield unknown names, unless a target without a sound name may be meant, and cycles."""
        hints = Hints({**{target.base: None for target in self.targets}, **self.edges})
        for need in self.unknown if all_named else ():
            yield need.finding(f"there is no target {need.name!r}{hints.of(need.name)}")
        done: set[str] = set()
        for name in self.edges:
            yield from self._cycles(name, done)

    def _edges(self, target: Expanded, names: Mapping[str, list[str]]) -> Iterator[Need]:
        """Yield a target's needs, spread over matrices; note those that are unknown."""
        for index, name in enumerate(target.data.get("needs") or ()):
            if isinstance(name, str) and name not in names:
                self.unknown.append(Need(target, index, name))
            for full in names.get(name, ()):
                yield Need(target, index, full)

    def _cycles(self, start: str, done: set[str]) -> Iterator[Finding]:
        """Yield the cycles reachable from ``start``; without recursion, so any depth will do."""
        trail: dict[str, Iterator[Need]] = {}

        if start not in done:
            trail[start] = iter(self.edges[start])
        while trail:
            name = next(reversed(trail))
            need = next(trail[name], None)
            if need is None:
                del trail[name]
                done.add(name)
            elif need.name in trail:
                names = list(trail)
                circle = [*names[names.index(need.name) :], need.name]
                yield need.finding(f"the targets wait for one another: {' -> '.join(circle)}")
            elif need.name not in done:
                trail[need.name] = iter(self.edges[need.name])
