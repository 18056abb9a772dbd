# SPDX-License-Identifier: Apache-2.0
"""Who is told what, whatever the order, the repetition and the interleaving of events."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wasl_chassis.failures import Outcome
from wasl_notify.domain.reporters import notification_id
from wasl_notify.repository import JOURNAL, STATISTICS
from wasl_schemas import topics
from wasl_schemas.lifecycle import NotificationState

CASE, OTHER = "case-aaaaaaaa", "case-bbbbbbbb"
MAILERS = ("report-mail-01", "report-mail-02")
SILENT = "report-silent-1"
UNSAFE = "report-unsafe-1"
GONE = "report-gone-01"


async def story(world):
    """Everything that happens to two cases and five reports, in some order."""
    facts = [
        await world.submitted(MAILERS[0], "one@example.org"),
        await world.submitted(MAILERS[1], "two@example.org"),
        await world.submitted(SILENT),
        await world.submitted(UNSAFE, "unsafe@example.org", safe=False),
        await world.submitted(GONE, "gone@example.org"),
        world.withdrawn(GONE),
        world.opened(CASE, MAILERS[0]),
        world.updated(CASE, 2, "report_joined", SILENT),
        world.updated(CASE, 3, "report_joined", UNSAFE),
        world.updated(CASE, 4, "report_joined", GONE),
        world.updated(CASE, 5, "assessed"),
        world.updated(CASE, 6, "decided"),
        world.dispatched(CASE, "dispatch-aaaa", "sent"),
        world.dispatched(CASE, "dispatch-aaaa", "removed", 2),
        world.updated(CASE, 7, "outcome"),
        world.updated(CASE, 8, "report_left", MAILERS[0]),
        world.updated(CASE, 9, "report_joined", MAILERS[0]),
        world.opened(OTHER, SILENT),
        world.updated(OTHER, 2, "report_joined", MAILERS[0]),
        world.updated(OTHER, 3, "report_left", MAILERS[0]),
        world.updated(OTHER, 4, "report_joined", MAILERS[1]),
        world.updated(OTHER, 5, "closed"),
        await world.message(CASE, MAILERS[1], "message-aaaa"),
    ]
    of_case = {f"{CASE}|decided|6", f"{CASE}|outcome|7", "dispatch-aaaa|removed"}
    must = {
        MAILERS[0]: of_case,
        MAILERS[1]: {f"{OTHER}|closed|5", "message-aaaa|message"},
    }
    # Left again: what was told before leaving depends on the order, and is no mistake.
    may = {MAILERS[0]: of_case | {f"{OTHER}|closed|5"}, MAILERS[1]: must[MAILERS[1]]}
    return facts, must, may


def check(world, relay, must, may):
    told = {r: set(d.causes) for r, d in world.reporters.items() if d.address is not None}
    assert set(told) == set(MAILERS)
    for report, causes in told.items():
        assert {notification_id(report, c) for c in must[report]} <= causes
        assert causes <= {notification_id(report, c) for c in may[report]}
    assert {to for _, to, _ in relay.mail} == {"one@example.org", "two@example.org"}
    ids = [message_id for _, _, message_id in relay.mail]
    assert len(ids) == len(set(ids))
    for address in ("one@example.org", "two@example.org"):
        times = sorted(at for at, to, _ in relay.mail if to == address)
        assert len(times) <= 4
        assert all(b - a >= world.quiet for a, b in pairwise(times))
    assert all(n.state is NotificationState.SENT for n in world.notifications)


async def drain(world, mailing):
    await world.join()
    for _ in range(8):
        await mailing.turn()
        world.advance(minutes=16)
    assert not [n for n in world.notifications if n.due_at is not None]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_any_order_any_repetition_any_batching(data, make_world, memory_relay):
    world = make_world()
    relay = memory_relay(world.clock)
    mailing = world.mailing(relay)
    facts, must, may = await story(world)
    order = data.draw(st.permutations(range(len(facts))))
    again = data.draw(st.lists(st.sampled_from(range(len(facts))), max_size=10))
    order = [*order, *again]
    #: cause → mails its reporter had got when it was told: at least one more must follow.
    heard = {}
    gone_by = None

    def mails(report):
        address = {MAILERS[0]: "one@example.org", MAILERS[1]: "two@example.org"}.get(report)
        return len([m for m in relay.mail if m[1] == address])

    def note():
        for report, reporter in world.reporters.items():
            for cause in reporter.causes if report in MAILERS else ():
                heard.setdefault((report, cause), mails(report))

    # Between batches the loops may run, mail may leave, or nothing may happen.
    while order:
        size = data.draw(st.integers(1, 6))
        batch, order = order[:size], order[size:]
        await world.feed(*(facts[i] for i in batch))
        if gone_by is None and any(facts[i][0] is topics.REPORT_WITHDRAWN_V1 for i in batch):
            gone_by = len(relay.mail)
        for step in data.draw(st.lists(st.sampled_from("prlmt"), max_size=3)):
            if step == "t":
                world.advance(seconds=40)
            else:
                loops = {
                    "p": world.joiner.pages,
                    "r": world.joiner.reporters,
                    "l": world.joiner.links,
                    "m": mailing.turn,
                }
                await loops[step]()
                note()
    await world.join()
    note()
    await drain(world, mailing)
    assert all(mails(report) > before for (report, _), before in heard.items())
    # Who withdrew may have had mail, but none after the withdrawal was known.
    assert "gone@example.org" not in {to for _, to, _ in relay.mail[gone_by:]}
    relay.mail = [m for m in relay.mail if m[1] != "gone@example.org"]
    for n in [n for n in world.notifications if n.report_id == GONE]:
        del world.store.docs["notifications"][n.notification_id]
    check(world, relay, must, may)


@pytest.mark.parametrize("seed", range(40))
async def test_replicas_and_loops_at_the_same_time(seed, make_world, memory_relay, yielding_store):
    """Every loop twice, and consumers, all concurrently: nothing is lost, nothing is sent twice."""
    store = yielding_store(seed)
    world = make_world(store)
    relay = memory_relay(world.clock)
    facts, must, may = await story(world)
    facts = [f for f in facts if getattr(f[1], "report_id", None) != GONE]
    store._random.shuffle(facts)
    fed = asyncio.Event()

    async def consume(mine):
        for fact in mine:
            await world.feed(fact)

    async def loop(turn):
        while not fed.is_set():
            await turn()
            await asyncio.sleep(0)

    mailings = [world.mailing(relay), world.mailing(relay)]
    turns = [world.joiner.pages, world.joiner.reporters, world.joiner.links] * 2
    loops = [asyncio.create_task(loop(t)) for t in (*turns, *(m.turn for m in mailings))]
    await asyncio.gather(consume(facts[::2]), consume(facts[1::2]))
    fed.set()
    await asyncio.gather(*loops)
    await drain(world, mailings[0])
    check(world, relay, must, may)


async def test_an_event_without_a_contact_costs_a_line_and_no_document(world):
    reports = [f"report-{n:08}" for n in range(100)]
    submissions = [await world.submitted(r) for r in reports]
    assert (await world.feed(*submissions)).changes().empty()
    facts = [world.opened(f"case-{r}", r) for r in reports]
    facts += [world.updated(f"case-{r}", 2, "decided") for r in reports]
    facts += [world.dispatched(f"case-{r}", f"dispatch-{r}", "removed") for r in reports]
    uow = await world.feed(*facts)
    assert {c.name: len(docs) for c, docs in uow.changes().inserts.items()} == {
        "journal": 1,
        "unread": 1,
    }
    await world.join()
    kept = {name: len(docs) for name, docs in world.store.docs.items() if docs and name != "keys"}
    assert kept == {"journal": 1, "statistics": 1}


async def test_submission_that_comes_last_still_finds_the_news(world):
    await world.feed(world.opened(CASE, MAILERS[0]))
    await world.feed(world.updated(CASE, 2, "decided"))
    await world.join()
    assert world.notifications == []
    world.advance(days=3)
    await world.feed(await world.submitted(MAILERS[0], "one@example.org"))
    await world.join()
    (message,) = world.notifications
    assert message.notification_id == notification_id(MAILERS[0], f"{CASE}|decided|2")
    assert message.due_at == world.clock.now() + timedelta(seconds=30)


async def test_who_left_a_case_hears_no_more_of_it(world):
    await world.feed(await world.submitted(MAILERS[0], "one@example.org"))
    await world.feed(world.updated(CASE, 3, "report_left", MAILERS[0]))
    await world.join()
    await world.feed(world.updated(CASE, 2, "report_joined", MAILERS[0]))
    await world.join()
    await world.feed(world.updated(CASE, 4, "decided"))
    await world.join()
    assert world.notifications == []


async def test_many_reporters_of_one_case_are_told_in_slices(world):
    reports = [f"report-{n:08}" for n in range(600)]
    await world.feed(*[await world.submitted(r, f"{r}@example.org") for r in reports])
    joins = [world.updated(CASE, n + 2, "report_joined", r) for n, r in enumerate(reports)]
    await world.feed(world.opened(CASE, SILENT), *joins)
    await world.join()
    await world.feed(world.updated(CASE, 1000, "decided"))
    await world.join()
    assert {n.report_id for n in world.notifications} == set(reports)
    # No document grows with the number of reports.
    for doc in world.store.docs["links"].values():
        assert len(repr(doc)) < 500


async def test_a_crash_between_telling_and_finishing_repeats_nothing(world):
    await world.feed(await world.submitted(MAILERS[0], "one@example.org"))
    await world.feed(world.opened(CASE, MAILERS[0]), world.updated(CASE, 2, "decided"))
    await world.join()
    before = len(world.notifications), world.docs(STATISTICS)[0].counts
    # As if the last commit of the turn had not happened: the pages are looked at once more.
    effects = await world.joiner._of_pages(world.docs(JOURNAL))
    await world.joiner._apply(effects)
    assert (len(world.notifications), world.docs(STATISTICS)[0].counts) == before


async def test_contact_is_kept_only_where_it_may_be_used(world, make_world):
    await world.feed(
        await world.submitted("report-safe-01", "a@example.org"),
        await world.submitted("report-risk-01", "b@example.org", safe=False),
        await world.submitted("report-sms-001", "06 00 00 00 01", channel="sms"),
    )
    assert set(world.reporters) == {"report-safe-01"}
    assert "a@example.org" not in world.everything()
    used = {
        r: world.metrics.value("wasl_notify_contacts_total", result=r)
        for r in ("kept", "unsafe", "other_channel", "mail_off")
    }
    assert used == {"kept": 1, "unsafe": 1, "other_channel": 1, "mail_off": 0}
    off = make_world()
    off.handlers._mail = False
    await off.feed(await off.submitted("report-safe-02", "a@example.org"))
    assert off.reporters == {}


async def test_withdrawal_before_the_submission_keeps_the_address_out(world):
    await world.feed(world.withdrawn(MAILERS[0]))
    spec, data = await world.submitted(MAILERS[0], "one@example.org")
    uow = world.unit()
    outcome = await world.handlers.on_report_submitted(world.event(spec, data), uow)
    assert outcome is Outcome.STALE
    assert uow.changes().empty()
    assert world.reporters[MAILERS[0]].address is None
