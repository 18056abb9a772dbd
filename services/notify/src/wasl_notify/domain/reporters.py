# SPDX-License-Identifier: Apache-2.0
"""Who asked to be told, of which cases they are part, and how news becomes one message.

A reporter's document holds every cause they were told about, so no order and no repetition of
events makes a second message for one cause. Causes that come close together share a message.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Literal

from wasl_schemas.base import Model
from wasl_schemas.lifecycle import NotificationState

from wasl_notify.domain.journal import NEWS

Channel = Literal["email", "webhook"]
#: Intake may be this far behind us: younger news is told again rather than never.
SHOWN_WITHIN = timedelta(minutes=5)


class Reporter(Model):
    """A report whose sender may be written to. ``address`` is sealed; None: do not write, for ever
    where ``contact_at`` is None too, for the report was withdrawn.

    ``contact_at``: when the reporter last changed the contact themselves. ``since``: they were
    reachable only from then on; what they had on their screen before is no news to them.
    ``open_message``: the message that takes further causes in, never one that is being sent.
    ``quiet_until``: no other message before. ``due_at``: set until earlier pages of the journal
    have been looked through.
    """

    report_id: str
    address: str | None
    language: str
    causes: tuple[str, ...] = ()
    open_message: str | None = None
    quiet_until: datetime | None = None
    contact_at: datetime | None = None
    since: datetime | None = None
    forget_at: datetime
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def takes(self, changed_at: datetime) -> bool:
        """Whether a contact of that time is news: the newest holds, and a withdrawal for good."""
        if self.contact_at is None:
            return self.address is not None
        return changed_at > self.contact_at

    def saw(self, told_at: datetime) -> bool:
        """Whether what we were told then was on their page when they left the contact."""
        return self.since is not None and told_at < self.since - SHOWN_WITHIN


class Link(Model):
    """A reporter with a contact is part of a case. The highest version holds."""

    link_id: str
    case_id: str
    report_id: str
    version: int
    joined: bool
    forget_at: datetime
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None


class Notification(Model):
    """One message. ``sending_since`` is stored before the relay is called: on a message that still
    waits it says that a crash, or a lost line, may have hidden an acceptance.
    """

    notification_id: str
    channel: Channel
    template: str
    #: The report, or the subscriber's or authority's id.
    report_id: str | None = None
    target: str | None = None
    #: What a template needs: the window of figures, the referral.
    about: str | None = None
    state: NotificationState = NotificationState.PENDING
    version: int = 0
    attempts: int = 0
    reason: str | None = None
    sending_since: datetime | None = None
    created_at: datetime
    forget_at: datetime
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None


def notification_id(whom: str, cause: str) -> str:
    """The same for the same recipient and cause, so that a replay finds the first message."""
    return hashlib.sha256(f"{whom}|{cause}".encode()).hexdigest()[:32]


def tell(
    reporter: Reporter,
    waiting: Notification | None,
    cause: str,
    template: str,
    *,
    now: datetime,
    hold: timedelta,
    keep: timedelta,
) -> tuple[Reporter, Notification | None] | None:
    """The reporter who also hears of ``cause``, and the message to store if one is new or changed.

    None: nothing to do, as they withdrew or have heard. ``waiting``: what ``open_message`` names.
    """
    mark = notification_id(reporter.report_id, cause)
    if reporter.address is None or mark in reporter.causes:
        return None
    causes = (*reporter.causes, mark)
    if waiting is not None and waiting.due_at is not None:
        # A message with news and an answer in it is announced as news.
        changed = waiting.template not in (template, NEWS)
        return (
            reporter.model_copy(update={"causes": causes}),
            waiting.model_copy(update={"template": NEWS}) if changed else None,
        )
    message = Notification(
        notification_id=mark,
        channel="email",
        template=template,
        report_id=reporter.report_id,
        created_at=now,
        forget_at=now + keep,
        due_at=now + hold,
    )
    return reporter.model_copy(update={"causes": causes, "open_message": mark}), message
