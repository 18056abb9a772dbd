# SPDX-License-Identifier: Apache-2.0
"""The demo: 42 reports go in over HTTP, and every receipt must show what became of its report.

The judge is not the hub: a report that was sent to partners must show what those partners' own
books say, the others what the sample says the analysts decided.
"""

import asyncio
import time
import uuid
from typing import Any

import httpx

from wasl_local import samples
from wasl_local.board import Board, Row
from wasl_local.people import Analysts
from wasl_local.stack import Stack

#: A simulated partner answers within this time: what has not moved for as long is final.
_QUIET = 4.0


class DemoError(Exception):
    """What did not become of the reports as it should have."""


class Demo:
    """``play`` sends the samples and returns once all is settled. Raises :class:`DemoError`."""

    def __init__(self, stack: Stack, board: Board, rows: list[Row]) -> None:
        self._stack = stack
        self._board = board
        self._rows = rows
        self._by_id = {row.sample.id: row for row in rows}
        self._analysts = Analysts(stack, [row.sample for row in rows])
        self._intake = httpx.AsyncClient(
            base_url=f"{stack.url('intake')}/api/v1", timeout=10, trust_env=False
        )
        self._partners = httpx.AsyncClient(timeout=5, trust_env=False)

    async def close(self) -> None:
        await asyncio.gather(self._analysts.close(), self._intake.aclose(), self._partners.aclose())

    async def play(self, timeout: float) -> None:
        desk = asyncio.create_task(self._work_the_desk())
        try:
            await self._send_all()
            with self._board.live():
                await self._until_settled(desk, timeout)
        finally:
            desk.cancel()
            await asyncio.gather(desk, return_exceptions=True)

    async def _send_all(self) -> None:
        with self._board.progress("reports sent", len(self._rows)) as bar:
            for row in self._rows:
                answer = await self._intake.post(
                    "/reports",
                    json=row.sample.request(),
                    headers={
                        "idempotency-key": str(uuid.uuid4()),
                        "x-api-key": self._stack.api_key,
                    },
                )
                if answer.status_code == 202:
                    row.receipt = answer.json()["receipt"]
                elif answer.status_code == 422:
                    self._board.move(row, "refused")
                if row.sample.accepted is not (row.receipt is not None):
                    raise DemoError(f"{row.sample.id}: intake answered {answer.status_code}")
                bar.advance(bar.task_ids[0])

    async def _work_the_desk(self) -> None:
        while True:
            await self._analysts.turn()
            await asyncio.sleep(0.3)

    async def _until_settled(self, desk: asyncio.Task[None], timeout: float) -> None:
        end = time.monotonic() + timeout
        look_again = time.monotonic() + _QUIET
        while True:
            self._stack.watch()
            if desk.done():
                desk.result()
            if await self._read_receipts() or self._analysts.busy:
                look_again = time.monotonic() + _QUIET
            self._board.draw()
            late = time.monotonic() > end
            if late or time.monotonic() > look_again:
                faults = await self._faults()
                if not faults:
                    return
                if late:
                    raise DemoError("\n".join(["not settled in time:", *faults]))
                self._board.waiting(faults)
                look_again = time.monotonic() + 1
            await asyncio.sleep(0.4)

    async def _read_receipts(self) -> bool:
        """Ask every receipt; True when one shows something new."""
        moved = False

        async def read(row: Row) -> None:
            nonlocal moved
            headers = {"authorization": f"Receipt {row.receipt}"}
            answer = await self._intake.get("/reports", headers=headers)
            answer.raise_for_status()
            status = str(answer.json()["status"])
            self._describe(row)
            if status != row.status:
                moved = True
                self._board.move(row, status)

        await asyncio.gather(*(read(row) for row in self._rows if row.receipt))
        return moved

    def _describe(self, row: Row) -> None:
        """What the desk says about the report's case."""
        line: dict[str, Any] = self._analysts.line_of.get(row.sample.id, {})
        row.category = str(line.get("category") or row.category)
        row.severity = str(line.get("severity") or row.severity)

    async def _faults(self) -> list[str]:
        """One line for each report, mail or duplicate that is not where it must be."""
        told = await self._partners_said()
        cases = self._analysts.cases_of
        faults = []
        for row in self._rows:
            if not row.receipt:
                continue
            self._describe(row)
            sample = row.sample
            origin = self._by_id[sample.duplicate_of or sample.id].sample
            shared = cases.get(sample.id, set()) & cases.get(origin.id, set())
            if not shared:
                where = f"has no case with {origin.id}" if sample.duplicate_of else "has no case"
                faults.append(f"{sample.id} {where}; its receipt shows {row.status}")
                continue
            expected = origin.expected(book for case in shared for book in told[case])
            if row.status != expected:
                faults.append(f"{sample.id}: its receipt shows {row.status}, expected {expected}")
            if sample.contact and sample.contact not in self._stack.mail.recipients:
                faults.append(f"{sample.id}: no mail reached its reporter")
        return faults

    async def _partners_said(self) -> dict[str, list[str]]:
        """What the partners asked about a case did with it, by case."""
        for row in self._rows:
            # A case on which only a rule acted never was in the queue.
            if row.receipt and row.sample.id not in self._analysts.cases_of:
                for case in await self._stack.trace(row.receipt):
                    await self._analysts.open(case)
        books = await self._books()
        return {
            case: [
                books.get(dispatch["dispatch_id"], "nothing")
                for dispatch in (await self._analysts.open(case))["dispatches"]
            ]
            for case in set().union(*self._analysts.cases_of.values())
        }

    async def _books(self) -> dict[str, str]:
        """What the partners say they did, by dispatch."""
        found: dict[str, str] = {}
        for partner in ("hotline", "platforms"):
            answer = await self._partners.get(f"{self._stack.url(partner)}/seen")
            keys: dict[str, dict[str, Any]] = answer.json()["keys"]
            found |= {key: str(book["status"]) for key, book in keys.items()}
            twice = [key for key, book in keys.items() if book["reports"] > 1]
            if twice:
                raise DemoError(f"{partner} made two reports of one dispatch: {', '.join(twice)}")
        return found

    async def summary(self) -> list[str]:
        rows = self._rows
        accepted = [row for row in rows if row.receipt]
        refused = ", ".join(row.sample.id for row in rows if not row.receipt)
        joined = sum(1 for row in accepted if row.sample.duplicate_of)
        requests, mails = len(await self._books()), self._stack.mail.count
        packages = sum(1 for file in (self._stack.folder / "spool").rglob("*") if file.is_file())
        pick = next((row for row in accepted if row.status == "removed"), accepted[0])
        return [
            f"{len(rows)} reports in: {len(accepted)} accepted, the rest refused ({refused})",
            f"receipts show: {self._board.counts()}",
            f"{joined} duplicates joined the case of the first report of their item",
            f"{requests} requests to partners, each once",
            f"{mails} mails to reporters, {packages} files for authorities",
            f"portal: {self._stack.url('intake')}/, desk: {self._stack.url('triage')}/",
            f"a receipt to try there: {pick.receipt}",
        ]


def rows_of(stack: Stack) -> list[Row]:
    return [Row(sample) for sample in samples.load(stack.settings.samples)]
