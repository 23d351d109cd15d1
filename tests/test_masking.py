"""Every secret is masked by value, in each of its forms."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from spark_impex_runner.masking import Masker, lines_of

_SECRETS = st.lists(st.text("abc/ +é", min_size=1, max_size=6), max_size=6)


@given(_SECRETS, st.text("abc/ +é%2F0", max_size=40))
def test_secrets_are_masked(secrets: list[str], text: str) -> None:
    """No form of any secret is left, also where secrets overlap."""
    masker = Masker()
    for secret in secrets:
        masker.add(secret)

    masked = masker.mask(text)

    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote_plus(secret)):
            assert all(form not in piece for piece in masked.split("***"))


@given(_SECRETS, st.text("xyz", max_size=20), st.text("xyz", max_size=20))
def test_other_text_stays(secrets: list[str], before: str, after: str) -> None:
    """Text around a secret and text without one is unchanged."""
    masker = Masker()
    for secret in secrets:
        masker.add(secret)

    assert masker.mask(before + after) == before + after
    for secret in secrets:
        assert masker.mask(f"{before}{secret}{after}") == f"{before}***{after}"


def test_overlapping_secrets_are_one_mask() -> None:
    """Neither end of two overlapping secrets is left; adjacent ones are two masks."""
    masker = Masker()
    masker.add("abcd")
    masker.add("cdefgh")

    assert masker.mask("<abcdefgh>") == "<***>"
    assert masker.mask("<abcdabcd>") == "<******>"


def test_cut_avoids_overlapping_secrets() -> None:
    """The cut is before the first of them."""
    masker = Masker()
    masker.add("secrets")
    masker.add("etsandmore")

    cuts = [masker.cut("a secretsandmore b", at) for at in (1, 2, 3, 8, 10, 15, 16, 17)]

    assert cuts == [1, 2, 2, 2, 2, 2, 16, 17]


def test_path_of_secret_url_is_masked() -> None:
    """HTTP libraries log it alone; a short path or a host may be part of other texts."""
    masker = Masker()
    for secret in ("https://hooks.example.com/services/T0/B0/x?y=1", "http://a.example/hook"):
        masker.add(secret)

    assert masker.mask("POST /services/T0/B0/x?y=1 HTTP/1.1") == "POST *** HTTP/1.1"
    assert masker.mask("at hooks.example.com /hook") == "at hooks.example.com /hook"


def test_empty_value_is_no_secret() -> None:
    """Without secrets nothing is masked."""
    masker = Masker()
    masker.add("")
    masker.add(None)

    assert masker.mask("text") == "text"


def test_lines_of_secret_are_stripped() -> None:
    """Readers of lines strip them; blank ones are left out."""
    assert lines_of("  hunter2-one  \n \n\thunter2-two") == ["hunter2-one", "hunter2-two"]
    assert lines_of("abc\n   ") == ["abc"]
