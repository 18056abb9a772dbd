# SPDX-License-Identifier: Apache-2.0
"""A case of child safety is nowhere for whoever is not cleared: in no list, count, hint, refusal.

People without the clearance hold every other role at once, and ask every route there is, by every
id the case has. What they get is word for word what they get for ids that nothing has.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from cases_kit import post, sees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrix import API
from triage_world import ANA, SUE, World, said
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.lifecycle import IllegalTransition
from wasl_triage.cases.working import Move
from wasl_triage.desk import NoSuchCase, NotLawful, Refused
from wasl_triage.domain.disclosure import SMALL
from wasl_triage.domain.people import Person, Role
from wasl_triage.quality.kept import AGREEMENTS, GOLDEN_ANSWERS, Agreement, GoldenAnswer
from whole import Whole, body_of, called, furnish, path_of, unknown

#: Everything but the clearance.
EVE = Person(name="uncleared-1", roles=frozenset(set(Role) - {Role.CHILD_SAFETY}))
SECRET = "Kanarivogel"
#: Parameters that are no ids of something.
PLAIN = ("queue", "category", "name")


def _hidden(ids: dict[str, str]) -> list[str]:
    """What would give the case away. The helpline's and the register's own ids are not its."""
    plain = (*PLAIN, "helpline_id", "request_id", "dispatch_id")
    return [SECRET, *(v for k, v in ids.items() if k not in plain)]


def _bare(answer: httpx.Response, ids: Iterable[str]) -> tuple[int, str]:
    """The answer without what was asked for, which pages repeat in the switch of languages, and
    without the token of the form.
    """
    text = answer.text
    for one in ids:
        text = text.replace(one, "ID")
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "FRESH", text)
    return answer.status_code, re.sub(r"[0-9a-f]{64}", "HASH", text)


@pytest.fixture
def whole(world: World, monkeypatch: pytest.MonkeyPatch) -> Whole:
    monkeypatch.setattr("wasl_triage.console.live.LOOKS", 0)
    return Whole(world, [EVE])


async def test_no_route_of_the_api_tells_it_from_nothing(whole: Whole) -> None:
    ids = await furnish(whole, 1, "child_exposure", SECRET)
    none = unknown(ids)
    eve = whole.api(EVE)
    # A helpline case and an entry of the register may be read; what they name is looked at below.
    for there, kept in ((ids, none), (none, none)):
        there["request_id"] = kept["request_id"]
    for word in API:
        answers = []
        for known in (ids, none):
            method, path = called(word, known)
            body = body_of(word, whole.world, known)
            answers.append(await eve.request(method, path, json=body))
        hidden, nothing = (
            _bare(a, known.values()) for a, known in zip(answers, (ids, none), strict=True)
        )
        assert hidden == nothing, word
        for secret in _hidden(ids):
            assert secret not in answers[0].text or secret in str(answers[0].request.url), word


async def test_no_page_tells_it_from_nothing(whole: Whole) -> None:
    ids = await furnish(whole, 1, "child_exposure", SECRET)
    none = unknown(ids)
    browser = await whole.browser(EVE)
    for route in sorted(whole.site.table, key=lambda r: r.method):
        if not route.path.startswith("/fr/") or route.open_to_all or "/account" in route.path:
            continue
        known = {**ids, "helpline_id": none["helpline_id"], "request_id": none["request_id"]}
        path, other = path_of(route.path, known), path_of(route.path, none)
        answer = await browser.ask(route.method, path)
        told = _bare(answer, [*known.values(), browser.csrf])
        for secret in _hidden(ids):
            assert secret not in answer.text or secret in path, (route, secret)
        if path != other:
            same = await browser.ask(route.method, other)
            assert told == _bare(same, [*none.values(), browser.csrf]), route


async def test_what_looks_for_it_finds_nothing(whole: Whole) -> None:
    """Search by address, any id and any filter; trails; holds; hints."""
    ids = await furnish(whole, 1, "child_exposure", SECRET)
    case = whole.world.case(ids["case_id"])
    browser, address = await whole.browser(EVE), post(1)
    words = [address, *(v for k, v in ids.items() if k not in PLAIN)]
    for searched in words:
        found = await browser.send("/fr/search", words=searched)
        none = await browser.send(
            "/fr/search", words=searched[:-1] + ("1" if searched[-1] != "1" else "2")
        )
        assert found.status_code == 200
        assert f"cases/{ids['case_id']}" not in found.text
        pairs = [(found, searched), (none, str(none.request.content))]
        counts = [len(re.findall(r'href="/fr/cases/', a.text)) for a, _ in pairs]
        assert counts == [0, 0], searched
    for name, value in (("category", case.category), ("queue", case.queue), ("owner", ANA.name),
                        ("state", case.state.value), ("severity", case.severity.value), ("all", "1"),
                        ("platform", case.platform)):  # fmt: skip
        answer = await browser.get(f"/fr/search?{name}={value}")
        assert ids["case_id"] not in answer.text, name
    for path in (
        f"/fr/live?of=case:{ids['case_id']}",
        f"/fr/audit/trail?stream={ids['case_id']}",
        f"/fr/protection/case?id={ids['case_id']}",
        f"/fr/bulk?ids={ids['case_id']}",
    ):
        hidden = await browser.get(path)
        nothing = await browser.get(path.replace(ids["case_id"], "0" * 32))
        both = [ids["case_id"], "0" * 32]
        assert _bare(hidden, both) == _bare(nothing, both), path
    for who in (ANA.name, SUE.name):
        day = whole.world.clock.now().date().isoformat()
        answer = await browser.get(f"/fr/audit/person?who={who}&day={day}")
        assert not [s for s in _hidden(ids) if s in answer.text], who


async def test_counts_are_as_if_it_were_not_there(
    world: World, pack: CountryPack, whole: Whole
) -> None:
    empty = Whole(World(pack), [EVE])
    ids = await furnish(whole, 1, "child_exposure", SECRET)
    selection = {"category": "child_exposure", "states": []}
    asks: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/queue", None),
        ("GET", "/api/v1/skips", None),
        ("GET", "/api/v1/appeals", None),
        ("GET", "/api/v1/opinions", None),
        ("GET", "/api/v1/golden", None),
        ("GET", "/api/v1/reviews", None),
        ("GET", "/api/v1/figures/golden", None),
        ("GET", "/api/v1/agreement", None),
        *(
            ("POST", "/api/v1/bulk/preview", {"selection": s, "action": "note"})
            for s in (
                selection,
                {"platform": "facebook"},
                {"ids": [ids["case_id"]]},
                {"queue": "general"},
            )
        ),
    ]
    for method, path, body in asks:
        here = await whole.api(EVE).request(method, path, json=body)
        there = await empty.api(EVE).request(method, path, json=body)
        assert (here.status_code, here.text) == (there.status_code, there.text), path
    with_it, without = await whole.browser(EVE), await empty.browser(EVE)
    for path in ("queue", "queue/children", "queue/general", "search?all=1", "opinions", "review",
                 "practice", "protection", "figures", "workload"):  # fmt: skip
        here, there = await with_it.get(f"/fr/{path}"), await without.get(f"/fr/{path}")
        if path in ("figures", "review", "workload"):
            # How much there is in all is told, small counts hidden, and never of what it is.
            label = pack.categories["child_exposure"].label["fr"]
            assert label and label not in here.text
            assert not [s for s in _hidden(ids) if s in here.text]
            continue
        tokens = (with_it.csrf, without.csrf)
        assert _bare(here, tokens) == _bare(there, tokens), path


async def test_the_register_and_the_helpline_name_no_case_to_the_uncleared(whole: Whole) -> None:
    """Who registers a request or links a helpline case may be cleared; who reads it may not."""
    ids = await furnish(whole, 1, "child_exposure", SECRET)
    eve, browser = whole.api(EVE), await whole.browser(EVE)
    texts = [
        (await eve.get("/api/v1/subject-requests")).text,
        (await eve.get(f"/api/v1/subject-requests/{ids['request_id']}")).text,
        (await browser.get("/fr/protection/requests")).text,
        (await browser.get(f"/fr/protection/requests/{ids['request_id']}")).text,
    ]
    for text in texts:
        assert ids["request_id"] in text
        assert not [
            s for s in (ids["case_id"], whole.world.case(ids["case_id"]).recent[0]) if s in text
        ]
    linked = [ids["case_id"], "0" * 32]
    pages = []
    for other in linked:
        answer = await browser.send(f"/fr/helpline/{ids['helpline_id']}/link", other=other)
        assert answer.status_code == 303
    page = (await browser.get(f"/fr/helpline/{ids['helpline_id']}")).text
    pages = [re.search(rf"<[^<>]*>{i}<[^<>]*>", page) for i in linked]
    lines = [p.group().replace(i, "ID") if p else "" for p, i in zip(pages, linked, strict=True)]
    assert lines[0] == lines[1]


async def test_few_judgements_of_a_category_are_not_told_by_category(whole: Whole) -> None:
    """Who may see figures only would learn from one of them that there is such a case."""
    world = whole.world
    for n, few, told in ((0, SMALL - 1, False), (1, SMALL, True)):
        uow = world.hub.unit()
        for k in range(few + SMALL + 1):
            key, kind = f"{n}-{k}", f"kind-{n}" if k < few else "scam_fraud"
            uow.put(
                GOLDEN_ANSWERS,
                GoldenAnswer(
                    id=key, golden_id=key, expected=kind, category=kind, by=ANA.name, at=uow.now()
                ),
            )
            uow.put(
                AGREEMENTS,
                Agreement(
                    id=key, decision_id=key, category=kind, other=kind, blind=True,
                    confirmed=True, at=uow.now(), first=ANA.name, second=SUE.name,
                ),
            )  # fmt: skip
        await world.hub.commit(uow)
        world.later(days=31)
        for path in ("figures/golden", "agreement"):
            answer = (await whole.api(EVE).get(f"/api/v1/{path}")).json()
            assert (f"kind-{n}" in answer["categories"]) is told, path


# -- whatever cleared people do --------------------------------------------------------------------

NUMBERS = (1, 2, 3)
CATEGORIES = ("csam", "child_exposure", "scam_fraud")
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("arrives"), st.sampled_from(NUMBERS), st.sampled_from(CATEGORIES)),
        st.tuples(st.just("merge"), st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)),
        st.tuples(st.just("split"), st.sampled_from(NUMBERS), st.just(0)),
        st.tuples(st.just("part"), st.sampled_from(NUMBERS), st.just(0)),
        st.tuples(st.just("undo"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("move"), st.sampled_from(NUMBERS), st.sampled_from(["general", "fraud"])),
        st.tuples(st.just("assess"), st.sampled_from(NUMBERS), st.sampled_from(CATEGORIES)),
        st.tuples(st.just("release"), st.sampled_from(NUMBERS), st.just(0)),
    ),
    min_size=1,
    max_size=10,
)


async def _acted(whole: Whole, acts: list[tuple[str, int, Any]]) -> None:
    """Cleared people do these, as far as the desk lets them."""
    world, cases = whole.world, whole.rooms.cases
    done: list[str] = []
    for act, n, with_ in [("arrives", 1, "csam"), ("arrives", 2, "scam_fraud"), *acts]:
        case_id = world.case_id(post(n))
        try:
            match act:
                case "arrives":
                    await world.arrives(post(n), category=with_, text=f"{SECRET} {n}")
                    continue
                case "undo":
                    if done:
                        await cases.undo(ANA, done[n % len(done)])
                    continue
            await world.desk.claim(ANA, case_id)
            match act:
                case "merge":
                    other = world.case_id(post(with_))
                    done.append((await cases.grouping.merge(ANA, case_id, [other], "x")).id)
                case "split":
                    report = world.case(case_id).recent[0]
                    done.append((await cases.splitting.split(ANA, case_id, [report], "x")).id)
                case "part":
                    await cases.grouping.part(ANA, case_id, "x")
                case "move":
                    await cases.working.move(SUE, case_id, Move(queue=with_, reason="x"))
                case "assess":
                    await world.desk.assess(ANA, case_id, said(world.pack, with_, note="Seen."))
                case "release":
                    await world.desk.release(ANA, case_id, done=False)
        except (NoSuchCase, Refused, NotLawful, IllegalTransition):
            continue  # the desk says no, as it may


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(ACTS)
def test_whatever_cleared_people_do_nothing_of_it_is_seen(
    pack: CountryPack, acts: list[tuple[str, int, Any]]
) -> None:
    async def looked_through() -> None:
        world = World(pack)
        whole = Whole(world, [EVE])
        await _acted(whole, acts)
        seen = sees(world, EVE)
        hidden = {c.id for c in world.cases()} - seen
        # Whatever was ever said to be of child safety, and by nobody said to be something else.
        for case in world.cases():
            if case.category in pack.desk.restricted:
                assert case.id in hidden
        browser, eve = await whole.browser(EVE), whole.api(EVE)
        texts = []
        for path in ("queue", "search?all=1", "opinions", "review", "practice", "protection",
                     f"audit/person?who={ANA.name}&day={world.clock.now():%Y-%m-%d}"):  # fmt: skip
            texts += [(await browser.get(f"/fr/{path}")).text]
        for path in ("queue", "appeals", "opinions", "golden", "reviews"):
            texts += [(await eve.get(f"/api/v1/{path}")).text]
        for case_id in seen:
            texts += [
                (await browser.get(f"/fr/cases/{case_id}")).text,
                (await browser.get(f"/fr/audit/trail?stream={case_id}")).text,
                *[
                    (await eve.get(f"/api/v1/cases/{case_id}{room}")).text
                    for room in (
                        "",
                        "/audit",
                        "/timeline",
                        "/group",
                        "/appeals",
                        "/opinions",
                        "/holds",
                    )
                ],
            ]
        for text in texts:
            assert not [i for i in hidden if i in text]
        for case_id in hidden:
            for path in (f"/api/v1/cases/{case_id}", f"/api/v1/cases/{case_id}/timeline"):
                assert (await eve.get(path)).status_code == 404

    asyncio.run(looked_through())
