"""``${vault:PATH#FIELD}``: a field of an entry in a store of HashiCorp Vault or OpenBao."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .server import Server

_ODD = {"", ".", ".."}


def check(key: str) -> str:
    """Return what is wrong with a key."""
    path, _, name = key.partition("#")
    good = name and "/" in path and not _ODD & set(path.split("/"))
    return "" if good else "write PATH#FIELD, such as secret/acme/spark#client_secret"


@dataclass(slots=True)
class Vault:
    """The Vault that the environment names: logged in to, and each of its entries read, once."""

    environ: Mapping[str, str] = field(repr=False)
    entries: dict[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    server: Server | None = None
    fault: str = ""

    def read(self, key: str) -> str:
        """Return a field; raise ``LookupError`` with the reason where there is none."""
        path, _, name = key.partition("#")
        if path not in self.entries:
            self.entries[path] = self._asked(path)
        entry = self.entries[path]
        if name not in entry:
            known = ", ".join(sorted(entry)) or "none"
            raise LookupError(f"the entry has no field {name!r}; its fields: {known}")
        return entry[name] if isinstance(entry[name], str) else json.dumps(entry[name])

    def _asked(self, path: str) -> Mapping[str, Any]:
        """Return the fields of an entry; a Vault that does not answer is not asked again."""
        # A manifest that names no Vault is run, and any is validated, without the HTTP library.
        from .server import UnreachableError, log_in  # noqa: PLC0415

        if self.fault:
            raise LookupError(self.fault)
        try:
            self.server = self.server or log_in(self.environ)
            return self._entry(self.server, path)
        except UnreachableError as error:
            self.fault = str(error)
            raise

    def _entry(self, server: Server, path: str) -> Mapping[str, Any]:
        """Return the fields of an entry, from a store of version 2 or 1."""
        # What Vault's own command asks before it reads; the first releases did not know it, and
        # had but one version.
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
