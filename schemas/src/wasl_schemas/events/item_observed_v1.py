# SPDX-License-Identifier: Apache-2.0
"""What the hub saw at the address of a case: gone, back, or only a person can tell.

Emitted when the state of the watch changes, not for every look. ``version`` grows by one each time.
"""

from wasl_schemas.base import Count, EventData, Slug, Timestamp, Version
from wasl_schemas.ids import CaseId
from wasl_schemas.lifecycle import WatchState
from wasl_schemas.sensitivity import Internal


class ItemObservedV1(EventData):
    case_id: Internal[CaseId]
    version: Internal[Version]
    state: Internal[WatchState]
    #: Machine word for what was seen: ``http_404``, ``login_wall``, ``by_hand`` …
    reason: Internal[Slug | None] = None
    #: Looks since the watch began.
    looks: Internal[Count] = 0
    #: A partner had said that it is gone when it was seen online.
    claimed_gone: Internal[bool] = False
    changed_at: Internal[Timestamp]
