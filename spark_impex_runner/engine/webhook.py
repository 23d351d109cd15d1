"""Read the body of a Spark webhook: the action, values for a manifest, and what identifies it.

Of a body only ``UserAction`` is published (docs.coherent.global, webhooks). The names of all other
fields are assumed, so that options can replace or drop them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from spark_impex_runner import fields
from spark_impex_runner.errors import UsageError
from spark_impex_runner.text import one_line

ACTION_FIELD: Final = "UserAction"
# Those after which a tenant has something new to export.
DEFAULT_ACTIONS: Final = ("DeploymentRequest", "PublishEngine", "RestoreEngine")
# Variable: names of fields at the top of a body. The API calls a folder a product and a service an
# engine elsewhere. Case, underscores and hyphens do not count.
ASSUMED_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "folder": ("folder", "folder_name", "product", "product_name"),
    "service": ("service", "service_name", "engine", "engine_name"),
    "version": ("version", "version_number"),
    "version_id": ("version_id", "engine_version_id"),
}
# The variables that events set without an option.
OWN_VARIABLES: Final = frozenset({"event", "action", *ASSUMED_FIELDS})
BODY_LIMIT: Final = 1 << 20
_DIGITS = 24
# Characters that would turn a name into a pattern, a version, a reference or another path.
_UNSAFE = re.compile(r"[*?\[\]{}/\\$]")


@dataclass(frozen=True, slots=True)
class EventOptions:
    """How bodies are read.

    Attributes:
        actions: The actions that run the manifest.
        fields: Pairs of a variable and the path of its field, such as ``Data.Version``; they
            replace the assumed fields of their variable, and the first one present counts.
        assumed: Whether the assumed fields of other variables are read.
        id_field: The path of the field that identifies an event; empty for the whole body.
    """

    actions: tuple[str, ...] = DEFAULT_ACTIONS
    fields: tuple[tuple[str, str], ...] = ()
    assumed: bool = True
    id_field: str = ""

    @property
    def variables(self) -> frozenset[str]:
        """The variables that an event may set."""
        own = OWN_VARIABLES if self.assumed else OWN_VARIABLES - ASSUMED_FIELDS.keys()
        return own | {name for name, _ in self.fields}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``id`` is the same for the same event; ``chosen`` is whether it runs anything."""

    action: str
    id: str
    chosen: bool
    variables: Mapping[str, str] = field(default_factory=dict)


def read_event(body: str | bytes, options: EventOptions) -> Event:
    """Return the event in a body; raise ``UsageError`` for one that is none, or has unsafe values.

    Only events that are chosen have variables: ``event`` is the id, ``action`` the action.
    """
    if not body.strip():
        raise UsageError("the event is not JSON: it is empty")
    try:
        data = fields.parse(body)
    except ValueError as error:
        raise UsageError(f"the event is not JSON: {error}") from error
    if not isinstance(data, Mapping):
        raise UsageError("the event is not a JSON object")
    action = one_line(fields.name(data.get(ACTION_FIELD)))
    if action not in options.actions:
        return Event(action, _digest(data), chosen=False)
    event_id = _event_id(data, action, options.id_field)
    variables = {"event": event_id, "action": action, **_variables(data, options)}
    return Event(action, event_id, chosen=True, variables=variables)


def _event_id(data: Mapping[str, Any], action: str, path: str) -> str:
    if not path:
        return _digest(data)
    value = fields.name(_at(data, path))
    if not value:
        raise UsageError(f"the event has no {path}; check --id")
    return _digest([action, value])


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _variables(data: Mapping[str, Any], options: EventOptions) -> dict[str, str]:
    """Return the variables whose fields the body has."""
    wanted: dict[str, list[Any]] = {}
    for variable, path in options.fields:
        wanted.setdefault(variable, []).append(_at(data, path))
    if options.assumed:
        plain = {_plain(name): value for name, value in data.items()}
        for variable, names in ASSUMED_FIELDS.items():
            wanted.setdefault(variable, [plain.get(_plain(name)) for name in names])
    found = {name: next(filter(None, map(fields.name, each)), "") for name, each in wanted.items()}
    for name, value in found.items():
        if value and (_UNSAFE.search(value) or not value.isprintable() or value in {".", ".."}):
            raise UsageError(
                f"the event's {name} is {value!a}, which is no plain name or version; "
                "see --field and --no-assumed"
            )
    return {name: value for name, value in found.items() if value}


def _at(data: Any, path: str) -> Any:
    """Return the value at a path of names with dots between them, None if there is none."""
    for name in path.split("."):
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _plain(name: str) -> str:
    return re.sub(r"[_\-\s]", "", name).lower()
