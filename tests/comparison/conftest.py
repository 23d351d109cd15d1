"""Packages for comparisons, built as the sandbox builds them, and changed entry by entry."""

from __future__ import annotations

import itertools
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.comparison.compare import compare
from spark_impex_runner.comparison.places import read
from spark_impex_runner.sandbox.tenant import metadata
from spark_impex_runner.sandbox.tenant.package import PackageRequest, build
from spark_impex_runner.sandbox.tenant.tree import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spark_impex_runner.models.comparison import Diff

ABOUT = {
    "description": "Yearly premium.",
    "inputs": [
        {"name": "value", "description": "Value", "address": "B2", "default": 20000},
        {"name": "factor", "description": "Risk", "address": "B3", "default": 1.0},
    ],
    "outputs": [{"name": "premium", "description": "Premium", "address": "B6"}],
}


@dataclass
class Workshop:
    """Makes packages in a folder of a test's own."""

    folder: Path
    patch: pytest.MonkeyPatch
    made: int = 0
    workbooks: bool = False
    tenant: str = "acme"
    about: dict[str, Any] = field(default_factory=lambda: ABOUT)

    def package(self, *versions: str, files: dict[str, bytes] | None = None, **about: Any) -> Path:
        """Build a package of versions, written as ``folder/service/number``.

        ``about`` replaces parts of ``service.json``, ``files`` adds files to each version. The job
        and all dates differ from those of any other package.
        """
        self.made += 1
        self.patch.setattr(metadata, "RELEASED", f"2026-01-{self.made:02}T09:30:00Z")
        root, target = self.folder / f"tree{self.made}", self.folder / f"{self.made}.zip"
        for version in versions or ("motor/pricing/1.4.1",):
            path = root / version
            path.mkdir(parents=True)
            (path / "service.json").write_text(json.dumps({**self.about, **about}))
            for name, content in (files or {}).items():
                (path / name).write_bytes(content)
        tenant = Tenant(self.tenant, root)
        job = f"00000000-0000-4000-8000-{self.made:012}"
        request = PackageRequest(
            self.tenant, "https://here", job, list(tenant.all_versions()), self.workbooks
        )
        build(request, target)
        return target


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Return a maker of packages."""
    return Workshop(tmp_path, monkeypatch)


@pytest.fixture
def rewritten() -> Callable[..., Path]:
    """Give a function that changes the entries of a package whose names end as given."""
    numbers = itertools.count(1)

    def rewrite(package: Path, changes: dict[str, Any]) -> Path:
        target = package.with_name(f"changed-{next(numbers)}.zip")
        with zipfile.ZipFile(package) as old, zipfile.ZipFile(target, "w") as new:
            entries = {each.filename: old.read(each) for each in old.infolist()}
            for ending, change in changes.items():
                [name] = [each for each in entries if each.endswith(ending)]
                entries[name] = change(entries[name]) if callable(change) else change
            for name, content in entries.items():
                if content is not None:
                    new.writestr(name, content)
        return target

    return rewrite


@pytest.fixture
def differences() -> Callable[[Path, Path], Diff]:
    """Give a function that compares what two paths hold."""

    def diff(old: Path, new: Path) -> Diff:
        return compare(read(old), read(new))

    return diff
