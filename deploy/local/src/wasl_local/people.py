# SPDX-License-Identifier: Apache-2.0
"""Two scripts that stand in for two analysts, through the same authenticated API people use.

They take what waits in the queue, recognise the sample by its text, and do what the sample says an
analyst would: assess, decide, and, where the law of decisions asks for a second person, confirm.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import httpx

from wasl_local.samples import Sample
from wasl_local.stack import ANALYST, REVIEWER, Stack

_NOTE = "The scripted analyst follows the sample."
#: For a second item that only a repeated report names.
_ASIDE = {
    "action": "close",
    "close_reason": "no_ground",
    "reason": "Named beside the item that the report is about.",
}


class ScriptError(Exception):
    """The desk refused what a sample wanted, and why."""


class _Later(Exception):  # noqa: N818
    """Somebody else holds or changed the case; look again in the next turn."""


class Analysts:
    """``turn`` again and again. ``busy``: the last turn did something or left something to do."""

    def __init__(self, stack: Stack, samples: Iterable[Sample]) -> None:
        self._by_text = {s.narrative(): s for s in samples if s.accepted}
        self._clients = {
            name: httpx.AsyncClient(
                base_url=f"{stack.url('triage')}/api/v1",
                headers={"authorization": f"Bearer {stack.token(name)}"},
                timeout=10,
                trust_env=False,
            )
            for name in (ANALYST, REVIEWER)
        }
        self.busy = True
        #: By sample: its cases, and the desk's line about the last one seen.
        self.cases_of: dict[str, set[str]] = {}
        self.line_of: dict[str, dict[str, Any]] = {}
        self._decided: set[str] = set()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def turn(self) -> None:
        """Each person works through the queue once. Raises :class:`ScriptError`."""
        busy = False
        for person in (ANALYST, REVIEWER):
            queue = await self._clients[person].get("/queue", params={"limit": 100})
            queue.raise_for_status()
            for line in queue.json()["cases"]:
                try:
                    busy = await self._work_on(person, line["case_id"]) or busy
                except _Later:
                    busy = True
        self.busy = busy

    async def open(self, case_id: str, person: str = ANALYST) -> dict[str, Any]:
        """The case's sheet; remembers which samples it holds."""
        client, path = self._clients[person], f"/cases/{case_id}"
        answer = await client.get(path, params={"unredacted": True})
        if answer.status_code == httpx.codes.CONFLICT:  # what nobody views a second time
            answer = await client.get(path)
        answer.raise_for_status()
        sheet: dict[str, Any] = answer.json()
        for sample in self._samples(sheet):
            self.cases_of.setdefault(sample.id, set()).add(case_id)
            self.line_of[sample.id] = sheet["case"]
        return sheet

    def _samples(self, sheet: dict[str, Any]) -> list[Sample]:
        found = (self._by_text.get(report["narrative"] or "") for report in sheet["reports"])
        return [sample for sample in found if sample]

    async def _work_on(self, person: str, case_id: str) -> bool:
        sheet = await self.open(case_id, person)
        acted = await self._second_look(person, sheet)
        if person != ANALYST or case_id in self._decided:
            return acted
        samples = self._samples(sheet)
        decisive = next((sample for sample in samples if sample.decisions), None)
        if decisive:
            await self._decide(decisive, sheet)
        elif samples and all(self._is_aside(sample, case_id) for sample in samples):
            await self._act(person, sheet, "decision", _ASIDE)
        else:
            return acted  # the report that says what to do has not arrived
        self._decided.add(case_id)
        return True

    def _is_aside(self, sample: Sample, case_id: str) -> bool:
        return bool(self.cases_of.get(sample.duplicate_of or "", set()) - {case_id})

    async def _second_look(self, person: str, sheet: dict[str, Any]) -> bool:
        """Confirm what waits: the analyst a machine's decision, the reviewer the analyst's."""
        acted = False
        for decision in sheet["decisions"]:
            other = decision["automatic"] or person == REVIEWER
            if decision["waits_for_second_look"] and decision["by"] != person and other:
                body = {"decision_id": decision["decision_id"], "confirm": True}
                if sheet["blinded"]:
                    sample = next(s for s in self._samples(sheet) if s.assessment)
                    body["assessment"] = await self._judgement(person, sample)
                await self._act(person, sheet, "confirmation", body)
                acted = True
        return acted

    async def _decide(self, sample: Sample, sheet: dict[str, Any]) -> None:
        if sample.assessment:
            judged = await self._judgement(ANALYST, sample)
            said = {**judged, **sample.assessment, "note": _NOTE}
            await self._act(ANALYST, sheet, "assessment", said)
        asked = {row["partner"] for row in sheet["dispatches"]}
        for decision in sample.decisions:
            partners = [name for name in decision.get("partners", ()) if name not in asked]
            if partners or not decision.get("partners"):  # else a rule has asked them already
                await self._act(ANALYST, sheet, "decision", {**decision, "partners": partners})

    async def _judgement(self, person: str, sample: Sample) -> dict[str, Any]:
        """The sample's category, with the answers its decisions rest on; "unsure" to the rest."""
        category = (sample.assessment or {})["category"]
        asked = await self._clients[person].get(f"/categories/{category}/questions")
        asked.raise_for_status()
        cited = {d["ground"]["ref"] for d in sample.decisions if d.get("ground")}
        answers = {
            q["question"]: q["needed"] or ("yes" if cited & set(q["laws"]) else "unsure")
            for q in asked.json()["questions"]
        }
        return {"category": category, "answers": answers}

    async def _act(
        self, person: str, sheet: dict[str, Any], what: str, body: dict[str, Any]
    ) -> None:
        """Claim and act. Raises _Later, ScriptError."""
        client, case_id = self._clients[person], sheet["case"]["case_id"]
        for path, content in (("claim", {}), (what, body)):
            answer = await client.post(f"/cases/{case_id}/{path}", json=content)
            if answer.status_code in {409, 503}:
                raise _Later
            if answer.is_error:
                problem: dict[str, Any] = {}
                with contextlib.suppress(ValueError):
                    problem = answer.json()
                names = ", ".join(sample.id for sample in self._samples(sheet))
                raise ScriptError(
                    f"{names}: {path} by {person} was refused with {answer.status_code}: "
                    f"{problem.get('title', '')} {problem.get('detail', '')}"
                )
            for sample in self._samples(sheet):
                self.line_of[sample.id] = answer.json()
