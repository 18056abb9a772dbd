# SPDX-License-Identifier: Apache-2.0
"""Builds referral packages and brings them to the authority's door.

The package is built once and stored with its digest, sealed with the case's key; every attempt
delivers the same bytes under the same id, so a receiver recognises what it already has. A package
that cannot be delivered ends as failed, with its reason, and is counted until a person acts.
"""

import logging
from datetime import timedelta

from pydantic import ValidationError
from wasl_chassis.failures import KeyDestroyed, Permanent
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack, UnknownEntry
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import ReferralState

from wasl_notify import metrics
from wasl_notify.domain import referrals
from wasl_notify.domain.channels import Channels, WebhookDoor
from wasl_notify.domain.referrals import Referral
from wasl_notify.domain.reporters import Notification, notification_id
from wasl_notify.domain.schedule import WEBHOOK, next_delay
from wasl_notify.hub import Hub, together
from wasl_notify.joining import KEEP
from wasl_notify.outside import Attempt, Result
from wasl_notify.outside.hooks import Hooks
from wasl_notify.outside.spool import Spool
from wasl_notify.repository import NOTIFICATIONS, REFERRALS, pages_about

log = logging.getLogger(__name__)
LEASE = timedelta(minutes=5)
BATCH = 10
_REASONS: dict[type[Exception], str] = {
    KeyDestroyed: "erased",
    UnknownEntry: "not_in_country_pack",
    ValidationError: "item_unreadable",
}
_ITEM, _PACKAGE = "case.item", "referral.package"


def announce(uow: UnitOfWork, referral: Referral) -> None:
    """Say where the referral stands now."""
    data = ReferralUpdatedV1(
        referral_id=referral.referral_id,
        case_id=referral.case_id,
        version=referral.version,
        authority=referral.authority,
        state=referral.state,
        digest=referral.digest,
        reason=referral.reason,
        changed_at=uow.now(),
    )
    uow.emit(topics.REFERRAL_UPDATED_V1, data)


class Referring:
    def __init__(
        self, hub: Hub, hooks: Hooks, spool: Spool, pack: CountryPack, channels: Channels
    ) -> None:
        self._hub = hub
        self._hooks = hooks
        self._spool = spool
        self._pack = pack
        self._channels = channels

    async def turn(self) -> bool:
        """Deliver packages that are due. True when there may be more."""
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            REFERRALS, {}, now=hub.clock.now(), lease_for=LEASE, token=token, limit=BATCH
        )
        await together(self._one(doc["_id"], doc["authority"], token) for doc in docs)
        return len(docs) == BATCH

    async def _one(self, referral_id: str, authority: str, token: str) -> None:
        hub = self._hub
        package = await hub.transact(lambda uow: self._prepare(uow, referral_id, token))
        if package is not None:
            attempt = await self._deliver(authority, referral_id, package)
            await hub.transact(lambda uow: self._end(uow, referral_id, token, attempt))

    async def _prepare(self, uow: UnitOfWork, referral_id: str, token: str) -> bytes | None:
        """The package's bytes, built and stored at the first attempt. None: ended, or not ours."""
        referral = await uow.get(REFERRALS, referral_id)
        if referral is None or referral.lease != token:
            return None
        try:
            if referral.package is not None:
                return (await uow.keys.open(referral.package, _PACKAGE)).encode()
            item = DispatchItem.model_validate_json(await uow.keys.open(referral.item, _ITEM))
            case_id, now = referral.case_id, uow.now()
            pages = await pages_about(self._hub.store, [case_id])
            facts = [f for page in pages for f in page.facts if f.about == case_id]
            referral = referral.noted("notify", "prepared", now)
            package = referrals.build(referral, item, facts, self._pack, now)
            sealed = await uow.keys.seal(case_id, _PACKAGE, package.decode())
        except (KeyDestroyed, Permanent, UnknownEntry, ValidationError) as error:
            self._fail(uow, referral, _REASONS.get(type(error), "seal_broken"))
            return None
        change = {"package": sealed, "digest": referrals.digest(package)}
        uow.put(REFERRALS, referral.model_copy(update={**change, "lease_until": now + LEASE}))
        return package

    def _fail(self, uow: UnitOfWork, referral: Referral, reason: str) -> None:
        failed = referral.moved("fail", "notify", uow.now(), reason)
        uow.put(REFERRALS, failed)
        announce(uow, failed)
        channel = self._channels.door(referral.authority).channel
        metrics.record_referral(self._hub.metrics, channel, "failed")
        metrics.record_not_sent(self._hub.metrics, reason)
        extra = {"referral_id": referral.referral_id, "reason": reason}
        log.error("a referral could not be delivered", extra=extra)

    async def _deliver(self, authority: str, referral_id: str, package: bytes) -> Attempt:
        door = self._channels.door(authority)
        if isinstance(door, WebhookDoor):
            now = self._hub.clock.now()
            return await self._hooks.post(door.url, door.secret, referral_id, package, now)
        return await self._spool.put(authority, referral_id, package)

    async def _end(self, uow: UnitOfWork, referral_id: str, token: str, attempt: Attempt) -> None:
        referral = await uow.get(REFERRALS, referral_id)
        if referral is None or referral.lease != token:
            return  # acknowledged meanwhile, or taken by another replica after our lease
        door, now = self._channels.door(referral.authority), uow.now()
        if attempt.result is Result.SENT:
            delivered = referral.moved("deliver", "notify", now)
            uow.put(REFERRALS, delivered)
            announce(uow, delivered)
            if door.notice is not None:
                uow.put(NOTIFICATIONS, self._notice(delivered, uow))
            metrics.record_referral(self._hub.metrics, door.channel, "delivered")
            return
        attempts = referral.attempts + 1
        delay = next_delay(WEBHOOK, attempts, referral_id)
        if attempt.result is Result.FAILED or delay is None:
            self._fail(uow, referral, attempt.reason if delay is not None else "gave_up")
            return
        delay = max(delay, timedelta(seconds=attempt.wait or 0))
        free = {"due_at": now + delay, "lease": None, "lease_until": None}
        again = {"attempts": attempts, "reason": attempt.reason, **free}
        uow.put(REFERRALS, referral.model_copy(update=again))
        metrics.record_referral(self._hub.metrics, door.channel, "deferred")

    @staticmethod
    def _notice(referral: Referral, uow: UnitOfWork) -> Notification:
        now = uow.now()
        return Notification(
            notification_id=notification_id(referral.authority, referral.referral_id),
            channel="email",
            template="referral",
            target=referral.authority,
            about=referral.referral_id,
            created_at=now,
            forget_at=now + KEEP,
            due_at=now,
        )

    async def gauges(self) -> None:
        """How many packages wait, and how many need a person."""
        for state, record in (
            (ReferralState.REQUESTED, lambda m, n: metrics.record_pending(m, "referral", n)),
            (ReferralState.FAILED, metrics.record_failed_referrals),
        ):
            record(
                self._hub.metrics, await self._hub.store.count(REFERRALS, {"state": state.value})
            )
