"""``${vault:PATH#FIELD}``: read a field of an entry in HashiCorp Vault or OpenBao."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .server import Server

_INVALID_PARTS = {"", ".", ".."}


def check(key: str) -> str:
    """Return the error of a key, empty if it is valid."""
    path, _, name = key.partition("#")
    valid = name and "/" in path and not _INVALID_PARTS & set(path.split("/"))
    return "" if valid else "write PATH#FIELD, such as secret/acme/spark#client_secret"


@dataclass(slots=True)
class Vault:
    """The Vault of the environment; logs in once and reads each entry once."""

    environ: Mapping[str, str] = field(repr=False)
    entries: dict[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    server: Server | None = None
    failure: str = ""

    def read(self, key: str) -> str:
        """Return a field; raise ``LookupError`` with the reason if there is none."""
        path, _, name = key.partition("#")
        if path not in self.entries:
            self.entries[path] = self._fetch(path)
        entry = self.entries[path]
        if name not in entry:
            known = ", ".join(sorted(entry)) or "none"
            raise LookupError(f"the entry has no field {name!r}; its fields: {known}")
        return entry[name] if isinstance(entry[name], str) else json.dumps(entry[name])

    def _fetch(self, path: str) -> Mapping[str, Any]:
        """Return the fields of an entry; repeat no request to an unreachable Vault."""
        # Imported late: runs without Vault, and every validation, do without the HTTP library.
        from .server import UnreachableError, log_in  # noqa: PLC0415

        if self.failure:
            raise LookupError(self.failure)
        try:
            self.server = self.server or log_in(self.environ)
            return self._entry(self.server, path)
        except UnreachableError as error:
            self.failure = str(error)
            raise

    def _entry(self, server: Server, path: str) -> Mapping[str, Any]:
        """Return the fields of an entry from a KV store of version 2 or 1."""
        # The request by which Vault's own CLI finds the store's version; the first releases do not
        # have it, nor version 2.
        found = server.get(f"sys/internal/ui/mounts/{path}", path) or {}
        mount, options = str(found.get("path") or ""), found.get("options")
        if isinstance(options, dict) and options.get("version") == "2":
            rest = path.removeprefix(mount.rstrip("/")).lstrip("/")
            entry = (server.get(f"{mount}data/{rest}", path) or {}).get("data")
        else:
            entry = server.get(path, path)
        if isinstance(entry, dict):
            return entry
        raise LookupError(f"{server.name} has no such entry, or it was deleted")
