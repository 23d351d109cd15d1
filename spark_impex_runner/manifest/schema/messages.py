"""Write a one-line message for each kind of schema violation.

A schema may carry ``x-form``, the end of "… is not ", where prose is clearer than the rule. The
messages of jsonschema are never used: they print values, secrets among them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.manifest.yaml.document import AmbiguousScalar
from spark_impex_runner.paths import url_problem
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_MAX_SHOWN = 60
_MAX_KNOWN_KEYS = 8
_MAX_LISTED = 20
_MOST_LOCATIONS = 2
COMPARISONS = 50_000
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
class SchemaViolation:
    """A value that violates one keyword of its schema; ``rule`` is the keyword's value.

    ``text`` is a scalar's source text. ``secret`` keeps the value out of the message.
    """

    keyword: str
    rule: Any
    schema: Mapping[str, Any]
    value: Any = field(repr=False)
    text: str | None = field(default=None, repr=False)
    secret: bool = False


def listed(names: Iterable[str]) -> str:
    """Return the names with commas, at most ``_MAX_LISTED`` of them."""
    every = list(names)
    more = f" and {len(every) - _MAX_LISTED} more" if len(every) > _MAX_LISTED else ""
    return ", ".join(every[:_MAX_LISTED]) + more


class Suggestions:
    """Suggestions of similar names for many unknown words.

    Comparing each word with each name would take minutes where a large manifest misspells all its
    names, so only the first words get suggestions.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(known)
        self._hints: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def of(self, word: str) -> str:
        """Return the suggestion for ``word``; '' once the limit of comparisons is reached."""
        if word not in self._hints:
            compared = len(self._hints) * len(self._known)
            near = did_you_mean(word, self._known) if compared < COMPARISONS else ""
            self._hints[word] = near
        return self._hints[word]


def unknown_key(key: str, known: Suggestions, key_locations: Sequence[str]) -> str:
    """Return the message for an unknown key; ``key_locations`` are the mappings that have it."""
    names, hint = list(known), known.of(key)
    # A near name here is likelier than an option of a step: `service` for `services`.
    elsewhere = [each for each in key_locations if not (hint and each.endswith(".with"))]
    if elsewhere and len(key_locations) <= _MOST_LOCATIONS:
        return f"unknown key; it belongs under {' or '.join(elsewhere)}"
    if not hint and len(names) <= _MAX_KNOWN_KEYS:
        hint = f"; known here: {', '.join(names)}" if names else "; no key is known here"
    return f"unknown key{hint}"


def message_for(violation: SchemaViolation) -> str:
    """Return the message for ``violation``."""
    form = violation.schema.get("x-form")
    if form and violation.keyword != "x-path":
        scalar = isinstance(violation.value, (bool, int, float)) and not _ambiguity_of(violation)
        quote = scalar and violation.schema.get("type") == "string"
        return f"{_shown_subject(violation)} is not {form}{': quote it' if quote else ''}"
    describe = _MESSAGES.get(violation.keyword)
    if describe is None:
        rule = (
            violation.keyword
            if _is_container(violation.rule)
            else f"{violation.keyword}: {violation.rule}"
        )
        return f"{_shown_value(violation)} does not fit the rule '{rule}'"
    return describe(violation)


def _type(violation: SchemaViolation) -> str:
    types = [violation.rule] if isinstance(violation.rule, str) else list(violation.rule)
    selected = " or ".join(_TYPES[kind] for kind in types)
    scalar_wanted = not {"array", "object"}.issuperset(types)
    if isinstance(violation.value, str) and not scalar_wanted:
        return f"expected {selected}, found text{_shape(violation)}"
    quote = "string" in types and isinstance(violation.value, (bool, int, float, AmbiguousScalar))
    # A value without source text came from a reference.
    fix = ": quote it" if violation.text is not None else ": quote it where it comes from"
    found = f"{_shown_value(violation)}{_ambiguity_of(violation)}{fix if quote else ''}"
    plain = quote and not _ambiguity_of(violation) and not isinstance(violation.value, bool)
    return f"expected {selected}, found {'the number ' if plain else ''}{found}"


def _shape(violation: SchemaViolation) -> str:
    """Return how to write the list or mapping that is wanted instead of text."""
    if violation.rule == "array":
        return "; put [ ] around it"
    keys = violation.schema.get("required") or list(violation.schema.get("properties", ()))[:1]
    return f"; write {{{', '.join(f'{key}: …' for key in keys)}}}" if keys else ""


def _enum(violation: SchemaViolation) -> str:
    allowed = ", ".join(repr(value) for value in violation.rule) or "nothing: no plugin offers any"
    hint = ""
    if isinstance(violation.value, str) and not violation.secret:
        hint = did_you_mean(
            violation.value, [item for item in violation.rule if isinstance(item, str)]
        )
    return f"{_shown_subject(violation)} is not one of {allowed}{hint}"


def _const(violation: SchemaViolation) -> str:
    return f"{_shown_subject(violation)} is not {violation.rule!r}"


def _compared(relation: str) -> Callable[[SchemaViolation], str]:
    """Return the message of a value that is in this relation to the rule."""
    return lambda violation: f"{_shown_value(violation)} {relation} {violation.rule}"


def _path(violation: SchemaViolation) -> str:
    text = "text" if violation.secret else str(violation.value)
    return url_problem(text, str(violation.rule))


def _few(violation: SchemaViolation) -> str:
    size = len(violation.value)
    return (
        "must not be empty" if not size else f"has {size} entries, needs at least {violation.rule}"
    )


def _many(violation: SchemaViolation) -> str:
    return f"has {len(violation.value)} entries, at most {violation.rule} are allowed"


def _short(violation: SchemaViolation) -> str:
    if not violation.value:
        return "must not be empty"
    return f"{_shown_value(violation)} is shorter than {violation.rule}"


def _unique(_: SchemaViolation) -> str:
    return "has the same entry twice"


_MESSAGES: Mapping[str, Callable[[SchemaViolation], str]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _compared("does not have the form"),
    "x-path": _path,
    "minimum": _compared("is less than"),
    "maximum": _compared("is more than"),
    "exclusiveMinimum": _compared("is not more than"),
    "exclusiveMaximum": _compared("is not less than"),
    "minItems": _few,
    "minProperties": _few,
    "minLength": _short,
    "maxLength": _compared("is longer than"),
    "maxItems": _many,
    "maxProperties": _many,
    "uniqueItems": _unique,
}


def yaml_trap(scalar: AmbiguousScalar) -> str:
    """Return the message for an ambiguous scalar."""
    return f"{scalar.text}, which YAML reads as {scalar.reading}: quote it"


def _is_container(rule: Any) -> bool:
    """Return True if a rule is too long for a message."""
    return isinstance(rule, (dict, list))


def _shown_subject(violation: SchemaViolation) -> str:
    """Return the value as the subject of a sentence, with YAML's reading if that differs."""
    ambiguity = _ambiguity_of(violation)
    return f"{_shown_value(violation)}{ambiguity}," if ambiguity else _shown_value(violation)


def _shown_value(violation: SchemaViolation) -> str:
    """Return the value as written; a secret only by its kind."""
    value, text = violation.value, violation.text
    if violation.secret or value is None or isinstance(value, (dict, list)):
        return _kind(value)
    if isinstance(value, str):
        shown = value if len(value) <= _MAX_SHOWN else f"{value[: _MAX_SHOWN - 1]}…"
        return repr(shown)
    if isinstance(value, AmbiguousScalar):
        return value.text
    return text or _plain(value)


def _kind(value: Any) -> str:
    """Return the kind of a value."""
    return _KINDS.get(type(value), "nothing")


_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "a plain word",
    int: "a number",
    float: "a number",
    AmbiguousScalar: "a number or date",
    list: "a list",
    dict: "a mapping",
}


def _ambiguity_of(violation: SchemaViolation) -> str:
    """Return YAML's reading of a scalar if it differs from the text."""
    value, text = violation.value, violation.text
    if violation.secret:
        return ""
    if isinstance(value, AmbiguousScalar):
        return f", which YAML reads as {value.reading}"
    if isinstance(value, (bool, int, float)) and text and text != _plain(value):
        return f", which YAML reads as {_plain(value)}"
    return ""


def _plain(value: float) -> str:
    """Return a number or boolean in canonical form."""
    return str(value).lower() if isinstance(value, bool) else str(value)
