# SPDX-License-Identifier: Apache-2.0
"""The referral package v0: what an authority receives about one case, as canonical JSON.

It is built once; every attempt delivers the same bytes, whose SHA-256 the referral records.
There is no field for a reporter. The schema is ``referral-package-v0.schema.json``, generated from
:class:`ReferralPackageV0`.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from wasl_schemas.base import Count, LanguageTag, Model, Slug, Timestamp
from wasl_schemas.country_pack import CountryPack, LegalRef
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.ids import CaseId, ReferralId
from wasl_schemas.lifecycle import REFERRAL, ReferralState
from wasl_schemas.taxonomy import Words

from wasl_notify.domain.journal import Fact

FORMAT: Literal["referral-package/v0"] = "referral-package/v0"


class Entry(Model):
    """One line of a timeline or of the custody log: who did what, when."""

    at: Timestamp
    who: Slug
    what: Slug


class Named(Model):
    id: Slug
    labels: Words


class LegalBasis(Model):
    """The ground of the decision with the text the hub's country pack has for it."""

    kind: Literal["law", "terms"]
    ref: Slug
    title: Words
    instrument: str | None = None
    articles: tuple[str, ...] = ()


class Item(Model):
    location: str
    platform: Slug
    kind: Slug
    explanation: str = ""


class ReferralPackageV0(Model):
    """One case, for one authority. Times are UTC; ``timeline`` is as known at ``prepared_at``."""

    format: Literal["referral-package/v0"] = FORMAT
    referral_id: ReferralId
    case_id: CaseId
    country_pack: str
    authority: Named
    language: LanguageTag
    requested_at: Timestamp
    due: Timestamp
    prepared_at: Timestamp
    category: Named
    severity: Severity
    ground: LegalBasis
    item: Item
    reports: Count
    timeline: tuple[Entry, ...]
    custody: tuple[Entry, ...]


class Referral(Model):
    """One package and its way. ``item`` and ``package`` are sealed with the case's key."""

    referral_id: str
    case_id: str
    authority: str
    category: str
    severity: Severity
    ground: Ground
    language: str
    requested_at: datetime
    due: datetime
    item: str
    reports: int
    state: ReferralState = ReferralState.REQUESTED
    version: int = 0
    attempts: int = 0
    reason: str | None = None
    package: str | None = None
    digest: str | None = None
    custody: tuple[Entry, ...] = ()
    #: The authority's own reference, where it gave one.
    reference: str | None = None
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def noted(self, who: str, what: str, at: datetime) -> "Referral":
        """With one more line in the custody log."""
        return self.model_copy(
            update={"custody": (*self.custody, Entry(at=at, who=who, what=what))}
        )

    def moved(self, trigger: str, who: str, at: datetime, reason: str | None = None) -> "Referral":
        """After ``trigger`` of the lifecycle, one version on, no longer due."""
        state = REFERRAL.move(self.state, trigger)
        change = {"state": state, "version": self.version + 1, "reason": reason, "due_at": None}
        free = {"lease": None, "lease_until": None}
        return self.noted(who, state.value, at).model_copy(update={**change, **free})


def build(
    referral: Referral,
    item: DispatchItem,
    facts: Iterable[Fact],
    pack: CountryPack,
    now: datetime,
) -> bytes:
    """The package's bytes. Raises :class:`~wasl_schemas.country_pack.UnknownEntry` where the pack
    does not have the authority, the category or the ground.
    """
    ref = pack.ground(referral.ground)
    law = ref if isinstance(ref, LegalRef) else None
    lines = sorted({(f.at.astimezone(UTC), f.who, f.what) for f in facts})
    package = ReferralPackageV0(
        referral_id=referral.referral_id,
        case_id=referral.case_id,
        country_pack=f"{pack.info.id} {pack.info.version}",
        authority=Named(id=referral.authority, labels=pack.authority(referral.authority).title),
        language=referral.language,
        requested_at=referral.requested_at.astimezone(UTC),
        due=referral.due.astimezone(UTC),
        prepared_at=now,
        category=Named(id=referral.category, labels=pack.category(referral.category).label),
        severity=referral.severity,
        ground=LegalBasis(
            kind="law" if law else "terms",
            ref=referral.ground.ref,
            title=ref.title,
            instrument=law.instrument if law else None,
            articles=law.articles if law else (),
        ),
        item=Item(**item.model_dump()),
        reports=referral.reports,
        timeline=tuple(Entry(at=at, who=who, what=what) for at, who, what in lines),
        custody=referral.custody,
    )
    return canonical(package)


def canonical(package: ReferralPackageV0) -> bytes:
    """UTF-8, keys sorted, no spaces, whole numbers only: equal to RFC 8785 for these ASCII keys."""
    doc = package.model_dump(mode="json", exclude_none=True)
    text = json.dumps(doc, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest(package: bytes) -> str:
    return hashlib.sha256(package).hexdigest()


def json_schema() -> str:
    """The schema authorities validate packages with."""
    schema = ReferralPackageV0.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
