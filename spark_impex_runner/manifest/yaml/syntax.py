"""What is wrong with text that is not YAML, in words that say how to mend it.

The two parsers of PyYAML describe one mistake in different words, for people who know the grammar.
So these only say which kind of mistake it is; what stands at its place says the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

    from spark_impex_runner.manifest.yaml.excerpt import File

Place = tuple[int, int]
Told = tuple[Place, str]

_FIRST_QUOTE = re.compile(r"['\"]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Anchored at the line's first bracket, so that a line of many brackets is searched only once.
_BRACKET_IN_WORD = re.compile(r"[^\[]*\[.*[^\s\[\]{},]\[")
_REFERENCE_IN_FLOW = re.compile(r"[^\[{]*[\[{].*\$\{")

NO_CHARACTER = "this is not YAML: an escape stands for no character; write the character itself"


@dataclass(frozen=True, slots=True)
class Scene:
    """One mistake: the lines around it, where it was met, and where its context begins."""

    file: File
    place: Place
    context: Place | None

    @property
    def line(self) -> str:
        """The line in which it was met."""
        return self.file.line(self.place[0])

    @property
    def above(self) -> str:
        """The line before that one."""
        return self.file.line(self.place[0] - 1) if self.place[0] > 1 else ""

    @property
    def char(self) -> str:
        """The character at which it was met."""
        return self.line[self.place[1] - 1 : self.place[1]]

    @property
    def before(self) -> str:
        """What stands before it in its line."""
        return self.line[: self.place[1] - 1]


def explain(error: yaml.MarkedYAMLError, file: File) -> Told:
    """Return where a syntax error is and what it is, in our words where we know better ones."""
    mark, context = error.problem_mark or error.context_mark, error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    # libyaml ends a last line that has no end, and then points below it.
    place = min(place, file.end)
    scene = Scene(file, place, (context.line + 1, context.column + 1) if context else None)
    problem = str(error.problem or error.context)
    if scene.char == "\t":
        return place, "a tab cannot indent YAML; use spaces"
    for words, tell in _KINDS:
        if words in problem:
            return tell(scene)
    # What the parser quotes may be a secret.
    return place, f"this is not YAML: {_FIRST_QUOTE.split(problem)[0].strip()}"


def _unended(scene: Scene) -> Told:
    return scene.context or scene.place, "the quoted text that begins here has no end"


def _flow(scene: Scene) -> Told:
    """Tell of a list or mapping in brackets that goes on where it should not."""
    rows = [scene.file.line(number) for number in {scene.place[0], (scene.context or (1, 1))[0]}]
    unquoted = [_QUOTED.sub("", row) for row in rows]
    if any(_REFERENCE_IN_FLOW.match(row) for row in unquoted):
        return scene.place, 'a reference inside a [list] or {mapping} must be quoted: "${var:x}"'
    if any(_BRACKET_IN_WORD.match(row) for row in unquoted):
        hint = 'brackets inside a [list] end it early: quote the URI, ["folder/service[1.2.3]"]'
        return scene.place, hint
    opened = scene.context and scene.file.line(scene.context[0])[scene.context[1] - 1 :][:1]
    closing = "}" if opened == "{" else "]"
    return scene.place, f"this is not YAML: a ',' or the closing '{closing}' is missing before this"


def _second_colon(scene: Scene) -> Told:
    """Tell of a colon where no key can be."""
    for number in (scene.place[0], scene.place[0] - 1):
        if number and (told := _foreign(scene.file.line(number))):
            return (number, 1), told
    if ": " in scene.before:
        return scene.place, "a second ': ' in one line: quote the value that holds it"
    above = scene.above.strip()
    row = scene.place[0] - 1
    begin = len(scene.above) - len(scene.above.lstrip()) + 1
    if re.match(r"-[^\s-]", above):
        return (row, begin), "a space is missing after the '-' that begins a list entry"
    if ": " not in above and not above.endswith(":"):
        return (row, begin), "a key needs ': ' (a colon and a space) before its value"
    start = len(scene.line) - len(scene.line.lstrip()) + 1
    message = f"this line is indented deeper than the key in line {row}; align the two"
    return (scene.place[0], start), message


def _no_colon(scene: Scene) -> Told:
    place = scene.context or scene.place
    if told := _foreign(scene.file.line(place[0])):
        return (place[0], 1), told
    return place, "a key needs ': ' (a colon and a space) before its value"


def _foreign(line: str) -> str:
    """Return what a line is that belongs to another language; nothing if it is none."""
    text = line.strip()
    if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return "a merge conflict was left here; keep one of the two sides"
    if text.startswith(("//", "/*")):
        return "a comment begins with '#'"
    if "\u00a0" in line:
        return f"a no-break space stands at column {line.index(chr(0xA0)) + 1}; write a space"
    return ""


def _bad_start(scene: Scene) -> Told:
    if scene.char == "%" and scene.before.endswith("{"):
        return scene.place, "this is a template of another tool; a manifest has ${…} only"
    return scene.place, f"{scene.char!r} cannot begin a value: quote it"


def _bad_name(scene: Scene) -> Told:
    """Tell of a star or an ampersand that is no alias and no anchor."""
    row, column = scene.place
    sign = scene.before[-1:]
    return (row, column - 1), f"a value that begins with {sign!r} must be quoted"


def _block(scene: Scene) -> Told:
    """Tell of a line that does not go on with what is above it."""
    if scene.char in ("]", "}"):
        return scene.place, f"this {scene.char!r} closes nothing; remove it"
    last = scene.before.rstrip()[-1:]
    if last in ("]", "}"):
        return scene.place, f"text follows the closing {last!r}; quote the whole value"
    if scene.before.strip(" -"):
        message = "text follows the end of a quoted value; write a quote inside of it twice: ''"
        return scene.place, message
    if told := _foreign(scene.line):
        return (scene.place[0], 1), told
    return scene.place, "the indentation of this line fits none above it; align it with its like"


def _first_line(scene: Scene) -> Told:
    return scene.place, "this line is not indented as the first line of the file is; align the two"


def _escape(scene: Scene) -> Told:
    """Tell of a backslash that means nothing; the parsers point at it, or behind it."""
    row, column = scene.place
    column -= scene.char != "\\"
    column = scene.line.rfind("\\", 0, column) + 1 or column
    pair = scene.line[column - 1 : column + 1]
    return (row, column), f"{pair} means nothing in double quotes; use single quotes"


def _alias(scene: Scene) -> Told:
    return scene.place, "this alias has no anchor before it; quote a value that begins with '*'"


def _tight(scene: Scene) -> Told:
    return scene.place, "a space is missing after ':'"


def _nothing(scene: Scene) -> Told:
    return scene.place, f"a value is missing before this {scene.char!r}"


def _no_character(scene: Scene) -> Told:
    return scene.place, NO_CHARACTER


# What the words of either parser tell apart; the first that is found counts.
_KINDS: tuple[tuple[str, Callable[[Scene], Told]], ...] = (
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
