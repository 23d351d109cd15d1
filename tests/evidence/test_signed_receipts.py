"""Receipts are signed: with each delivery, approval and import, chained by digest."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from spark_impex_runner.engine import reports
from spark_impex_runner.engine.restore_plan import Backup
from spark_impex_runner.errors import ManifestError, UsageError
from spark_impex_runner.evidence.keys import read_signer
from spark_impex_runner.evidence.lock import verify_lock
from spark_impex_runner.evidence.summary import lines
from spark_impex_runner.evidence.verify import verify
from spark_impex_runner.models import EVIDENCE, RECEIPT, Outcome
from spark_impex_runner.report import receipt

if TYPE_CHECKING:
    from tests.evidence.conftest import Promotion

GATE = "{uses: import, with: {to: prod, gate: manual, if_present: add_version}}"
SCHEMAS = Path(__file__).parents[2] / "schemas"


def statements(promotion: Promotion) -> list[dict[str, Any]]:
    """Return the payloads of the records."""
    return [json.loads(base64.b64decode(json.loads(e)["payload"])) for e in promotion.records()]


def kinds(promotion: Promotion) -> list[str]:
    """Return the kinds of the records, in their order."""
    return [each["predicateType"].split(":")[2] for each in statements(promotion)]


def test_promotion_is_signed_and_chained(promotion: Promotion) -> None:
    """Export, approval, import and the final receipt follow each other, and name the people."""
    held = promotion.run()
    done = promotion.run("bob", approved=frozenset({"prod"}))

    found = verify(promotion.release, [promotion.key()], require_approval=True)

    assert [each.exit_code for each in (held, done)] == [9, 0]
    assert (found.problems, receipt.verify(promotion.release)) == ((), [])
    assert kinds(promotion) == ["delivery", "delivery", "approval", "import", "delivery"]
    first, *_, approval, imported, last = found.records
    assert (first.predicate["started_by"], approval.predicate["by"]) == ("alice", "bob")
    assert imported.predicate["approval"] == approval.digest
    assert imported.predicate["by"] == "bob"
    assert {RECEIPT, "package.zip"} == set(last.subjects)
    assert promotion.receipt()["approvals"][0]["by"] == "bob"


def test_restore_knows_when_it_was_exported(promotion: Promotion) -> None:
    """The receipt is that of the last run, which an approval let go on; the first record tells."""
    promotion.run()
    promotion.run("bob", approved=frozenset({"prod"}))

    backup = Backup.of("release", (), promotion.receipt(), promotion.release)

    first = statements(promotion)[0]["predicate"]
    assert backup.origin["started"] == first["started"] < promotion.receipt()["started"]


def test_records_match_their_schemas(promotion: Promotion) -> None:
    """Each payload validates against the published schema of its kind."""
    promotion.run()
    promotion.run("bob", approved=frozenset({"prod"}))

    for statement in statements(promotion):
        kind = statement["predicateType"].split(":")[2]
        schema = json.loads((SCHEMAS / f"{kind}-statement.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(statement)


def test_ssh_key_signs(promotion: Promotion) -> None:
    """A key of SSH signs by ssh-keygen, and only its own public key verifies."""
    promotion.write("{uses: checksum}", "ssh_key: bob")

    promotion.run()

    assert verify(promotion.release, [promotion.key("bob.pub")]).problems == ()
    [problem] = verify(promotion.release, [promotion.key()]).problems
    assert "which --key does not give" in problem


def test_public_key_signs_nothing(promotion: Promotion) -> None:
    """It is named as what it is, also where a key of either kind is taken."""
    with pytest.raises(UsageError, match=r"public\.pem: this is a public key; sign with its "):
        read_signer(promotion.folder / "public.pem")


def test_unchanged_delivery_keeps_its_records(promotion: Promotion) -> None:
    """A run that delivers nothing new writes neither receipt nor records."""
    promotion.write("{uses: checksum}]\n    skip_unchanged: true\n    tags: [x")
    promotion.run()
    before = (promotion.release / EVIDENCE).read_bytes()

    again = promotion.run()

    assert again.results[0].outcome is Outcome.UNCHANGED
    assert (promotion.release / EVIDENCE).read_bytes() == before
    assert verify(promotion.release, [promotion.key()]).problems == ()


def test_killed_between_both_files_is_completed(
    promotion: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies after the records and before the receipt is found, and completed."""
    promotion.run()

    def killed(path: Path, text: str) -> None:
        if path.name == RECEIPT:
            raise KeyboardInterrupt
        write(path, text)

    write = reports.write
    with monkeypatch.context() as patch:
        patch.setattr(reports, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            promotion.run("carol")
    [problem] = verify(promotion.release, [promotion.key()]).problems
    assert "the same command completes it" in problem

    promotion.run("carol")

    assert verify(promotion.release, [promotion.key()]).problems == ()


def test_second_machine_continues_the_chain(promotion: Promotion) -> None:
    """Without the first one's state, an approval by digest adds to the records of the folder."""
    held = promotion.run()
    shutil.rmtree(promotion.folder / ".impex")

    done = promotion.run("bob", approved=frozenset({f"prod@{held.results[0].digests[0]}"}))

    assert done.exit_code == 0
    found = verify(promotion.release, [promotion.key()], require_approval=True)
    assert (found.problems, len(found.records)) == ((), 5)


def test_upload_takes_the_records_along(promotion: Promotion) -> None:
    """The uploaded folder verifies as the delivered one does, with its approval."""
    backup = promotion.folder / "backup"
    promotion.write(f"{GATE}, {{uses: upload, with: {{to: 'file://{backup}'}}}}")
    promotion.run()
    promotion.run("bob", approved=frozenset({"prod"}))

    found = verify(backup, [promotion.key()], require_approval=True)

    assert (found.problems, receipt.verify(backup)) == ((), [])
    assert [each.kind for each in found.records][-3:] == ["approval", "import", "delivery"]


def test_import_without_gate_has_no_approval(promotion: Promotion) -> None:
    """It is valid, but not where an approval is required."""
    promotion.write("{uses: import, with: {to: prod, if_present: add_version}}")
    promotion.run()

    found = verify(promotion.release, [promotion.key()])
    required = verify(promotion.release, [promotion.key()], require_approval=True)

    assert (found.problems, kinds(promotion)) == ((), ["delivery", "import", "delivery"])
    assert required.problems == (f"{EVIDENCE}: import to prod: nobody approved it",)


def test_identical_import_is_recorded_without_job(promotion: Promotion) -> None:
    """The lock file has the bytes, signed; nothing was sent, so no approval is required."""
    promotion.write("{uses: import, with: {to: prod, if_present: add_version}}")
    promotion.run()
    lock = promotion.folder / "l.json"
    promotion.write("{uses: import, with: {to: prod, if_present: add_version, lock: l.json}}")

    again = promotion.run(fresh=True)

    found = verify(promotion.release, [promotion.key()], require_approval=True)
    [package] = json.loads(lock.read_text())["packages"]
    schema = json.loads((SCHEMAS / "import-lock.schema.json").read_text())
    jsonschema.validate(json.loads(lock.read_text()), schema)
    [shown] = [each for each in lines(found.records) if "prod" in each]
    assert again.exit_code == 0
    assert [each["job_id"] for each in package["imports"]] == [""]
    assert (found.problems, verify_lock(lock, found.records)) == ((), [])
    assert " found identical on prod (http" in shown


def test_removed_signing_removes_the_records(promotion: Promotion) -> None:
    """A receipt that is no longer signed has no old records beside it."""
    promotion.run()
    text = promotion.manifest.read_text()
    promotion.manifest.write_text(text.replace('sign: {key: "${file:key.pem}"}\n', ""))

    promotion.run()

    assert not (promotion.release / EVIDENCE).exists()


@pytest.mark.parametrize(
    ("sign", "why"),
    [
        ('key: "${file:public.pem}"', "not a private key in PEM"),
        ('key: "${file:bob}"', "not a private key in PEM"),
        ("ssh_key: none", "cannot read the signing key"),
        ("ssh_key: bob.pub", "ssh-keygen cannot sign with"),
    ],
)
def test_unusable_key_is_refused_at_the_start(promotion: Promotion, sign: str, why: str) -> None:
    """Nothing is sent, and no byte of the key is in the message."""
    if sign.endswith("bob.pub"):
        (promotion.folder / "bob").unlink()
    promotion.write(sign=sign)

    with pytest.raises(UsageError, match=r"^sign: ") as error:
        promotion.run()

    assert why in str(error.value)
    assert "BEGIN" not in str(error.value)
    assert not promotion.release.exists()


def test_literal_key_is_refused_unseen(promotion: Promotion) -> None:
    """A key in the manifest itself is an error that does not print it."""
    promotion.write(sign="key: MC4CAQAwBQYDK2VwBCIEIsecret")

    with pytest.raises(ManifestError) as error:
        promotion.run()

    assert "sign.key" in str(error.value)
    assert "MC4CAQ" not in str(error.value)


def test_key_is_written_nowhere(promotion: Promotion) -> None:
    """No line of the private key is in state, receipt, records or lock file."""
    secret = promotion.folder.joinpath("key.pem").read_text().splitlines()[1].encode()
    promotion.run()
    promotion.run("bob", approved=frozenset({"prod"}))

    files = [each for each in promotion.folder.rglob("*") if each.is_file()]
    assert [each.name for each in files if secret in each.read_bytes()] == ["key.pem"]


def test_retention_keeps_the_last_signed_delivery(promotion: Promotion) -> None:
    """A backup that later ones replace stays if these are not signed, until one is again."""
    upload = "{uses: upload, with: {to: backup, prefix: '${run.id}', keep: {last: 1}}}"
    steps = f"{{uses: checksum}}, {{uses: unzip}}, {upload}"
    promotion.write(steps)
    signed = promotion.run(fresh=True).run_id
    promotion.manifest.write_text(promotion.manifest.read_text().replace("sign:", "x-sign:"))
    others = [promotion.run(fresh=True) for _ in range(2)]
    kept = {each.name for each in (promotion.folder / "backup").iterdir()}
    promotion.write(steps)
    last = promotion.run(fresh=True)

    assert kept == {signed, others[1].run_id}
    told = others[1].results[0].steps[-1].message
    assert told.endswith(f"1 old delivery removed, {signed} kept as the last signed delivery")
    assert {each.name for each in (promotion.folder / "backup").iterdir()} == {last.run_id}
