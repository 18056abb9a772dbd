# SPDX-License-Identifier: Apache-2.0
"""All pages of the desk, put together."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI
from wasl_chassis.clock import Clock
from wasl_schemas.country_pack import CountryPack

from wasl_triage.access.door import Access
from wasl_triage.api.cases import CaseRooms
from wasl_triage.api.protection import ProtectionRooms
from wasl_triage.api.quality import QualityRooms
from wasl_triage.audit.reading import Trails
from wasl_triage.care.helpline import Helpline
from wasl_triage.care.telephone import Telephone
from wasl_triage.cases.searching import Searching
from wasl_triage.console.audit import AuditPages
from wasl_triage.console.bulk import BulkPages
from wasl_triage.console.cases import CasePages
from wasl_triage.console.casework import CaseworkPages
from wasl_triage.console.figures import FiguresPages
from wasl_triage.console.helpline import HelplinePages
from wasl_triage.console.live import LivePages
from wasl_triage.console.opinions import OpinionPages
from wasl_triage.console.practice import PracticePages
from wasl_triage.console.protection import ProtectionPages
from wasl_triage.console.queue import QueuePages
from wasl_triage.console.review import ReviewPages
from wasl_triage.console.rules import RulesPages
from wasl_triage.console.search import SearchPages
from wasl_triage.console.self import SelfPages
from wasl_triage.console.signing_in import SigningInPages
from wasl_triage.console.site import Door, Site
from wasl_triage.desk import Desk
from wasl_triage.protection.reading import Protected
from wasl_triage.protection.retention import Retention
from wasl_triage.protection.wiring import dependents
from wasl_triage.quality.figures import Figures
from wasl_triage.rules.book import RuleBook


@dataclass(frozen=True, slots=True)
class Rooms:
    """The use cases the pages hand over to."""

    desk: Desk
    searching: Searching
    helpline: Helpline
    telephone: Telephone
    cases: CaseRooms
    protection: ProtectionRooms
    quality: QualityRooms
    book: RuleBook
    #: Public keys a seal of the audit trail may bear; None: seals are shown and not checked.
    audit_keys: frozenset[str] | None = None


class Console:
    """``register`` opens it in an application; ``site.table`` then lists every route."""

    def __init__(
        self,
        pack: CountryPack,
        clock: Clock,
        door: Door,
        rooms: Rooms,
        *,
        public_url: str = "",
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """``door``: with accounts (:class:`Access`) its own pages are opened too."""
        self.site = Site(pack, clock, door)
        self._rooms, self._stopping, self._public_url = rooms, stopping, public_url

    def register(self, app: FastAPI) -> None:
        site, rooms = self.site, self._rooms
        site.register(app)
        if isinstance(site.door, Access):
            SigningInPages(site, site.door, self._public_url)
        QueuePages(site, rooms.desk)
        CaseworkPages(CasePages(site, rooms.cases), rooms.cases)
        OpinionPages(site, rooms.cases.opinions)
        BulkPages(site, rooms.cases.bulk)
        LivePages(site, rooms.desk, self._stopping)
        SearchPages(site, rooms.searching)
        HelplinePages(site, rooms.helpline, rooms.telephone)
        SelfPages(site, rooms.desk.wellbeing)
        self._quality(site, rooms)

    def _quality(self, site: Site, rooms: Rooms) -> None:
        """Pages about how the desk works, for those who look after it."""
        hub, pack = rooms.quality.hub, site.pack
        figures = Figures(hub, pack)
        ReviewPages(site, rooms.quality.reviews, figures)
        PracticePages(site, hub, rooms.desk, rooms.quality.golden)
        FiguresPages(site, figures)
        RulesPages(site, hub, rooms.book)
        AuditPages(site, Trails(hub, pack, rooms.audit_keys))
        # Only its plan is read here, which changes nothing.
        retention = Retention(hub, pack, holder="console", **dependents())
        protected = Protected(hub, pack, rooms.desk, rooms.protection.holds, retention)
        ProtectionPages(site, rooms.protection, protected, rooms.cases.working)
