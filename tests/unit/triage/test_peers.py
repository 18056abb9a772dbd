# SPDX-License-Identifier: Apache-2.0
"""Other countries' hubs: asked by hosting country, never the ones a report came through."""

import shutil
import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triage_world import ANA, World, said
from wasl_schemas.country_pack import MAX_HOPS, CountryPack, load_country_pack
from wasl_schemas.events.common import Channel, Ground, GroundKind
from wasl_triage.api.views import options
from wasl_triage.desk import NotLawful
from wasl_triage.domain.case import Action
from wasl_triage.domain.decisions import Proposal, route_for

EXAMPLE = Path(__file__).parents[3] / "deploy" / "country-packs" / "example"
GROUND = Ground(kind=GroundKind.LAW, ref="xx.code.1")
CONNECTORS = ("reference", "webhook", "wasl_peer")
_HUB = """
[[partners]]
id = "{id}"
kind = "hub"
connector = "wasl_peer"
country = "{country}"
language = "en"
categories = ["{category}"]
agreement = {{ basis = "none_recorded", confidence = "high" }}
title = {{ en = "Hub {id}", ar = "مركز {id}" }}
"""


def _pack(
    to: Path, hubs: Mapping[str, str], *, automatic: str = "", scam: str = "*"
) -> CountryPack:
    """Exampleland, which also tells the hub of the country where a scam is hosted."""
    shutil.copytree(EXAMPLE, to)
    partners = to / "partners.toml"
    told = [_HUB.format(id=i, country=c, category=scam) for i, c in hubs.items()]
    partners.write_text(partners.read_text() + "".join(told))
    routing = to / "routing.toml"
    text = routing.read_text().replace('["@platform"]', '["@platform", "@hosting-hub"]', 1)
    if automatic:
        text = text.replace('partner = "social"', f'partner = "{automatic}"')
    routing.write_text(text)
    (to / "hosting.toml").write_text('[countries]\n"cdn.test" = "NN"\n')
    return load_country_pack(to)


@pytest.fixture
def peers(tmp_path: Path) -> World:
    return World(_pack(tmp_path / "xx", {"nn": "NN", "ff": "FF"}), CONNECTORS)


def _offered(world: World) -> list[str]:
    return options(world.pack, world.case(), world.clock.now()).partners


async def _assessed(world: World, *locations: str, **facts: Any) -> str:
    await world.arrives(*locations, category="scam", **facts)
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "scam"))
    return case.id


async def _sends(world: World, case_id: str, *partners: str) -> None:
    proposal = Proposal(action=Action.DISPATCH, reason="x", ground=GROUND, partners=partners)
    await world.desk.decide(ANA, case_id, proposal)


async def test_the_hub_of_the_hosting_country_is_offered_and_asked(peers: World) -> None:
    case_id = await _assessed(peers, "https://shop.example.nn/1")
    assert _offered(peers) == ["nn"]
    await _sends(peers, case_id, "nn")
    [sent] = peers.dispatched()
    assert (sent.connector, sent.partner, sent.via) == ("wasl_peer", "nn", ())


async def test_what_the_operator_knows_comes_before_the_domain(peers: World) -> None:
    await _assessed(peers, "https://shop.cdn.test/1")
    assert _offered(peers) == ["nn"]


@pytest.mark.parametrize("url", ["https://example.com/1", "https://example.kk/1"])
async def test_unknown_hosting_and_countries_without_a_hub_offer_none(
    peers: World, url: str
) -> None:
    case_id = await _assessed(peers, url)
    assert _offered(peers) == []
    with pytest.raises(NotLawful):
        await _sends(peers, case_id, "nn")


async def test_a_hub_takes_its_categories_only(tmp_path: Path) -> None:
    world = World(_pack(tmp_path / "xx", {"nn": "NN"}, scam="insult"), CONNECTORS)
    await _assessed(world, "https://shop.example.nn/1")
    assert _offered(world) == []


async def test_a_case_is_never_handed_back_to_where_it_came_from(peers: World) -> None:
    came = {"channel": Channel.PARTNER, "via": ("aa", "nn")}
    case_id = await _assessed(peers, "https://shop.example.nn/1", **came)
    assert _offered(peers) == []
    with pytest.raises(NotLawful) as caught:
        await _sends(peers, case_id, "nn")
    assert "came through" in caught.value.missing[0].message
    assert peers.dispatched() == []


async def test_the_chain_of_a_case_is_of_all_its_reports_and_goes_with_the_request(
    peers: World,
) -> None:
    url = "https://shop.example.nn/1"
    await peers.arrives(url, category="scam", via=("aa",))
    leaves = await peers.arrives(url, category="scam", via=("bb", "cc"))
    case_id = await _assessed(peers, url, via=("aa",))
    assert peers.case().via == {"aa": 2, "bb": 1, "cc": 1}
    await peers.deliver(await peers.withdrawal(leaves))
    assert peers.case().via == {"aa": 2}
    await _sends(peers, case_id, "nn")
    [sent] = peers.dispatched()
    assert sent.via == ("aa",)


async def test_a_report_that_comes_back_while_a_decision_waits_stops_it(peers: World) -> None:
    url = "https://shop.example.nn/1"
    case_id = await _assessed(peers, url)
    await peers.arrives(url, category="scam", via=("nn",))
    with pytest.raises(NotLawful):
        await _sends(peers, case_id, "nn")


async def test_no_automatic_rule_hands_a_case_back(tmp_path: Path) -> None:
    pack = _pack(tmp_path / "xx", {"nn": "NN"}, automatic="nn")
    for via, asked in ((("nn",), []), (("mm",), ["nn"])):
        world = World(pack, CONNECTORS)
        facts = {"category": "scam", "channel": Channel.PARTNER}
        await world.arrives("https://shop.example.nn/1", **facts, via=via)
        assert [d.partner for d in world.dispatched()] == asked


def test_the_last_hub_of_a_full_chain_offers_no_further_one(tmp_path: Path) -> None:
    pack = _pack(tmp_path / "xx", {"nn": "NN"})
    for hops in range(MAX_HOPS + 3):
        via = [f"h{n}" for n in range(hops)]
        route = route_for(pack, "scam", "web", date(2030, 1, 1), hosted="NN", via=via)
        assert route is not None
        assert [p.id for p in route.partners] == (["nn"] if hops < MAX_HOPS else [])


# -- any graph of hubs that forward everything -----------------------------------------------------

HUBS = [f"h{n}" for n in range(7)]
Decide = Callable[[str, tuple[str, ...]], list[str]]


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CountryPack]:
    """One pack for each hub, which knows every other one, all in the country that hosts it all."""
    to = tmp_path_factory.mktemp("packs")
    out = {}
    for own in HUBS:
        _pack(to / own, {h: "NN" for h in HUBS if h != own})
        info = to / own / "pack.toml"
        info.write_text(info.read_text().replace('id = "example"', f'id = "{own}"'))
        out[own] = load_country_pack(to / own)
        assert tomllib.loads(info.read_text())["id"] == own
    return out


@settings(max_examples=60, deadline=None)
@given(
    graph=st.dictionaries(
        st.sampled_from(HUBS), st.sets(st.sampled_from(HUBS), max_size=7), max_size=7
    ),
    starts=st.lists(st.sampled_from(HUBS), min_size=1, max_size=3),
)
def test_every_chain_of_hubs_that_forward_everything_ends(
    packs: dict[str, CountryPack], graph: dict[str, set[str]], starts: list[str]
) -> None:
    """The same item reported at several hubs, each of which asks all it may, again and again."""
    cases: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(hub, ()) for hub in starts]
    handed = 0
    while waiting:
        hub, via = waiting.pop(0)
        assert hub not in via
        assert len(via) == len(set(via)) <= MAX_HOPS
        joined = cases[hub] = tuple(dict.fromkeys((*cases.get(hub, ()), *via)))
        pack = packs[hub]
        route = route_for(pack, "scam", "web", date(2030, 1, 1), hosted="NN", via=joined)
        for partner in route.partners if route else ():
            if partner.id in graph.get(hub, ()):
                handed += 1
                waiting.append((partner.id, (*joined, hub)))
    assert handed <= len(starts) * sum(7**n for n in range(MAX_HOPS + 1))
