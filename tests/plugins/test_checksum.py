from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from spark_impex_runner.errors import Interrupted, StepError
from spark_impex_runner.hooks.registry import Registry
from spark_impex_runner.models import Artifact, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from spark_impex_runner.models import Job

    Run = Callable[..., list[Artifact]]

ODD_NAMES = [
    "a b.zip",
    "-n.zip",
    "back\\slash.zip",
    "line\nbreak\r.zip",
    "é*.zip",
    "\\n.zip",
    " .zip",
]


@pytest.fixture
def run(checksum: ModuleType, make_job: Callable[..., Job]) -> Run:
    """Run the step for each of a job's packages; return what the last call made."""

    def call(*packages: Artifact, **options: Any) -> list[Artifact]:
        job, step, made = make_job(*packages), Step("checksum", options), []
        for each in packages:
            made = checksum.impex_run_step(job, step, each)
        return made

    return call


def check(program: str, file: str, output: Path) -> None:
    """Have the real tool check the sums file, strictly."""
    subprocess.run([program, "--check", "--strict", file], cwd=output, check=True)


def test_other_steps_are_ignored(
    checksum: ModuleType, make_job: Callable[..., Job], package: Artifact
) -> None:
    """The plugin answers for its own step only."""
    assert checksum.impex_run_step(make_job(package), Step("upload"), package) is None


def test_sha256sum_accepts_file(run: Run, package: Artifact, output: Path) -> None:
    """Without options there is SHA256SUMS, and the artifact describes it."""
    [made] = run(package)

    check("sha256sum", "SHA256SUMS", output)
    content = (output / "SHA256SUMS").read_bytes()
    assert (made.path, made.name) == (output / "SHA256SUMS", "SHA256SUMS")
    assert (made.size, made.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert made.made_by == "checksum"


@pytest.mark.parametrize(
    ("algorithm", "program"),
    [
        ("md5", "md5sum"),
        ("sha1", "sha1sum"),
        ("sha224", "sha224sum"),
        ("sha384", "sha384sum"),
        ("sha512", "sha512sum"),
        ("blake2b", "b2sum"),
    ],
)
def test_each_algorithm_has_checking_tool(
    run: Run, package: Artifact, output: Path, algorithm: str, program: str
) -> None:
    """Every algorithm on offer can be checked by a tool that everybody has."""
    run(package, algorithms=[algorithm], file="sums")

    check(program, "sums", output)


def test_algorithms_have_separate_files(run: Run, package: Artifact, output: Path) -> None:
    """The file's name says which tool checks it."""
    made = run(package, algorithms=["sha256", "sha512"])

    assert [each.name for each in made] == ["SHA256SUMS", "SHA512SUMS"]
    check("sha256sum", "SHA256SUMS", output)
    check("sha512sum", "SHA512SUMS", output)


def test_known_digest_is_reused(run: Run, package: Artifact, output: Path) -> None:
    """The SHA-256 of the download is taken as it is: the package is not even opened."""
    package.path.unlink()

    run(replace(package, sha256="ab" * 32))

    assert (output / "SHA256SUMS").read_text() == f"{'ab' * 32}  motor.zip\n"


def test_known_digests_are_reused(run: Run, package: Artifact, output: Path) -> None:
    """Whatever algorithm the download went by, its digest is taken, and the file left alone."""
    package.path.unlink()

    run(
        replace(package, sha256="ab" * 32, digests={"md5": "cd" * 16}), algorithms=["sha256", "md5"]
    )

    assert (output / "SHA256SUMS").read_text() == f"{'ab' * 32}  motor.zip\n"
    assert (output / "MD5SUMS").read_text() == f"{'cd' * 16}  motor.zip\n"


def test_changed_package_is_hashed_again(run: Run, package: Artifact, output: Path) -> None:
    """The digests of the download do not speak for other bytes."""
    downloaded = {"sha256": "ab" * 32, "md5": "cd" * 16}
    run(replace(package, digests=downloaded), algorithms=["md5"])

    check("md5sum", "MD5SUMS", output)


def test_only_missing_digests_are_computed(run: Run, package: Artifact, output: Path) -> None:
    """A known digest does not stand for another algorithm's."""
    run(replace(package, digests={"md5": "cd" * 16}), algorithms=["md5", "sha1"])

    assert (output / "MD5SUMS").read_text() == f"{'cd' * 16}  motor.zip\n"
    check("sha1sum", "SHA1SUMS", output)


def test_special_names_are_escaped(
    run: Run, make_package: Callable[..., Artifact], output: Path
) -> None:
    """Whatever a package is called, the tool finds it, and so does the next call."""
    run(*(make_package([("x", name.encode())], name) for name in ODD_NAMES))

    check("sha256sum", "SHA256SUMS", output)
    assert (output / "SHA256SUMS").read_text().count("\n") == len(ODD_NAMES)


def test_second_run_changes_nothing(
    run: Run, make_package: Callable[..., Artifact], output: Path
) -> None:
    """The file is the same whichever package comes last."""
    packages = [make_package([("x", b"")], name) for name in ("b/x.zip", "a.zip")]
    run(*packages)
    before = (output / "SHA256SUMS").read_bytes()

    run(*reversed(packages))

    assert (output / "SHA256SUMS").read_bytes() == before
    check("sha256sum", "SHA256SUMS", output)


def test_lines_of_former_packages_are_dropped(
    run: Run, package: Artifact, make_package: Callable[..., Artifact], output: Path
) -> None:
    """A package that the target no longer has is not looked for."""
    run(make_package([("x", b"")], "old.zip"))
    (output / "old.zip").unlink()

    run(package)

    check("sha256sum", "SHA256SUMS", output)


def test_corrupt_file_is_replaced(run: Run, package: Artifact, output: Path) -> None:
    """Lines in another form, bytes that are no text included, do not survive in our own file."""
    run(package)
    (output / "SHA256SUMS").write_bytes(b"\xff not a line\n")

    run(package)

    check("sha256sum", "SHA256SUMS", output)


def test_foreign_file_is_kept(run: Run, package: Artifact, output: Path) -> None:
    """A file that no run has written is not replaced, and the message names it."""
    (output / "SHA256SUMS").write_text("mine\n")

    with pytest.raises(StepError, match=r"SHA256SUMS is not replaced: no earlier run"):
        run(package)

    assert (output / "SHA256SUMS").read_text() == "mine\n"


@pytest.mark.parametrize("file", ["motor.zip", "impex-receipt.json"])
def test_delivered_file_is_not_overwritten(run: Run, package: Artifact, file: str) -> None:
    """A sums file may not take the name of a package or of the receipt."""
    before = package.path.read_bytes()

    with pytest.raises(StepError, match=f"file: {file} would overwrite a delivered file"):
        run(package, file=file)

    assert package.path.read_bytes() == before


def test_missing_package_is_reported(run: Run, package: Artifact) -> None:
    """A file that is gone fails the step in one line."""
    package.path.unlink()

    with pytest.raises(StepError, match=r"^motor\.zip: .*No such file"):
        run(package)


def test_interrupt_ends_step(
    checksum: ModuleType, make_job: Callable[..., Job], package: Artifact
) -> None:
    """Hashing ends between two pieces, and no file is written."""
    job = make_job(package, stopping=lambda: True)

    with pytest.raises(Interrupted):
        checksum.impex_run_step(job, Step("checksum"), package)

    assert not (job.target.output / "SHA256SUMS").exists()


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ({}, True),
        ({"algorithms": ["sha256", "md5"]}, True),
        ({"file": "sums.txt"}, True),
        ({"file": "sums.txt", "algorithms": ["sha512"]}, True),
        ({"file": "sums.txt", "algorithms": ["sha512", "md5"]}, False),
        ({"file": "../sums"}, False),
        ({"file": ".."}, False),
        ({"algorithms": []}, False),
        ({"algorithms": ["crc32"]}, False),
        ({"algorithm": "sha256"}, False),
    ],
)
def test_options_are_checked_before_run(
    checksum: ModuleType, options: dict[str, Any], accepted: bool
) -> None:
    """A name for the file goes with one algorithm, and stays in the output folder."""
    registry = Registry("builtin")
    checksum.impex_register(registry)
    schema = jsonschema.Draft202012Validator(registry.steps["checksum"].options)

    assert schema.is_valid(options) is accepted
