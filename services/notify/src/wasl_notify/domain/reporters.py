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


class Reporter(Model):
    """A report whose sender may be written to. ``address`` is sealed; None: withdrawn, never write.

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
    forget_at: datetime
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None


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
