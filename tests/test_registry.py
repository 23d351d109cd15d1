"""What plugins offer by name, and what the registry refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from spark_impex_runner.errors import PluginError
from spark_impex_runner.hooks.registry import KINDS, Registry, about, described
from spark_impex_runner.manifest.schema.compose import compose


def own_form(entry: str, _: Any) -> str:
    """Check nothing."""
    return entry


def nowhere(_: str) -> None:
    """Give no other place."""


def full(provider: str = "impex-full") -> Registry:
    """Return the offers of a plugin that offers one of every kind."""
    registry = Registry(provider)
    registry.step("shout", "Says it loudly.", idempotent=False)
    registry.strategy("nightly", "Waits for the night.")
    registry.source("vault", "Reads a vault.", str.upper)
    registry.resolver("tagged", "Services by tag.", own_form)
    registry.executor("farm", "Runs on a farm.", nowhere)
    registry.report("tally", "counts them", str)
    registry.notifier("horn", "blows a horn", None, print)
    return registry


def test_every_field_with_offers_is_a_kind() -> None:
    """What a colleague adds to the registry is merged and listed, or this test fails."""
    fields = {each.name for each in dataclasses.fields(Registry)} - {"provider"}

    assert fields == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_merged(kind: str) -> None:
    """The merged registry has what each plugin offers."""
    merged = Registry()
    merged.merge(full())

    assert merged.of_kind(kind) == full().of_kind(kind)
    assert [each.provider for each in merged.of_kind(kind).values()] == ["impex-full"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_taken_merges_nothing(kind: str) -> None:
    """Two plugins may not offer one name: the second is refused as a whole."""
    merged, first, second = Registry(), Registry("impex-one"), full("impex-two")
    first.of_kind(kind).update(full("impex-one").of_kind(kind))
    merged.merge(first)

    with pytest.raises(PluginError, match="which impex-one already offers; block one of the two"):
        merged.merge(second)

    assert sum(len(merged.of_kind(each)) for each in KINDS) == 1


@pytest.mark.parametrize(
    ("offer", "told"),
    [
        (lambda r: r.step("shout", "Again."), "it offers the step 'shout' twice"),
        (lambda r: r.source("vault", "Again.", str), "it offers the source 'vault' twice"),
        (lambda r: r.step(7, "A number."), "it offers a step named 7, which is no name"),
        (lambda r: r.strategy("a b", "Two words."), "named 'a b', which is no name"),
        (
            lambda r: r.step("post", "Posts.", always=True, idempotent=False),
            "the step 'post' cannot be always run and not idempotent",
        ),
        (lambda r: r.step("mute", None), "the step 'mute' has no summary but None"),
    ],
)
def test_an_offer_that_nobody_could_use_is_refused(offer: Any, told: str) -> None:
    """What a plugin offers is looked at while it registers."""
    registry = full()

    with pytest.raises(PluginError) as caught:
        offer(registry)

    assert told in str(caught.value)


def test_an_offer_is_described_without_its_functions() -> None:
    """Traits stand beside a step only; functions nowhere."""
    registry = full()

    assert described(registry.steps["shout"])["idempotent"] is False
    assert set(described(registry.strategies["nightly"])) == {
        *("name", "summary", "provider", "options")
    }
    assert set(described(registry.sources["vault"])) == {"name", "summary", "provider", "secret"}


def test_summary_and_traits_stand_in_the_schema() -> None:
    """An editor shows them beside the name, and beside the options."""
    registry = Registry("impex-full")
    registry.step("mail", "sends it", idempotent=False, credentials=True)
    registry.step("beep", "beeps")
    told = "Sends it. Done once only, needs credentials."

    schema = compose(registry)["$defs"]

    uses = schema["step"]["properties"]["uses"]
    assert dict(zip(uses["enum"], uses["enumDescriptions"], strict=True)) == {
        "beep": "Beeps.",
        "mail": told,
    }
    assert schema["step-mail"]["description"] == told


def test_every_trait_has_its_words() -> None:
    """What is as usual has none."""
    registry = Registry()
    registry.step("a", "Does.", always=True, file_filter="migrate", dry_run=True)
    registry.step("b", "Does.", idempotent=False, credentials=True)
    registry.step("c", "Does.")

    assert about(registry.steps["a"]) == (
        "Does. Always run again, for packages of file_filter migrate only, "
        "tells impex plan what it would do."
    )
    assert about(registry.steps["b"]) == "Does. Done once only, needs credentials."
    assert about(registry.steps["c"]) == "Does."
