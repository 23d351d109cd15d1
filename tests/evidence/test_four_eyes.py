"""Four eyes: who started something is refused as its approver, on every way in.

The table of docs/how-to/approve.md names these tests.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from distributed import LocalCluster

from spark_impex_runner.cli.main import main, run
from spark_impex_runner.errors import ManifestError
from spark_impex_runner.evidence.verify import verify
from spark_impex_runner.four_eyes import refusal
from spark_impex_runner.state.opening import open_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.evidence.conftest import Promotion

PAGE = Path(__file__).parents[2] / "docs/how-to/approve.md"
PROD = frozenset({"prod"})
REFUSED = "alice started this and cannot approve it"


def imports(promotion: Promotion) -> int:
    """Return how many imports were signed or locked; none are without an approval."""
    return int((promotion.folder / "release.lock.json").exists())


def command(promotion: Promotion, by: str, *words: str) -> int:
    """Run a command of impex as a user, and return its exit code."""
    promotion.be(by)
    with pytest.raises(SystemExit) as exit_:
        main([*words])
    return int(exit_.value.code or 0)


def by_cli(promotion: Promotion) -> int:
    """``impex run --approve``."""
    return command(promotion, "alice", "run", str(promotion.manifest), "-q", "--approve", "prod")


def by_name(promotion: Promotion) -> int:
    """``--approved-by`` with another spelling of the same name."""
    words = ("run", str(promotion.manifest), "-q", "--approve", "prod", "--approved-by", "ALICE")
    return command(promotion, "ci", *words)


def by_digest(promotion: Promotion) -> int:
    """``--approve CONNECTION@DIGEST`` on another machine, without the state."""
    [package] = [e for e in promotion.receipt()["artifacts"] if e["name"] == "package.zip"]
    shutil.rmtree(promotion.folder / ".impex")
    return promotion.run("alice", approved=frozenset({f"prod@{package['sha256']}"})).exit_code


def by_python(promotion: Promotion) -> int:
    """``run_manifest``."""
    return promotion.run("alice", approved=PROD).exit_code


def by_python_name(promotion: Promotion) -> int:
    """``RunOptions.approved_by``."""
    return promotion.run("ci", approved=PROD, approved_by="alice@acme.com").exit_code


def by_executor(promotion: Promotion) -> int:
    """Workers of ``--executor processes``."""
    return promotion.run("alice", approved=PROD, executor="processes:1").exit_code


def by_dask(promotion: Promotion) -> int:
    """Workers of ``--executor dask``, where the CI system names another user."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        env={"GITHUB_ACTOR": "carol"},
    ) as cluster:
        executor = f"dask:{cluster.scheduler_address}"
        return promotion.run("alice", approved=PROD, executor=executor).exit_code


def by_gitlab(promotion: Promotion) -> int:
    """``impex-run`` in GitLab CI."""
    return by_ci(promotion, "GITLAB_USER_LOGIN")


def by_azure(promotion: Promotion) -> int:
    """``impex-run`` in Azure Pipelines."""
    return by_ci(promotion, "BUILD_REQUESTEDFOR")


def by_ci(promotion: Promotion, variable: str) -> int:
    """``impex-run`` where a CI system names the user in a variable."""
    with promotion.patch.context() as patch:
        patch.delenv("GITHUB_ACTOR")
        patch.setenv(variable, "Alice")
        with pytest.raises(SystemExit) as exit_:
            run([str(promotion.manifest), "-q", "--approve", "prod"])
    return int(exit_.value.code or 0)


def by_resume(promotion: Promotion) -> int:
    """``impex resume JOB``."""
    job, path = promotion.receipt()["job_id"], str(promotion.manifest)
    return command(promotion, "alice", "resume", path, "--job", job, "-q", "--approve", "prod")


def by_approve(promotion: Promotion) -> int:
    """``impex approve``."""
    words = ("approve", str(promotion.manifest), "-t", "motor", "--approve", "prod")
    return command(promotion, "alice", *words)


WAYS = (
    by_cli,
    by_name,
    by_digest,
    by_python,
    by_python_name,
    by_executor,
    by_dask,
    by_gitlab,
    by_azure,
    by_resume,
    by_approve,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_initiator_is_refused(
    promotion: Promotion, way: Callable[[Promotion], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever way alice takes, nothing is imported, and it still waits."""
    promotion.run("alice")

    code = way(promotion)

    printed = "".join(capsys.readouterr()) + str(promotion.receipt()["error"])
    assert (code, imports(promotion)) == (9, 0)
    assert "four_eyes: " in printed
    assert promotion.run("bob", approved=PROD).exit_code == 0


def test_page_lists_every_way() -> None:
    """Each way in has its row in the table, and each row its test."""
    named = re.findall(r"\[(by_\w+)\]", PAGE.read_text())

    assert sorted(named) == sorted(way.__name__ for way in WAYS)


def test_holder_is_an_initiator(promotion: Promotion) -> None:
    """Who resumed the export and held it may not approve it either, nor who exported it."""
    promotion.run("alice", until="download")
    promotion.run("carol")

    codes = [promotion.run(by, approved=PROD).exit_code for by in ("alice", "carol", "bob")]

    assert codes == [9, 9, 0]


def test_four_eyes_cannot_be_dropped_meanwhile(promotion: Promotion) -> None:
    """A manifest without it does not approve what waits with it."""
    promotion.run("alice")
    promotion.manifest.write_text(promotion.manifest.read_text().replace(", four_eyes: true", ""))

    runs = [promotion.run("alice", approved=PROD) for _ in range(2)]

    assert [each.exit_code for each in runs] == [9, 9]
    assert "options.four_eyes: true -> false" in runs[-1].results[0].error
    assert imports(promotion) == 0


def test_unknown_initiator_is_refused(promotion: Promotion) -> None:
    """What an older version of the runner exported has no name, so no user approves it."""
    promotion.run("alice")
    with closing(open_state(promotion.folder / ".impex")) as state:
        attempt = state.open_attempts()[0]
        state.storage.write(attempt.scope, ("UPDATE attempts SET started_by = ''", ()))

    held = promotion.run("bob", approved=PROD)

    assert held.exit_code == 9
    assert "unknown who started this" in held.results[0].error


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("four_eyes: true", "with.gate: this key is missing"),
        ("four_eyes: true, gate: none", "'none' is not 'manual'"),
    ],
)
def test_four_eyes_needs_a_gate(promotion: Promotion, options: str, why: str) -> None:
    """Without a gate no user is asked, which is a mistake in the manifest."""
    promotion.write(f"{{uses: import, with: {{to: prod, {options}}}}}")

    with pytest.raises(ManifestError) as error:
        promotion.run()

    assert why in str(error.value)


@pytest.mark.parametrize(
    ("initiators", "approver", "refused"),
    [
        (("alice",), "bob", False),
        (("alice",), "Alice", True),
        (("alice",), "ACME\\alice", True),
        (("alice",), "alice@acme.com", True),
        (("Alice  Smith",), "alice smith", True),
        (("\uff41lice",), "alice", True),
        (("alice", "bob"), "bob", True),
        (("alice",), " ", True),
        ((), "bob", True),
        (("",), "bob", True),
    ],
)
def test_names_are_compared_by_person(
    initiators: tuple[str, ...], approver: str, refused: bool
) -> None:
    """Spellings of one name are one person, and an unknown one is refused."""
    assert bool(refusal(initiators, approver)) is refused


def test_recorded_approval_imports_later(
    promotion: Promotion, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob approves with his own key and no credentials; alice's next run imports, and says so."""
    promotion.run("alice")
    with monkeypatch.context() as patch:
        for name in ("SIT", "PROD"):
            patch.delenv(name)
        (promotion.folder / "key.pem").rename(promotion.folder / "hidden.pem")
        path, bob = str(promotion.manifest), str(promotion.folder / "bob")
        words = ("approve", path, "-t", "motor", "--approve", "prod", "--key", bob)
        code = command(promotion, "bob", *words)
    printed = capsys.readouterr()
    (promotion.folder / "hidden.pem").rename(promotion.folder / "key.pem")
    status = command(promotion, "bob", "status", path)

    done = promotion.run("alice")

    assert (code, status, done.exit_code) == (0, 0, 0)
    assert "approved by bob (GITHUB_ACTOR)" in printed.out
    assert f"impex-run {path} -t motor" in printed.err
    assert "approved by     bob" in capsys.readouterr().out
    keys = [promotion.key(), promotion.key("bob.pub")]
    found = verify(promotion.release, keys, require_approval=True)
    assert found.problems == ()
    assert [e.keyid for e in found.records if e.kind == "approval"] == [keys[1].keyid]
    [approval] = promotion.receipt()["approvals"]
    assert (approval["by"], approval["named_by"], approval["run_id"]) == (
        "bob",
        "GITHUB_ACTOR",
        None,
    )


def test_recorded_approval_is_used_once(promotion: Promotion) -> None:
    """The next export of the same bytes waits again."""
    promotion.run("alice")
    command(promotion, "bob", "approve", str(promotion.manifest), "--approve", "prod")
    assert promotion.run("alice").exit_code == 0
    promotion.prod._tree.put("motor", "pricing", ())

    assert promotion.run("alice", fresh=True).exit_code == 9


def test_recorded_approval_covers_the_work(promotion: Promotion) -> None:
    """What has changed since is held again, and the old approval does not cover it."""
    promotion.run("alice")
    command(promotion, "bob", "approve", str(promotion.manifest), "--approve", "prod")
    changed = promotion.manifest.read_text().replace("add_version", "replace")
    promotion.manifest.write_text(changed)

    runs = [promotion.run("alice") for _ in range(2)]

    assert [each.exit_code for each in runs] == [9, 9]
    assert "add_version -> replace" in runs[0].results[0].error


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--approve", "prod@000000000000"), "does not cover what waits: prod ("),
        (("--approve", "sit"), "does not cover what waits: prod ("),
        ((), "name what you approve"),
    ],
)
def test_wrong_approval_is_refused(
    promotion: Promotion, words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is exit code 2, and the message says what waits."""
    promotion.run("alice")

    code = command(promotion, "bob", "approve", str(promotion.manifest), *words)

    assert (code, why in capsys.readouterr().err) == (2, True)


def test_names_are_everywhere(promotion: Promotion, capsys: pytest.CaptureFixture[str]) -> None:
    """Who approved, and how the name is known, is in report, history, receipt and lock file."""
    promotion.run("alice")
    report = promotion.folder / "r.json"
    done = promotion.run("bob", approved=PROD, approved_by="Bob B.", reports={"json": report})

    place = ("--state", str(promotion.folder / ".impex"), "--format", "json")
    command(promotion, "bob", "history", done.run_id, *place)
    [past] = json.loads(capsys.readouterr().out)["runs"]
    lock = json.loads((promotion.folder / "release.lock.json").read_text())

    [locked] = lock["packages"][0]["imports"]
    [target] = json.loads(report.read_text())["targets"]
    recorded = [
        past["approvals"][0],
        locked["approval"],
        target["approvals"][0],
        promotion.receipt()["approvals"][0],
    ]
    assert {(each["by"], each["named_by"]) for each in recorded} == {("Bob B.", "--approved-by")}
