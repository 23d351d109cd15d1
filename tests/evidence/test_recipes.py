"""The page about evidence: its recipes without the runner work, and its output is real."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark_impex_runner.cli.main import main
from spark_impex_runner.models import EVIDENCE

if TYPE_CHECKING:
    from tests.evidence.conftest import Promotion

PAGE = Path(__file__).parents[2] / "docs/how-to/prove-a-promotion.md"


def blocks(language: str) -> list[str]:
    """Return the blocks of the page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def recipe(promotion: Promotion, program: str) -> subprocess.CompletedProcess[str]:
    """Run the page's recipe for a program in the delivered folder, with bash."""
    [text] = [each for each in blocks("bash") if f"{program} " in each and "payload" in each][:1]
    for name in ("public.pem", "bob.pub"):
        target = promotion.release / name
        target.write_bytes((promotion.folder / name).read_bytes())
    command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(
        command, cwd=promotion.release, capture_output=True, text=True, check=False
    )


def approved(promotion: Promotion) -> None:
    """Export as alice, approve as bob with his key, and import as alice."""
    promotion.run("alice")
    promotion.be("bob")
    words = ["approve", str(promotion.manifest), "-t", "motor", "--approve", "prod"]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--key", str(promotion.folder / "bob")])
    promotion.run("alice")


@pytest.mark.parametrize("program", ["openssl base64", "ssh-keygen -Y verify"])
def test_recipe_verifies_without_the_runner(promotion: Promotion, program: str) -> None:
    """The program alone accepts the record, and refuses it with one changed byte."""
    approved(promotion)

    good = recipe(promotion, program)
    file = promotion.release / EVIDENCE
    lines = file.read_text().splitlines()
    file.write_text("\n".join(each.replace('"payload":"ey', '"payload":"eu') for each in lines))
    bad = recipe(promotion, program)

    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0


@pytest.mark.usefixtures("openssl", "ssh_keygen")
def test_page_shows_real_output(
    keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest, run as it says, prints what its two commands show, but for ids and times."""
    monkeypatch.chdir(keys)
    for place in ("sit/motor/pricing/1.4.2", "prod/motor/pricing/1.4.1"):
        Path(place).mkdir(parents=True)
    Path("release.yaml").write_text(blocks("yaml")[0])
    run = ["run", "release.yaml", "-q"]
    approve = ["approve", "release.yaml", "--approve", "prod", "--key", "bob"]
    for user, words in (("alice", run), ("bob", approve), ("alice", run)):
        monkeypatch.setenv("GITHUB_ACTOR", user)
        with pytest.raises(SystemExit):
            main(words)
    capsys.readouterr()

    shown = blocks("console")[0]
    printed = ""
    for command in re.findall(r"^\$ impex (.*)$", shown, re.MULTILINE):
        with pytest.raises(SystemExit, match="0"):
            main(command.split())
        printed += f"$ impex {command}\n{capsys.readouterr().out}"

    assert without_ids(printed) == without_ids(shown)


def without_ids(text: str) -> str:
    """Return output without what differs from run to run."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "JOB", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"sha256 [0-9a-f]{12}…", "DIGEST", text)
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
