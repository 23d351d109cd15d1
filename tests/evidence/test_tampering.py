"""Every changed byte is found; benchmarks/tamper.py does the same ten thousand times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.cli.main import main
from spark_impex_runner.evidence.verify import verify
from spark_impex_runner.models import EVIDENCE, RECEIPT

if TYPE_CHECKING:
    from tests.evidence.conftest import Promotion

BENCHMARK = Path(__file__).parents[2] / "benchmarks/tamper.py"


def verified(*words: object) -> int:
    """Run ``impex verify`` and return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        main(["verify", *map(str, words)])
    return int(exit_.value.code or 0)


def signed(promotion: Promotion) -> Promotion:
    """Export as alice, and import as bob."""
    promotion.run("alice")
    promotion.run("bob", approved=frozenset({"prod"}))
    return promotion


@pytest.mark.usefixtures("openssl")
def test_single_byte_changes_are_found(tmp_path: Path, load_script: Any) -> None:
    """A sample of package, receipt, records, approval and lock file."""
    tamper = load_script(BENCHMARK)
    tamper.promoted(tmp_path)

    left = [what for _, found, what in tamper.missed(tmp_path, 250) if not found]

    assert left == []


def test_verify_says_who_and_when(promotion: Promotion, capsys: pytest.CaptureFixture[str]) -> None:
    """One command names the exporter, the approver, the tenant and the times."""
    signed(promotion)
    lock = promotion.folder / "release.lock.json"
    key = promotion.folder / "public.pem"

    code = verified(promotion.release, "--key", key, "--require-approval", "--lock", lock)

    printed = capsys.readouterr().out
    assert code == 0
    for part in ("as delivered", "by alice", "approved for prod by bob", "…) to prod ("):
        assert part in printed
    assert f"{lock}: as delivered" in printed


def test_verify_as_json_has_the_records(
    promotion: Promotion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs get the kind, key and facts of each record."""
    signed(promotion)

    verified(promotion.folder, "--key", promotion.folder / "public.pem", "--format", "json")

    [folder] = json.loads(capsys.readouterr().out)["folders"]
    assert [each["kind"] for each in folder["records"]][-3:] == ["approval", "import", "delivery"]


def change_lines(promotion: Promotion, lines: list[str]) -> None:
    """Write other records beside the receipt."""
    (promotion.release / EVIDENCE).write_text("".join(f"{each}\n" for each in lines))


@pytest.mark.parametrize(
    ("drop", "why"),
    [
        (0, "does not begin with a delivery"),
        (1, "line 2: does not follow line 1"),
        (2, "not of the bytes that were approved"),
        (3, "does not follow line 3"),
        (4, "does not end with a delivery"),
    ],
)
def test_removed_record_is_found(promotion: Promotion, drop: int, why: str) -> None:
    """Records are chained: none can be taken out, the last one neither."""
    lines = signed(promotion).records()
    # The first record is one of two deliveries; without both the records begin with an approval.
    change_lines(promotion, lines[2:] if drop == 0 else lines[:drop] + lines[drop + 1 :])

    problems = verify(promotion.release, [promotion.key()]).problems

    assert any(why in each for each in problems), problems


def test_records_of_another_folder_are_found(promotion: Promotion) -> None:
    """Valid records beside another receipt are not about it."""
    lines = signed(promotion).records()
    promotion.run("alice", fresh=True)
    change_lines(promotion, lines)

    [problem] = verify(promotion.release, [promotion.key()]).problems

    assert f"signed {RECEIPT} with sha256" in problem


def test_unsigned_folder_fails_with_a_key(
    promotion: Promotion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the option it is checked as before."""
    signed(promotion)
    (promotion.release / EVIDENCE).unlink()

    codes = [
        verified(promotion.release),
        verified(promotion.release, "--key", promotion.folder / "public.pem"),
    ]

    assert codes == [0, 4]
    assert "this delivery was not signed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--require-approval",), "need the public key"),
        (("--key", "key.pem"), "this is a private key"),
        (("--key", "m.yaml"), "not a public key of Ed25519"),
        (("--key", "none"), "cannot read the key"),
    ],
)
def test_wrong_options_are_usage_errors(
    promotion: Promotion,
    words: tuple[str, ...],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and one line that says what to give."""
    monkeypatch.chdir(promotion.folder)

    code = verified(".", *words)

    assert (code, why in capsys.readouterr().err) == (2, True)
