# SPDX-License-Identifier: Apache-2.0
"""Puts data protection and the audit trail's seals together: collections, keys, loops.

Who adds a collection of the desk says here what of it goes when, and what of it keeps a case open;
what is not said here is kept.
"""

import base64
import binascii
import logging
from typing import Any, TypedDict

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from wasl_chassis.service import Service
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_chassis.store import Collection
from wasl_schemas.country_pack import CountryPack

from wasl_triage.api.protection import ProtectionRooms
from wasl_triage.audit import sealing
from wasl_triage.audit.exporting import key_text
from wasl_triage.campaigns import SKETCHES
from wasl_triage.care.paging import PAGES
from wasl_triage.cases.appeals import APPEALS
from wasl_triage.cases.opinions import OPINIONS
from wasl_triage.cases.working import NOTES, SKIPS
from wasl_triage.desk import Desk
from wasl_triage.protection import holds, subject_requests
from wasl_triage.protection.retention import Beside, Retention, Waits
from wasl_triage.quality.kept import GOLDEN, REVIEWS
from wasl_triage.rules.memory import RULE_HITS
from wasl_triage.settings import AuditSettings, TriageSettings

log = logging.getLogger(__name__)

#: AUDIT among them.
COLLECTIONS: tuple[Collection[Any], ...] = (*sealing.ALL, *holds.ALL, *subject_requests.ALL)


class Dependents(TypedDict):
    with_text: tuple[Beside, ...]
    with_notes: tuple[Beside, ...]
    with_case: tuple[Beside, ...]
    waits: tuple[Waits, ...]


def dependents() -> Dependents:
    """What of the desk's collections goes with a case, and what keeps it open."""
    return {
        # What is made of the words goes with them.
        "with_text": (Beside(SKETCHES, "_id"),),
        "with_notes": (Beside(NOTES, "case_id"),),
        "with_case": tuple(
            Beside(c, "case_id")
            for c in (SKIPS, APPEALS, OPINIONS, GOLDEN, REVIEWS, RULE_HITS, PAGES, holds.HOLDS)
        ),
        "waits": (
            Waits(APPEALS, "case_id", {"state": "open"}),
            Waits(OPINIONS, "case_id", {"open": True}),
        ),
    }


def audit_keys(settings: AuditSettings) -> tuple[Ed25519PrivateKey, frozenset[str]]:
    """The key that signs, and the public keys that may have signed before. Raises SettingsError."""
    own = settings.triage_audit_key
    secret = key_bytes(own or settings.master_key)
    former = frozenset(
        k for part in settings.triage_audit_former_keys.split(",") if (k := part.strip())
    )
    for one in former:
        try:
            size = len(base64.b64decode(one, validate=True))
        except binascii.Error:
            size = 0
        if size != 32:
            raise SettingsError(
                "WASL_TRIAGE_AUDIT_FORMER_KEYS is wrong: expected keys as 'wasl audit key' prints"
                " them, without what follows the blank"
            )
    return sealing.signing_key(secret, derived=own is None), former


def say_key(settings: AuditSettings) -> Ed25519PrivateKey:
    """The key that signs; a warning where nobody chose one. Raises SettingsError."""
    private, _ = audit_keys(settings)
    if settings.triage_audit_key is None:
        log.warning(
            "the audit trail is sealed with a key derived from the master key: whoever has that one"
            " can seal it anew; set WASL_TRIAGE_AUDIT_KEY to part the two",
            extra={"key": key_text(sealing.public(private))},
        )
    return private


def start(
    service: Service, settings: TriageSettings, pack: CountryPack, desk: Desk
) -> ProtectionRooms:
    """Register the loops; the rooms for the API's routes."""
    rooms = ProtectionRooms.of(service, pack, desk)
    private = say_key(settings)
    sealer = sealing.Sealer(service, private, holder=settings.replica)
    retention = Retention(
        service, pack, holder=settings.replica, mode=settings.triage_retention, **dependents()
    )

    async def tidy() -> bool:
        await rooms.holds.gauge()
        return await rooms.subjects.tidy()

    every = settings.triage_retention_seconds
    service.every("audit-seals", every, sealer.turn)
    service.every("retention", every, retention.loop)
    service.every("protection", every, tidy)
    return rooms
