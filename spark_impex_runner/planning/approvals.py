"""The approvals of `--approve`, and the command line that approves what is pending."""

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

# How many hexadecimal digits of a SHA-256 identify a package: 48 bits, which no two packages of a
# target share by chance.
DIGITS = 12
_DIGEST = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Approvals:
    """The approvals of a run: names of connections, and digests of packages by connection."""

    names: frozenset[str] = frozenset()
    digests: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Iterable[str]) -> Approvals:
        """Parse ``CONNECTION`` and ``CONNECTION@SHA256``; raise ``UsageError`` for a bad digest."""
        names, digests = set(), dict[str, set[str]]()
        for text in values:
            name, separator, digest = text.partition("@")
            if separator and not _DIGEST.fullmatch(digest.lower()):
                raise UsageError(
                    f"--approve {text}: '{digest}' is not the beginning of a SHA-256; give "
                    f"{DIGITS} to 64 hexadecimal digits"
                )
            if separator:
                digests.setdefault(name, set()).add(digest.lower())
            else:
                names.add(name)
        return cls(frozenset(names), {name: frozenset(each) for name, each in digests.items()})

    @property
    def connections(self) -> frozenset[str]:
        """Return every connection that an approval names."""
        return self.names | self.digests.keys()

    def for_target(self, target: Target) -> frozenset[str]:
        """Return the digests that may approve packages of a target."""
        return frozenset().union(*(self.digests.get(name, ()) for name in target.step_connections))

    def uncovered(self, packages: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Return the names of the held packages that no given digest identifies."""
        # A short digest that fits packages with different bytes identifies none of them.
        every = {each["sha256"] for each in packages.values()}
        return [
            name
            for name, each in packages.items()
            if not any(
                [each["sha256"]] == [one for one in every if one.startswith(digest)]
                for digest in self.digests.get(each["to"], ())
            )
        ]


def command(
    path: Path, options: RunOptions, targets: Iterable[str], approvals: Iterable[str]
) -> str:
    """Return the command line that repeats a run for some targets, with these approvals."""
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
        ("--approve", approvals),
    )
    arguments = (text for option, every in values for each in every for text in (option, str(each)))
    return shlex.join(["impex-run", str(path), *arguments])


def approve_values(name: str, sha256s: Iterable[str]) -> list[str]:
    """Return the values of ``--approve`` that approve packages with these digests and no others."""
    return [f"{name}@{sha256[:DIGITS]}" for sha256 in dict.fromkeys(sha256s)]
