"""Small changes of a module's behaviour: negated conditions, dropped statements, other constants.

Used by ``mutants.py``.
"""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_SWAPPED = {"any": "all", "all": "any", "min": "max", "max": "min"}
_DROPPED = frozenset({"lower", "upper", "casefold", "strip"})
# Texts that decide something; sentences are for people, and another test's matter.
_WORD = re.compile(r"[\w.:/-]+")
# What these say is the default on the machines that this runs on.
_DEFAULTS = frozenset({"encoding", "newline"})
_UNSEEN = re.compile(r"_log\.debug\(")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the bytes from ``begin`` to before ``end`` become ``text``.

    ``reach`` are the lines of which a test has to execute one to notice the change.
    """

    file: str
    line: int
    begin: int
    end: int
    text: str
    change: str
    reach: frozenset[int] = frozenset()

    def of(self, source: bytes) -> bytes:
        """Return the changed source."""
        return source[: self.begin] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {self.change}"


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """Return every change of a module that still compiles, in the order of its text."""
    finder = _Finder(file, source)
    finder.visit(finder.tree)
    unique = {(each.begin, each.end, each.text): each for each in finder.found}
    return sorted(filter(finder.compiles, unique.values()), key=lambda each: (each.line, each.text))


@dataclass
class _Finder(ast.NodeVisitor):
    """Walks a module; ``reach`` is that of the statement that it is in."""

    file: str
    source: bytes
    found: list[Mutant] = field(default_factory=list)
    reach: frozenset[int] = frozenset()
    functions: int = 0

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.source)
        lengths = [len(line) for line in self.source.splitlines(keepends=True)]
        self.starts = [sum(lengths[:number]) for number in range(len(lengths))]
        self.inner = _function_lines(self.tree)
        self.used = _lines_by_name(self.tree)

    def compiles(self, mutant: Mutant) -> bool:
        """Tell whether a change leaves a module that can be read."""
        try:
            compile(mutant.of(self.source), mutant.file, "exec")
        except SyntaxError:
            return False
        return True

    # ---- what a change is reached by ----

    def visit(self, node: ast.AST) -> None:
        """Visit a node; a statement first sets what it is reached by."""
        if not isinstance(node, ast.stmt) or isinstance(node, (ast.Import, ast.ImportFrom)):
            super().visit(node)
            return
        before, self.reach = self.reach, self._reach(node)
        super().visit(node)
        self.reach = before

    def _reach(self, node: ast.stmt) -> frozenset[int]:
        """Return the lines of a statement, or of what uses what it makes while it is imported."""
        if self.functions and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            return frozenset(_own_lines(node))
        inside = self.inner & set(range(node.lineno, (node.end_lineno or 0) + 1))
        names = {each.id for each in _targets(node) if isinstance(each, ast.Name)}
        used = {line for name in names for line in self.used.get(name, ())} & self.inner
        return frozenset(inside or used or self.reach or self.inner)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit the body; decorators and bases are no behaviour of ours."""
        for each in node.body:
            self.visit(each)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit defaults and body."""
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self.functions += 1
        for each in node.body:
            self.visit(each)
        self.functions -= 1

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Visit the value; an annotation does nothing."""
        if node.value is not None:
            self.visit(node.value)

    # ---- the changes ----

    def visit_If(self, node: ast.If) -> None:
        """Negate the condition; what is there for type checkers only stays."""
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Negate the condition."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Negate the condition."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Negate each filter, and leave it out."""
        for test in node.ifs:
            self._negate(test)
            self._replace(test, "(True)")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap ``and`` and ``or``, and leave out each operand."""
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._change(node, lambda new: setattr(new, "op", other))
        for index, _ in enumerate(node.values):
            rest = [each for number, each in enumerate(node.values) if number != index]
            left = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
            self._replace(node, f"({ast.unparse(left)})")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Move a boundary, or turn an equality round."""
        for index, operator in enumerate(node.ops):
            flipped = _FLIPPED[type(operator)]()
            self._change(node, lambda new, at=index, to=flipped: new.ops.__setitem__(at, to))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Leave ``not`` out."""
        if isinstance(node.op, ast.Not):
            self._replace(node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Compute something else; texts and lists only grow by ``+``."""
        of_text = any(
            isinstance(each, (ast.JoinedStr, ast.List, ast.Tuple))
            or (isinstance(each, ast.Constant) and isinstance(each.value, (str, bytes)))
            for each in (node.left, node.right)
        )
        other = _ARITHMETIC.get(type(node.op))
        if other and not of_text:
            self._change(node, lambda new: setattr(new, "op", other()))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Take another number, the other truth value, or another word."""
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value))
        elif isinstance(value, int):
            self._replace(node, str(value + 1))
        elif isinstance(value, float):
            self._replace(node, repr(value * 2 or 1.0))
        elif isinstance(value, str) and _WORD.fullmatch(value):
            self._replace(node, repr(f"XX{value}"))

    def visit_Call(self, node: ast.Call) -> None:
        """Leave out a keyword or a normalisation, swap ``any`` and ``all``."""
        for index, keyword in enumerate(node.keywords):
            if keyword.arg and keyword.arg not in _DEFAULTS:
                self._change(node, lambda new, at=index: new.keywords.pop(at))
        called = node.func
        if isinstance(called, ast.Name) and called.id in _SWAPPED:
            self._replace(called, _SWAPPED[called.id])
        if isinstance(called, ast.Attribute) and called.attr in _DROPPED and not node.args:
            self._replace(node, f"({ast.unparse(called.value)})")
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts for people alone."""

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave the statement out; a docstring is none."""
        if isinstance(node.value, (ast.Constant, ast.Yield)):
            return
        if not _UNSEEN.match(ast.unparse(node)):
            self._replace(node, "pass")
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave the statement out."""
        self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        """Leave the statement out."""
        self._replace(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        """Leave the statement out."""
        self._replace(node, "pass")

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave out what changes an object; without a local name nothing would run at all."""
        if not any(isinstance(each, ast.Name) for each in _targets(node)):
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Leave the statement out, and count the other way."""
        self._replace(node, "pass")
        if isinstance(node.op, (ast.Add, ast.Sub)) and isinstance(node.value, ast.Constant):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            self._change(node, lambda new: setattr(new, "op", other))
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        """Return the opposite, or nothing; leave out a bare ``return``."""
        value = node.value
        if value is None:
            self._replace(node, "pass")
            return
        if isinstance(value, (ast.BoolOp, ast.Compare, ast.UnaryOp)):
            self._negate(value)
        elif not isinstance(value, ast.Constant):
            self._replace(node, "return None")
        self.visit(value)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Let the exception pass."""
        before, self.reach = self.reach, frozenset(_own_lines(node.body[0]))
        first, last = node.body[0], node.body[-1]
        if ast.unparse(first) != "raise":
            what = f"except {ast.unparse(node.type)}" if node.type else "except"
            begin, end = self._span(first)[0], self._span(last)[1]
            self._add(first.lineno, (begin, end), "raise", f"{what}: ... -> raise")
        self.reach = before
        for each in node.body:
            self.visit(each)

    # ---- text ----

    def _negate(self, node: ast.expr) -> None:
        """Turn a condition round, unless a part of it is the same change."""
        if _is_order(node) or not isinstance(node, (ast.Compare, ast.Constant, ast.UnaryOp)):
            self._replace(node, f"(not ({ast.unparse(node)}))")

    def _change(self, node: ast.AST, how: Callable[[ast.AST], object]) -> None:
        """Replace a node by a copy that ``how`` has changed."""
        new = copy.deepcopy(node)
        how(new)
        text = ast.unparse(new)
        self._replace(node, f"({text})" if isinstance(node, ast.expr) else text)

    def _replace(self, node: ast.AST, text: str) -> None:
        change = f"{_short(ast.unparse(node))}  ->  {_short(text)}"
        self._add(node.lineno, self._span(node), text, change)  # type: ignore[attr-defined]

    def _add(self, line: int, span: tuple[int, int], text: str, change: str) -> None:
        self.found.append(Mutant(self.file, line, *span, text, change, self.reach))

    def _span(self, node: ast.AST) -> tuple[int, int]:
        begin = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return begin, self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]


def _is_order(node: ast.expr) -> bool:
    """Tell whether a comparison is one of order, whose boundary is another matter."""
    order = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
    return isinstance(node, ast.Compare) and any(isinstance(each, order) for each in node.ops)


def _targets(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield every node that a statement assigns to."""
    given = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for each in filter(None, given):
        yield from each.elts if isinstance(each, (ast.Tuple, ast.List)) else [each]


def _own_lines(node: ast.stmt) -> Iterable[int]:
    """Return the lines of a statement; of a compound one those before its body."""
    body = getattr(node, "body", None)
    last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
    return range(node.lineno, last + 1)


def _function_lines(tree: ast.AST) -> set[int]:
    """Return the lines of all functions' bodies: the others run while the module is imported."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)
    }


def _lines_by_name(tree: ast.AST) -> dict[str, set[int]]:
    """Return for each name the lines that use it."""
    found: dict[str, set[int]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.setdefault(node.id, set()).add(node.lineno)
    return found


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else f"{text[:67]}..."
