"""The part of ``rpds`` that ``referencing`` and ``jsonschema`` use, in Python.

``impex.pyz`` has it in place of the compiled library, which fits one system and one version of
Python. The collections are copied where ``rpds`` shares what is the same: a registry of schemas has
some tens of entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value")


class HashTrieMap(dict[Key, Value]):
    """A mapping whose changes return another mapping."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        """Return the same for equal mappings."""
        return hash(frozenset(self.items()))

    @classmethod
    def convert(cls, value: Mapping[Key, Value]) -> HashTrieMap[Key, Value]:
        """Return the mapping as one of this class."""
        return value if isinstance(value, cls) else cls(value)

    def insert(self, key: Key, value: Value) -> HashTrieMap[Key, Value]:
        """Return the mapping with a key set."""
        return self.update({key: value})

    def update(self, *others: Any, **more: Any) -> HashTrieMap[Key, Value]:  # type: ignore[override]
        """Return the mapping with the keys of others set."""
        changed = dict(self)
        for other in others:
            changed.update(other)
        changed.update(more)
        return type(self)(changed)

    def remove(self, key: Key) -> HashTrieMap[Key, Value]:
        """Return the mapping without a key, which it has; raises ``KeyError``."""
        changed = dict(self)
        del changed[key]
        return type(self)(changed)

    def discard(self, key: Key) -> HashTrieMap[Key, Value]:
        """Return the mapping without a key."""
        return self.remove(key) if key in self else self


class HashTrieSet(frozenset[Key]):
    """A set whose changes return another set."""

    __slots__ = ()

    def insert(self, value: Key) -> HashTrieSet[Key]:
        """Return the set with a value."""
        return type(self)({*self, value})

    def update(self, *others: Iterable[Key]) -> HashTrieSet[Key]:
        """Return the set with the values of others."""
        return type(self)(self.union(*others))

    def remove(self, value: Key) -> HashTrieSet[Key]:
        """Return the set without a value, which it has; raises ``KeyError``."""
        if value not in self:
            raise KeyError(value)
        return self.discard(value)

    def discard(self, value: Key) -> HashTrieSet[Key]:
        """Return the set without a value."""
        return type(self)(self - {value})


class List(Generic[Value]):
    """A list that grows at its front; each list stays as it is."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Value] = ()) -> None:
        self._items = tuple(items)

    def push_front(self, value: Value) -> List[Value]:
        """Return the list with a value before the others."""
        return type(self)((value, *self._items))

    def __iter__(self) -> Iterator[Value]:
        """Yield the values from the front."""
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, List) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"List({list(self._items)})"
