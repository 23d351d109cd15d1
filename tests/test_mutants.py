"""The mutation test of the core modules: its changes, and what it finds in a small project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MODULE = '''
"""A module."""
LIMIT = 3

def allowed(number):
    """Tell whether a number is below the limit."""
    if number is None:
        return False
    return number < LIMIT

def loud(text):
    return text.upper()
'''
TESTS = """
from spark_impex_runner.tiny import allowed

def test_small_numbers_are_allowed():
    assert allowed(1)
    assert not allowed(9)

def test_nothing_is_not_allowed():
    assert not allowed(None)
"""


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch, load_script: Any) -> Any:
    """Return benchmarks/mutants.py as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return load_script(BENCHMARKS / "mutants.py")


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("if a == b: f()", {"if (a != b): f()", "if a == b: pass"}),
        ("x = a < 2", {"x = (a <= 2)", "x = a < 3"}),
        ("if a < b: c", {"if (not (a < b)): c", "if (a <= b): c", "if a < b: pass"}),
        ("x = a and b", {"x = (a or b)", "x = (a)", "x = (b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = f(a, key=b)", {"x = (f(a))"}),
        ("x = any(a)", {"x = all(a)"}),
        ("x = 'word'", {"x = 'XXword'"}),
        ("x = 'a sentence'", set()),
        ("x = f'{a}'", set()),
        ("x += 1", {"pass", "x -= 1", "x += 2"}),
        ("a.b = c", {"pass"}),
        ("raise a", {"pass"}),
        ("return True", {"return False"}),
        ("return f(a)", {"return None"}),
        ("while a: break", {"while (not (a)): break", "while a: pass"}),
        ("_log.debug(a)", set()),
        ("x: int = 1", {"x: int = 2"}),
    ],
)  # fmt: skip
def test_a_statement_has_these_changes(mutants: Any, statement: str, changes: set[str]) -> None:
    """Each is one that a test could notice, and none is made twice."""
    before = f"def f():\n    {statement}\n"

    found = mutants.mutants_of("m.py", before.encode())

    texts = [each.of(before.encode()).decode() for each in found]
    assert sorted(texts) == sorted(f"def f():\n    {change}\n" for change in changes)


@pytest.fixture
def tree(mutants: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the copy of a small project whose tests are recorded, with one plugin of pytest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "_hypothesis_pytestplugin")  # whose option is given
    root = tmp_path / "project"
    for name, text in (
        ("spark_impex_runner/__init__.py", ""),
        ("spark_impex_runner/tiny.py", MODULE),
        ("tests/test_tiny.py", TESTS),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    made = mutants.Tree(root, tmp_path / "work", ("spark_impex_runner/tiny.py",))
    made.prepare()
    made.learn()
    return made


def test_survivors_are_told_with_the_score(mutants: Any, tree: Any) -> None:
    """The boundary that no test looks at, and the function that none calls."""
    told = {
        "number < LIMIT  ->  (number <= LIMIT)": False,
        "number is None  ->  (number is not None)": True,
        "text.upper()  ->  (text)": False,
    }
    drawn = [each for each in tree.mutants() if each.change in told]

    verdicts = mutants.test(tree, drawn, 60)

    assert {each.mutant.change: each.noticed for each in verdicts} == told
    by = {each.mutant.change: each.by for each in verdicts}
    assert by["number is None  ->  (number is not None)"].startswith("tests/test_tiny.py::")
    assert by["number < LIMIT  ->  (number <= LIMIT)"] == "1 tests passed"
    assert by["text.upper()  ->  (text)"] == "2 tests passed"
    lines = list(mutants.summary(verdicts))
    assert lines[1:3] == ["2 survived:", f"  {drawn[1]}  [1 tests passed]"]
    assert lines[-1] == "1 of 3 noticed: 33.3%"
    assert (tree.copy / "spark_impex_runner/tiny.py").read_text() == MODULE
