# SPDX-License-Identifier: Apache-2.0
"""A row of the ledger in the words its partner reads: opened in memory, never stored or logged."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Literal

from pydantic import TypeAdapter
from wasl_chassis.failures import KeyDestroyed, Permanent
from wasl_chassis.store import Doc
from wasl_chassis.vault import key_of
from wasl_connector_sdk import (
    Ground,
    Measure,
    Submission,
)
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem

from wasl_platform_gateway.calling import Hub
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.ledger import Dispatch

ITEM: TypeAdapter[DispatchItem] = TypeAdapter(DispatchItem)
ITEM_FIELD, PACKET_FIELD = "case.item", "dispatch.packet"


class Shut(Enum):
    """Why a row's words cannot be read."""

    ERASED = auto()
    UNREADABLE = auto()


class Wording:
    """``ground_text`` puts the ground of a row into words; ``test``: requests must not count."""

    def __init__(self, hub: Hub, ground_text: Callable[[Dispatch], str], *, test: bool) -> None:
        self._hub = hub
        self._ground_text = ground_text
        self._test = test

    async def open(
        self, rows: Sequence[tuple[Doc, Dispatch]]
    ) -> tuple[list[tuple[Doc, Submission]], list[tuple[Doc, Shut]]]:
        """The rows in the words a partner reads, and those that cannot be read."""
        reader = self._hub.unit()
        await reader.keys.load(key_of(row.item) for _, row in rows)
        ready, shut = [], []
        for doc, row in rows:
            try:
                item = ITEM.validate_json(await reader.keys.open(row.item, ITEM_FIELD))
                ready.append((doc, self._submission(row, item)))
            except KeyDestroyed:
                shut.append((doc, Shut.ERASED))
            except (Permanent, ValueError):  # a measure of a newer hub is one
                shut.append((doc, Shut.UNREADABLE))
        return ready, shut

    async def sealed(self, row: Dispatch, packet: str) -> str | None:
        """None: the case was erased."""
        keys, key = self._hub.unit().keys, key_of(row.item)
        try:
            await keys.load([key])
            return await keys.seal(key, PACKET_FIELD, packet)
        except KeyDestroyed:
            return None

    def _submission(self, row: Dispatch, item: DispatchItem) -> Submission:
        kind: Literal["law", "terms"] = "terms" if row.ground_kind == "terms" else "law"
        text = self._ground_text(row)
        return Submission(
            idempotency_key=row.dispatch_id,
            case=row.case_id,
            partner=row.partner,
            category=row.category,
            severity=row.severity.value,
            ground=Ground(kind=kind, ref=row.ground_ref, text=text),
            scope=row.scope,
            location=item.location,
            platform=item.platform,
            kind=item.kind,
            language=row.language,
            explanation=item.explanation,
            requested_at=row.requested_at,
            test=self._test,
            revision=row.revision,
            via=row.via,
            measure=Measure(row.measure) if row.measure else None,
        )

    def erased(self, row: Dispatch) -> list[Dispatch]:
        """The case was erased: nothing is asked any more; what may have arrived, a person ends."""
        return ledger.stopped(row.but(wanted_reason="erased"), self._hub.clock.now())
