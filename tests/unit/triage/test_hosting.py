# SPDX-License-Identifier: Apache-2.0
"""Where an item is hosted, as far as an address tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_triage.domain.hosting import GENERIC, country_of

KNOWN = {"cdn.example": "NL", "eu.cdn.example": "DE", "pages.ma": "FR"}


@pytest.mark.parametrize(
    ("location", "country"),
    [
        ("https://shop.example.ma/a", "MA"),
        ("https://example.co.uk/", "GB"),
        ("http://example.fr:8080/x", "FR"),
        ("https://EXAMPLE.FR./x", "FR"),
        ("https://a.cdn.example/", "NL"),
        ("https://cdn.example/", "NL"),
        ("https://a.eu.cdn.example/", "DE"),
        ("https://mycdn.example/", None),
        ("https://me.pages.ma/", "FR"),
        ("https://example.com/", None),
        ("https://example.io/", None),
        ("https://example.eu/", None),
        ("https://192.0.2.1/", None),
        ("https://[2001:db8::ma]/", None),
        ("https://ma/", None),
        ("tg://resolve?domain=example.ma", None),
        ("+212600000000", None),
        ("@somebody.ma", None),
        ("", None),
    ],
)
def test_the_country(location: str, country: str | None) -> None:
    assert country_of(location, KNOWN) == country


def test_a_name_chosen_for_its_looks_tells_nothing_but_the_operator_may() -> None:
    assert country_of("https://youtu.be/x", {}, name_tells=False) is None
    assert country_of("https://youtu.be/x", {"youtu.be": "US"}, name_tells=False) == "US"


@pytest.mark.parametrize("tld", sorted(GENERIC))
def test_a_domain_that_sells_as_a_word_is_no_country(tld: str) -> None:
    assert len(tld) == 2
    assert country_of(f"https://example.{tld}/", {}) is None


@given(st.text(max_size=60))
def test_any_text_has_a_code_or_none(text: str) -> None:
    for location in (text, f"https://{text}", f"https://example.{text}/"):
        found = country_of(location, {})
        assert found is None or (len(found) == 2 and found.isascii() and found.isupper())
