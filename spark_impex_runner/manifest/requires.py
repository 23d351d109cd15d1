"""Read what a manifest requires, before its other keys can be checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_impex_runner.manifest.yaml.document import Document


@dataclass(frozen=True, slots=True)
class Requires:
    """The key ``requires`` of a manifest.

    ``runner`` is a version specifier or empty. ``plugins`` None means that any may be loaded.
    """

    runner: str = ""
    plugins: tuple[str, ...] | None = None
    local_plugins: bool = False


def read_requires(document: Document) -> Requires:
    """Read only ``requires``: its plugins decide which other keys are valid.

    Errors in it are left to ``read_manifest``.
    """
    data = document.data.get("requires")
    if not isinstance(data, dict):
        return Requires()
    runner, plugins = data.get("runner"), data.get("plugins")
    return Requires(
        runner=runner if isinstance(runner, str) else "",
        plugins=_texts(plugins) if "plugins" in data else None,
        local_plugins=data.get("local_plugins") is True,
    )


def _texts(items: Any) -> tuple[str, ...]:
    """Return the texts in a list; an empty tuple, which allows no plugin, for anything else."""
    return tuple(item for item in items if isinstance(item, str)) if isinstance(items, list) else ()
