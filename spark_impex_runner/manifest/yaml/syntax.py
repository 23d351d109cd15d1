"""Explain YAML syntax errors: where they are, and how to fix them.

The two parsers of PyYAML word the same error differently, for readers who know the grammar. So
their message only selects the kind of error; the text around the position explains the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

    from spark_impex_runner.manifest.yaml.excerpt import File

Point = tuple[int, int]
Explanation = tuple[Point, str]

_FIRST_QUOTE = re.compile(r"['\"]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Anchored at the line's first bracket, so that a line of many brackets is searched only once.
_BRACKET_IN_TEXT = re.compile(r"[^\[]*\[.*[^\s\[\]{},]\[")
_REFERENCE_IN_FLOW = re.compile(r"[^\[{]*[\[{].*\$\{")

NO_CHARACTER = "this is not YAML: an escape stands for no character; write the character itself"


@dataclass(frozen=True, slots=True)
class SyntaxMistake:
    """A syntax error: its file, its position, and where the construct around it begins."""

    file: File
    point: Point
    context: Point | None

    @property
    def line(self) -> str:
        """The line of the error."""
        return self.file.line(self.point[0])

    @property
    def above(self) -> str:
        """The line before the error's."""
        return self.file.line(self.point[0] - 1) if self.point[0] > 1 else ""

    @property
    def char(self) -> str:
        """The character at the error."""
        return self.line[self.point[1] - 1 : self.point[1]]

    @property
    def before(self) -> str:
        """The text before the error in its line."""
        return self.line[: self.point[1] - 1]


def explain(error: yaml.MarkedYAMLError, file: File) -> Explanation:
    """Return the position of a syntax error, and a message that says how to fix it."""
    mark, context = error.problem_mark or error.context_mark, error.context_mark
    point = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    # libyaml adds a line break to the last line if it has none, and then points below the text.
    point = min(point, file.end)
    mistake = SyntaxMistake(
        file, point, (context.line + 1, context.column + 1) if context else None
    )
    problem = str(error.problem or error.context)
    if mistake.char == "\t":
        return point, "a tab cannot indent YAML; use spaces"
    for fragment, describe in _KINDS:
        if fragment in problem:
            return describe(mistake)
    # The text that the parser quotes may be a secret.
    return point, f"this is not YAML: {_FIRST_QUOTE.split(problem)[0].strip()}"


def _unended(mistake: SyntaxMistake) -> Explanation:
    return mistake.context or mistake.point, "the quoted text that begins here has no end"


def _flow(mistake: SyntaxMistake) -> Explanation:
    """Explain a list or mapping in brackets that is not closed."""
    rows = [
        mistake.file.line(number) for number in {mistake.point[0], (mistake.context or (1, 1))[0]}
    ]
    unquoted = [_QUOTED.sub("", row) for row in rows]
    if any(_REFERENCE_IN_FLOW.match(row) for row in unquoted):
        return mistake.point, 'a reference inside a [list] or {mapping} must be quoted: "${var:x}"'
    if any(_BRACKET_IN_TEXT.match(row) for row in unquoted):
        hint = 'brackets inside a [list] end it early: quote the URI, ["folder/service[1.2.3]"]'
        return mistake.point, hint
    opened = mistake.context and mistake.file.line(mistake.context[0])[mistake.context[1] - 1 :][:1]
    closing = "}" if opened == "{" else "]"
    return (
        mistake.point,
        f"this is not YAML: a ',' or the closing '{closing}' is missing before this",
    )


def _second_colon(mistake: SyntaxMistake) -> Explanation:
    """Explain a colon where no key can be."""
    for number in (mistake.point[0], mistake.point[0] - 1):
        if number and (message := _other_language(mistake.file.line(number))):
            return (number, 1), message
    if ": " in mistake.before:
        return mistake.point, "a second ': ' in one line: quote the value that holds it"
    above = mistake.above.strip()
    row = mistake.point[0] - 1
    begin = len(mistake.above) - len(mistake.above.lstrip()) + 1
    if re.match(r"-[^\s-]", above):
        return (row, begin), "a space is missing after the '-' that begins a list entry"
    if ": " not in above and not above.endswith(":"):
        return (row, begin), "a key needs ': ' (a colon and a space) before its value"
    start = len(mistake.line) - len(mistake.line.lstrip()) + 1
    message = f"this line is indented deeper than the key in line {row}; align the two"
    return (mistake.point[0], start), message


def _no_colon(mistake: SyntaxMistake) -> Explanation:
    point = mistake.context or mistake.point
    if message := _other_language(mistake.file.line(point[0])):
        return (point[0], 1), message
    return point, "a key needs ': ' (a colon and a space) before its value"


def _other_language(line: str) -> str:
    """Explain a line that is a merge conflict or another language's comment; else return ''."""
    text = line.strip()
    if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return "a merge conflict was left here; keep one of the two sides"
    if text.startswith(("//", "/*")):
        return "a comment begins with '#'"
    if "\u00a0" in line:
        return f"a no-break space stands at column {line.index(chr(0xA0)) + 1}; write a space"
    return ""


def _bad_start(mistake: SyntaxMistake) -> Explanation:
    if mistake.char == "%" and mistake.before.endswith("{"):
        return mistake.point, "this is a template of another tool; a manifest has ${…} only"
    return mistake.point, f"{mistake.char!r} cannot begin a value: quote it"


def _bad_name(mistake: SyntaxMistake) -> Explanation:
    """Explain a star or an ampersand that begins neither an alias nor an anchor."""
    row, column = mistake.point
    sign = mistake.before[-1:]
    return (row, column - 1), f"a value that begins with {sign!r} must be quoted"


def _block(mistake: SyntaxMistake) -> Explanation:
    """Explain a line that does not continue the construct above it."""
    if mistake.char in ("]", "}"):
        return mistake.point, f"this {mistake.char!r} closes nothing; remove it"
    last = mistake.before.rstrip()[-1:]
    if last in ("]", "}"):
        return mistake.point, f"text follows the closing {last!r}; quote the whole value"
    if mistake.before.strip(" -"):
        message = "text follows the end of a quoted value; write a quote inside of it twice: ''"
        return mistake.point, message
    if message := _other_language(mistake.line):
        return (mistake.point[0], 1), message
    return (
        mistake.point,
        "the indentation of this line matches none above it; align it with its siblings",
    )


def _first_line(mistake: SyntaxMistake) -> Explanation:
    return (
        mistake.point,
        "this line is not indented as the first line of the file is; align the two",
    )


def _escape(mistake: SyntaxMistake) -> Explanation:
    """Explain an unknown escape; one parser points at the backslash, the other behind it."""
    row, column = mistake.point
    column -= mistake.char != "\\"
    column = mistake.line.rfind("\\", 0, column) + 1 or column
    pair = mistake.line[column - 1 : column + 1]
    return (row, column), f"{pair} means nothing in double quotes; use single quotes"


def _alias(mistake: SyntaxMistake) -> Explanation:
    return mistake.point, "this alias has no anchor before it; quote a value that begins with '*'"


def _tight(mistake: SyntaxMistake) -> Explanation:
    return mistake.point, "a space is missing after ':'"


def _nothing(mistake: SyntaxMistake) -> Explanation:
    return mistake.point, f"a value is missing before this {mistake.char!r}"


def _no_character(mistake: SyntaxMistake) -> Explanation:
    return mistake.point, NO_CHARACTER


# A fragment of either parser's message, and its explanation. The first match counts.
_KINDS: tuple[tuple[str, Callable[[SyntaxMistake], Explanation]], ...] = (
    ("found unexpected end of stream", _unended),
    ("',' or", _flow),
    ("mapping values are not allowed", _second_colon),
    ("could not find expected ':'", _no_colon),
    ("that cannot start any token", _bad_start),
    ("alphabetic or numeric character", _bad_name),
    ("undefined alias", _alias),
    ("unknown escape character", _escape),
    ("hexdecimal number", _escape),
    ("hexadecimal number", _escape),
    ("unexpected ':'", _tight),
    ("expected node content", _nothing),
    ("expected the node content", _nothing),
    ("invalid Unicode character", _no_character),
    ("did not find expected key", _block),
    ("did not find expected '-' indicator", _block),
    ("expected <block end>", _block),
    ("<document start>", _first_line),
)
