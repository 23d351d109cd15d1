"""``impex plan`` of a promotion: what its imports would do at their destinations."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.sandbox.faults import parse_fault
from spark_impex_runner.sandbox.server import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANIFEST = """version: 1
connections:
  sit: {base_url: "${env:SIT_URL}", auth: {token: "${env:SIT}"}}
  prod: {base_url: "${env:PROD_URL}", auth: {token: "${env:PROD}"}, timeout: 2s}
targets:
  - name: motor
    connection: sit
    folders: [motor, life]
    output: out
    steps: [{uses: import, with: {to: prod, if_present: add_version%s}}]
"""


@pytest.fixture
def promotion(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a function that serves two tenants and writes the manifest of a promotion."""
    served: list[Sandbox] = []

    def serve(*versions: str, options: str = "", faults: Any = ()) -> dict[str, Sandbox]:
        trees = {
            "sit": ["motor/pricing/1.4.1", "motor/pricing/1.4.2", "life/term/1.0.0"],
            "prod": ["other/thing/1.0.0", *versions],
        }
        found = {}
        for name, tree in trees.items():
            for version in tree:
                (shell.folder / name / version).mkdir(parents=True, exist_ok=True)
            parsed = tuple(map(parse_fault, faults if name == "prod" else ()))
            settings = Settings(tenant="acme", faults=parsed)
            found[name] = Sandbox(shell.folder / name, settings).start()
            monkeypatch.setenv(f"{name.upper()}_URL", found[name].base_url)
            monkeypatch.setenv(name.upper(), found[name].token)
        served.extend(found.values())
        (shell.folder / "m.yaml").write_text(MANIFEST % options)
        return found

    yield serve
    for each in served:
        each.close()


def services_of(shell: Any, *words: str) -> list[str]:
    """Return the texts of the services in the JSON of the plan."""
    [plan] = json.loads(shell("impex", "plan", "m.yaml", "--format", "json", *words).out)["plans"]
    return [each["text"] for each in plan["targets"][0]["would"][0]["services"]]


def test_plan_says_what_imports_do(shell: Any, promotion: Any) -> None:
    """Per service, what would fail first; a job is created on neither tenant."""
    tenants = promotion("motor/pricing/1.4.1")

    done = shell("impex", "plan", "m.yaml", "--detailed-exitcode")

    rows = done.out.splitlines()
    start = next(index for index, row in enumerate(rows) if row.startswith("  would "))
    assert done.code == 8
    assert rows[start + 1 : start + 4] == [
        "             life/term[1.0.0]: folder missing: create life first",
        "             motor/pricing[1.4.2]: adds 1.5.0 (now 1.4.1)",
        "             so the import would fail, and import nothing",
    ]
    assert done.out.endswith("\n\ncreate 1; no job was created\n")
    assert not [r for each in tenants.values() for r in each.requests if "/v4/" in r.path]
    assert services_of(shell) == ["adds 1.5.0 (now 1.4.1)", "folder missing: create life first"]


def test_identical_everywhere_is_nothing_to_do(shell: Any, promotion: Any) -> None:
    """Exit code 0 as if unchanged, in JSON, too; the run then sends nothing, and awaits nothing."""
    gated = ", gate: manual, lock: l.json"
    tenants = promotion("motor/pricing/1.4.2", "life/term/1.0.0", options=gated)

    plan = shell("impex", "plan", "m.yaml", "--detailed-exitcode")
    data = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)
    run = shell("impex-run", "m.yaml", "-q")

    assert (plan.code, run.code) == (0, 0)
    assert data["changes"] is data["plans"][0]["targets"][0]["changes"] is False
    assert plan.out.count("identical: nothing to do (same version id, module, workbook)") == 2
    assert "held for" not in plan.out
    assert not [each for each in tenants["prod"].requests if each.path.endswith("/v4/import")]


def test_service_by_id_is_known_from_the_last_delivery(shell: Any, promotion: Any) -> None:
    """The listing does not tell which service has an id: before the first export it is unknown."""
    tenants = promotion("motor/pricing/1.4.2")
    [newest] = tenants["sit"]._tree.versions("motor", "pricing")[-1:]
    text = (shell.folder / "m.yaml").read_text()
    by_id = f"services: [service/{newest.service_id}]\n    version_ids: [{newest.id}]"
    (shell.folder / "m.yaml").write_text(text.replace("folders: [motor, life]", by_id))

    before = services_of(shell)
    run = shell("impex-run", "m.yaml", "-q")
    after = services_of(shell)

    assert run.code == 0
    assert before[0].startswith("unknown: what would be exported is not known: the listing does ")
    assert after == ["identical: nothing to do (same version id, module, workbook)"]


def test_other_delivery_is_something_to_do(shell: Any, promotion: Any) -> None:
    """Although the import does nothing."""
    promotion("motor/pricing/1.4.2", "life/term/1.0.0")
    text = (shell.folder / "m.yaml").read_text()
    upload = "{uses: upload, with: {to: there}}"
    (shell.folder / "m.yaml").write_text(text.replace("steps: [", f"steps: [{upload}, "))

    assert shell("impex", "plan", "m.yaml", "--detailed-exitcode").code == 8


def test_plan_of_held_package_reads_it(shell: Any, promotion: Any) -> None:
    """What waits is imported, not what the source has by now; so says the held line."""
    tenants = promotion("motor/pricing/1.4.1", "life/term/1.0.0", options=", gate: manual")
    held = shell("impex-run", "m.yaml", "-q")
    tree = tenants["sit"]._tree
    tree.put("motor", "pricing", tree.versions("motor", "pricing")[:1])

    plan = services_of(shell)
    fresh = services_of(shell, "--fresh")

    line = "motor/pricing[1.4.2]: adds 1.5.0 (now 1.4.1); life/term[1.0.0]: identical"
    assert (held.code, line in held.out) == (9, True)
    assert (plan[0], fresh[0]) == (
        "adds 1.5.0 (now 1.4.1)",
        "identical: nothing to do (same version id, module, workbook)",
    )


@pytest.mark.parametrize("fault", ["exists@*=403", "exists@*=503", "versions@*=html"])
def test_refused_listing_does_not_fail_the_plan(shell: Any, promotion: Any, fault: str) -> None:
    """The line says that it is unknown and why, and the rest of the plan is there."""
    if "html" in fault:
        fault = "versions@*=200:html"
    promotion("motor/pricing/1.4.1", faults=(fault,))

    done = shell("impex", "plan", "m.yaml", "--detailed-exitcode")

    assert done.code == 8
    # Once for both services.
    reason = r"\] and 1 more: unknown: GET api/v\d/.* on http://127.0.0.1:\d+/acme"
    assert len(re.findall(reason, done.out)) == 1


def test_absent_tenants_do_not_fail_the_plan(shell: Any, promotion: Any) -> None:
    """Neither of both answers: nothing is guessed, and no secret is shown."""
    tenants = promotion()
    secret = tenants["prod"].token
    tenants["prod"].close()
    one = shell("impex", "plan", "m.yaml")
    tenants["sit"].close()
    both = shell("impex", "plan", "m.yaml")

    assert (one.code, both.code) == (0, 0)
    assert one.out.count("] and 1 more: unknown: connections.prod: ") == 1
    assert (
        "everything in the package: unknown: what would be exported is not known: conn" in both.out
    )
    assert secret not in one.out + both.out


def test_misspelt_service_is_found_before_export(shell: Any, promotion: Any) -> None:
    """A mapping of what would not be in the package fails the plan."""
    promotion(options=", services: [motor/prizing]")

    done = shell("impex", "plan", "m.yaml")

    assert done.code == 2
    assert "fails    import: motor/prizing is not in the package, which holds motor/" in done.out


def test_long_plan_is_cut(shell: Any, promotion: Any) -> None:
    """To twenty services, of which what fails is never cut; -v and JSON have all."""
    shutil.rmtree(shell.folder / "sit", ignore_errors=True)
    for number in range(23):
        (shell.folder / f"sit/motor/s{number:02}/1.0.0").mkdir(parents=True)
    promotion("motor/thing/1.0.0")

    short = shell("impex", "plan", "m.yaml").out
    long = shell("impex", "plan", "m.yaml", "-v").out

    assert short.count(": new (") == 19
    assert short.count(": folder missing: create life first") == 1
    assert "             … 5 more services; -v shows all\n" in short
    assert long.count(": new (") == 24


def test_export_that_would_fail_is_warned_of(shell: Any, promotion: Any) -> None:
    """Before it: a folder without a service, and a service without a compiled module."""
    promotion("motor/pricing/1.4.1")
    text = (shell.folder / "m.yaml").read_text()
    typo = "  - {name: typo, connection: sit, folders: [lifw], services: [motor/prcing]}\n"
    (shell.folder / "m.yaml").write_text(text.replace("targets:\n", f"targets:\n{typo}"))

    done = shell("impex", "plan", "m.yaml")
    [plan] = json.loads(shell("impex", "plan", "m.yaml", "--format", "json").out)["plans"]

    warnings = [each["warnings"] for each in plan["targets"]]
    assert (done.code, warnings[1]) == (0, [])
    assert [each.partition(": the export would fail; check ")[0] for each in warnings[0]] == [
        "folder lifw has no service that the credentials see (did you mean 'life'?)",
        "motor/prcing is no service that the credentials see (did you mean 'motor/pricing'?)",
    ]
    assert all(f"  warning  {each}\n" in done.out for each in warnings[0])


def test_service_without_module_is_warned_of(shell: Any, promotion: Any) -> None:
    """As the run then finds: the tenant refuses the whole export."""
    term = shell.folder / "sit/life/term/1.0.0"
    term.mkdir(parents=True)
    (term / "service.json").write_text('{"compiled": false}')
    promotion("motor/pricing/1.4.1", "life/other/1.0.0")

    plan = shell("impex", "plan", "m.yaml").out
    run = shell("impex-run", "m.yaml", "-q")

    line = "life/term[1.0.0] has no compiled module: the export would fail; compile it first"
    assert f"  warning  {line}\n" in plan
    assert plan.count("  warning  ") == 1
    assert (run.code, "SERVICE_NOT_COMPILED" in run.out) == (4, True)


def test_plan_without_listing_warns_of_nothing(shell: Any, promotion: Any) -> None:
    """A plan that needs no listing does not ask for one."""
    tenants = promotion()
    text = (shell.folder / "m.yaml").read_text().replace("[motor, life]", "[lifw]")
    (shell.folder / "m.yaml").write_text(text.partition("    steps:")[0])

    plan = shell("impex", "plan", "m.yaml").out

    assert "warning" not in plan
    assert plan.endswith("nothing was sent\n")
    assert not [request for each in tenants.values() for request in each.requests]


def test_second_import_of_a_service_is_not_predicted(
    shell: Any, promotion: Callable[..., Any]
) -> None:
    """The tenant is asked as it is now; the first import of the plan changes it before."""
    promotion("motor/pricing/1.0.0", "life/term/0.9.0")
    path = shell.folder / "m.yaml"
    step = "steps: [{uses: import, with: {to: %s}}]"
    path.write_text(
        path.read_text()
        + "  - {name: later, connection: sit, services: [motor/pricing], "
        + (step % "'prod', if_present: replace")
        + "}\n  - {name: refused, connection: sit, services: [life/term], "
        + (step % "prod")
        + "}\n  - {name: back, connection: prod, services: [motor/pricing, other/thing], "
        + (step % "'sit', if_present: replace")
        + "}\n"
    )

    done = shell("impex", "plan", "m.yaml", "--format", "json")

    assert done.code == 0, done.err
    targets = json.loads(done.out)["plans"][0]["targets"]
    texts = [[each["text"] for each in target["would"][0]["services"]] for target in targets]
    unknown = "unknown: an earlier import of this plan changes it"
    assert texts[1:] == [
        [unknown],
        ["would abort: it exists (now 0.9.0)"],
        [unknown, "folder missing: create other first"],
    ]
