# SPDX-License-Identifier: Apache-2.0
"""Sends what is due: mail to reporters and desks, figures to subscribers.

A mail is claimed, its ``sending_since`` committed, then handed over, then its end committed; each
commit is guarded by the revision, so of two holders one wins before anything leaves. A crash after
acceptance leaves ``sending_since`` behind: the mail is sent again with the same Message-ID, by
which the receiving side can drop it. It says nothing, so twice harms nobody. Figures are posted
again under the same webhook-id.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from pydantic_core import to_json
from wasl_chassis.failures import Conflict, KeyDestroyed, Permanent
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.notification_updated_v1 import NotificationUpdatedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import NOTIFICATION

from wasl_notify import metrics
from wasl_notify.domain.channels import Channels
from wasl_notify.domain.mail import compose, usable
from wasl_notify.domain.reporters import Notification
from wasl_notify.domain.schedule import MAIL, WEBHOOK, Breaker, next_delay
from wasl_notify.domain.statistics import public
from wasl_notify.hub import Hub, together
from wasl_notify.outside import Attempt, ChannelAway, Result
from wasl_notify.outside.hooks import Hooks
from wasl_notify.outside.relay import Relay, Session
from wasl_notify.repository import NOTIFICATIONS, REPORTERS, STATISTICS, waiting

log = logging.getLogger(__name__)

#: Longer than a webhook takes; after it another replica may take the message.
LEASE = timedelta(minutes=5)
#: Beside the time of a turn and of one mail: what the database may take.
MARGIN = timedelta(seconds=10)
BATCH = 20
#: Seconds after which a turn takes no further message, so that the loop shows progress.
TURN = 5.0

#: Texts of the country pack that mail is made of.
TEXTS = {
    "news": ("notification_subject", "notification_body"),
    "message": ("notification_message_subject", "notification_message_body"),
    "referral": ("notification_referral_subject", "notification_referral_body"),
}
SENDER = "notification_sender"


def finish(uow: UnitOfWork, message: Notification, trigger: str, reason: str | None) -> None:
    """End a message and say so."""
    state = NOTIFICATION.move(message.state, trigger)
    free = {"due_at": None, "lease": None, "lease_until": None, "sending_since": None}
    ended = message.model_copy(
        update={"state": state, "version": message.version + 1, "reason": reason, **free}
    )
    uow.put(NOTIFICATIONS, ended)
    data = NotificationUpdatedV1(
        notification_id=ended.notification_id,
        version=ended.version,
        channel=ended.channel,
        template=ended.template,
        state=state,
        report_id=ended.report_id,
        reason=reason,
        changed_at=uow.now(),
    )
    uow.emit(topics.NOTIFICATION_UPDATED_V1, data)


@dataclass(frozen=True, slots=True)
class _Letter:
    """A message about to be handed over."""

    to: str
    mail: EmailMessage
    template: str
    #: It may have been handed over before.
    again: bool


@dataclass(frozen=True, slots=True)
class _Ended:
    """A message that ends without being handed over, or must wait."""

    reason: str


class Mailing:
    def __init__(
        self,
        hub: Hub,
        relay: Relay,
        pack: CountryPack,
        channels: Channels,
        *,
        quiet: timedelta,
    ) -> None:
        self._hub = hub
        self._relay = relay
        self._pack = pack
        self._channels = channels
        self._quiet = quiet
        # One mail takes at most twice the relay's timeout; a crash delays it by a lease.
        self._lease = timedelta(seconds=TURN + 2 * relay.config.timeout) + MARGIN
        self._breaker = Breaker()
        metrics.record_relay(hub.metrics, up=True)

    async def turn(self) -> bool:
        """Send what is due over one session. True when there may be more."""
        hub = self._hub
        if self._breaker.open(hub.clock.now()):
            return False
        if not await waiting(hub.store, "email", hub.clock.now()):
            return False
        try:
            # Connected before anything is claimed: a relay that is away touches no message.
            async with self._relay.session() as session:
                return await self._send(session)
        except ChannelAway as error:
            self._away(error.reason)
            return False

    def _away(self, reason: str) -> None:
        if self._breaker.failures == 0:
            log.error("the mail relay cannot be used, mail waits", extra={"reason": reason})
        self._breaker.failed(self._hub.clock.now())
        metrics.record_relay(self._hub.metrics, up=False)

    def _works(self) -> None:
        if self._breaker.failures:
            log.warning("the mail relay works again")
        self._breaker.worked()
        metrics.record_relay(self._hub.metrics, up=True)

    async def _send(self, session: Session) -> bool:
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            NOTIFICATIONS,
            {"channel": "email"},
            now=hub.clock.now(),
            lease_for=self._lease,
            token=token,
            limit=BATCH,
        )
        started = hub.clock.monotonic()
        for number, doc in enumerate(docs):
            late = hub.clock.monotonic() - started > TURN
            if hub.stopping or late or not session.usable:
                await self._release([d["_id"] for d in docs[number:]], token)
                return not hub.stopping
            attempt = await self._one(doc["_id"], token, session)
            if attempt is not None and attempt.result is Result.AWAY:
                self._away(attempt.reason)
                await self._release([d["_id"] for d in docs[number + 1 :]], token)
                return False
            if attempt is not None and attempt.result is not Result.AMBIGUOUS:
                self._works()
        return len(docs) == BATCH

    async def _release(self, ids: Sequence[str], token: str) -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.load(NOTIFICATIONS, ids)
            for one in ids:
                message = await uow.get(NOTIFICATIONS, one)
                if message is not None and message.lease == token:
                    free = {"lease": None, "lease_until": None}
                    uow.put(NOTIFICATIONS, message.model_copy(update=free))

        await self._hub.transact(work)

    async def _one(self, key: str, token: str, session: Session) -> Attempt | None:
        hub = self._hub
        try:
            letter = await hub.transact(lambda uow: self._mark(uow, key, token))
        except Conflict:
            return None  # too busy a document; the lease runs out and it comes again
        if not isinstance(letter, _Letter):
            if letter is not None:
                metrics.record_not_sent(hub.metrics, letter.reason)
            return None
        if letter.again:
            metrics.record_attempt(hub.metrics, "email", letter.template, Result.AMBIGUOUS.value)
        started = hub.clock.monotonic()
        attempt = await session.send(letter.mail, letter.to)
        metrics.record_duration(hub.metrics, "email", hub.clock.monotonic() - started)
        await hub.transact(lambda uow: self._end(uow, key, token, attempt))
        return attempt

    async def _mark(self, uow: UnitOfWork, key: str, token: str) -> _Letter | _Ended | None:
        """Decide whether the message leaves, and if so store that it is about to."""
        message = await uow.get(NOTIFICATIONS, key)
        if message is None or message.lease != token:
            return None
        if message.report_id is None:
            return self._mark_notice(uow, message)
        now = uow.now()
        reporter = await uow.get(REPORTERS, message.report_id)
        if reporter is None or reporter.address is None:
            removed = reporter is not None and reporter.contact_at is not None
            return self._drop(uow, message, "contact_removed" if removed else "withdrawn")
        quiet = reporter.quiet_until
        if message.sending_since is None and quiet is not None and quiet > now:
            wait = {"due_at": quiet, "lease": None, "lease_until": None}
            uow.put(NOTIFICATIONS, message.model_copy(update=wait))
            return None
        try:
            to = usable(await uow.keys.open(reporter.address, "report.contact"))
        except KeyDestroyed:
            return self._drop(uow, message, "erased")
        except Permanent as error:
            return self._drop(uow, message, error.reason)
        if to is None:
            return self._drop(uow, message, "address_invalid")
        opened = None if reporter.open_message == key else reporter.open_message
        change = {"open_message": opened, "quiet_until": now + self._quiet}
        # Two replicas that hold mail for one reporter both write here, and one of them conflicts.
        uow.put(REPORTERS, reporter.model_copy(update=change))
        self._sending(uow, message)
        return self._letter(uow, message, to, reporter.language)

    def _mark_notice(self, uow: UnitOfWork, message: Notification) -> _Letter | _Ended:
        authority = message.target or ""
        notice = self._channels.door(authority).notice
        known = self._pack.authorities.get(authority)
        if notice is None or known is None:
            return self._drop(uow, message, "not_configured")
        self._sending(uow, message)
        to = usable(notice) or notice
        return self._letter(uow, message, to, known.language, referral=message.about or "")

    def _sending(self, uow: UnitOfWork, message: Notification) -> None:
        until = uow.now() + self._lease
        marked = {"sending_since": uow.now(), "lease_until": until}
        uow.put(NOTIFICATIONS, message.model_copy(update=marked))

    @staticmethod
    def _drop(uow: UnitOfWork, message: Notification, reason: str) -> _Ended:
        finish(uow, message, "fail", reason)
        return _Ended(reason)

    def _letter(
        self, uow: UnitOfWork, message: Notification, to: str, tag: str, **values: str
    ) -> _Letter:
        pack, subject_and_body = self._pack, TEXTS[message.template]
        subject, body = (pack.text(tag, key, **values) for key in subject_and_body)
        mail = compose(
            sender=self._relay.config.sender,
            sender_name=pack.text(tag, SENDER),
            to=to,
            subject=subject,
            body=body,
            language=pack.language_for(tag),
            message_id=message.notification_id,
            now=uow.now(),
        )
        return _Letter(to, mail, message.template, message.sending_since is not None)

    async def _end(self, uow: UnitOfWork, key: str, token: str, attempt: Attempt) -> None:
        message = await uow.get(NOTIFICATIONS, key)
        if message is None or message.lease != token:
            return  # the lease ran out during the attempt; whoever holds it now will end it
        m, template = self._hub.metrics, message.template
        result = attempt.result
        if result is Result.SENT:
            finish(uow, message, "send", None)
            age = (uow.now() - message.created_at).total_seconds()
            metrics.record_age(m, "email", age)
            metrics.record_attempt(m, "email", template, result.value)
            return
        if result is Result.FAILED:
            finish(uow, message, "fail", attempt.reason)
            metrics.record_attempt(m, "email", template, result.value)
            return
        again = retry(uow, message, attempt, MAIL, m)
        if again is not None:
            await self._reopen(uow, again)

    async def _reopen(self, uow: UnitOfWork, message: Notification) -> None:
        """The message did not leave: it takes in further causes, and no quiet time began."""
        if message.report_id is None or message.sending_since is not None:
            return
        reporter = await uow.get(REPORTERS, message.report_id)
        if reporter is not None and reporter.address is not None:
            opened = reporter.open_message or message.notification_id
            change = {"open_message": opened, "quiet_until": None}
            uow.put(REPORTERS, reporter.model_copy(update=change))


def retry(
    uow: UnitOfWork,
    message: Notification,
    attempt: Attempt,
    delays: Sequence[timedelta],
    m: metrics.Recorder,
) -> Notification | None:
    """Plan another attempt, or end the message where the schedule has run out (then None).

    AWAY is no attempt: the channel's breaker says when it goes on.
    """
    metrics.record_attempt(m, message.channel, message.template, Result.DEFERRED.value)
    attempts = message.attempts
    delay: timedelta | None = timedelta(0)
    if attempt.result is not Result.AWAY:
        attempts += 1
        delay = next_delay(delays, attempts, message.notification_id)
    if delay is None:
        finish(uow, message, "fail", "gave_up")
        metrics.record_not_sent(m, "gave_up")
        return None
    delay = max(delay, timedelta(seconds=attempt.wait or 0))
    # Ambiguous: the mark stays, so that the next attempt knows it may be the second.
    since = message.sending_since if attempt.result is Result.AMBIGUOUS else None
    again = message.model_copy(
        update={
            "attempts": attempts,
            "reason": attempt.reason,
            "sending_since": since,
            "due_at": uow.now() + delay,
            "lease": None,
            "lease_until": None,
        }
    )
    uow.put(NOTIFICATIONS, again)
    return again


class Posting:
    """Figures to subscribers. One that is slow or dead delays no other."""

    def __init__(self, hub: Hub, hooks: Hooks, channels: Channels, *, small: int) -> None:
        self._hub = hub
        self._hooks = hooks
        self._channels = channels
        self._small = small

    async def turn(self) -> bool:
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            NOTIFICATIONS,
            {"channel": "webhook"},
            now=hub.clock.now(),
            lease_for=LEASE,
            token=token,
            limit=BATCH,
        )
        await together(self._one(doc, token) for doc in docs)
        return len(docs) == BATCH

    async def _one(self, doc: dict[str, Any], token: str) -> None:
        hub = self._hub
        message = NOTIFICATIONS.decode(doc)
        subscriber = self._channels.subscriber(message.target or "")
        found = await hub.store.read(STATISTICS, [message.about or ""])
        if subscriber is None or not found:
            attempt = Attempt(Result.FAILED, "not_configured" if found else "expired")
        else:
            figures = STATISTICS.decode(found[message.about or ""])
            body = to_json(public(figures, self._small))
            started = hub.clock.monotonic()
            attempt = await self._hooks.post(
                subscriber.url, subscriber.secret, message.notification_id, body, hub.clock.now()
            )
            metrics.record_duration(hub.metrics, "webhook", hub.clock.monotonic() - started)
        await hub.transact(lambda uow: self._end(uow, message.notification_id, token, attempt))

    async def _end(self, uow: UnitOfWork, key: str, token: str, attempt: Attempt) -> None:
        message = await uow.get(NOTIFICATIONS, key)
        if message is None or message.lease != token:
            return
        m, result = self._hub.metrics, attempt.result
        if result is Result.SENT:
            finish(uow, message, "send", None)
            metrics.record_age(m, "webhook", (uow.now() - message.created_at).total_seconds())
            metrics.record_attempt(m, "webhook", message.template, result.value)
        elif result is Result.FAILED:
            finish(uow, message, "fail", attempt.reason)
            metrics.record_attempt(m, "webhook", message.template, result.value)
        else:
            retry(uow, message, attempt, WEBHOOK, m)


async def gauges(hub: Hub) -> None:
    """How much waits; one count each."""
    for channel in metrics.CHANNELS:
        where = {"channel": channel, "due_at": {"$ne": None}}
        metrics.record_pending(hub.metrics, channel, await hub.store.count(NOTIFICATIONS, where))
