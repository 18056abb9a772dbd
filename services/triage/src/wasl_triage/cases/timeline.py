# SPDX-License-Identifier: Apache-2.0
"""Everything that happened to a case, in one list: what came, what was written, what was done.

Looks are left out: who looked is the audit trail's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from wasl_triage.audit.trail import AUDIT, AuditRow, row_id
from wasl_triage.cases.appeals import Appeal, Appeals
from wasl_triage.cases.grouping import Grouping, Operation
from wasl_triage.cases.opinions import Opinion, Opinions
from wasl_triage.cases.sheets import Sheet
from wasl_triage.cases.working import NoteRow, Working
from wasl_triage.casework import NOTE, Hub, opened
from wasl_triage.desk import Desk
from wasl_triage.domain.case import MACHINE, Case
from wasl_triage.domain.people import Person

#: Rows of the audit trail that say what another entry says, by how they begin.
_TOLD = (
    "read", "decide_", "confirm", "reject", "write", "note", "merge", "part", "split", "undo_",
    "apply_", "appeal_", "ask_opinion", "give_opinion", "act_automatically",
)  # fmt: skip
_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """``what``: a constant word. ``who``: a person, a partner or authority, or a machine; None: the
    reporter. ``ref``: the id, or the word, it is about. ``text``: what was written.
    """

    at: datetime
    what: str
    who: str | None
    ref: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """What is kept of a case beside its sheet, as its reader may know it. ``texts``: what was
    written, opened, by the id of what it is; an answer's by the id and ``.answer``, whose it is by
    ``.author``; the plan's by ``plan``; why a request was amended by its id and a number.
    """

    notes: Sequence[NoteRow] = ()
    operations: Sequence[Operation] = ()
    appeals: Sequence[Appeal] = ()
    opinions: Sequence[Opinion] = ()
    rows: Sequence[AuditRow] = ()
    texts: Mapping[str, str | None] = field(default_factory=dict)


def timeline(sheet: Sheet, folder: Folder) -> list[Entry]:
    """Oldest first; of the reports, those the sheet holds."""
    texts = folder.texts
    out = [*_came(sheet)] if sheet.blinded else [*_came(sheet), *_decided(sheet)]
    out += [Entry(n.at, "note", n.by, n.id, texts.get(n.id)) for n in folder.notes]
    for o in folder.operations:
        out.append(Entry(o.at, o.kind.value, o.by, o.id, texts.get(o.id)))
        if o.undone_at is not None:
            out.append(Entry(o.undone_at, f"undo_{o.kind}", o.undone_by, o.id))
    for a in folder.appeals:
        out.append(Entry(a.at, f"appeal_by_{a.side}", a.registered_by, a.id, texts.get(a.id)))
        if a.decided_at is not None:
            answer = texts.get(f"{a.id}.answer")
            out.append(Entry(a.decided_at, f"appeal_{a.state}", a.decided_by, a.id, answer))
    for q in folder.opinions:
        out.append(Entry(q.at, "ask_opinion", q.asked_by, q.id, texts.get(q.id)))
        if q.answered_at is not None:
            answer = texts.get(f"{q.id}.answer")
            out.append(Entry(q.answered_at, "give_opinion", q.answered_by, q.id, answer))
    rows = (r for r in folder.rows if not r.what.startswith(_TOLD))
    out += [Entry(r.at, r.what, r.who, r.why) for r in rows]
    return sorted(out, key=lambda e: e.at)


def _came(sheet: Sheet) -> Iterator[Entry]:
    for r in sheet.reports:
        yield Entry(r.report.received_at, "report", None, r.report.id)
    for m in sheet.messages:
        yield Entry(m.message.sent_at, "message", m.message.by, m.message.id, m.text)


def _decided(sheet: Sheet) -> Iterator[Entry]:
    case = sheet.case
    for d in case.decisions:
        by = MACHINE if d.automatic else d.by
        yield Entry(d.at, f"decide_{d.action}", by, d.id, sheet.notes.get(d.id))
        if d.second_at is not None:
            yield Entry(d.second_at, "confirm" if d.confirmed else "reject", d.second, d.id)
    for key, sent in case.dispatches.items():
        yield Entry(sent.requested_at, "dispatch", sent.partner, key)
        if sent.changed_at is not None:
            yield Entry(sent.changed_at, f"dispatch_{sent.state}", sent.partner, key)
    for key, told in case.referrals.items():
        yield Entry(told.requested_at, "referral", told.authority, key)
    if case.seen is not None and case.seen_at is not None:
        yield Entry(case.seen_at, f"seen_{case.seen}", None, case.id)


class Timelines:
    def __init__(
        self,
        hub: Hub,
        desk: Desk,
        *,
        working: Working,
        grouping: Grouping,
        appeals: Appeals,
        opinions: Opinions,
    ) -> None:
        self._hub = hub
        self._desk = desk
        self._working, self._grouping = working, grouping
        self._appeals, self._opinions = appeals, opinions

    async def of(self, person: Person, case_id: str) -> list[Entry]:
        """The case's, opened; a read of the case, and audited as one. Raises NoSuchCase."""
        sheet = await self._desk.read(person, case_id)
        return timeline(sheet, await self.folder(sheet))

    async def folder(self, sheet: Sheet) -> Folder:
        """What belongs to a sheet that was just read for somebody. Whoever judges apart from the
        first person gets nothing that the sheet keeps back, and whoever views nothing a second
        time gets no text.
        """
        if sheet.blinded:
            return Folder()
        case_id = sheet.case.id
        notes = await self._working.notes(case_id)
        operations = await self._grouping.of(case_id)
        appeals = await self._appeals.of(case_id)
        opinions = await self._opinions.of(case_id)
        last = sheet.case.audit_seq
        ids = [row_id(case_id, n) for n in range(max(1, last - _ROWS + 1), last + 1)]
        found = await self._hub.store.read(AUDIT, ids)
        folder = Folder(
            notes=notes,
            operations=operations,
            appeals=appeals,
            opinions=opinions,
            rows=[AUDIT.decode(found[i]) for i in ids if i in found],
        )
        if sheet.closed:
            return folder
        uow = self._hub.unit()
        sealed = _sealed(sheet.case, folder)
        texts = {key: await opened(uow, text, NOTE) for key, text in sealed.items()}
        return replace(folder, texts=texts)


def _sealed(case: Case, folder: Folder) -> dict[str, str | None]:
    out: dict[str, str | None] = {"plan": case.plan}
    out |= {n.id: n.body for n in folder.notes}
    # The reason of what was done to several cases is the first one's, and read there.
    out |= {o.id: o.reason for o in folder.operations if o.cases[0] == case.id}
    for a in folder.appeals:
        out |= {a.id: a.grounds, f"{a.id}.answer": a.reason}
    for q in folder.opinions:
        out |= {q.id: q.question, f"{q.id}.answer": q.answer, f"{q.id}.author": q.author}
    for key, row in case.dispatches.items():
        out |= {f"{key}.{n}": note for n, note in enumerate(row.notes)}
    return out
