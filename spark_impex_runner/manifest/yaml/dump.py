"""Data to text: YAML that this package, and any other reader, takes for the same data."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Repeats what stands twice instead of referring to it: people read this."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Tell that nothing is an alias."""
        return True


def dump(data: Any) -> str:
    """Return plain data as YAML, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
