# SPDX-License-Identifier: Apache-2.0
"""Rules about handing requests over to a sound partner: one, the same again, several at once."""

import itertools
import re
from collections.abc import Sequence
from typing import TypeGuard
from urllib.parse import unquote_plus

from wasl_connector_sdk.conformance import faults, samples
from wasl_connector_sdk.conformance.bench import (
    Bench,
    demand,
    demand_none,
    ended,
    find_first,
    known,
    rule,
    skip,
    worded,
)
from wasl_connector_sdk.conformance.samples import key_of
from wasl_connector_sdk.conformance.world import World, name_of, outcome
from wasl_connector_sdk.contract import Evidence, Idempotency, SupportsGroups, SupportsLookup
from wasl_connector_sdk.errors import (
    AmbiguousOutcome,
    ConnectorError,
    InvalidSubmission,
    PersonNeeded,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.models import EvidenceReference, Measure, Receipt

_WORD = re.compile(r"\w+")
_EVIDENCE = {
    Evidence.HASHES: EvidenceReference(kind="hash", value="4f" * 32, algorithm="sha256"),
    Evidence.LINKS: EvidenceReference(kind="link", value="https://evidence.example/canary-4711"),
}


class SendingRules(Bench):
    @rule
    async def test_submit(self) -> None:
        """submit: each accepted category gives a Receipt and exactly one report."""
        for category in self._categories():
            async with self._world() as world, world.opened() as connector:
                given = self._sample(1, category)
                result = await outcome(world.send(connector, given))
                if self.by_hand:
                    demand(
                        isinstance(result, PersonNeeded) and result.packet.strip(),
                        f"{category}: {ended(result, given)}, expected PersonNeeded",
                    )
                    continue
                demand(
                    isinstance(result, Receipt),
                    f"{category}: {ended(result, given)}; expected a Receipt",
                )
                demand(world.reports == 1, f"{category}: {world.reports} reports, expected 1")
                worded(result)

    @rule
    async def test_extremes(self) -> None:
        """extremes: what is long, empty or of another scope is made to fit, or refused unsent."""
        broken, sample = [], self._sample(1)
        async with self._world() as world, world.opened() as connector:
            await outcome(world.send(connector, sample))
            usual = {status for status in world.wire.statuses if status >= 400}
        for name, given in samples.extremes(sample):
            async with self._world() as world, world.opened() as connector:
                result = await outcome(world.send(connector, given))
                said = [s for s in world.wire.statuses if 400 <= s < 500 and s not in usual]
                reports = world.reports
            fine: tuple[type, ...] = (Receipt, InvalidSubmission, PersonNeeded)
            if given.location != sample.location:  # another item, which nobody may know
                fine += (SubmissionRefused, TransientError)
            if said:
                broken.append(f"{name}: the partner answers {said[0]}; cut or refuse it before")
            elif isinstance(result, Receipt) and reports != 1:
                broken.append(f"{name}: {reports} reports, expected 1")
            elif not isinstance(result, fine):
                broken.append(f"{name}: {ended(result, given)}")
            elif not isinstance(result, Receipt) and reports:
                broken.append(f"{name}: ended in {name_of(result)} and made a report")
        demand_none(broken, "expected a Receipt, or InvalidSubmission with nothing sent")

    @rule
    async def test_same_key(self) -> None:
        """same-key: what declares NATIVE_KEY makes one report of one key, however often sent."""
        if self.connector.manifest.idempotency is not Idempotency.NATIVE_KEY:
            skip("the manifest does not declare NATIVE_KEY")
        self._needs_reports()
        async with self._world() as world:
            references = set()
            for _ in range(2):
                async with world.opened() as connector:
                    receipt = await self._sent(world, connector, 1)
                    again = await self._sent(world, connector, 1)
                    references |= {receipt.reference, again.reference}
            demand(world.reports == 1, f"the same key made {world.reports} reports")
            demand(len(references) == 1, "the same key got several references")
            async with world.opened() as connector:
                await self._sent(world, connector, 2)
            demand(world.reports == 2, "two keys made one report")

    @rule
    async def test_lookup(self) -> None:
        """lookup: ``find`` is None before a key was sent and its receipt after."""
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsLookup):
                skip("the connector has no lookup")
            demand(await connector.find(key_of(1)) is None, "find knows a key never sent")
            demand(world.reports == 0, "find made a report")
            sent = {}
            for number in (1, 2, 3):
                sent[number] = (await self._sent(world, connector, number)).reference
            for number, reference in sent.items():
                found = await connector.find(key_of(number))
                demand(isinstance(found, Receipt), "find does not find a key that was sent")
                demand(found and found.reference == reference, "find gives another reference")
            demand(await connector.find(key_of(9)) is None, "find knows a key never sent")

    @rule
    async def test_lookup_certain(self) -> None:
        """lookup-certain: ``find`` never says None because of a fault; None means sent again."""
        await self._needs_http()
        if not issubclass(self.connector, SupportsLookup):
            skip("the connector has no lookup")
        broken, hit = [], False
        for fault in faults.KINDS:
            async for world, receipt, found in self._disturbed(fault, find_first):
                hit = True
                if not isinstance(found, ConnectorError) and not _same(found, receipt):
                    place = f"{fault.name} at request {world.wire.hit + 1}"
                    broken.append(f"{place}: {name_of(found)}")
        if not hit:
            skip("the lookup asks nobody")
        demand_none(broken, "a lookup met by a fault must raise")

    @rule
    async def test_accepts(self) -> None:
        """accepts: a category outside the manifest's is refused, and makes no report."""
        accepts = self.connector.manifest.accepts
        if accepts is None:
            skip("the manifest takes all categories")
        for category in sorted({*samples.CATEGORIES, "unheard_of"} - accepts):
            async with self._world() as world, world.opened() as connector:
                result = await outcome(world.send(connector, self._sample(1, category)))
                demand(
                    isinstance(result, InvalidSubmission | SubmissionRefused),
                    f"{category}: ended in {name_of(result)}, expected a refusal",
                )
                demand(world.reports == 0, f"{category}: made a report")

    @rule
    async def test_measures(self) -> None:
        """measures: what the manifest can ask for is told, and nothing more than was decided."""
        carried = self.connector.manifest.measures
        told: dict[Measure | None, frozenset[str]] = {}
        for measure in (None, *(m for m in Measure if m in carried)):
            said = [await self._told_of(measure) for _ in range(2)]
            words = [frozenset(_WORD.findall(text)) for text in said if text is not None]
            if len(words) < 2:
                skip("the partner does not speak HTTP; set Partner.told to tell what it was told")
            told[measure] = words[0] & words[1]  # without what differs each time anyway
        broken = [
            f"{one}: told as '{other or 'no measure'}' is; it asks for more than was decided"
            for one, other in itertools.permutations(told, 2)
            if one is not None and {one, other} != {Measure.REMOVE, None}
            if not told[one] - told[other]
        ]
        demand_none(broken, "a partner must know a measure from the others")

    async def _told_of(self, measure: Measure | None) -> str | None:
        """What the partner is told of a sample that asks for a measure."""
        async with self._world() as world, world.opened() as connector:
            given = self._sample(1).model_copy(update={"measure": measure})
            result = await outcome(world.send(connector, given))
            demand(
                isinstance(result, Receipt | PersonNeeded),
                f"the measure {measure} ended in {name_of(result)}; the manifest carries it",
            )
            if isinstance(result, PersonNeeded) and not self.by_hand:
                demand(world.reports == 0, f"the measure {measure}: handed over and sent")
            return _told(world, result)

    @rule
    async def test_evidence(self) -> None:
        """evidence: what the manifest takes reaches the partner; another kind never does."""
        for kind, evidence in _EVIDENCE.items():
            async with self._world() as world, world.opened() as connector:
                given = self._sample(1).model_copy(update={"evidence": (evidence,)})
                result = await outcome(world.send(connector, given))
                told = _told(world, result)
            if told is None:
                skip("the partner does not speak HTTP; set Partner.told to tell what it was told")
            taken = self.connector.manifest.evidence is kind
            demand(
                taken == (evidence.value in told),
                f"the manifest takes {kind} and the partner was told none"
                if taken
                else f"the partner was told {kind}, which the manifest does not take",
            )
            refused = isinstance(result, InvalidSubmission | SubmissionRefused) and not taken
            demand(
                refused or isinstance(result, Receipt | PersonNeeded),
                f"a request with {kind} ended in {name_of(result)}",
            )

    @rule
    async def test_groups(self) -> None:
        """groups: a receipt for each request, in order; one reference for each, or for all."""
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsGroups):
                skip("the connector sends each request alone")
            given = self._several()
            receipts = await outcome(connector.submit_group(given))
            if not _receipts(receipts):
                raise AssertionError(f"a group ended in {name_of(receipts)}, expected receipts")
            demand(len(receipts) == len(given), f"{len(receipts)} receipts for {len(given)}")
            demand(1 <= world.reports <= len(given), f"a group made {world.reports} reports")
            references = [receipt.reference for receipt in receipts]
            demand(len(set(references)) in (1, len(given)), "some references are the same")
            for receipt in receipts:
                worded(receipt)
            if isinstance(connector, SupportsLookup):
                for submission, reference in zip(given, references, strict=True):
                    found = await connector.find(submission.idempotency_key)
                    demand(found and found.reference == reference, "receipts are out of order")

    @rule
    async def test_groups_whole(self) -> None:
        """groups-whole: a fault concerns the whole group; none of it was made, or nobody knows."""
        await self._needs_http()
        if not issubclass(self.connector, SupportsGroups):
            skip("the connector sends each request alone")
        broken = []
        for fault in (*faults.MATRIX, *faults.UNREADABLE):
            async for world, receipt, result in self._disturbed(
                fault, lambda _, c, __: c.submit_group(self._several())
            ):
                made = world.reports - known(receipt)
                if isinstance(result, Exception):
                    sure = not isinstance(result, AmbiguousOutcome)
                    fine = isinstance(result, ConnectorError) and not (sure and made)
                else:
                    fine = made > 0 and _receipts(result) and len(result) == len(self._several())
                if not fine:
                    place = f"{fault.name} at request {world.wire.hit + 1}"
                    broken.append(f"{place}: {name_of(result)}, {made} reports")
        demand_none(broken, "a group was taken in part")


def _receipts(result: object) -> TypeGuard[Sequence[Receipt]]:
    return isinstance(result, list | tuple) and all(map(known, result))


def _told(world: World, result: object) -> str | None:
    """All the partner was told; None where that is not known."""
    if isinstance(result, PersonNeeded):
        return result.packet
    if world.partner.told is not None:
        return world.partner.told()
    if world.partner.transport is None:
        return None
    sent = [f"{r.url} {r.content.decode('utf-8', 'replace')}" for r in world.wire.requests]
    return "\n".join([*sent, *map(unquote_plus, sent)])


def _same(found: object, receipt: object) -> bool:
    return known(found) and known(receipt) and found.reference == receipt.reference
