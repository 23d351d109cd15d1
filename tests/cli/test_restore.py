"""``impex restore`` and ``impex rollback``: a backup comes back, once, after a plan."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from object_stores import ACCESS, SECRET, s3_client

from spark_impex_runner.engine.restore_record import RestoreRecord
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.sandbox.server import Sandbox, Settings
from spark_impex_runner.spark.imports import Imports

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = Path(__file__).parents[2] / "schemas"
RECEIPT = "impex-receipt.json"
ROLLED = "steps: [{uses: import, with: {to: dr, if_present: %s, before: backup, lock: l.json}}]"


@dataclass
class Tenants:
    """Two tenants, a manifest that exports from the first one, and the shell that runs it."""

    shell: Any
    monkeypatch: pytest.MonkeyPatch
    served: dict[str, Sandbox] = field(default_factory=dict)

    def serve(
        self, name: str, *versions: str, folders: tuple[str, ...] = ("motor",), port: int = 0
    ) -> Sandbox:
        """Serve a tenant with versions, as ``folder/service/1.0.0``, and with empty folders."""
        root = self.shell.folder / name / "acme"
        # A sandbox serves no tenant without any service.
        for each in (*versions, *folders, "other/thing/1.0.0"):
            (root / each).mkdir(parents=True, exist_ok=True)
        sandbox = Sandbox(root, Settings(port=port)).start()
        self.monkeypatch.setenv(f"TOKEN_{name}", sandbox.token)
        self.served[name] = sandbox
        return sandbox

    def write(self, target: str, head: str = "") -> Path:
        """Write the manifest ``m.yaml`` with one target."""
        places = "".join(
            f"  {name}: {{base_url: '{each.base_url}', auth: {{token: '${{env:TOKEN_{name}}}'}}}}\n"
            for name, each in self.served.items()
        )
        path: Path = self.shell.folder / "m.yaml"
        polling = "retry_interval: 10ms, polling: {strategy: fixed}"
        common = f"connection: sit, version_filter: all, output: out, {polling}"
        path.write_text(
            f"version: 1\n{head}connections:\n{places}targets:\n"
            f"  - {{name: motor, {common}, {target}}}\n"
        )
        return path

    def run(self, *args: str, code: int = 0) -> Any:
        """Run a command, which exits with ``code``."""
        done = self.shell(*args)
        assert done.code == code, done.err + done.out
        return done

    def restore(self, source: object, *options: str, code: int = 0) -> Any:
        """Restore to the second tenant without being asked."""
        args = (str(source), "--to", "dr", "-m", "m.yaml", "--yes", *options)
        return self.run("impex", "restore", *args, code=code)

    def holds(self, name: str) -> list[str]:
        """Return what a tenant holds in the folder motor."""
        every = self.served[name]._tree.all_versions()
        return sorted(each.uri for each in every if each.folder == "motor")

    def posts(self, name: str, what: str = "import") -> int:
        """Return how many jobs of a kind a tenant was asked for."""
        found = self.served[name].requests
        return sum(each.method == "POST" and each.path.endswith(f"/{what}") for each in found)


@pytest.fixture
def tenants(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenants]:
    """Give the tenants, which are closed after the test."""
    made = Tenants(shell, monkeypatch)
    yield made
    for each in made.served.values():
        each.close()


@pytest.fixture
def delivered(tenants: Tenants) -> Tenants:
    """Give two tenants and a delivered folder, ``out``; the second tenant has only the folder."""
    tenants.serve("sit", "motor/pricing/1.4.1", "motor/pricing/1.4.2", "motor/claims/2.0.0")
    tenants.serve("dr")
    tenants.write("folders: [motor]")
    tenants.run("impex-run", "m.yaml", "-q")
    return tenants


def test_fifty_services_come_back(tenants: Tenants) -> None:
    """The listings are equal; the second restore, and a plan of the same manifest, do nothing."""
    log = tenants.shell.folder / "sit/acme/motor/s00/1.0.0/CompilerLog.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"Infos": ["compiled elsewhere"]}')
    tenants.serve("sit", *(f"motor/s{number:02}/1.0.0" for number in range(50)))
    tenants.serve("dr")
    tenants.write("folders: [motor], skip_unchanged: true")
    tenants.run("impex-run", "m.yaml", "-q")

    first = tenants.restore("out", "--approve", "dr")
    second = tenants.restore("out")
    named = tenants.restore("out", "-v")
    tenants.run("impex", "plan", "m.yaml", "--detailed-exitcode")

    assert tenants.holds("dr") == tenants.holds("sit")
    assert len(tenants.holds("dr")) == 50
    assert "  motor/s49: new (1.0.0)\n  in all 50 services: 50 new\n" in first.out
    assert "--approve covers nothing: the manifest has no gate before dr\n" in first.out
    assert "\n  50 services identical: nothing to do; -v names them\n" in second.out
    assert "  motor/s49: identical: nothing to do (" in named.out
    assert second.out.endswith("nothing to do: nothing was sent\n")
    assert tenants.posts("dr") == 1


def test_restore_is_json_and_in_the_history(delivered: Tenants) -> None:
    """One document, with the plan and the jobs; the history names who restored what."""
    data = json.loads(delivered.restore("out", "--format", "json").out)
    again = json.loads(delivered.restore("out", "--format", "json").out)

    [package] = data["packages"]
    assert (data["outcome"], again["outcome"]) == ("restored", "nothing_to_do")
    assert [each["outcome"] for each in package["services"]] == ["new", "new"]
    assert [each["sha256"] for each in data["imports"]] == [package["sha256"]]
    [newest, *_] = json.loads(delivered.run("impex", "history", "--json").out)
    assert newest["target"].startswith("m/restore+dr-")
    assert (newest["outcome"], newest["job"]) == ("succeeded", data["imports"][0]["job_id"])


def test_restore_can_be_repeated_later(delivered: Tenants) -> None:
    """What was imported once is imported again if the tenant has lost it since."""
    delivered.restore("out")
    delivered.served["dr"].close()
    shutil.rmtree(delivered.shell.folder / "dr")
    address = delivered.served["dr"].base_url
    delivered.serve("dr", port=int(address.split(":")[2].split("/")[0]))
    assert delivered.served["dr"].base_url == address

    delivered.restore("out")

    assert delivered.holds("dr") == delivered.holds("sit")


def test_uploaded_backup_is_restored(tenants: Tenants) -> None:
    """An unsigned upload has its receipt, too: it names the packages, and nothing else is read."""
    tenants.serve("sit", "motor/pricing/1.4.2")
    tenants.serve("dr")
    upload = "{uses: upload, with: {to: backup, prefix: day1}}"
    tenants.write(f"folders: [motor], steps: [{{uses: checksum}}, {upload}]")
    tenants.run("impex-run", "m.yaml", "-q")
    backup = tenants.shell.folder / "backup/day1"
    (backup / "SHA256SUMS").unlink()

    done = tenants.restore((backup).as_uri())

    assert {each.name for each in backup.iterdir()} == {
        "package.zip",
        RECEIPT,
        "impex-upload.json",
    }
    assert done.out.startswith(f"{backup}: 1 package (")
    assert tenants.holds("dr") == tenants.holds("sit")


def test_store_is_opened_as_by_the_upload(tenants: Tenants, s3_server: Any) -> None:
    """By the options of its step, another day's folder, too; the source's secret is not needed."""
    bucket = "restore-opened-as-uploaded"
    s3_client(s3_server.endpoint).create_bucket(Bucket=bucket)
    tenants.serve("sit", "motor/pricing/1.4.2")
    tenants.serve("dr")
    tenants.monkeypatch.setenv("STORE_SECRET", SECRET)
    keys = f"access_key_id: {ACCESS}, secret_access_key: '${{env:STORE_SECRET}}'"
    to = f"endpoint: '{s3_server.endpoint}', {keys}, to: 's3://{bucket}/%s'"
    upload = f"steps: [{{uses: upload, with: {{{to}}}}}]"
    tenants.write(f"folders: [motor], {upload % 'day1'}")
    tenants.run("impex-run", "m.yaml", "-q")
    tenants.write(f"folders: [motor], {upload % 'day2'}")
    tenants.monkeypatch.delenv("TOKEN_sit")

    done = tenants.restore(f"s3://{bucket}/day1")
    tenants.monkeypatch.setenv("STORE_SECRET", f"{SECRET}-wrong")
    refused = tenants.restore(f"s3://{bucket}/day1", code=4)

    assert done.out.startswith(f"s3://{bucket}/day1: 1 package (")
    assert tenants.holds("dr") == tenants.holds("sit")
    assert SECRET not in refused.err
    assert len(refused.err.splitlines()) == 1


def test_signatures_are_checked(tenants: Tenants, keys: dict[str, Path]) -> None:
    """By the manifest's own key or a given one; the envelope of another delivery is refused."""
    tenants.serve("sit", "motor/pricing/1.4.2")
    tenants.serve("dr")
    head = f"sign: {{key: '${{file:{keys['private']}}}'}}\n"
    tenants.write("folders: [motor]", head)
    tenants.run("impex-run", "m.yaml", "-q")
    evidence = tenants.shell.folder / "out/impex-receipt.intoto.jsonl"
    first = evidence.read_text()
    tenants.run("impex-run", "m.yaml", "-q")
    second = evidence.read_text()

    foreign = tenants.restore("out", "--key", str(keys["other"]), "--dry-run", code=4)
    evidence.write_text(first)
    swapped = tenants.restore("out", code=4)
    evidence.unlink()
    unsigned = tenants.restore("out", code=4)
    evidence.write_text(second)
    tenants.restore("out", "--key", str(keys["public"]), "--dry-run")
    tenants.restore("out")

    assert "out: impex-receipt.intoto.jsonl: line 1: signed by the key" in foreign.err
    assert "which --key does not give" in foreign.err
    assert "it was changed, or its run was killed" in swapped.err
    assert "out: was not signed, and m.yaml restores only what is, since it signs" in unsigned.err
    assert tenants.holds("dr") == tenants.holds("sit")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Make a key with its public one, and the public key of another."""
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    own, other = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    texts = {
        "private": own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        "public": own.public_key().public_bytes(serialization.Encoding.PEM, form),
        "other": other.public_key().public_bytes(serialization.Encoding.PEM, form),
    }
    paths = {name: tmp_path / f"{name}.pem" for name in texts}
    for name, path in paths.items():
        path.write_bytes(texts[name])
    return paths


def test_signed_import_is_rolled_back(tenants: Tenants, keys: dict[str, Path]) -> None:
    """The backup is signed as a delivery of its own, and the lock file with its name of it, too."""
    tenants.serve("sit", "motor/pricing/2.0.0")
    tenants.serve("dr", "motor/pricing/1.4.1")
    head = f"sign: {{key: '${{file:{keys['private']}}}'}}\n"
    tenants.write(f"folders: [motor], {ROLLED % 'replace'}", head)
    tenants.run("impex-run", "m.yaml", "-q")
    [backup] = (tenants.shell.folder / "out/backup").iterdir()
    public = ("--key", str(keys["public"]))

    tenants.run("impex", "verify", str(backup), *public)
    tenants.run("impex", "verify", "out", *public, "--lock", "l.json")
    done = tenants.run("impex", "rollback", "l.json", "-m", "m.yaml", "--yes", *public)

    assert tenants.holds("dr") == ["motor/pricing[1.4.1]"]
    [record] = (tenants.shell.folder / "restores").iterdir()
    assert done.out.endswith(f"signed record: {record}\n")
    shown = tenants.run("impex", "verify", str(record), *public).out
    [package] = backup.glob("*.zip")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:12]
    url = tenants.served["dr"].base_url
    assert f"Z imported package.zip (sha256 {digest}…) to dr ({url}) by job " in shown


def test_restore_is_signed(tenants: Tenants, keys: dict[str, Path]) -> None:
    """Its record says which bytes, by whom and approved by whom; a killed one is completed."""
    tenants.monkeypatch.setenv("GITHUB_ACTOR", "alice")
    tenants.serve("sit", "motor/pricing/1.4.2")
    tenants.serve("dr")
    head = f"sign: {{key: '${{file:{keys['private']}}}'}}\n"
    gated = "{uses: import, with: {to: dr, gate: manual, four_eyes: true}}"
    tenants.write("folders: [motor]", head)
    tenants.run("impex-run", "m.yaml", "-q")
    tenants.write(f"folders: [motor], steps: [{gated}]", head)
    [package] = (tenants.shell.folder / "out").glob("*.zip")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    approved = ("--approve", f"dr@{digest}", "--approved-by", "bob")
    tenants.monkeypatch.setenv("GITHUB_ACTOR", "carol")
    with tenants.monkeypatch.context() as patched:
        patched.setattr(RestoreRecord, "write", _stopped)
        tenants.restore("out", *approved, code=130)

    data = json.loads(tenants.restore("out", *approved, "--format", "json").out)

    command = ("impex", "verify", data["record"], "--key", str(keys["public"]))
    done = tenants.run(*command, "--require-approval", "--format", "json")
    [folder] = json.loads(done.out)["folders"]
    kinds = [each["kind"] for each in folder["records"]]
    # The second command gave the approval again.
    assert kinds == ["delivery", "approval", "import", "approval", "delivery"]
    exported, approval, done_import, _, last = folder["records"]
    assert (exported["started_by"], approval["by"], done_import["by"]) == ("alice", "bob", "carol")
    assert (done_import["tenant"], last["started_by"]) == (data["tenant"], "carol")
    for line in (Path(data["record"]) / "impex-receipt.intoto.jsonl").read_text().splitlines():
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        kind = statement["predicateType"].split(":")[2]
        schema = json.loads((SCHEMAS / f"{kind}-statement.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(statement)
        if kind == "import":
            assert statement["subject"] == [{"name": "package.zip", "digest": {"sha256": digest}}]
    assert tenants.posts("dr") == 1


def test_unwritable_record_sends_nothing(tenants: Tenants, keys: dict[str, Path]) -> None:
    """No import goes without the record that an auditor expects."""
    tenants.serve("sit", "motor/pricing/1.4.2")
    tenants.serve("dr")
    tenants.write("folders: [motor]", f"sign: {{key: '${{file:{keys['private']}}}'}}\n")
    tenants.run("impex-run", "m.yaml", "-q")
    (tenants.shell.folder / "restores").write_text("")

    refused = tenants.restore("out", code=4)
    tenants.restore("out", "--output", "elsewhere")

    assert "cannot write the signed record to " in refused.err
    assert "nothing was sent; --output DIR names another place" in refused.err
    assert tenants.posts("dr") == 1
    assert (tenants.shell.folder / "elsewhere/restores").is_dir()


def test_service_in_two_packages_is_refused(delivered: Tenants) -> None:
    """The second import would find what the first one has added."""
    out = delivered.shell.folder / "out"
    receipt = json.loads((out / RECEIPT).read_text())
    [package] = receipt["artifacts"]
    content = (out / package["name"]).read_bytes()
    (out / "second.zip").write_bytes(content)
    receipt["artifacts"].append({**package, "name": "second.zip"})
    (out / RECEIPT).write_text(json.dumps(receipt))

    done = delivered.restore("out", code=2)

    assert "motor/claims is in several packages; only --if-present add_version" in done.err
    assert delivered.posts("dr") == 0


def test_dry_run_sends_nothing(delivered: Tenants) -> None:
    """It shows the plan, and leaves no state."""
    shutil.rmtree(delivered.shell.folder / ".impex")

    done = delivered.restore("out", "--dry-run")

    assert "motor/pricing: new (1.4.1, 1.4.2)" in done.out
    assert delivered.posts("dr") == 0
    assert not (delivered.shell.folder / ".impex").exists()


def test_nothing_is_sent_without_consent(delivered: Tenants) -> None:
    """Without a terminal nobody can be asked."""
    args = ("impex", "restore", "out", "--to", "dr", "-m", "m.yaml")

    done = delivered.run(*args, code=2)

    assert "give --yes" in done.err
    assert delivered.posts("dr") == 0


def test_different_service_needs_a_choice(delivered: Tenants) -> None:
    """Without one nothing is sent; with replace the listing is that of the backup."""
    delivered.served["dr"].close()
    delivered.serve("dr", "motor/pricing/9.0.0")
    delivered.write("folders: [motor]")

    refused = delivered.restore("out", code=4)
    done = delivered.restore("out", "--if-present", "replace")

    assert "motor/pricing: would abort: it exists (now 9.0.0)" in refused.out
    assert "nothing was sent: 1 service would end the import" in refused.err
    assert "nothing was sent" not in refused.out
    assert "motor/pricing: replaces 1 version" in done.out
    assert delivered.holds("dr") == delivered.holds("sit")


def test_missing_folder_is_named_before_anything_is_sent(delivered: Tenants) -> None:
    """The API creates no folder."""
    delivered.served["dr"].close()
    shutil.rmtree(delivered.shell.folder / "dr")
    delivered.serve("dr", folders=("life",))
    delivered.write("folders: [motor]")

    done = delivered.restore("out", code=4)

    assert "motor/claims: folder missing: create motor first" in done.out
    assert delivered.posts("dr") == 0


def test_gate_of_the_manifest_holds_a_restore(delivered: Tenants) -> None:
    """A restore is no way around an approval: it needs each package's digest, by another person."""
    gated = "{uses: import, with: {to: dr, gate: manual, four_eyes: true}}"
    delivered.write(f"folders: [motor], steps: [{gated}]")
    [package] = (delivered.shell.folder / "out").glob("*.zip")
    approve = ("--approve", f"dr@{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}")

    planned = delivered.restore("out", "--dry-run")
    held = delivered.restore("out", code=9)
    own = delivered.restore("out", *approve, code=9)
    done = delivered.restore("out", *approve, "--approved-by", "bob")

    assert " ".join(approve) in held.err
    assert f"{approve[1]} and --approved-by a person who is not " in planned.out
    assert "four_eyes" in own.err
    assert "approved by bob (--approved-by)\n" in done.out
    assert delivered.holds("dr") == delivered.holds("sit")
    run_id = delivered.run("impex", "history", "m.yaml").out.splitlines()[1].split()[0]
    assert "Z by bob, held by run" in delivered.run("impex", "history", "m.yaml", run_id).out
    assert "nothing is unfinished" in delivered.run("impex", "status", "m.yaml").out


def test_changed_package_is_refused(delivered: Tenants) -> None:
    """In one line, before anything is sent."""
    [package] = (delivered.shell.folder / "out").glob("*.zip")
    package.write_bytes(package.read_bytes()[:-1] + b"!")

    done = delivered.restore("out", code=4)

    assert "package.zip: has sha256 " in done.err
    assert len(done.err.splitlines()) == 1
    assert delivered.posts("dr") == 0


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("ftp://host/x", "ftp:// is not known"),
        ("s3://user:hunter2@bucket/x", "a URL must not contain credentials"),
        ("https://host/x?sig=hunter2", "a query or a fragment is not supported"),
        ("s3:bucket/x", "is a URL, not a local path"),
        ("nowhere", "contains no delivery: there is no such folder"),
        ("m.yaml", "contains no delivery: it is a file; give its folder"),
        (".", "contains no delivery; name one of the folders in it: out"),
    ],
)
def test_unusable_source_is_one_line(delivered: Tenants, source: str, text: str) -> None:
    """Without the secret in it."""
    done = delivered.shell("impex", "restore", source, "--to", "dr", "-m", "m.yaml", "--yes")

    assert done.code in {2, 4}
    assert text in done.err
    assert "hunter2" not in done.err
    assert len(done.err.splitlines()) == 1


def test_unknown_connection_is_named(delivered: Tenants) -> None:
    """With the one that is meant."""
    done = delivered.run("impex", "restore", "out", "--to", "drr", "-m", "m.yaml", code=2)

    assert "drr: is no connection of m.yaml (did you mean 'dr'?)" in done.err


@pytest.mark.parametrize("if_present", ["replace", "add_version"])
def test_rollback_brings_the_listing_back(tenants: Tenants, if_present: str) -> None:
    """What was there is there again with its versions; what was new stays, and is named."""
    tenants.serve("sit", "motor/pricing/2.0.0", "motor/claims/2.0.0")
    tenants.serve("dr", "motor/pricing/1.4.1", "motor/pricing/1.4.2")
    tenants.write(f"folders: [motor], {ROLLED % if_present}")
    before = tenants.holds("dr")
    tenants.run("impex-run", "m.yaml", "-q")
    assert tenants.holds("dr") != before
    command = ("impex", "rollback", "l.json", "-m", "m.yaml", "--yes")

    done = tenants.run(*command)
    again = tenants.run(*command)

    assert tenants.holds("dr") == ["motor/claims[2.0.0]", *before]
    assert "motor/claims: was new there, and stays: the API cannot delete a service" in done.out
    assert "nothing to do: nothing was sent" in again.out
    assert tenants.posts("dr") == 2


def test_gate_of_the_manifest_holds_a_rollback(tenants: Tenants) -> None:
    """What an import brought back needs the approval that the import needed."""
    tenants.serve("sit", "motor/pricing/2.0.0")
    tenants.serve("dr", "motor/pricing/1.4.1")
    tenants.write(f"folders: [motor], {ROLLED % 'replace'}")
    tenants.run("impex-run", "m.yaml", "-q")
    gated = ROLLED.replace("lock: l.json", "lock: l.json, gate: manual, four_eyes: true")
    tenants.write(f"folders: [motor], {gated % 'replace'}")
    [package] = (tenants.shell.folder / "out/backup").rglob("*.zip")
    approve = ("--approve", f"dr@{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}")
    command = ("impex", "rollback", "l.json", "-m", "m.yaml", "--yes")

    held = tenants.run(*command, code=9)
    own = tenants.run(*command, *approve, code=9)
    tenants.run(*command, *approve, "--approved-by", "bob")

    assert " ".join(approve) in held.err
    assert "four_eyes" in own.err
    assert tenants.holds("dr") == ["motor/pricing[1.4.1]"]


def test_state_in_a_store_serves_both(tenants: Tenants, s3_state: Any) -> None:
    """Backup, import and rollback leave no state on this machine."""
    tenants.serve("sit", "motor/pricing/2.0.0")
    tenants.serve("dr", "motor/pricing/1.4.1")
    tenants.write(f"folders: [motor], {ROLLED % 'replace'}")
    state = ("--state", s3_state.url)
    tenants.run("impex-run", "m.yaml", "-q", *state)

    tenants.run("impex", "rollback", "l.json", "-m", "m.yaml", "--yes", *state)

    assert tenants.holds("dr") == ["motor/pricing[1.4.1]"]
    newest, *_ = json.loads(tenants.run("impex", "history", "--json", *state).out)
    assert newest["target"].startswith("m/restore+dr-")
    assert not (tenants.shell.folder / ".impex").exists()


def test_rollback_verifies_the_receipt(tenants: Tenants) -> None:
    """One that is not the lock file's is refused."""
    tenants.serve("sit", "motor/pricing/2.0.0")
    tenants.serve("dr", "motor/pricing/1.4.1")
    tenants.write(f"folders: [motor], {ROLLED % 'replace'}")
    tenants.run("impex-run", "m.yaml", "-q")
    [receipt] = (tenants.shell.folder / "out/backup").rglob(RECEIPT)
    receipt.write_text(receipt.read_text() + "\n")

    done = tenants.run("impex", "rollback", "l.json", "-m", "m.yaml", "--yes", code=4)

    assert "its receipt is not the one in the lock file" in done.err
    assert tenants.posts("dr") == 1

    shutil.rmtree(receipt.parent)
    gone = tenants.run("impex", "rollback", "l.json", "-m", "m.yaml", "--yes", code=4)
    assert "impex restore COPY --to dr -m m.yaml --if-present replace" in gone.err


def test_rollback_without_a_backup_says_so(delivered: Tenants) -> None:
    """With the option that makes one."""
    (delivered.shell.folder / "l.json").write_text('{"version": 1, "packages": []}')

    done = delivered.run("impex", "rollback", "l.json", "-m", "m.yaml", code=2)

    assert "names no import with a backup; the option before: backup" in done.err


def lock_of(tenants: Tenants, *imports: dict[str, Any]) -> None:
    """Write a lock file with these imports, each with a backup that holds nothing."""
    url = tenants.served["dr"].base_url
    done = [
        {
            "connection": "dr",
            "tenant": url,
            "job_id": f"job-{number}",
            "at": f"2026-01-0{number}T00:00:00+00:00",
            "backup": {"receipt": None, "sha256": None, "new": [f"motor/s{number}"]},
            **each,
        }
        for number, each in enumerate(imports, 1)
    ]
    package = {"sha256": "0" * 64, "imports": done}
    text = json.dumps({"version": 1, "packages": [package]})
    (tenants.shell.folder / "l.json").write_text(text)


@pytest.mark.parametrize(
    ("imports", "options", "text"),
    [
        ([{}, {}], [], "names 2 imports to dr: --job job-1 (2026-01-01T00:00:00+00:00), --job"),
        ([{}, {}], ["--job", "job-3"], "the lock file names no such import, but job-1, job-2"),
        ([{}], ["--to", "sit"], "names no import there with a backup, but to dr"),
        ([{}, {"connection": "sit"}], [], "names dr, sit; choose one with --to"),
        ([{"tenant": "https://else.example/acme"}], [], "names dr at https://else.example/acme"),
        ([{"backup": {"new": []}}], [], "is not as the runner wrote it"),
        (
            [{"backup": {"receipt": "out/impex-receipt.json", "sha256": None, "new": []}}],
            [],
            "is not as the runner wrote it",
        ),
    ],
)
def test_unclear_rollback_is_refused(
    delivered: Tenants, imports: list[dict[str, Any]], options: list[str], text: str
) -> None:
    """Before anything is read, with what to choose from."""
    lock_of(delivered, *imports)

    done = delivered.run("impex", "rollback", "l.json", "-m", "m.yaml", *options, code=2)

    assert text in done.err
    assert len(done.err.splitlines()) == 1


def test_rollback_of_new_services_says_what_stays(delivered: Tenants) -> None:
    """There is nothing to import; every chosen import is named, also for programs."""
    lock_of(delivered, {}, {})
    command = ("impex", "rollback", "l.json", "-m", "m.yaml", "--all")

    text = delivered.run(*command).out
    data = json.loads(delivered.run(*command, "--format", "json").out)

    assert text.startswith(
        "nothing to restore: nothing was there before the import\n  motor/s1: was"
    )
    assert (data["outcome"], len(data["notes"])) == ("nothing_to_do", 2)
    assert delivered.posts("dr") == 0


def test_rollback_of_several_imports_can_be_repeated(
    tenants: Tenants, keys: dict[str, Path]
) -> None:
    """Each service is as before the first of them; the second rollback sends nothing.

    The signed record tells the packages of the backups apart.
    """
    head = f"sign: {{key: '${{file:{keys['private']}}}'}}\n"
    tenants.serve("sit", "motor/pricing/2.0.0", "motor/pricing/3.0.0")
    tenants.serve("dr", "motor/pricing/1.4.1")
    for number in (2, 3):
        service = f"services: ['motor/pricing[{number}.0.0]']"
        tenants.write(f"{service}, {ROLLED % 'add_version'}", head)
        tenants.run("impex-run", "m.yaml", "-q")
    assert len(tenants.holds("dr")) == 3
    link = tenants.shell.folder / "links/l.json"
    link.parent.mkdir()
    link.symlink_to(tenants.shell.folder / "l.json")
    command = ("impex", "rollback", str(link), "-m", "m.yaml", "--all", "--yes")

    tenants.run(*command)
    after_one = tenants.holds("dr")
    again = tenants.run(*command)

    record = ("impex", "verify", "restores", "--key", str(keys["public"]), "--format", "json")
    [folder] = json.loads(tenants.run(*record).out)["folders"]
    exported, imported, _ = folder["records"]
    first, second = sorted(each.name for each in (tenants.shell.folder / "out/backup").iterdir())
    packages = {f"{first}/package.zip", f"{second}/package.zip"}
    assert packages <= set(exported["subjects"])
    assert set(imported["subjects"]) < packages
    assert after_one == tenants.holds("dr") == ["motor/pricing[1.4.1]"]
    assert "nothing to do: nothing was sent" in again.out
    assert tenants.posts("dr") == 3


def test_gate_holds_by_any_name_of_the_tenant(delivered: Tenants) -> None:
    """Another connection to the tenant is no way around it; what is held is shown."""
    delivered.served["spare"] = delivered.served["dr"]
    delivered.monkeypatch.setenv("TOKEN_spare", delivered.served["dr"].token)
    gated = "{uses: import, with: {to: dr, gate: manual}}"
    delivered.write(f"folders: [motor], steps: [{gated}]")
    restore = ("impex", "restore", "out", "--to", "spare", "-m", "m.yaml", "--yes")

    held = delivered.run(*restore, code=9)
    data = json.loads(delivered.run(*restore, "--format", "json", code=9).out)

    assert "motor/pricing: new (1.4.1, 1.4.2)\nnothing was sent\n" in held.out
    assert "repeat the command with --approve spare@" in held.err
    assert data["outcome"] == "held"
    assert delivered.posts("dr") == 0


def test_unfinished_restore_keeps_its_choice(delivered: Tenants) -> None:
    """A stored plan with replace is not carried out by a command that does not say replace."""
    delivered.served["dr"].close()
    delivered.serve("dr", "motor/pricing/9.0.0")
    delivered.write("folders: [motor]")
    replace = ("--if-present", "replace")
    with delivered.monkeypatch.context() as patched:
        patched.setattr(Imports, "wait", _stopped)
        delivered.restore("out", *replace, code=130)

    status = delivered.run("impex", "status", "m.yaml").out
    refused = delivered.restore("out", code=2)
    planned = delivered.restore("out", "--dry-run", code=2)
    shown = delivered.restore("out", "--dry-run", *replace)
    resumed = json.loads(delivered.restore("out", "--dry-run", *replace, "--format", "json").out)
    delivered.restore("out", *replace)

    for each in (refused, planned):
        assert "give --if-present replace to finish it, or --fresh" in each.err
    assert (bool(resumed["resumes"]), resumed["gives_up"]) == (True, None)
    assert ": restore not ended, since " in status
    assert "  to finish       impex restore out --to dr -m m.yaml --yes --if-present rep" in status
    assert "\nresumes the restore that began at " in shown.out
    assert delivered.posts("dr") == 1
    assert delivered.holds("dr") == delivered.holds("sit")


def test_fresh_restore_needs_consent(delivered: Tenants) -> None:
    """An open restore is given up only once the new one is confirmed, or has nothing to do."""
    with delivered.monkeypatch.context() as patched:
        patched.setattr(Imports, "wait", _stopped)
        delivered.restore("out", code=130)
    port = int(delivered.served["dr"].base_url.split(":")[2].split("/")[0])
    delivered.served["dr"].close()
    shutil.rmtree(delivered.shell.folder / "dr")
    delivered.serve("dr", port=port)
    fresh = ("impex", "restore", "out", "--to", "dr", "-m", "m.yaml", "--fresh")

    planned = delivered.run(*fresh, "--dry-run")
    delivered.run(*fresh, code=2)
    still_open = delivered.restore("out", "--dry-run")
    done = delivered.run(*fresh, "--yes")
    after = delivered.restore("out", "--dry-run")

    assert "\nresumes the restore that began at " in still_open.out
    for each in (planned, done):
        assert "\ngives up the restore that began at " in each.out
    assert delivered.holds("dr") == delivered.holds("sit")
    assert "nothing to do" in after.out


def _stopped(*_: object, **__: object) -> None:
    raise Interrupted(signal.SIGINT)
