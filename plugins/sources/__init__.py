"""Read secrets: ``${keyring:…}`` from this machine, ``${vault:…}`` from HashiCorp Vault."""

from __future__ import annotations

import os

from spark_impex_runner import Registry, hookimpl

from . import keyring, vault


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register both; Vault's entries are cached as long as the registry lives, which is one run."""
    registry.source(
        "keyring",
        "a password in this machine's keyring, as SERVICE/USERNAME",
        keyring.read,
        secret=True,
        check=keyring.check,
    )
    registry.source(
        "vault",
        "a field in HashiCorp Vault or OpenBao, as PATH#FIELD",
        vault.Vault(os.environ).read,
        secret=True,
        check=vault.check,
    )
