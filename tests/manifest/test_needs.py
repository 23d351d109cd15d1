from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.manifest.expand import ExpandedTarget
from spark_impex_runner.manifest.needs import Graph

EDGES = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14)

PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))


def graph(edges: set[tuple[int, int]], size: int = 7) -> Graph:
    """Return a graph of targets named by numbers; each edge is a need."""
    needs: dict[int, list[str]] = {number: [] for number in range(size)}
    for start, end in sorted(edges):
        needs[start].append(str(end))
    targets = []
    for number in range(size):
        data = {"name": str(number), "needs": needs[number]}
        own = frozenset(data)
        targets.append(ExpandedTarget(str(number), str(number), number, Path(), data, own))
    return Graph(targets)


def can_be_ordered(edges: set[tuple[int, int]]) -> bool:
    """Tell whether targets without open needs can be taken away until none is left."""
    left = set(range(7))
    while free := {node for node in left if not any((node, other) in edges for other in left)}:
        left -= free
    return not left


@given(EDGES)
def test_cycle_found_iff_no_order(edges: set[tuple[int, int]]) -> None:
    """Findings and a possible order exclude one another."""
    findings = list(graph(edges).check(all_named=True))

    assert bool(findings) is not can_be_ordered(edges)
    assert len(findings) == len(set(findings))


@given(EDGES)
def test_reported_cycle_is_a_cycle(edges: set[tuple[int, int]]) -> None:
    """Each step of a cycle that a person is shown is a need that is written."""
    for finding in graph(edges).check(all_named=True):
        circle = [int(name) for name in finding.message.rpartition(": ")[2].split(" -> ")]
        assert circle[0] == circle[-1]
        assert all(edge in edges for edge in pairwise(circle))


def test_long_chain_needs_no_recursion() -> None:
    """A chain of thousands of targets is walked without trouble."""
    chain = {(number, number + 1) for number in range(2999)}

    assert list(graph(chain, 3000).check(all_named=True)) == []


def test_shared_needs_are_walked_once() -> None:
    """Where 2 to the power of 40 ways lead to the last targets, each target is still seen once."""
    layers = {(2 * row + left, 2 * row + 2 + right) for row in range(40) for left, right in PAIRS}

    assert list(graph(layers, 82).check(all_named=True)) == []


def test_unknown_need_waits_for_names() -> None:
    """While a target has no sound name, a need may mean it."""
    broken = graph({(0, 9)})

    assert [finding.path for finding in broken.check(all_named=True)] == [
        ("targets", 0, "needs", 0)
    ]
    assert list(broken.check(all_named=False)) == []
