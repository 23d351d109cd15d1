"""The approvals that a run is given, and the command that gives them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from spark_impex_runner.models import RunOptions, Target

# So many hexadecimal digits of a SHA-256 name a package: 48 bits, which no two share by chance.
DIGITS = 12
_DIGEST = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Approvals:
    """The approvals that a run was given: connections by name, and digests by connection."""

    names: frozenset[str] = frozenset()
    digests: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Iterable[str]) -> Approvals:
        """Read ``CONNECTION`` and ``CONNECTION@SHA256``; raise ``UsageError`` for anything else."""
        names, found = set(), dict[str, set[str]]()
        for text in given:
            name, separator, digest = text.partition("@")
            if separator and not _DIGEST.fullmatch(digest.lower()):
                raise UsageError(
                    f"--approve {text}: '{digest}' is not the beginning of a SHA-256; give "
                    f"{DIGITS} to 64 hexadecimal digits"
                )
            if separator:
                found.setdefault(name, set()).add(digest.lower())
            else:
                names.add(name)
        return cls(frozenset(names), {name: frozenset(each) for name, each in found.items()})

    @property
    def connections(self) -> frozenset[str]:
        """Every connection that an approval names."""
        return self.names | self.digests.keys()

    def for_target(self, target: Target) -> frozenset[str]:
        """Return the digests that may name packages of a target."""
        return frozenset().union(*(self.digests.get(name, ()) for name in target.step_connections))

    def uncovered(self, packages: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Return the held packages without a digest of their own, by name.

        A digest that fits packages with different bytes names none of them.
        """
        every = {each["sha256"] for each in packages.values()}
        return [
            name
            for name, each in packages.items()
            if not any(
                [each["sha256"]] == [one for one in every if one.startswith(digest)]
                for digest in self.digests.get(each["to"], ())
            )
        ]


def command(path: Path, options: RunOptions, targets: Iterable[str], waits: Iterable[str]) -> str:
    """Return the line that gives approvals (``waits``) to targets, and repeats nothing else."""
    blocked = (f"no:{name}" for name in sorted(options.blocked_plugins))
    values: tuple[tuple[str, Iterable[object]], ...] = (
        ("-f", options.overlays),
        ("-t", targets),
        ("--var", (f"{name}={value}" for name, value in options.variables.items())),
        ("--output", (options.output,) if options.output else ()),
        ("--state", (options.state,) if options.state else ()),
        ("-p", (*blocked, *options.plugin_files)),
        ("--executor", (options.executor,) if options.executor else ()),
        ("--jobs", (options.jobs,) if options.jobs else ()),
        ("--report", (f"{name}={file}" for name, file in options.reports.items())),
        ("--approve", waits),
    )
    words = [word for option, every in values for each in every for word in (option, str(each))]
    return shlex.join(["impex-run", str(path), *words])


def approve_values(name: str, sha256s: Iterable[str]) -> list[str]:
    """Return the values of ``--approve`` that cover packages and nothing else."""
    return [f"{name}@{sha256[:DIGITS]}" for sha256 in dict.fromkeys(sha256s)]
