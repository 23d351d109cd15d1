from __future__ import annotations

import pytest

from spark_impex_runner.errors import Problem
from spark_impex_runner.manifest.yaml.excerpt import File, shown


@pytest.mark.parametrize(
    ("line", "column", "private", "source"),
    [
        ("a: {b: 1}", 5, [], "a: {b: 1}"),
        ("a: {tokn: hunter2, c: 1}", 5, [11], "a: {tokn: ***"),
        ("a: {tokn: hunter2, c: 1}", 20, [11], ""),
        ("a: {tokn: hunter2, c: 1}", 11, [11], "a: {tokn: ***"),
        ("auth: {token: hunter2}", 8, [], "auth: {token: ***"),
        ("auth: {token: 'hunter2", 15, [], "auth: {token: ***"),
        ("auth: {token: '${env:T}'", 15, [], "auth: {token: '${env:T}'"),
        ("auth: {token: ${env:T}", 15, [], "auth: {token: ${env:T}"),
        ('"client_secret" : hunter2', 1, [], '"client_secret" : ***'),
        ("password=hunter2", 1, [], "password=***"),
        ("api_key: &a hunter2", 1, [], "api_key: &a ***"),
        ("api_key: &a {b: c}", 1, [], "api_key: &a {b: c}"),
        ("auth: {token: *hunter2}", 8, [], "auth: {token: ***"),
        ("token: !hunter2 x", 1, [], "token: ***"),
        ("base_url: https://me:hunter2@sit/acme", 1, [], "base_url: https://***"),
        ("base_url: https://sit/acme?token=hunter2", 1, [], "base_url: https://sit/acme?***"),
        ("base_url: https://sit/acme", 11, [], "base_url: https://sit/acme"),
    ],
)
def test_excerpt_ends_before_a_secret(
    line: str, column: int, private: list[int], source: str
) -> None:
    """It is cut where a secret may begin; a problem beyond the cut has no excerpt."""
    problem = shown(Problem("a.yaml", 2, column, "", "x"), File("a.yaml", f"x\n{line}\n"), private)

    assert problem.source == source
    assert problem.caret == (column if source else 0)


def test_problem_beyond_the_end_is_empty() -> None:
    """As in an empty file."""
    assert shown(Problem("a.yaml", 1, 1, "", "x"), File("a.yaml")).source == ""
