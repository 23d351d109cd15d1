"""Changes of a manifest as data: what changes bytes alone seldom leaves a mapping in the text."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# What texts come with that are no data, or data that holds itself.
_NO_DATA = (yaml.YAMLError, ValueError, TypeError, RecursionError)


class Splicer:
    """Puts pieces of ``seeds``, and of what a schema shows, where others stood or nothing did."""

    def __init__(self, seeds: Iterable[bytes], schema: Any) -> None:
        # Each value once, so that what one manifest says is as likely as what all of them do.
        values: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        beside: defaultdict[str, set[str]] = defaultdict(set)
        mappings = list(_shown(schema))
        for seed in seeds:
            with suppress(*_NO_DATA):
                parts = _containers(_read(seed))
                mappings += [part for part in parts if isinstance(part, dict)]
        for mapping in mappings:
            for key, value in mapping.items():
                values[str(key)][repr(value)] = value
                beside[str(key)] |= {str(other) for other in mapping}
        self._values = {key: list(found.values()) for key, found in values.items()}
        self._beside = {key: sorted(found) for key, found in beside.items()}
        self._keys = sorted(self._values)

    def splice(self, text: bytes, rng: Random) -> bytes | None:
        """Return ``text`` with one to three changes, None if it is no mapping."""
        with suppress(*_NO_DATA):
            data = _read(text)
            if not isinstance(data, dict):
                return None
            for _ in range(rng.randint(1, 3)):
                self._change(rng.choice(list(_containers(data))), rng)
            return _written(data, rng)
        return None

    def _change(self, part: Any, rng: Random) -> None:
        """Change one mapping or list in its place."""
        if isinstance(part, list):
            index = rng.randint(0, len(part))
            piece = copy.deepcopy(rng.choice(part)) if part else self._value("", rng)
            part[index : index + rng.randint(0, 1)] = [piece] * rng.randint(0, 1)
            return
        key = rng.choice(list(part) or self._keys)
        near = self._beside.get(str(key)) if rng.random() < 0.9 else None
        new = rng.choice(near or self._keys)
        change = rng.randrange(5)
        if change == 0:
            part.pop(key, None)
        elif change == 1:
            part[new] = part.pop(key, None)
        elif change == 2:
            part[key] = self._value(str(key), rng)
        else:
            part[new] = self._value(new, rng)

    def _value(self, key: str, rng: Random) -> Any:
        """Return a value that stands under ``key`` somewhere, now and then under any other."""
        known = self._values.get(key) if rng.random() < 0.9 else None
        return copy.deepcopy(rng.choice(known or self._values[rng.choice(self._keys)]))


def _read(text: bytes) -> Any:
    """Return plain data."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - either of the two is a safe one


def _shown(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield mappings of each key of a schema and a value that the schema shows for it."""
    if isinstance(schema, dict):
        for key, part in schema.get("properties", {}).items():
            beside = dict.fromkeys(schema["properties"])
            shown = [*part.get("examples", ()), *part.get("enum", ()), part.get("default", True)]
            yield from ({**beside, key: value} for value in shown)
    if isinstance(schema, (dict, list)):
        for part in schema.values() if isinstance(schema, dict) else schema:
            yield from _shown(part)


def _containers(data: Any) -> Iterator[Any]:
    """Yield ``data`` and every mapping and list in it."""
    if isinstance(data, (dict, list)):
        yield data
        for part in data.values() if isinstance(data, dict) else data:
            yield from _containers(part)


def _written(data: Any, rng: Random) -> bytes:
    """Return ``data`` as text, in one of the ways that people and programs write it."""
    if rng.random() < 0.2:
        return json.dumps(data).encode()
    flow = rng.choice([True, False, None])
    text = yaml.dump(data, Dumper=_DUMPER, default_flow_style=flow, sort_keys=False)
    return str(text).encode("utf-8", "surrogatepass")
