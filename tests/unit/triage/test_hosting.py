# SPDX-License-Identifier: Apache-2.0
"""Where an item is hosted, as far as an address tells."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from wasl_triage.domain.hosting import GENERIC, Holder, Hosted, country_of, hosted
from wasl_triage.hostsource import MmdbSource, read_addresses

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


class Table:
    name = "table"

    def holder(self, address: IPv4Address | IPv6Address) -> Holder | None:
        known = {"9.9.9.9": Holder("CH", "Exemple Resolver"), "8.8.8.8": Holder(None, "Exemple")}
        return known.get(str(address))


@pytest.mark.parametrize(
    ("location", "answer"),
    [
        ("https://9.9.9.9/a", Hosted("CH", "Exemple Resolver", "table", "address_in_link")),
        ("https://8.8.8.8/a", Hosted(None, "Exemple", "table", "address_in_link")),
        ("https://1.1.1.1/a", None),
        ("https://shop.example/", Hosted("CH", "Exemple Resolver", "table", "address_table")),
        ("https://a.cdn.example/", Hosted("NL", None, "", "operator_table")),
        ("https://cdn.example/", Hosted("NL", "Exemple Resolver", "table", "operator_table")),
        ("https://example.fr/", Hosted("FR", None, "", "country_domain")),
        ("https://example.com/", None),
        ("+212600000000", None),
    ],
)
def test_who_hosts_it_and_who_says_so(location: str, answer: Hosted | None) -> None:
    addresses = {"shop.example": "9.9.9.9", "cdn.example": "9.9.9.9"}
    assert hosted(location, KNOWN, [Table()], addresses) == answer


def test_a_name_of_a_service_does_not_tell_but_its_address_does() -> None:
    where = hosted("https://youtu.be/x", {}, [Table()], {"youtu.be": "9.9.9.9"}, name_tells=False)
    assert where is not None
    assert where.country == "CH"
    assert hosted("https://youtu.be/x", {}, name_tells=False) is None


@pytest.fixture
def mmdb(tmp_path: Path) -> Path:
    writer = MMDBWriter(6, "Exemple-Country-ASN", ["en"], ipv4_compatible=True)
    writer.insert_network(
        IPSet(["9.9.9.0/24", "2620:fe::/48"]),
        {"country": {"iso_code": "CH"}, "autonomous_system_organization": "Exemple Resolver"},
    )
    writer.insert_network(IPSet(["8.8.8.0/24"]), {"country_code": "US", "as_name": "Exemple"})
    writer.insert_network(IPSet(["10.0.0.0/8"]), {"country": {"iso_code": "ZZ"}})
    writer.insert_network(IPSet(["7.7.7.0/24"]), {"country": {"iso_code": "far away"}})
    path = tmp_path / "hosts.mmdb"
    writer.to_db_file(str(path))
    return path


def test_a_database_of_networks(mmdb: Path) -> None:
    source = MmdbSource(mmdb)
    assert source.name.startswith("Exemple-Country-ASN 20")
    assert source.holder(ip_address("9.9.9.9")) == Holder("CH", "Exemple Resolver")
    assert source.holder(ip_address("2620:fe::1")) == Holder("CH", "Exemple Resolver")
    assert source.holder(ip_address("8.8.8.8")) == Holder("US", "Exemple")
    assert source.holder(ip_address("1.1.1.1")) is None
    assert source.holder(ip_address("10.1.1.1")) is None
    assert source.holder(ip_address("7.7.7.7")) is None
    where = hosted("https://[2620:fe::9]/a", {}, [source])
    assert where == Hosted("CH", "Exemple Resolver", source.name, "address_in_link")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(b"no database")
    for name in ("x.mmdb", "absent.mmdb"):
        with pytest.raises(ValueError, match=rf"{name}: expected a MaxMind DB"):
            MmdbSource(tmp_path / name)


def test_the_operators_addresses(tmp_path: Path) -> None:
    table = tmp_path / "addresses.csv"
    table.write_text("# seen in March\n\nWWW.Example.org., 192.0.2.1\nb.example,2001:db8::0:1\n")
    assert read_addresses(table) == {"www.example.org": "192.0.2.1", "b.example": "2001:db8::1"}
    table.write_text("a.example,192.0.2.1\nb.example,somewhere\n")
    with pytest.raises(ValueError, match="line 2: expected a host name and an IP address"):
        read_addresses(table)
