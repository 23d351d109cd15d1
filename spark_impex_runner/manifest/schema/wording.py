"""One line for each kind of mistake that a JSON Schema finds, in words for people.

A schema may carry ``x-form``, the end of "… is not ", for a place whose rule is easier said than
shown. The words of the schema library are never used: they print values, secrets among them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.yaml.document import Odd
from spark_impex_runner.paths import url_problem
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_LONGEST = 60
_FEW = 8
_LISTED = 20
_HOMES = 2
COMPARISONS = 50_000
# What to use in place of a URL, by what a path is for.
INSTEAD = {
    "output": "; give a local folder, and send its files on with the step 'upload'",
    "write": "; give a local file, and send it on after the run",
    "read": "; fetch what is there before the run, and give its local path",
    "either": "; write :// after its scheme, or give a local path",
}
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A value that breaks one keyword of its schema; ``rule`` is the keyword's value.

    ``text`` is how a scalar was written. ``secret`` keeps the value out of the message.
    """

    keyword: str
    rule: Any
    schema: Mapping[str, Any]
    value: Any = field(repr=False)
    text: str | None = field(default=None, repr=False)
    secret: bool = False


def listed(names: Iterable[str]) -> str:
    """Return names with commas between them; of very many only the first."""
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more


class Hints:
    """The hints for many words that are none of many names.

    To compare each with each would take minutes where a large manifest calls all of its targets
    by a wrong name, so only the first words have their hints.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(known)
        self._hints: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def of(self, word: str) -> str:
        """Return what ``did_you_mean`` says of ``word``, or nothing if too much was asked."""
        if word not in self._hints:
            compared = len(self._hints) * len(self._known)
            near = did_you_mean(word, self._known) if compared < COMPARISONS else ""
            self._hints[word] = near
        return self._hints[word]


def unknown_key(key: str, known: Hints, homes: Sequence[str]) -> str:
    """Return the line for a key that a mapping does not know; ``homes`` are those that do."""
    names = list(known)
    if homes and len(homes) <= _HOMES:
        return f"unknown key; it belongs under {' or '.join(homes)}"
    hint = known.of(key)
    if not hint and len(names) <= _FEW:
        hint = f"; known here: {', '.join(names)}" if names else "; no key is known here"
    return f"unknown key{hint}"


def say(mistake: Mistake) -> str:
    """Return the line for ``mistake``."""
    form = mistake.schema.get("x-form")
    if form and mistake.keyword != "x-path":
        scalar = isinstance(mistake.value, (bool, int, float)) and not _trap(mistake)
        quote = scalar and mistake.schema.get("type") == "string"
        return f"{_subject(mistake)} is not {form}{': quote it' if quote else ''}"
    words = _WORDS.get(mistake.keyword)
    if words is None:
        rule = mistake.keyword if _is_long(mistake.rule) else f"{mistake.keyword}: {mistake.rule}"
        return f"{_found(mistake)} does not fit the rule '{rule}'"
    return words(mistake)


def _type(mistake: Mistake) -> str:
    types = [mistake.rule] if isinstance(mistake.rule, str) else list(mistake.rule)
    wanted = " or ".join(_TYPES[kind] for kind in types)
    scalar_wanted = not {"array", "object"}.issuperset(types)
    if isinstance(mistake.value, str) and not scalar_wanted:
        return f"expected {wanted}, found text{_shape(mistake)}"
    quote = "string" in types and isinstance(mistake.value, (bool, int, float, Odd))
    # What has no spelling of its own came by a reference.
    mend = ": quote it" if mistake.text is not None else ": quote it where it comes from"
    found = f"{_found(mistake)}{_trap(mistake)}{mend if quote else ''}"
    plain = quote and not _trap(mistake) and not isinstance(mistake.value, bool)
    return f"expected {wanted}, found {'the number ' if plain else ''}{found}"


def _shape(mistake: Mistake) -> str:
    """Return how text would be written in place of a list or a mapping."""
    if mistake.rule == "array":
        return "; put [ ] around it"
    keys = mistake.schema.get("required") or list(mistake.schema.get("properties", ()))[:1]
    return f"; write {{{', '.join(f'{key}: …' for key in keys)}}}" if keys else ""


def _enum(mistake: Mistake) -> str:
    allowed = ", ".join(repr(value) for value in mistake.rule) or "nothing: no plugin offers any"
    hint = ""
    if isinstance(mistake.value, str) and not mistake.secret:
        hint = did_you_mean(mistake.value, [item for item in mistake.rule if isinstance(item, str)])
    return f"{_subject(mistake)} is not one of {allowed}{hint}"


def _const(mistake: Mistake) -> str:
    return f"{_subject(mistake)} is not {mistake.rule!r}"


def _pattern(mistake: Mistake) -> str:
    return f"{_found(mistake)} does not have the form {mistake.rule}"


def _least(mistake: Mistake) -> str:
    return f"{_found(mistake)} is less than {mistake.rule}"


def _most(mistake: Mistake) -> str:
    return f"{_found(mistake)} is more than {mistake.rule}"


def _above(mistake: Mistake) -> str:
    return f"{_found(mistake)} is not more than {mistake.rule}"


def _below(mistake: Mistake) -> str:
    return f"{_found(mistake)} is not less than {mistake.rule}"


def _path(mistake: Mistake) -> str:
    text = "text" if mistake.secret else str(mistake.value)
    return url_problem(text) + INSTEAD.get(str(mistake.rule), INSTEAD["read"])


def _few(mistake: Mistake) -> str:
    size = len(mistake.value)
    return "must not be empty" if not size else f"has {size} entries, needs at least {mistake.rule}"


def _many(mistake: Mistake) -> str:
    return f"has {len(mistake.value)} entries, at most {mistake.rule} are allowed"


def _short(mistake: Mistake) -> str:
    if not mistake.value:
        return "must not be empty"
    return f"{_found(mistake)} is shorter than {mistake.rule}"


def _long(mistake: Mistake) -> str:
    return f"{_found(mistake)} is longer than {mistake.rule}"


def _unique(_: Mistake) -> str:
    return "has the same entry twice"


_WORDS: Mapping[str, Callable[[Mistake], str]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "x-path": _path,
    "minimum": _least,
    "maximum": _most,
    "exclusiveMinimum": _above,
    "exclusiveMaximum": _below,
    "minItems": _few,
    "minProperties": _few,
    "minLength": _short,
    "maxLength": _long,
    "maxItems": _many,
    "maxProperties": _many,
    "uniqueItems": _unique,
}


def trap(odd: Odd) -> str:
    """Return the line for a value that must be quoted wherever it stands."""
    return f"{odd.text}, which YAML reads as {odd.reading}: quote it"


def _is_long(rule: Any) -> bool:
    """Tell whether a rule is more than a number or a word."""
    return isinstance(rule, (dict, list))


def _subject(mistake: Mistake) -> str:
    """Return the value as the subject of a sentence, with the surprise that it may hold."""
    surprise = _trap(mistake)
    return f"{_found(mistake)}{surprise}," if surprise else _found(mistake)


def _found(mistake: Mistake) -> str:
    """Return the value as a person would point at it; a secret only by its kind."""
    value, text = mistake.value, mistake.text
    if mistake.secret or value is None or isinstance(value, (dict, list)):
        return _kind(value)
    if isinstance(value, str):
        shown = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
        return repr(shown)
    if isinstance(value, Odd):
        return value.text
    return text or _plain(value)


def _kind(value: Any) -> str:
    """Return what a value is, without showing it."""
    return _KINDS.get(type(value), "nothing")


_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "a plain word",
    int: "a number",
    float: "a number",
    Odd: "a number or date",
    list: "a list",
    dict: "a mapping",
}


def _trap(mistake: Mistake) -> str:
    """Name the surprise of YAML behind a value that is not what was written."""
    value, text = mistake.value, mistake.text
    if mistake.secret:
        return ""
    if isinstance(value, Odd):
        return f", which YAML reads as {value.reading}"
    if isinstance(value, (bool, int, float)) and text and text != _plain(value):
        return f", which YAML reads as {_plain(value)}"
    return ""


def _plain(value: float) -> str:
    """Return a number or boolean as this package would write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
