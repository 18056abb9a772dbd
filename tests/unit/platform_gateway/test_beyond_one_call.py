# SPDX-License-Identifier: Apache-2.0
"""Partners that take a report in several calls, through a person, or answer into a mailbox; and what
an operator enters by hand."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from wasl_chassis.vault import KEYS
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Inbox,
    Outcome,
    PersonNeeded,
    Receipt,
    StatusUpdate,
    TransientError,
)
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.agreed import objection
from wasl_platform_gateway.http import create_app
from wasl_platform_gateway.repository import CURSORS
from wasl_schemas.country_pack import load_country_pack

PACK = Path(__file__).resolve().parents[3] / "deploy" / "country-packs" / "ma"
TOKEN = "operator-token-of-24-characters"


def desk(gateway) -> httpx.AsyncClient:
    app = create_app(gateway.answers, gateway.desk, TOKEN)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://gateway.test/internal/dispatches/",
        headers={"authorization": f"Bearer {TOKEN}"},
    )


# -- several calls -------------------------------------------------------------------------------------


class TwoPhases:
    """A partner that opens a report and counts it when it is finished. Dies where it is told to."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.finished: list[str] = []
        self.dies_at: str | None = None

    def _at(self, point: str) -> None:
        if self.dies_at == point:
            self.dies_at = None
            raise asyncio.CancelledError(
                point
            )  # what a killed process leaves: nothing more happens

    async def submit_in_steps(self, submission, progress) -> Receipt:
        self._at("begin")
        report = progress.get("report")
        if report is None:
            report = f"report-{len(self.opened) + 1}"
            self.opened.append(report)
            self._at("opened")
            await progress.save("report", report)
        self._at("saved")
        if report not in self.finished:
            self.finished.append(report)
        self._at("finished")
        return Receipt(reference=report)


@pytest.mark.parametrize("point", ["begin", "opened", "saved", "finished", None])
async def test_steps_survive_a_crash_anywhere(kit, point):
    partner = TwoPhases()
    partner.dies_at = point
    connector = kit.make_connector(kit.FakePartner())
    connector.submit_in_steps = lambda self, s, p: partner.submit_in_steps(s, p)
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    with suppress(asyncio.CancelledError):
        await gateway.run()
    gateway = kit.Gateway(connector, hub=gateway.hub)
    await gateway.run_for(120, step=10)  # the lease of the dead process runs out
    assert len(partner.finished) == 1, "the partner counts another number of reports than one"
    assert gateway.row(1).state == "sent"
    assert gateway.row(1).reference == partner.finished[0]
    assert gateway.told(1) == ["sent"]
    # Only what was opened and never written down is opened again.
    assert len(partner.opened) == (2 if point == "opened" else 1)


async def test_steps_end_where_the_lease_was_lost(kit):
    seen = []

    async def steal(self, submission, progress):
        doc = gateway.store.docs["ledger"][submission.idempotency_key]
        doc["lease"], doc["_rev"] = "somebody-else", doc["_rev"] + 1
        try:
            await progress.save("report", "1")
        except AmbiguousOutcome as error:
            seen.append(error.reason)
            raise
        return Receipt(reference="1")

    connector = kit.make_connector(kit.FakePartner())
    connector.submit_in_steps = steal
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    assert seen == ["lease_lost"]
    assert gateway.row(1).progress == {}
    assert gateway.row(1).state == "requested"


async def test_a_person_who_starts_again_starts_from_the_beginning(kit):
    gateway = kit.Gateway(kit.make_connector(kit.FakePartner()))
    await gateway.request(1)
    now = gateway.clock.now()
    row = ledger.progressed(gateway.row(1), "report", "7")[-1]
    row = ledger.failed(row, "http_400", now, unsure=False)[-1]
    assert ledger.resolved_retry(row, now)[-1].progress == {}


# -- through a person -----------------------------------------------------------------------------------


@pytest.fixture
async def assisted(kit):
    connector = kit.make_connector(kit.FakePartner())

    async def submit(self, submission):
        raise PersonNeeded(f"Go to the portal and paste {submission.location} ⟨ملف⟩")

    connector.submit = submit
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    return gateway


async def test_a_packet_waits_for_a_person_and_is_sealed(assisted):
    assert assisted.told(1) == ["ambiguous"]
    assert assisted.row(1).reason == "person_needed"
    assert "CANARY" not in str(assisted.store.docs["ledger"])
    async with desk(assisted) as http:
        shown = (await http.get("dispatch-0001")).json()
        assert "https://example.org/CANARY-LOCATION/1 ⟨ملف⟩" in shown["packet"]
        done = await http.post("dispatch-0001/resolve", json={"action": "sent", "reference": "P-1"})
        assert done.json()["state"] == "sent"
    assert assisted.told(1) == ["ambiguous", "sent"]


@pytest.mark.parametrize(
    ("handed_over", "status", "state"), [(False, 200, "withdrawn"), (True, 409, "sent")]
)
async def test_a_packet_is_taken_back_until_it_was_handed_over(
    assisted, handed_over, status, state
):
    async with desk(assisted) as http:
        if handed_over:
            await http.post("dispatch-0001/resolve", json={"action": "sent", "reference": "P-1"})
        answer = await http.post("dispatch-0001/withdraw", json={"reason": "mistake"})
    assert (answer.status_code, assisted.row(1).state) == (status, state)


async def test_an_erased_case_shows_no_packet(assisted):
    await assisted.destroy_key("case-0001")
    async with desk(assisted) as http:
        assert (await http.get("dispatch-0001")).json()["packet"] is None
        assert (await http.get("dispatch-0002")).status_code == 404


# -- mailboxes --------------------------------------------------------------------------------------------


@pytest.fixture
async def with_inbox(kit):
    connector = kit.make_connector(kit.FakePartner())
    pages: dict[str | None, Inbox | Exception] = {}
    asked: list[str | None] = []

    async def collect(self, cursor):
        asked.append(cursor)
        page = pages.get(cursor, Inbox(cursor=cursor or "0"))
        if isinstance(page, Exception):
            raise page
        return page

    connector.collect = collect
    gateway = kit.Gateway(connector)
    gateway.pages, gateway.asked = pages, asked
    await gateway.request(1)
    await gateway.run()
    return gateway


def said(number=1, **changes) -> StatusUpdate:
    return StatusUpdate(
        **{
            "outcome": Outcome.ACKNOWLEDGED,
            "idempotency_key": f"dispatch-{number:04}",
            "event_id": f"mail-{number}",
            "reply": "CANARY-REPLY: nous avons reçu, شكرا",
            **changes,
        }
    )


async def test_a_reply_is_applied_once_kept_sealed_and_shown(with_inbox):
    with_inbox.pages[None] = Inbox(updates=(said(),), cursor="7", more=True)
    assert await with_inbox.answers.collect()
    assert with_inbox.told(1) == ["sent", "acknowledged"]
    assert "CANARY-REPLY" not in str(with_inbox.store.docs)
    async with desk(with_inbox) as http:
        [reply] = (await http.get("dispatch-0001")).json()["replies"]
    assert reply["text"].endswith("شكرا")
    # The same mail again, as after a crash: nothing happens, and the cursor goes on.
    with_inbox.pages["7"] = Inbox(updates=(said(),), cursor="9")
    assert not await with_inbox.answers.collect()
    assert with_inbox.asked == [None, "7"]
    assert with_inbox.told(1) == ["sent", "acknowledged"]
    assert len(with_inbox.store.docs["replies"]) == 1
    assert CURSORS.decode(with_inbox.store.docs["inboxes"]["fake"]).value == "9"


async def test_an_inbox_that_is_away_keeps_its_place(with_inbox):
    with_inbox.pages[None] = TransientError(reason="unreachable")
    assert not await with_inbox.answers.collect()
    assert not with_inbox.store.docs.get("inboxes")
    with_inbox.pages[None] = Inbox(updates=(said(),), cursor="1")
    await with_inbox.answers.collect()
    assert with_inbox.told(1) == ["sent", "acknowledged"]


async def test_only_one_replica_reads_an_inbox(kit, with_inbox):
    other = kit.Gateway(with_inbox.door.type, hub=with_inbox.hub)
    await with_inbox.answers.collect()
    await other.answers.collect()
    assert len(with_inbox.asked) == 1


async def test_a_reply_to_an_erased_case_is_not_kept(with_inbox):
    await with_inbox.destroy_key("case-0001")
    with_inbox.pages[None] = Inbox(updates=(said(),), cursor="1")
    await with_inbox.answers.collect()
    assert not with_inbox.store.docs.get("replies")
    assert not with_inbox.store.docs[KEYS.name]["case-0001"].get("wrapped")


# -- by hand --------------------------------------------------------------------------------------------


async def test_an_outcome_is_entered_by_hand(kit):
    gateway = kit.Gateway(kit.make_connector(kit.FakePartner()))
    await gateway.request(1)
    async with desk(gateway) as http:
        early = await http.post("dispatch-0001/outcome", json={"outcome": "removed"})
        assert early.status_code == 409, "it was never sent"
        await gateway.run()
        body = {"outcome": "geo_restricted", "reason": "by_phone"}
        assert (await http.post("dispatch-0001/outcome", json=body)).json()["reason"] == "by_phone"
        wrong = await http.post("dispatch-0001/outcome", json={"outcome": "vanished"})
        assert wrong.status_code == 422
        assert "outcome" in wrong.text
        free = await http.post(
            "dispatch-0001/outcome", json={"outcome": "removed", "reason": "A sentence!"}
        )
        assert free.status_code == 422, "a sentence may name somebody"
    assert gateway.told(1) == ["sent", "geo_restricted"]


async def test_a_request_is_taken_back_at_the_partner_too(kit):
    taken_back = []
    connector = kit.make_connector(kit.FakePartner())

    async def withdraw(self, reference, reason):
        taken_back.append((reference, reason))
        if len(taken_back) == 1:
            raise TransientError(reason="unreachable")

    connector.withdraw = withdraw
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    async with desk(gateway) as http:
        away = await http.post("dispatch-0001/withdraw", json={"reason": "mistake"})
        assert (away.status_code, gateway.row(1).state) == (502, "sent")
        done = await http.post("dispatch-0001/withdraw", json={"reason": "mistake"})
        assert done.json()["state"] == "withdrawn"
        again = await http.post("dispatch-0001/withdraw", json={"reason": "mistake"})
        assert again.status_code == 409
    assert taken_back == [("ref-dispatch-0001", "mistake")] * 2
    assert gateway.told(1) == ["sent", "withdrawn"]


async def test_what_a_partner_cannot_take_back_is_not_called_withdrawn(kit):
    gateway = kit.Gateway(kit.make_connector(kit.FakePartner()))
    await gateway.request(1, 2)
    async with desk(gateway) as http:
        unsent = await http.post("dispatch-0002/withdraw", json={"reason": "mistake"})
        assert unsent.json()["state"] == "withdrawn"
        await gateway.run()
        refused = await http.post("dispatch-0001/withdraw", json={"reason": "mistake"})
        assert refused.status_code == 409
        assert "write to it" in json.dumps(refused.json())
    assert gateway.told(1) == ["sent"]
    assert gateway.told(2) == ["withdrawn"]


# -- the register of agreements -------------------------------------------------------------------------


async def test_nothing_goes_out_without_an_agreement(kit):
    partner = kit.FakePartner()
    gateway = kit.Gateway(kit.make_connector(partner))
    gateway.dispatcher._sending._objection = lambda row: "agreement_not_valid"
    await gateway.request(1)
    await gateway.run()
    assert gateway.told(1) == ["failed"]
    assert gateway.row(1).reason == "agreement_not_valid"
    assert not partner.calls


@pytest.mark.parametrize(
    ("partner", "category", "day", "why"),
    [
        ("iwf", "csam", "2026-11-22", None),
        ("meta", "threats", "2026-11-22", None),
        ("iwf", "threats", "2026-11-22", "category_not_agreed"),
        ("iwf", "csam", "2021-02-08", "agreement_not_valid"),
        ("nobody", "csam", "2026-11-22", "partner_unknown"),
    ],
)
async def test_the_register_of_the_country_pack(kit, partner, category, day, why):
    gateway = kit.Gateway(kit.make_connector(kit.FakePartner()))
    await gateway.request(1)
    row = gateway.row(1).but(partner=partner, category=category)
    now = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    assert objection(load_country_pack(PACK), row, now) == why
