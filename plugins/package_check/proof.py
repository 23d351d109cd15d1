"""What a package says of itself, held against what is in it and what was asked for."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from typing import IO, Any

from spark_impex_runner import models, tools

from .archive import Archive, Damaged
from .module import check_module

MANIFEST = "manifest.json"


@dataclass
class Proof:
    """The findings about one package.

    ``differences`` is where the package disagrees with itself or with the request; ``unproven``
    is what nothing in it could prove. Each is one line that begins with the place. The layout is
    that of a genuine ``onpremises`` package. How a ``migrate`` package is laid out is not
    published: there, what is not at its place is unproven and no difference.
    """

    job: models.Job
    services: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    files: int = 0
    differences: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    _others: list[models.Status] = field(default_factory=list)

    def note_other(self, package: Archive) -> None:
        """Remember what another package of the same job holds: a request is met by all together."""
        manifest = models.Status("", "")
        if place := _manifest_of(package):
            with contextlib.suppress(Damaged):  # it is told where that package is proven
                manifest = tools.parse_status(_object(package, place))
        self._others.append(manifest)

    def run(self, package: Archive) -> None:
        """Prove one package; afterwards every file of it has been read."""
        place = _manifest_of(package)
        if place is None:
            self.unproven.append(f"it has no single {{tenant}}/{MANIFEST}")
        else:
            self._listed(package, place)
        self._rest(package)

    def _listed(self, package: Archive, place: str) -> None:
        """Prove all that the manifest lists, and that it lists what was asked for."""
        try:
            manifest = tools.parse_status(_object(package, place))
        except Damaged as error:
            self.differences.append(f"{place}: {error}")
            return
        made = self.job.parts or ((self.job.id,) if self.job.id else ())
        if made and manifest.id and manifest.id.lower() not in map(str.lower, made):
            self.unproven.append(
                f"{place} names the job {shown(manifest.id)}, not {' or '.join(made)} that made it"
            )
        self._compare(manifest, place)
        versions = {(each.uri, each.version_id): each for each in manifest.service_versions}
        for version in versions.values():
            self._version(package, place.removesuffix(MANIFEST), version)

    def _compare(self, manifest: models.Status, place: str) -> None:
        """Hold what the manifests of all packages list against the request."""
        listed = [manifest, *self._others]
        if all(map(tools.is_unspecified, listed)):
            self.unproven.append(f"{place} names no service")
            return
        versions = tuple(version for each in listed for version in each.service_versions)
        found = self.differences if self.job.target.missing == "fail" else self.unproven
        found += [
            f"{place}: expected the {each}, which was asked for, found no such entry"
            for each in tools.missing_items(
                self.job.request, replace(manifest, service_versions=versions)
            )
        ]
        covered = {(version.folder, version.service) for version in versions}
        self.unproven += [
            f"{place} names no version of {each.uri}"
            for each in manifest.services
            if (each.folder, each.service) not in covered
        ]

    def _version(self, package: Archive, root: str, version: models.ServiceVersion) -> None:
        """Prove one version: its metadata are its own, and its module is the one they tell of."""
        home = f"{root}{version.folder}/{version.service}/{version.version}/"
        module, metadata = f"{home}{version.version_id}.zip", f"{home}ModelMetaData.json"
        engine = self._engine(package, metadata, version)
        announced = engine.get("CompiledOutputHash")
        self.services.add(f"{version.folder}/{version.service}")
        if module not in package.entries:
            self._absent(module, certain=bool(announced))
            return
        if not announced:
            self.unproven.append(f"{module}: {metadata} gives no CompiledOutputHash")
        with tempfile.TemporaryFile(dir=self.job.target.output) as copy:
            self._module(package, module, announced, copy)

    def _module(self, package: Archive, name: str, announced: Any, copy: IO[bytes]) -> None:
        """Prove one module by the hash of it, and the files in it by their own."""
        expected = tools.parse_hash(str(announced)) if announced else None
        algorithm = expected.algorithm if expected else "sha256"
        digest = hashlib.new(algorithm, usedforsecurity=False)
        try:
            package.copy(name, copy, digest.update)
        except Damaged as error:
            self.differences.append(f"{name}: {error}")
            return
        same = expected is not None and expected.digest == digest.digest()
        if announced and not same:
            kind = algorithm.upper().replace("SHA", "SHA-") if expected else "hash"
            odd = "" if expected else ", which is in no known notation"
            wanted = f"the {kind} {shown(str(announced))} (CompiledOutputHash){odd}"
            found = digest.hexdigest().upper()
            self.differences.append(f"{name}: expected {wanted}, found {found}")
        if same:
            self.modules.add(name)
        try:
            with package.nested(copy) as inner:
                findings = check_module(inner)
        except zipfile.BadZipFile as error:
            self.differences.append(f"{name}: expected a ZIP file, found: {shown(str(error))}")
            return
        self.files += findings.proven
        self.differences += [f"{name}: {each}" for each in findings.differences]
        self.unproven += [f"{name}: {each}" for each in findings.remarks]
        if not same:
            self.unproven += [f"{name}: no checksum covers {each}" for each in findings.uncovered]

    def _engine(
        self, package: Archive, place: str, version: models.ServiceVersion
    ) -> dict[str, Any]:
        """Return what the metadata say of the version; nothing where they are not its own."""
        if place not in package.entries:
            self._absent(place, certain=False)
            return {}
        try:
            engine = _object(package, place).get("EngineInformation")
        except Damaged as error:
            self.differences.append(f"{place}: {error}")
            return {}
        if not isinstance(engine, dict):
            self.differences.append(f"{place}: expected EngineInformation, found none")
            return {}
        found = engine.get("ServiceVersionGuid")
        if isinstance(found, str) and found.lower() != version.version_id.lower():
            self.differences.append(
                f"{place}: expected the version id {shown(version.version_id)} of the manifest, "
                f"found {shown(found)}"
            )
        return engine

    def _absent(self, place: str, *, certain: bool) -> None:
        """Note that a file is not at its place, which is certain in the layout that was seen."""
        if certain or self.job.request.file_filter == "onpremises":
            self.differences.append(f"{place}: expected this file, found no such entry")
        else:
            self.unproven.append(f"there is no {place}")

    def _rest(self, package: Archive) -> None:
        """Read what no checksum covers: its ZIP's own CRC finds accidents, at least."""
        for name in list(package.left):
            try:
                for _ in package.pieces(name):
                    pass
            except Damaged as error:
                self.differences.append(f"{name}: {error}")
        alone = len(package.entries) - len(self.modules)
        if alone:
            self.unproven.append(
                f"{tools.counted(alone, 'file')} of the package with no checksum but a CRC"
            )


def _manifest_of(package: Archive) -> str | None:
    """Return where the manifest lies; None where there is none, or more than one."""
    found = [name for name in package.entries if name.split("/")[1:] == [MANIFEST]]
    return found[0] if len(found) == 1 else None


def _object(package: Archive, place: str) -> dict[str, Any]:
    """Return the JSON object in a file; raise ``Damaged`` where it is none."""
    try:
        found = tools.parse_json(package.text(place))
    except ValueError:
        raise Damaged("expected JSON, found something else") from None
    if not isinstance(found, dict):
        raise Damaged("expected a JSON object, found another value")
    return found


def shown(text: str, most: int = 200) -> str:
    """Return a text from a package for a message: on one line, of a bearable length."""
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= most else f"{text[:most]}..."
