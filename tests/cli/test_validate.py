"""``impex validate``: the same findings for people, for programs and for GitHub."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spark_impex_runner.errors import PluginError
from spark_impex_runner.planning import load

PRICING = "  - {name: pricing, services: ['motor/pricing[1.4.2]']}\n"
MISTAKES = "  - {name: a, folders: [life], file_filter: onprem}\n  - {nam: b, folders: [x]}\n"
SCANS = ("gitlab", "sarif")
PLUGIN = "requires: {plugins: ['impex-nowhere>=1']}\n"


@pytest.fixture
def files(shell: Any) -> list[str]:
    """Return a valid manifest, one with mistakes, and one whose plugin is missing."""
    shell.write(PRICING)
    shell.write(MISTAKES, "bad.yaml")
    shell.write(PRICING + PLUGIN, "plugin.yaml")
    return ["m.yaml", "bad.yaml", "plugin.yaml"]


def test_json_is_one_document_about_all_manifests(shell: Any, files: list[str]) -> None:
    """Also what is no mistake of a manifest's own is in it; the exit code is that of the text."""
    text = shell("impex", "validate", *files)
    done = shell("impex", "validate", "--format", "json", *files)

    document = json.loads(done.out)
    assert (done.code, done.err) == (text.code, "")
    assert document["valid"] is False
    good, bad, plugin = document["manifests"]
    assert good == {"path": "m.yaml", "valid": True, "targets": 1, "problems": []}
    lines = [
        f"{p['file']}:{p['line']}:{p['column']}: {p['path']}: {p['message']}"
        for p in bad["problems"]
    ]
    assert lines == [line for line in text.err.splitlines() if line.startswith("bad.yaml")]
    (missing,) = plugin["problems"]
    assert (missing["file"], missing["line"], missing["severity"]) == ("plugin.yaml", 5, "error")
    assert "pip install 'impex-nowhere>=1'" in missing["message"]


def test_github_reads_a_command_for_each_problem(shell: Any, files: list[str]) -> None:
    """On stdout; the valid manifest is a line that GitHub only shows."""
    done = shell("impex", "validate", "--format", "github", *files)

    lines = done.out.splitlines()
    assert (done.code, done.err) == (7, "")
    assert lines[0] == "m.yaml: valid, 1 target"
    assert lines[1].startswith(
        "::error file=bad.yaml,line=4,col=45,title=targets[0].file_filter::'onprem' is not one of"
    )
    assert lines[-1].startswith(
        "::error file=plugin.yaml,line=5,col=22,title=requires.plugins[0]::"
    )


def test_scanners_get_every_problem(shell: Any, files: list[str]) -> None:
    """GitLab's report and SARIF have the problems of all manifests, by the same exit code."""
    json_ = json.loads(shell("impex", "validate", "--format", "json", *files).out)
    done = {name: shell("impex", "validate", "--format", name, *files) for name in SCANS}
    expected = [(p["file"], p["line"]) for m in json_["manifests"] for p in m["problems"]]

    gitlab = [each["location"] for each in json.loads(done["gitlab"].out)]
    [run] = json.loads(done["sarif"].out)["runs"]
    sarif = [each["locations"][0]["physicalLocation"] for each in run["results"]]

    assert {(each.code, each.err) for each in done.values()} == {(7, "")}
    assert [(each["path"], each["lines"]["begin"]) for each in gitlab] == expected
    assert [(each["artifactLocation"]["uri"], each["region"]["startLine"]) for each in sarif] == (
        expected
    )


@pytest.mark.parametrize("form", ["json", "github", *SCANS])
def test_documents_have_masked_values(
    shell: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A secret is not in it, and one that is a part of the syntax does not spoil it."""
    monkeypatch.setenv("SECRET", '"')
    monkeypatch.setenv("OTHER", "100%: a, b")
    shell.write(
        "  - {name: a, folders: [life], file_filter: '${env:OTHER}'}\n"
        "x-auth: &auth {token: '${env:SECRET}'}\n"
    )
    text = (shell.folder / "m.yaml").read_text()
    other = "b: {base_url: 'https://b.test/t', auth: {token: '${env:OTHER}'}}}"
    auth = "c: {base_url: 'https://c.test/t', auth: {token: '${env:SECRET}'}}, " + other
    (shell.folder / "m.yaml").write_text(text.replace("acme}}", "acme}, " + auth))

    done = shell("impex", "validate", "--format", form, "m.yaml")

    assert done.code == 2
    assert "100%" not in done.out
    if form == "json":
        assert not json.loads(done.out)["valid"]
    elif form in SCANS:
        assert "***" in done.out
    else:
        assert done.out.startswith("::error file=m.yaml,line=")


@pytest.mark.parametrize("form", ["json", "github", "text"])
def test_plugin_errors_are_masked(shell: Any, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """The words are somebody else's; the quotes of the secret are escaped in JSON."""

    def refuse(*given: Any) -> None:
        given[-1].add('my "secret"')
        raise PluginError('refused: my "secret"')

    monkeypatch.setattr(load, "load", refuse)

    done = shell("impex", "validate", "--format", form, "m.yaml")

    assert done.code == 7
    assert "refused: ***" in done.out + done.err
    assert "secret" not in done.out + done.err


def test_secret_values_are_not_judged(shell: Any) -> None:
    """Nor asked for: wherever its references stand, validation goes on without their values."""
    (shell.folder / "v.py").write_text(
        "from spark_impex_runner.hooks.specs import hookimpl\n"
        "@hookimpl\n"
        "def impex_register(registry):\n"
        "    registry.source('v', 'nobody may ask', lambda key: 1 / 0, secret=True)\n"
    )
    (shell.folder / "m.yaml").write_text(
        "version: 1\n"
        'vars: {service: "${v:service}"}\n'
        "connections:\n"
        '  a: {base_url: "${v:url}", jobs: "${v:jobs}", timeout: "${v:timeout}",\n'
        '      auth: {token: "${v:token}"}}\n'
        '  b: {env: uat.us, tenant: "${v:tenant}"}\n'
        "targets:\n"
        "  - name: one\n"
        '    connection: "${v:connection}"\n'
        '    services: ["${var:service}"]\n'
        '    file_filter: "${v:filter}"\n'
        '    polling: {deadline: "${v:deadline}"}\n'
        '    max_package: "${v:size}"\n'
        '    steps: [{uses: unzip, with: {max_files: "${v:files}"}},\n'
        '      {uses: import, with: {to: "${v:to}"}, retry: {interval: "${v:interval}"}}]\n'
        '  - {name: two, connection: b, services: ["${v:service}", "nonsense"]}\n'
        'notify: [{uses: webhook, with: {url: "${v:hook}"}, timeout: "${v:timeout}"}]\n'
    )

    done = shell("impex", "validate", "m.yaml", "-p", "v.py")

    assert done.err.splitlines()[0].startswith(
        "m.yaml:16:59: targets[1].services[1]: service URI 'nonsense' has"
    )
    assert done.err.count("m.yaml:") == 1
    (shell.folder / "m.yaml").write_text(
        (shell.folder / "m.yaml").read_text().replace(', "nonsense"', "")
    )
    assert shell("impex", "validate", "m.yaml", "-p", "v.py").code == 0
    assert shell("impex", "plan", "m.yaml", "-p", "v.py").code == 7
