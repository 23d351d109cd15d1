"""Write data as YAML that YAML 1.1 and 1.2 parsers read alike."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Repeats equal values instead of writing anchors and aliases, for human readers."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Return True: write no aliases."""
        return True


def dump(data: Any) -> str:
    """Return plain data as YAML, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
