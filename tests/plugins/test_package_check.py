from __future__ import annotations

import hashlib
import importlib
import io
import json
import struct
import tracemalloc
import warnings
import zipfile
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_impex_runner.errors import Interrupted, StepError
from spark_impex_runner.models import Artifact, Job, Manifest, Request, Run, Step, Target
from spark_impex_runner.sandbox.tenant.package import PackageRequest, build
from spark_impex_runner.sandbox.tenant.tree import Tenant, id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    Files = dict[str, bytes]
    Check = Callable[..., str]

JOB = "5f3c9a52-9a2b-4d0e-8f4c-3a6f0f3a9d11"
HOME = "acme/motor/pricing/1.4.2/"
ID = id_of("acme", "motor", "pricing", "1.4.2")
MODULE = f"{HOME}{ID}.zip"
METADATA = f"{HOME}ModelMetaData.json"
MANIFEST = "acme/manifest.json"
WASM = "_pricing.wasm"
SUMS = "checksums.md5"
FULL = "motor.zip: 1 service as its manifest lists, 1 module by SHA-256, 5 files by MD5"


@pytest.fixture(scope="session")
def package_check() -> ModuleType:
    """Return the plugin behind ``uses: package_check``."""
    return importlib.import_module("spark_impex_runner.plugins.package_check")


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    """Make a tenant of two folders, three services and four versions."""
    root = tmp_path / "acme"
    for version in ("motor/pricing/1.4.1", "motor/pricing/1.4.2", "motor/claims/2", "life/term/1"):
        (root / version).mkdir(parents=True)
        (root / version / "model.data").write_text(f"data of {version}\n" * 50)
    return Tenant("acme", root)


@pytest.fixture
def export(tenant: Tenant, output: Path) -> Callable[..., Artifact]:
    """Make packages as the sandbox does; by default of one version, for an on-premises runner."""

    def make(
        *uris: str, name: str = "motor.zip", migrate: bool = False, job_id: str = JOB
    ) -> Artifact:
        wanted = uris or ("motor/pricing[1.4.2]",)
        versions = [each for each in tenant.all_versions() if each.uri in wanted]
        order = PackageRequest("acme", "https://sandbox.invalid/acme", job_id, versions, migrate)
        build(order, output / name)
        return Artifact(output / name, name, (output / name).stat().st_size)

    return make


@pytest.fixture
def package(export: Callable[..., Artifact]) -> Artifact:
    """Make a package of one version for an on-premises runner."""
    return export()


@pytest.fixture
def check(package_check: ModuleType, make_job: Callable[..., Job]) -> Check:
    """Run the step for a package, which is the job's last one; return the line it tells."""

    def call(package: Artifact, *others: Artifact, **more: Any) -> str:
        job = replace(make_job(*others, package), id=JOB)
        asked = {"services": ("motor/pricing[1.4.2]",), "file_filter": "onpremises"}
        request = Request(**{**asked, **more.pop("request", {})})
        target = replace(job.target, missing=more.pop("missing", "fail"))
        job = replace(job, request=request, target=target)
        made = package_check.impex_run_step(job, Step("package_check", more), package)
        assert made.artifacts == ()
        return str(made.message)

    return call


def files_of(content: bytes) -> Files:
    """Return all files of a ZIP."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {each: archive.read(each) for each in archive.namelist() if each[-1] != "/"}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def spoil(package: Artifact, change: Callable[[Files], object]) -> None:
    """Change the files of a package as somebody does who makes a sound ZIP of them again."""
    files = files_of(package.path.read_bytes())
    change(files)
    package.path.write_bytes(zipped(files))


def spoil_module(package: Artifact, change: Callable[[Files], object], *, rehash: bool) -> None:
    """Change the files of the module, and with ``rehash`` what the metadata say of it."""

    def outer(files: Files) -> None:
        inner = files_of(files[MODULE])
        change(inner)
        files[MODULE] = zipped(inner)
        if rehash:
            digest = hashlib.sha256(files[MODULE]).hexdigest().upper()
            set_engine(files, CompiledOutputHash=digest)

    spoil(package, outer)


def set_engine(files: Files, **values: Any) -> None:
    """Change what the metadata say of the version."""
    metadata = json.loads(files[METADATA])
    metadata["EngineInformation"].update(values)
    files[METADATA] = json.dumps(metadata).encode()


def set_outputs(files: Files, **values: Any) -> None:
    """Change what the manifest in the package lists."""
    manifest = json.loads(files[MANIFEST])
    manifest["outputs"].update(values)
    files[MANIFEST] = json.dumps(manifest).encode()


def test_other_steps_are_ignored(
    package_check: ModuleType, make_job: Callable[..., Job], package: Artifact
) -> None:
    """The plugin answers for its own step only."""
    assert package_check.impex_run_step(make_job(package), Step("upload"), package) is None


def test_package_is_verified_without_writes(check: Check, package: Artifact, output: Path) -> None:
    """The line counts what was proven and what was not; a second run says the same."""
    before = package.path.read_bytes()

    text = check(package)

    assert text == f"{FULL}; not verified: 4 files of the package with no checksum but a CRC"
    assert check(package) == text
    assert [path.name for path in output.iterdir()] == ["motor.zip"]
    assert package.path.read_bytes() == before


@pytest.mark.parametrize(("migrate", "alone"), [(False, 10), (True, 13)])
def test_each_version_is_verified(
    check: Check, export: Callable[..., Artifact], migrate: bool, alone: int
) -> None:
    """Two services in three versions; workbooks of a migrate package are told as not verified."""
    uris = ("motor/pricing[1.4.1]", "motor/pricing[1.4.2]", "life/term[1]")
    package = export(*uris, migrate=migrate)
    asked = {
        "folders": ("life",),
        "services": ("motor/pricing", id_of("acme", "life", "term")),
        "version_ids": (ID.upper(),),
        "file_filter": "migrate" if migrate else "onpremises",
    }

    assert check(package, request=asked) == (
        "motor.zip: 2 services as its manifest lists, 3 modules by SHA-256, 15 files by MD5; "
        f"not verified: {alone} files of the package with no checksum but a CRC"
    )


@pytest.mark.parametrize(
    ("asked", "pattern"),
    [
        ({"folders": ("life",)}, "the folder life"),
        ({"services": ("motor/claims",)}, "the service motor/claims"),
        ({"services": ("motor/pricing[1.4.1]",)}, r"the service motor/pricing\[1\.4\.1\]"),
        ({"version_ids": (JOB,)}, f"the version {JOB}"),
    ],
)
def test_missing_requested_item_is_reported(
    check: Check, package: Artifact, asked: dict[str, Any], pattern: str
) -> None:
    """It fails the step; where the target takes it as a warning it is not verified."""
    line = f"{MANIFEST}: expected {pattern}, which was requested, found no such entry"

    with pytest.raises(StepError, match=f"^motor.zip: {line}$"):
        check(package, request=asked)

    assert line.replace("\\", "") in check(package, request=asked, missing="warn")


def test_packages_meet_request_together(
    check: Check, package: Artifact, export: Callable[..., Artifact]
) -> None:
    """What one package lacks another one may hold; one that lists nothing holds nothing."""
    other = export("life/term[1]", name="life.zip")
    asked = {"folders": ("motor", "life"), "services": ()}

    assert check(package, other, request=asked).startswith("motor.zip: 1 service")
    assert check(other, package, request=asked).startswith("life.zip: 1 service")
    spoil(other, lambda files: files.pop(MANIFEST))
    with pytest.raises(StepError, match="expected the folder life"):
        check(package, other, request=asked)
    other.path.write_bytes(b"")
    with pytest.raises(StepError, match="expected the folder life"):
        check(package, other, request=asked)


def change_wasm(files: Files) -> None:
    """Change the code, and nothing else."""
    files[WASM] += b"!"


@pytest.mark.parametrize(
    ("change", "rehash", "message"),
    [
        (change_wasm, False,
         rf"{MODULE}: expected the SHA-256 [0-9A-F]+ .CompiledOutputHash., found .*and 1 more"),
        (change_wasm, True, rf"{MODULE}: {WASM}: expected the MD5 [0-9a-f]{{32}}, found [0-9a-f]+"),
        (lambda files: files.pop(WASM), True,
         f"{MODULE}: {SUMS}: expected the file {WASM}, found no such entry"),
        (lambda files: files.update({SUMS: files[SUMS].replace(b"  ", b"--", 1)}), True,
         f"{MODULE}: {SUMS}: expected an MD5 and a name in line 1, found something else"),
        (lambda files: files.update({SUMS: files[SUMS] + b"0" * 32 + files[SUMS][32:]}), True,
         f"{MODULE}: {SUMS}: expected one hash of"),
    ],
)  # fmt: skip
def test_corrupt_module_is_found(
    check: Check, package: Artifact, change: Callable[[Files], object], rehash: bool, message: str
) -> None:
    """By the hash of the module; where that was changed with it, by the checksums in it."""
    spoil_module(package, change, rehash=rehash)

    with pytest.raises(StepError, match=rf"^motor\.zip: {message}"):
        check(package)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop(MODULE), f"{MODULE}: expected this file, found no such entry"),
        (lambda files: files.update({MODULE: b"no zip"}),
         rf"{MODULE}: expected the SHA-256 \w+ \(CompiledOutputHash\), found \w+ \(and 1 more\)"),
        (lambda files: set_engine(files, CompiledOutputHash="AB" * 32),
         f"{MODULE}: expected the SHA-256 {'AB' * 32} .CompiledOutputHash., found [0-9A-F]{{64}}$"),
        (lambda files: set_engine(files, CompiledOutputHash=7),
         f"{MODULE}: expected the hash 7 .CompiledOutputHash., which is in no known notation"),
        (lambda files: set_engine(files, ServiceVersionGuid=JOB),
         f"{METADATA}: expected the version id {ID} of the manifest, found {JOB}"),
        (lambda files: files.pop(METADATA), f"{METADATA}: expected this file"),
        (lambda files: files.update({METADATA: b"{"}), f"{METADATA}: expected JSON"),
        (lambda files: files.update({METADATA: b"[" * 100_000}), f"{METADATA}: expected JSON"),
        (lambda files: files.update({METADATA: b"[]"}), f"{METADATA}: expected a JSON object"),
        (lambda files: files.update({METADATA: b"{}"}),
         f"{METADATA}: expected EngineInformation, found none"),
        (lambda files: files.update({METADATA: b" " * (16 << 20) + b"{}"}),
         f"{METADATA}: expected a text of at most 16777216 bytes, found more"),
        (lambda files: files.update({MANIFEST: b"null"}),
         f"{MANIFEST}: expected a JSON object, found another value"),
        (lambda files: files.update({MANIFEST: b"\xff"}), f"{MANIFEST}: expected JSON"),
        (lambda files: files.pop(MANIFEST),
         "nothing in it can be verified: it has no single {tenant}/manifest.json"),
        (lambda files: files.update({"other/manifest.json": b"{}"}),
         "nothing in it can be verified: it has no single {tenant}/manifest.json"),
        (lambda files: set_outputs(files, service_versions=None, services=None),
         f"nothing in it can be verified: {MANIFEST} names no service"),
        (lambda files: set_outputs(files, service_versions=None),
         f"{MANIFEST}: expected the service motor/pricing.1.4.2., which was requested"),
    ],
)  # fmt: skip
def test_corrupt_package_is_found(
    check: Check, package: Artifact, change: Callable[[Files], object], message: str
) -> None:
    """Each file that proves something is missed, or found out where it does not."""
    spoil(package, change)

    with pytest.raises(StepError, match=rf"^motor\.zip: {message}"):
        check(package)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda files: files.pop(SUMS),
            f"0 files by MD5; not verified: {MODULE}: there is no {SUMS}",
        ),
        (
            lambda files: files.update(extra=b""),
            "5 files by MD5; not verified: 4 files of the package",
        ),
    ],
)
def test_hash_alone_verifies_module(
    check: Check, package: Artifact, change: Callable[[Files], object], text: str
) -> None:
    """A file without a checksum of its own is covered by the module's; no list is a remark."""
    spoil_module(package, change, rehash=True)

    assert f"1 module by SHA-256, {text}" in check(package)


def test_module_without_hash_is_unverified(check: Check, export: Callable[..., Artifact]) -> None:
    """Its files are counted, but what no checksum covers is named; alone it proves nothing."""
    package = export("motor/pricing[1.4.2]", "life/term[1]")
    spoil_module(package, lambda files: files.update(extra=b""), rehash=False)
    spoil(package, lambda files: set_engine(files, CompiledOutputHash=None))

    text = check(package)

    assert "2 services as its manifest lists, 1 module by SHA-256, 10 files by MD5" in text
    assert f"not verified: {MODULE}: {METADATA} gives no CompiledOutputHash (and 2 more)" in text


def test_package_without_hash_fails(check: Check, package: Artifact) -> None:
    """A step that proves no module must not look like one that did."""
    spoil(package, lambda files: set_engine(files, CompiledOutputHash=None))

    with pytest.raises(StepError, match=r"nothing in it can be verified: .*no CompiledOutputHash"):
        check(package)


def test_migrate_layout_is_no_difference(check: Check, export: Callable[..., Artifact]) -> None:
    """What is not at its place is named as not verified; what a hash announces must be there."""
    package = export("motor/pricing[1.4.2]", "life/term[1]", migrate=True)
    asked = {"file_filter": "migrate"}

    spoil(package, lambda files: files.pop(METADATA))
    assert f"not verified: there is no {METADATA} (and 2 more)" in check(package, request=asked)
    spoil(package, lambda files: files.pop(MODULE))
    assert f"not verified: there is no {METADATA} (and 2 more)" in check(package, request=asked)
    other = export("motor/pricing[1.4.2]", "life/term[1]", migrate=True)
    spoil(other, lambda files: files.pop(MODULE))
    with pytest.raises(StepError, match=f"{MODULE}: expected this file"):
        check(other, request=asked)


def test_version_listed_twice_counts_once(check: Check, package: Artifact) -> None:
    """What a manifest says twice is not verified twice."""
    before = check(package)

    def double(files: Files) -> None:
        listed = json.loads(files[MANIFEST])["outputs"]["service_versions"]
        set_outputs(files, service_versions=[*listed, {**listed[0], "service_id_source": JOB}])

    spoil(package, double)
    assert check(package) == before


def test_package_of_other_job_is_reported(check: Check, export: Callable[..., Artifact]) -> None:
    """The id is likely that of the job, but nobody has documented it: no failure."""
    text = check(export(job_id=ID))

    assert f"not verified: {MANIFEST} names the job {ID}, not its own ({JOB}) (and 1 more)" in text


def test_service_without_version_is_reported(check: Check, package: Artifact) -> None:
    """A service that the manifest names without a version has no module to prove."""
    more = {"folder_source": "motor", "service_source": "claims"}
    spoil(package, lambda files: set_outputs(files, services=[more]))

    assert f"not verified: {MANIFEST} names no version of motor/claims (and 1 more)" in check(
        package
    )


@pytest.mark.parametrize("form", ["sha256:{}", "{} *module.zip", "SHA2-256(x.zip)= {}"])
def test_any_hash_notation_verifies(check: Check, package: Artifact, form: str) -> None:
    """Neither the hash of a module nor the list in it has to look as Spark writes them today."""

    def rewrite(files: Files) -> None:
        rows = files[SUMS].decode().splitlines()
        lines = [f"MD5 (./{row[34:]}) = {row[:32].upper()}" for row in rows]
        files[SUMS] = "\r\n".join(lines).encode("utf-16")

    def announce(files: Files) -> None:
        digest = hashlib.sha256(files[MODULE]).hexdigest()
        set_engine(files, CompiledOutputHash=form.format(digest))

    spoil_module(package, rewrite, rehash=False)
    spoil(package, announce)

    assert check(package).startswith(FULL)


def test_package_text_stays_on_one_line(check: Check, package: Artifact) -> None:
    """Control characters of a package do not reach a terminal, nor do endless values."""
    line = f"{'0' * 32}  \x1b[2J{'x' * 9999}\n".encode()
    spoil_module(package, lambda files: files.update({SUMS: line}), rehash=True)
    with pytest.raises(StepError, match=r"expected the file \\x1b\[2J") as odd_name:
        check(package)
    spoil(package, lambda files: set_engine(files, CompiledOutputHash="\x1b[2J\n" * 9999))
    with pytest.raises(StepError, match=r"expected the hash '\\x1b\[2J") as odd_value:
        check(package)

    for message in (str(odd_name.value), str(odd_value.value)):
        assert message.isprintable()
        assert len(message) < 1200


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"max_total": 5000}, "more than 5000 bytes; raise max_total"),
        ({"max_files": 15}, "more than 15 files and folders; raise max_files"),
    ],
)
def test_modules_count_towards_limits(
    check: Check, package: Artifact, options: dict[str, Any], limit: str
) -> None:
    """The package alone is within them, with its module it is not."""
    with zipfile.ZipFile(package.path) as archive:
        assert sum(each.file_size for each in archive.infolist()) < 5000
        assert len(archive.infolist()) < 15

    with pytest.raises(StepError, match=rf"^motor\.zip: {limit} to allow it$"):
        check(package, **options)


def test_nested_bomb_needs_little_memory(check: Check, package: Artifact, output: Path) -> None:
    """Neither endless zeros nor a directory of countless entries is taken in."""
    zeros = lambda files: files.update({WASM: bytes(64 << 20)})  # noqa: E731
    spoil_module(package, zeros, rehash=True)
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number}", b"")
    bomb = Artifact(output / "many.zip", "many.zip")
    bomb.path.write_bytes(package.path.read_bytes())
    spoil(bomb, lambda files: files.update({MODULE: many.getvalue()}))
    many.close()

    tracemalloc.start()
    try:
        with pytest.raises(StepError, match="more than 50000000 bytes"):
            check(package, max_total="50MB")
        with pytest.raises(StepError, match="more than 50000 files"):
            check(bomb, max_files=50_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 6 << 20
    assert sorted(path.name for path in output.iterdir()) == ["many.zip", "motor.zip"]


def test_large_module_needs_little_memory(
    check: Check, export: Callable[..., Artifact], tenant: Tenant
) -> None:
    """What is held of a module does not grow with it."""
    [version] = [each for each in tenant.all_versions() if each.id == ID]
    (version.path / "model.data").write_bytes(bytes(48 << 20))
    package = export()

    tracemalloc.start()
    try:
        assert check(package).startswith(FULL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 6 << 20


def test_limits_are_per_package(
    check: Check, package: Artifact, export: Callable[..., Artifact]
) -> None:
    """A job's other packages do not count."""
    other = export("life/term[1]", name="life.zip")

    assert check(package, other, max_files=17).startswith(FULL)


def test_temporary_file_is_in_output(
    check: Check, package: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small /tmp, as in containers, is not what decides."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    assert check(package).startswith(FULL)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unbounded_compression_is_refused(check: Check, package: Artifact, method: int) -> None:
    """A few bytes of bzip2 or LZMA may come to any size at once."""
    with zipfile.ZipFile(package.path, "a") as archive:
        archive.writestr("acme/note", b"", method)

    with pytest.raises(StepError, match="'acme/note' is compressed in another way than deflate"):
        check(package)


def test_encrypted_file_is_reported(
    check: Check, package: Artifact, patch_header: Callable[..., None]
) -> None:
    """What cannot be read cannot be proven."""
    patch_header(package, "central", 8, 1)
    patch_header(package, "local", 6, 1)

    with pytest.raises(StepError, match=rf"cannot be unpacked: entry '{MANIFEST}' is encrypted"):
        check(package)


def test_short_file_is_reported(
    check: Check, package: Artifact, patch_header: Callable[..., None]
) -> None:
    """The CRC alone would agree."""
    patch_header(package, "central", 24, 9999)

    with pytest.raises(
        StepError, match=rf"^motor\.zip: {MANIFEST}: expected 9999 bytes, found \d+"
    ):
        check(package)


def test_doubled_files_are_refused(check: Check, package: Artifact) -> None:
    """Of two files of one name nobody knows which one the next reader takes."""
    with warnings.catch_warnings(), zipfile.ZipFile(package.path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(METADATA, b"{}")

    with pytest.raises(
        StepError, match=f"the package is broken: it has two entries named {METADATA}"
    ):
        check(package)


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x05\x06"])
def test_invalid_zip_is_reported(check: Check, package: Artifact, content: bytes) -> None:
    """A package that was replaced on the disk fails the step in one line."""
    package.path.write_bytes(content)

    with pytest.raises(StepError, match=r"^motor\.zip: the package is broken: "):
        check(package)


def test_undecodable_name_is_reported(check: Check, package: Artifact) -> None:
    """A ZIP whose names cannot be read cannot be read at all."""
    with zipfile.ZipFile(package.path, "a") as archive:
        archive.writestr("\xe9", b"")
    package.path.write_bytes(package.path.read_bytes().replace("\xe9".encode(), b"\xff\xff"))

    with pytest.raises(StepError, match=r"^motor\.zip: the package has a name that is not"):
        check(package)


def test_negative_offset_is_reported(check: Check, package: Artifact) -> None:
    """An offset below zero is damage, not an error of the disk."""
    content = bytearray(package.path.read_bytes())
    struct.pack_into("<I", content, len(content) - 6, 1 << 20)
    package.path.write_bytes(content)

    with pytest.raises(
        StepError, match=rf"^motor\.zip: {MANIFEST}: expected the CRC \w{{8}}, found"
    ):
        check(package)


def test_missing_package_is_reported(check: Check, package: Artifact) -> None:
    """A file that is gone fails the step in one line."""
    package.path.unlink()

    with pytest.raises(StepError, match=r"^motor\.zip: .*No such file"):
        check(package)


def test_interrupt_ends_step(
    package_check: ModuleType, make_job: Callable[..., Job], package: Artifact, output: Path
) -> None:
    """Reading ends between two pieces, and no temporary file stays."""
    asked: list[bool] = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) > 4

    with pytest.raises(Interrupted):
        package_check.impex_run_step(
            make_job(package, stopping=stopping), Step("package_check"), package
        )

    assert [path.name for path in output.iterdir()] == ["motor.zip"]


@dataclass
class Place:
    """A folder where the step is run again and again, for the tests with any change."""

    genuine: bytes
    path: Path
    check: Check

    def accepts(self, content: bytes) -> bool:
        """Tell whether a package is taken for proven."""
        self.path.write_bytes(content)
        try:
            self.check(Artifact(self.path, "motor.zip"))
        except StepError:
            return False
        return True


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, package_check: ModuleType) -> Iterator[Place]:
    """Make a package with a workbook, and a job that it belongs to."""
    root = tmp_path_factory.mktemp("any")
    (root / "acme/motor/pricing/1.4.2").mkdir(parents=True)
    versions = list(Tenant("acme", root / "acme").all_versions())
    path = root / "motor.zip"
    build(
        PackageRequest("acme", "https://sandbox.invalid/acme", JOB, versions, workbooks=True), path
    )
    now = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    target = Target("motor", "sit", root)
    run = Run("r1", "", Manifest(root / "m.yaml", "m", {}, (target,)), (target,), now, lambda _: 0)
    asked = Request(services=("motor/pricing",), file_filter="onpremises")
    job = Job(run, target, asked, "acme", now, lambda: False, id=JOB)

    def check(package: Artifact) -> str:
        made = package_check.impex_run_step(job, Step("package_check"), package)
        return str(made.message)

    yield Place(path.read_bytes(), path, check)
    assert sorted(each.name for each in root.iterdir()) == ["acme", "motor.zip"]


def test_nul_in_name_is_refused(place: Place) -> None:
    """Cut there, it would be a folder that holds nothing; found by the test of any byte below."""
    name = b"acme/motor/pricing/1.4.2/WASMMetaData.json"
    content = bytearray(place.genuine)
    content[content.rindex(name) + len("acme/")] = 0

    assert files_of(content) != files_of(place.genuine)
    assert not place.accepts(bytes(content))


@settings(max_examples=150)
@given(data=st.data())
def test_any_changed_byte_is_found(place: Place, data: st.DataObject) -> None:
    """What is accepted holds the same files: the byte was one of the ZIP's own, such as a time."""
    content = bytearray(place.genuine)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    assert not place.accepts(bytes(content)) or files_of(content) == files_of(place.genuine)


@settings(max_examples=100)
@given(data=st.data(), rehash=st.booleans())
def test_any_changed_module_file_is_found(place: Place, data: st.DataObject, rehash: bool) -> None:
    """Even if the ZIP files and the module's hash are made anew."""
    files = files_of(place.genuine)
    inner = files_of(files[MODULE])
    name = data.draw(st.sampled_from(sorted(set(inner) - {SUMS})))
    changed = bytearray(inner[name])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    files[MODULE] = zipped({**inner, name: bytes(changed)})
    if rehash:
        set_engine(files, CompiledOutputHash=hashlib.sha256(files[MODULE]).hexdigest())
    assert place.accepts(place.genuine)

    assert not place.accepts(zipped(files))


@settings(max_examples=100)
@given(data=st.data())
def test_truncated_package_is_no_traceback(place: Place, data: st.DataObject) -> None:
    """A package that is cut off is broken, wherever the cut is."""
    assert not place.accepts(place.genuine[: data.draw(st.integers(0, len(place.genuine) - 1))])
