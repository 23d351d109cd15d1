"""Options that name a connection: found at validation, wherever they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import Manifest

    Reader = Callable[..., Manifest]

HEAD = """
version: 1
vars: {place: uatt}
connections: {sit: {sandbox: a}, uat: {sandbox: b}, prod: {sandbox: c}}
"""
TARGET = "targets: [{name: a, connection: sit, folders: [life], steps: [%s], %s}]"
IMPORT = "{uses: import, with: {to: %s}}"


def mistakes(read: Reader, text: str) -> list[str]:
    """Return what is wrong with a manifest, without the file's name."""
    with pytest.raises(ManifestError) as caught:
        read(text)
    return [str(problem).split(":", 1)[1] for problem in caught.value.problems]


def test_unknown_name_is_located(read: Reader) -> None:
    """Line and column, and the name that was likely meant."""
    assert mistakes(read, HEAD + TARGET % (IMPORT % "uatt", "")) == [
        "5:89: targets[0].steps[0].with.to: there is no connection 'uatt' (did you mean 'uat'?)"
    ]


def test_name_may_be_a_reference(read: Reader) -> None:
    """The resolved value is checked for each combination of a matrix, and reported once."""
    matrix = "matrix: {to: [uat, prod, ut]}"

    by_variable = mistakes(read, HEAD + TARGET % (IMPORT % "'${var:place}'", ""))
    by_matrix = mistakes(read, HEAD + TARGET % (IMPORT % "'${matrix.to}'", matrix))

    assert [line.partition(": there")[2] for line in (*by_variable, *by_matrix)] == [
        " is no connection 'uatt' (did you mean 'uat'?)",
        " is no connection 'ut' (did you mean 'uat'?)",
    ]


def test_error_in_defaults_is_located_there(read: Reader) -> None:
    """Once, for all the targets that inherit it."""
    defaults = f"defaults: {{connection: sit, steps: [{IMPORT % 'nowhere'}]}}\n"
    targets = "targets: [{name: a, folders: [x]}, {name: b, folders: [x]}]"

    assert mistakes(read, HEAD + defaults + targets) == [
        "5:63: defaults.steps[0].with.to: there is no connection 'nowhere'; known: sit, uat, prod"
    ]


def test_target_knows_its_steps_connections(read: Reader) -> None:
    """Each once, its own first, as whoever opens them before a run has to know."""
    steps = ", ".join(IMPORT % name for name in ("uat", "prod", "uat"))

    [target] = read(HEAD + TARGET % (steps, "")).targets

    assert target.step_connections == ("uat", "prod")
    assert target.connections == ("sit", "uat", "prod")


def test_annotation_is_found_at_any_depth(read: Reader, registry: Any) -> None:
    """In lists, and beside a pattern, which makes room for a reference."""
    place = {"type": "string", "pattern": "^[a-z]+$", "x-connection": True}
    options = {"type": "object", "properties": {"to": {"type": "array", "items": place}}}
    registry.step("spread", "Promotes widely.", options)
    step = "{uses: spread, with: {to: [uat, prd]}}"

    assert mistakes(read, HEAD + TARGET % (step, "")) == [
        "5:95: targets[0].steps[0].with.to[1]: there is no connection 'prd' (did you mean 'prod'?)"
    ]
