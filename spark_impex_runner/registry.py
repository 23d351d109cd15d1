"""Named things that plugins offer: steps, polling strategies, sources of references."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NO_OPTIONS: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}


@dataclass(frozen=True, slots=True)
class Offer:
    """One named thing: its options as a JSON Schema (an object), and who provides it."""

    name: str
    summary: str
    provider: str
    options: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)


@dataclass(frozen=True, slots=True)
class Source:
    """A source of references: ``read(key)`` yields the value of ``${name:key}``.

    ``read`` raises ``LookupError`` with a one-line reason when there is no such value.
    """

    name: str
    summary: str
    provider: str
    read: Callable[[str], str]


@dataclass(slots=True)
class Registry:
    """What all plugins offer. Each plugin is handed a view that knows its provider's name."""

    provider: str = ""
    steps: dict[str, Offer] = field(default_factory=dict)
    strategies: dict[str, Offer] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)

    def for_provider(self, provider: str) -> Registry:
        """Return a view on the same tables that signs with ``provider``."""
        return Registry(provider, self.steps, self.strategies, self.sources)

    def step(self, name: str, summary: str, options: Mapping[str, Any] | None = None) -> None:
        """Offer a step, ``uses: name`` in a manifest, implemented by ``impex_run_step``."""
        _add(self.steps, Offer(name, summary, self.provider, options or _NO_OPTIONS))

    def strategy(self, name: str, summary: str, options: Mapping[str, Any] | None = None) -> None:
        """Offer a polling strategy, implemented by ``impex_poll_delay``."""
        _add(self.strategies, Offer(name, summary, self.provider, options or _NO_OPTIONS))

    def source(self, name: str, summary: str, read: Callable[[str], str]) -> None:
        """Offer a source of references, ``${name:key}`` in a manifest."""
        _add(self.sources, Source(name, summary, self.provider, read))


def _add(table: dict[str, Any], offer: Offer | Source) -> None:
    """Put an offer in, or say who already holds the name."""
    holder = table.setdefault(offer.name, offer)
    if holder is not offer:
        raise PluginError(
            f"plugin {offer.provider} offers '{offer.name}', "
            f"which {holder.provider} already offers; block one with -p no:NAME"
        )
