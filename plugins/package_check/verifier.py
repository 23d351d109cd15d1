"""Verify a package by its manifest, its metadata and its checksums, and against the request."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from spark_impex_runner import models, tools

from .module import check_module

if TYPE_CHECKING:
    from .self_test import SelfTest

MANIFEST = "manifest.json"


@dataclass
class PackageVerifier:
    """Verifies one package and collects the findings, each one line that begins with the place.

    ``differences`` contradict the package itself or the request; ``unverified`` is what no
    checksum covers. The layout is that of a genuine ``onpremises`` package. The layout of a
    ``migrate`` package is not published: there, a missing file is unverified, not a difference.
    """

    job: models.Job
    self_test: SelfTest | None = None
    services: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    files: int = 0
    differences: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    _siblings: list[models.Status] = field(default_factory=list)

    def add_sibling(self, package: tools.ArchiveReader) -> None:
        """Add the contents of another package of the job: together they answer the request."""
        manifest = models.Status("", "")
        if place := package.manifest:
            with contextlib.suppress(
                tools.DamagedFileError
            ):  # reported when that package is verified
                manifest = tools.parse_status(_read_object(package, place))
        self._siblings.append(manifest)

    def run(self, package: tools.ArchiveReader) -> None:
        """Verify one package; afterwards every file of it has been read."""
        place = package.manifest
        if place is None:
            self.unverified.append(f"it has no single {{tenant}}/{MANIFEST}")
        else:
            self._verify_manifest(package, place)
        self._read_rest(package)

    def _verify_manifest(self, package: tools.ArchiveReader, place: str) -> None:
        """Verify all that the manifest lists, and that it lists what was requested."""
        try:
            manifest = tools.parse_status(_read_object(package, place))
        except tools.DamagedFileError as error:
            self.differences.append(f"{place}: {error}")
            return
        # A split job has several ids; the tenant writes them in either letter case.
        made = self.job.parts or ((self.job.id,) if self.job.id else ())
        if made and manifest.id and manifest.id.lower() not in map(str.lower, made):
            self.unverified.append(
                f"{place} names the job {printable(manifest.id)}, not its own ({' or '.join(made)})"
            )
        self._compare_with_request(manifest, place)
        # A manifest may list a version twice, which must not count as two.
        versions = {(each.uri, each.version_id): each for each in manifest.service_versions}
        for version in versions.values():
            self._verify_version(package, place.removesuffix(MANIFEST), version)

    def _compare_with_request(self, manifest: models.Status, place: str) -> None:
        """Compare the contents of all packages with the request."""
        listed = [manifest, *self._siblings]
        if all(map(tools.is_unspecified, listed)):
            self.unverified.append(f"{place} names no service")
            return
        versions = tuple(version for each in listed for version in each.service_versions)
        # The target may tolerate missing services (missing: warn).
        found = self.differences if self.job.target.missing == "fail" else self.unverified
        found += [
            f"{place}: expected the {each}, which was requested, found no such entry"
            for each in tools.missing_items(
                self.job.request, replace(manifest, service_versions=versions)
            )
        ]
        covered = {(version.folder, version.service) for version in versions}
        self.unverified += [
            f"{place} names no version of {each.uri}"
            for each in manifest.services
            if (each.folder, each.service) not in covered
        ]

    def _verify_version(
        self, package: tools.ArchiveReader, root: str, version: models.ServiceVersion
    ) -> None:
        """Verify one version: its metadata and its module belong to it."""
        folder = f"{root}{version.folder}/{version.service}/{version.version}/"
        module, metadata = f"{folder}{version.version_id}.zip", f"{folder}ModelMetaData.json"
        engine = self._engine_information(package, metadata, version)
        announced = engine.get("CompiledOutputHash")
        self.services.add(f"{version.folder}/{version.service}")
        if module not in package.entries:
            self._report_missing(module, certain=bool(announced))
            return
        if not announced:
            self.unverified.append(f"{module}: {metadata} gives no CompiledOutputHash")
        # In the output folder: the system's temporary folder may be memory or too small.
        with tempfile.TemporaryFile(dir=self.job.target.output) as copy:
            self._verify_module(package, module, announced, copy)

    def _verify_module(
        self, package: tools.ArchiveReader, name: str, announced: Any, copy: IO[bytes]
    ) -> None:
        """Verify one module by its hash, and the files in it by theirs."""
        expected = tools.parse_hash(str(announced)) if announced else None
        algorithm = expected.algorithm if expected else "sha256"
        digest = hashlib.new(algorithm, usedforsecurity=False)
        try:
            package.copy(name, copy, digest.update)
        except tools.DamagedFileError as error:
            self.differences.append(f"{name}: {error}")
            return
        same = expected is not None and expected.digest == digest.digest()
        if announced and not same:
            kind = algorithm.upper().replace("SHA", "SHA-") if expected else "hash"
            note = "" if expected else ", which is in no known notation"
            wanted = f"the {kind} {printable(str(announced))} (CompiledOutputHash){note}"
            found = digest.hexdigest().upper()
            self.differences.append(f"{name}: expected {wanted}, found {found}")
        if same:
            self.modules.add(name)
        # The inner checksums locate a damage, and are all there is without a hash of the module.
        try:
            with package.nested(copy) as inner:
                findings = check_module(inner)
                if self.self_test:
                    self.differences += self.self_test.check(package, name, inner)
        except zipfile.BadZipFile as error:
            self.differences.append(f"{name}: expected a ZIP file, found: {printable(str(error))}")
            return
        self.files += findings.verified
        self.differences += [f"{name}: {each}" for each in findings.differences]
        self.unverified += [f"{name}: {each}" for each in findings.remarks]
        if not same:
            self.unverified += [f"{name}: no checksum covers {each}" for each in findings.uncovered]

    def _engine_information(
        self, package: tools.ArchiveReader, place: str, version: models.ServiceVersion
    ) -> dict[str, Any]:
        """Return ``EngineInformation`` of a version's metadata, empty if it is not valid."""
        if place not in package.entries:
            self._report_missing(place, certain=False)
            return {}
        try:
            engine = _read_object(package, place).get("EngineInformation")
        except tools.DamagedFileError as error:
            self.differences.append(f"{place}: {error}")
            return {}
        if not isinstance(engine, dict):
            self.differences.append(f"{place}: expected EngineInformation, found none")
            return {}
        found = engine.get("ServiceVersionGuid")
        if isinstance(found, str) and found.lower() != version.version_id.lower():
            self.differences.append(
                f"{place}: expected the version id {printable(version.version_id)} of the "
                f"manifest, found {printable(found)}"
            )
        return engine

    def _report_missing(self, place: str, *, certain: bool) -> None:
        """Record a missing file: a difference where the layout is known, else unverified."""
        if certain or self.job.request.file_filter == "onpremises":
            self.differences.append(f"{place}: expected this file, found no such entry")
        else:
            self.unverified.append(f"there is no {place}")

    def _read_rest(self, package: tools.ArchiveReader) -> None:
        """Read the files that no checksum covers: their CRC detects accidental damage."""
        for name in list(package.unread):
            try:
                for _ in package.pieces(name):
                    pass
            except tools.DamagedFileError as error:
                self.differences.append(f"{name}: {error}")
        alone = len(package.entries) - len(self.modules)
        if alone:
            self.unverified.append(
                f"{tools.counted(alone, 'file')} of the package with no checksum but a CRC"
            )


def _read_object(package: tools.ArchiveReader, place: str) -> dict[str, Any]:
    """Return the JSON object in a file; raise ``DamagedFileError`` if it is not one."""
    try:
        found = tools.parse_json(package.text(place))
    except ValueError:
        raise tools.DamagedFileError("expected JSON, found something else") from None
    if not isinstance(found, dict):
        raise tools.DamagedFileError("expected a JSON object, found another value")
    return found


def printable(text: str, most: int = 200) -> str:
    """Return text from a package for a message: on one line, cut to ``most`` characters."""
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= most else f"{text[:most]}..."
