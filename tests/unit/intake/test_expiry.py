# SPDX-License-Identifier: Apache-2.0
"""What triage says is over, or blacked out, is so at intake too; again and in any order."""

from typing import Any

import pytest
from wasl_chassis.failures import KeyDestroyed, Outcome
from wasl_schemas import topics
from wasl_schemas.events.report_expired_v1 import ExpiredData, ReportExpiredV1
from wasl_schemas.events.report_redacted_v1 import ReportRedactedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent


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
