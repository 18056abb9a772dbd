# SPDX-License-Identifier: Apache-2.0
"""What triage says is over, or blacked out, is so at intake too; again and in any order."""

from datetime import timedelta
from typing import Any

import pytest
from wasl_chassis.failures import KeyDestroyed, Outcome
from wasl_schemas import topics
from wasl_schemas.events.report_expired_v1 import ExpiredData, ReportExpiredV1
from wasl_schemas.events.report_redacted_v1 import RedactedMessage, ReportRedactedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7


async def _told(portal: Any, handler: Any, spec: Any, data: Any) -> Outcome | None:
    uow = portal.hub.unit()
    outcome: Outcome | None = await handler(portal.hub.event(spec, data), uow)
    await portal.hub.store.commit(uow.changes())
    return outcome


async def _expired(portal: Any, report_id: str, data: ExpiredData) -> Outcome | None:
    said = ReportExpiredV1(report_id=report_id, data=data, expired_at=portal.hub.clock.now())
    return await _told(portal, portal.handlers.on_report_expired, topics.REPORT_EXPIRED_V1, said)


async def _redacted(portal: Any, report_id: str, narrative: str) -> Outcome | None:
    content = ReportContent(narrative=narrative).model_dump_json()
    sealed = await portal.hub.unit().keys.seal(report_id, "report.content", content)
    said = ReportRedactedV1(report_id=report_id, redacted_at=portal.hub.clock.now(), content=sealed)
    return await _told(portal, portal.handlers.on_report_redacted, topics.REPORT_REDACTED_V1, said)


async def _sent(portal: Any) -> tuple[str, str]:
    contact = {"channel": "email", "address": "someone@example.org", "safe": True}
    code = await portal.send(narrative="words to erase", contact=contact)
    await portal.write(code, "more to erase")
    return code, portal.report_id(code)


async def test_a_contact_goes_and_the_rest_stays(portal: Any) -> None:
    code, report_id = await _sent(portal)
    await _expired(portal, report_id, ExpiredData.CONTACT)
    row = portal.hub.store.docs["reports"][report_id]
    assert (row["contact_channel"], row["contact_address"]) == (None, None)
    assert (await portal.hub.content(report_id)).narrative == "words to erase"
    assert len((await portal.follow(code)).json()["messages"]) == 1


async def test_a_text_goes_with_its_key_and_messages_and_the_receipt_still_opens(
    portal: Any,
) -> None:
    code, report_id = await _sent(portal)
    for _ in range(2):
        await _expired(portal, report_id, ExpiredData.TEXT)
        row = portal.hub.store.docs["reports"][report_id]
        assert (row["content"], row["contact_address"]) == (None, None)
        assert portal.hub.store.docs["messages"] == {}
    with pytest.raises(KeyDestroyed):
        await portal.hub.unit().keys.seal(report_id, "report.content", "x")
    seen = (await portal.follow(code)).json()
    assert (seen["status"], seen["messages"]) == ("received", [])
    assert (await portal.write(code, "too late")).status_code == 409
    assert (await portal.withdraw(code)).status_code == 204


async def test_a_record_goes_and_the_receipt_opens_nothing(portal: Any) -> None:
    code, report_id = await _sent(portal)
    assert await _expired(portal, report_id, ExpiredData.RECORD) is None
    assert await _expired(portal, report_id, ExpiredData.RECORD) is Outcome.STALE
    assert portal.hub.store.docs["reports"] == {}
    assert (await portal.follow(code)).status_code == 404


async def test_what_a_newer_hub_lets_expire_is_left_alone(portal: Any) -> None:
    _, report_id = await _sent(portal)
    before = dict(portal.hub.store.docs["reports"][report_id])
    await _expired(portal, report_id, ExpiredData.UNKNOWN)
    assert portal.hub.store.docs["reports"][report_id] == before


async def test_a_redaction_replaces_the_text_and_the_newest_holds(portal: Any) -> None:
    _, report_id = await _sent(portal)
    await _redacted(portal, report_id, "[removed] to erase")
    assert (await portal.hub.content(report_id)).narrative == "[removed] to erase"
    portal.hub.clock.advance(-portal.hub.clock.now().resolution)
    assert await _redacted(portal, report_id, "older") is Outcome.STALE
    assert (await portal.hub.content(report_id)).narrative == "[removed] to erase"
    portal.later(days=1)
    await _redacted(portal, report_id, "[removed]")
    assert (await portal.hub.content(report_id)).narrative == "[removed]"


async def _message(portal: Any, report_id: str, message_id: str, body: str) -> Outcome | None:
    """A message as triage tells it after a redaction."""
    seal = portal.hub.unit().keys.seal
    said = ReportRedactedV1(
        report_id=report_id,
        redacted_at=portal.hub.clock.now(),
        content=await seal(report_id, "report.content", ReportContent().model_dump_json()),
        message=RedactedMessage(
            message_id=message_id,
            by_staff=True,
            sent_at=portal.hub.clock.now(),
            body=await seal(report_id, "report.message", body),
        ),
    )
    return await _told(portal, portal.handlers.on_report_redacted, topics.REPORT_REDACTED_V1, said)


async def test_a_redacted_message_replaces_it_and_the_newest_holds(portal: Any) -> None:
    code, report_id = await _sent(portal)
    (message_id,) = portal.hub.store.docs["messages"]

    async def shown() -> list[str]:
        return [m["text"] for m in (await portal.follow(code)).json()["messages"]]

    assert await shown() == ["more to erase"]
    await _message(portal, report_id, message_id, "more [removed]")
    assert await shown() == ["more [removed]"]
    portal.later(days=2)
    await _redacted(portal, report_id, "[removed]")
    portal.hub.clock.advance(timedelta(days=-1))
    assert await _message(portal, report_id, message_id, "[removed] [removed]") is None
    assert await shown() == ["[removed] [removed]"], "newer than the last of the message itself"
    assert (await portal.hub.content(report_id)).narrative == "[removed]"
    portal.hub.clock.advance(timedelta(hours=-1))
    assert await _message(portal, report_id, message_id, "older") is Outcome.STALE
    assert await shown() == ["[removed] [removed]"]


async def test_a_message_that_comes_after_its_redaction_stays_redacted(portal: Any) -> None:
    code, report_id = await _sent(portal)
    message_id = uuid7()
    await _message(portal, report_id, message_id, "Did [removed] write?")
    late = StaffMessageSentV1(
        message_id=message_id,
        case_id="0" * 32,
        report_id=report_id,
        sent_at=portal.hub.clock.now(),
        body=await portal.hub.unit().keys.seal(report_id, "report.message", "Did Rabia write?"),
    )
    spec = topics.STAFF_MESSAGE_SENT_V1
    assert await _told(portal, portal.handlers.on_staff_message, spec, late) is Outcome.STALE
    texts = [m["text"] for m in (await portal.follow(code)).json()["messages"]]
    assert sorted(texts) == ["Did [removed] write?", "more to erase"]


async def test_a_redaction_brings_no_erased_text_back(portal: Any) -> None:
    code, report_id = await _sent(portal)
    content = await portal.hub.unit().keys.seal(report_id, "report.content", "{}")
    await portal.withdraw(code)
    said = ReportRedactedV1(
        report_id=report_id, redacted_at=portal.hub.clock.now(), content=content
    )
    handler, spec = portal.handlers.on_report_redacted, topics.REPORT_REDACTED_V1
    assert await _told(portal, handler, spec, said) is Outcome.STALE
    assert portal.hub.store.docs["reports"][report_id]["content"] is None
