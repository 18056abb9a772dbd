# SPDX-License-Identifier: Apache-2.0
"""The registry of topics: the one place that says which event flows where, how long, for whom.

Topics are created from here by ``wasl topics apply`` and never by a broker on its own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from wasl_schemas.base import EventData
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseUpdatedV1
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.events.notification_updated_v1 import NotificationUpdatedV1
from wasl_schemas.events.referral_requested_v1 import ReferralRequestedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.events.report_expired_v1 import ReportExpiredV1
from wasl_schemas.events.report_redacted_v1 import ReportRedactedV1
from wasl_schemas.events.report_submitted_v1 import ReportSubmittedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.events.reporter_contact_changed_v1 import ReporterContactChangedV1
from wasl_schemas.events.reporter_message_sent_v1 import ReporterMessageSentV1
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.sensitivity import Sensitivity

DataT = TypeVar("DataT", bound=EventData)

#: Retention allowed for each classification, so that nobody keeps sealed text by habit.
RETENTION: dict[Sensitivity, frozenset[timedelta]] = {
    Sensitivity.INTERNAL: frozenset({timedelta(days=14), timedelta(days=30)}),
    Sensitivity.PERSONAL: frozenset({timedelta(days=14)}),
    Sensitivity.RESTRICTED: frozenset({timedelta(days=14)}),
}


@dataclass(frozen=True, slots=True)
class TopicSpec(Generic[DataT]):
    """One topic: one event type, one major version.

    ``key`` names the data field that becomes the Kafka key (the aggregate's id). ``producers`` and
    ``consumers`` are service names; the architecture tests compare them with what services
    register.
    """

    name: str
    data: type[DataT]
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    classification: Sensitivity
    description: str
    partitions: int = 6
    retention: timedelta = field(default=timedelta(days=14))
    #: Longer than ``retention``, because a dead letter waits for a person.
    dead_letter_retention: timedelta = field(default=timedelta(days=30))

    @property
    def type(self) -> str:
        """The CloudEvents ``type``; a connector's own topic carries the shared type."""
        root, aggregate, event, *_, major = self.name.split(".")
        return f"org.{root}.{aggregate}.{event}.{major}"

    @property
    def connector(self) -> str | None:
        """The connector's name, where the topic is one connector's own."""
        parts = self.name.split(".")
        return parts[3].replace("-", "_") if len(parts) == 5 else None

    @property
    def schema_urn(self) -> str:
        return f"urn:wasl:schema:{self.type.removeprefix('org.wasl.')}"

    def dead_letter(self, consumer: str) -> str:
        return f"{self.name}.dlq.{consumer}"


_I, _P, _X = Sensitivity.INTERNAL, Sensitivity.PERSONAL, Sensitivity.RESTRICTED

REPORT_SUBMITTED_V1 = TopicSpec(
    "wasl.report.submitted.v1", ReportSubmittedV1, "report_id",
    ("intake",), ("triage", "notify"), _X,
    "A report is durable in intake. Text, locations and contact are sealed with the report's key.",
)  # fmt: skip
REPORT_WITHDRAWN_V1 = TopicSpec(
    "wasl.report.withdrawn.v1", ReportWithdrawnV1, "report_id",
    ("intake",), ("triage", "notify"), _I,
    "The holder of the receipt took the report back.",
)  # fmt: skip
REPORT_EXPIRED_V1 = TopicSpec(
    "wasl.report.expired.v1", ReportExpiredV1, "report_id",
    ("triage",), ("intake", "notify"), _I,
    "The time for which a contact, a text or a report's record is kept is over.",
)  # fmt: skip
REPORT_REDACTED_V1 = TopicSpec(
    "wasl.report.redacted.v1", ReportRedactedV1, "report_id",
    ("triage",), ("intake",), _X,
    "Something was blacked out of a report for good. What is left is sealed with the report's key.",
)  # fmt: skip
REPORTER_CONTACT_CHANGED_V1 = TopicSpec(
    "wasl.reporter-contact.changed.v1", ReporterContactChangedV1, "report_id",
    ("intake",), ("notify",), _P,
    "The reporter changed how we may write to them, or no longer wants it.",
)  # fmt: skip
REPORTER_MESSAGE_SENT_V1 = TopicSpec(
    "wasl.reporter-message.sent.v1", ReporterMessageSentV1, "report_id",
    ("intake",), ("triage",), _P,
    "The reporter wrote in the thread behind the receipt.",
)  # fmt: skip
STAFF_MESSAGE_SENT_V1 = TopicSpec(
    "wasl.staff-message.sent.v1", StaffMessageSentV1, "report_id",
    ("triage",), ("intake", "notify"), _P,
    "Staff wrote to the reporter.",
)  # fmt: skip
CASE_OPENED_V1 = TopicSpec(
    "wasl.case.opened.v1", CaseOpenedV1, "case_id", ("triage",), ("intake", "notify"), _I,
    "A first report about an item opened its case.",
)  # fmt: skip
CASE_UPDATED_V1 = TopicSpec(
    "wasl.case.updated.v1", CaseUpdatedV1, "case_id", ("triage",),
    ("intake", "notify", "platform-gateway"), _I,
    "A case changed: joined by a report, assessed, decided, confirmed, closed, reopened.",
)  # fmt: skip
DISPATCH_UPDATED_V1 = TopicSpec(
    "wasl.dispatch.updated.v1", DispatchUpdatedV1, "case_id", ("platform-gateway",),
    ("intake", "triage", "notify", "platform-gateway"), _I,
    "A row of the dispatch ledger changed: sent, acknowledged, answered, no reply.",
)  # fmt: skip
ITEM_OBSERVED_V1 = TopicSpec(
    "wasl.item.observed.v1", ItemObservedV1, "case_id", ("platform-gateway",),
    ("intake", "triage"), _I,
    "The hub looked at an item: it is gone, it is back, or only a person can tell.",
)  # fmt: skip
REFERRAL_REQUESTED_V1 = TopicSpec(
    "wasl.referral.requested.v1", ReferralRequestedV1, "case_id", ("triage",), ("notify",), _X,
    "A case is to be referred to an authority.",
)  # fmt: skip
REFERRAL_UPDATED_V1 = TopicSpec(
    "wasl.referral.updated.v1", ReferralUpdatedV1, "case_id", ("notify",), ("intake", "triage"), _I,
    "A referral package was delivered, acknowledged or failed.",
)  # fmt: skip
NOTIFICATION_UPDATED_V1 = TopicSpec(
    "wasl.notification.updated.v1", NotificationUpdatedV1, "notification_id", ("notify",), (), _I,
    "A message to a reporter was sent or failed. Kept for operators; no service reads it.",
)  # fmt: skip

SHARED: tuple[TopicSpec[EventData], ...] = (
    REPORT_SUBMITTED_V1, REPORT_WITHDRAWN_V1, REPORT_EXPIRED_V1, REPORT_REDACTED_V1,
    REPORTER_CONTACT_CHANGED_V1,
    REPORTER_MESSAGE_SENT_V1, STAFF_MESSAGE_SENT_V1, CASE_OPENED_V1, CASE_UPDATED_V1,
    DISPATCH_UPDATED_V1, ITEM_OBSERVED_V1, REFERRAL_REQUESTED_V1, REFERRAL_UPDATED_V1,
    NOTIFICATION_UPDATED_V1,
)  # type: ignore[assignment]  # fmt: skip  # each spec is invariant in its own data type

#: Connectors shipped with the hub; a deployment adds its own with WASL_CONNECTORS.
BUILT_IN_CONNECTORS: tuple[str, ...] = ("reference", "webhook")
CONNECTOR = re.compile(r"[a-z][a-z0-9_]{1,30}")


def dispatch_requested_v1(connector: str) -> TopicSpec[DispatchRequestedV1]:
    """The topic of one connector: lag, scaling, pausing and failure are its own.

    A topic may not hold the ``_`` a connector's name may (metrics fold ``_`` and ``.`` together):
    it is written ``-`` there. Raises ValueError for what is no connector's name.
    """
    if not CONNECTOR.fullmatch(connector):
        raise ValueError(
            f"connector name {connector!r}: expected 2 to 31 of a-z, 0-9, _, a letter first"
        )
    return TopicSpec(
        f"wasl.dispatch.requested.{connector.replace('_', '-')}.v1", DispatchRequestedV1, "case_id",
        ("triage",), ("platform-gateway",), _X,
        f"Requests to partners behind the connector '{connector}'.",
    )  # fmt: skip


def registry(connectors: Iterable[str] = BUILT_IN_CONNECTORS) -> tuple[TopicSpec[EventData], ...]:
    """Every topic of a deployment with these connectors."""
    own: list[TopicSpec[EventData]] = [dispatch_requested_v1(c) for c in dict.fromkeys(connectors)]  # type: ignore[misc]
    return (*SHARED, *own)
