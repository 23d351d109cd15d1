"""Build the graph of ``needs``, with matrix names expanded; find unknown names and cycles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark_impex_runner.manifest.schema.messages import Suggestions
from spark_impex_runner.manifest.yaml.document import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.manifest.expand import ExpandedTarget


@dataclass(frozen=True, slots=True)
class Need:
    """An edge of the graph: item ``index`` of the ``needs`` of ``target`` names ``name``."""

    target: ExpandedTarget
    index: int
    name: str

    def finding(self, message: str) -> Finding:
        """Return a finding at the need's position."""
        return Finding(self.target.origin(("needs", self.index)), message)


@dataclass(slots=True)
class Graph:
    """The needs of all targets, by the dependent target's name."""

    targets: Sequence[ExpandedTarget]
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
        """Return the names of the targets that the target ``name`` needs."""
        return tuple(dict.fromkeys(need.name for need in self.edges[name]))

    def check(self, *, all_named: bool) -> Iterator[Finding]:
        """Yield unknown names and cycles; a name may be that of a target unless ``all_named``."""
        hints = Suggestions({**{target.base: None for target in self.targets}, **self.edges})
        for need in self.unknown if all_named else ():
            yield need.finding(f"there is no target {need.name!r}{hints.of(need.name)}")
        done: set[str] = set()
        for name in self.edges:
            yield from self._cycles(name, done)

    def _edges(self, target: ExpandedTarget, names: Mapping[str, list[str]]) -> Iterator[Need]:
        """Yield a target's needs, expanded by matrices; record unknown names."""
        for index, name in enumerate(target.data.get("needs") or ()):
            if isinstance(name, str) and name not in names:
                self.unknown.append(Need(target, index, name))
            for full in names.get(name, ()):
                yield Need(target, index, full)

    def _cycles(self, start: str, done: set[str]) -> Iterator[Finding]:
        """Yield the cycles reachable from ``start``."""
        # A stack of its own: a chain of thousands of targets exceeds Python's recursion limit.
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
                cycle = [*names[names.index(need.name) :], need.name]
                yield need.finding(f"the targets wait for one another: {' -> '.join(cycle)}")
            elif need.name not in done:
                trail[need.name] = iter(self.edges[need.name])
