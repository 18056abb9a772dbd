# SPDX-License-Identifier: Apache-2.0
"""The rules that are served now: reloaded when the file changes, kept when it is wrong.

A new set replaces the old one whole, between two events. Every set is remembered with who made it
and why before it is served; the same version with other contents is refused, also after a restart.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.country_pack_loader import read_rules
from wasl_schemas.rules import RULES_FILE, Rule, RulesError, RulesFile

from wasl_triage.casework import Hub
from wasl_triage.rules.engine import RuleSet
from wasl_triage.rules.memory import RULESETS, Served, served_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """``refused``: what is wrong with the file on disk; empty while it is the one served."""

    version: int
    digest: str
    rules: int
    refused: tuple[str, ...]


class RuleBook:
    """Build it with the pack that was read at start; call :meth:`watch` every few seconds.

    ``path``: the pack's rules.toml, which need not exist. Raises RulesError where the pack's own
    rules cannot be compiled.
    """

    def __init__(self, path: Path, pack: CountryPack, hub: Hub) -> None:
        self._path, self._pack, self._hub = path, pack, hub
        #: Take it once for an event: a reload in between changes nothing for that event.
        self.rules = RuleSet.compile(pack)
        #: The digest of the file that was looked at last, in a tuple; None: none was yet.
        self._judged: tuple[str | None] | None = None
        self._kept = False
        self._refused: tuple[str, ...] = ()

    def status(self) -> Status:
        now = self.rules
        return Status(now.version, now.digest, len(now.rules), self._refused)

    async def watch(self) -> None:
        """Look at the file; read, check and serve it where it changed. Raises Retryable where the
        database is away; then the old set is served and the next turn tries again.
        """
        text = self._read()
        digest = (None if text is None else hashlib.sha256(text.encode()).hexdigest(),)
        if digest != self._judged:
            await self._judge(text)
            self._judged = digest
        metrics = self._hub.metrics
        metrics.set("wasl_triage_rules_version", self.rules.version)
        metrics.set("wasl_triage_rules_refused", float(bool(self._refused)))

    def _read(self) -> str | None:
        """The file's text; None where there is none. A file that is being replaced may be away."""
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None if self.rules.version == 0 else ""
        except (OSError, ValueError):
            return ""

    async def _judge(self, text: str | None) -> None:
        try:
            new = self._compiled(text)
            await self._hub.transact(lambda uow: self._register(uow, new))
        except RulesError as error:
            self._refused = error.problems
            log.error(
                "the rules on disk are refused, the old ones stay",
                extra={"rules": self.rules.version, "problems": list(error.problems)},
            )
            if not self._kept:
                await self._go_back()
        else:
            if new.digest != self.rules.digest or self._refused:
                log.info("new rules are served", extra={"rules": new.version})
            self.rules, self._refused, self._kept = new, (), True

    def _compiled(self, text: str | None) -> RuleSet:
        if text is None:
            return RuleSet.compile(self._pack, RulesFile())
        if not text.strip():
            fix = "to have no rules, keep version and history, and add a row that says why"
            raise RulesError([f"{RULES_FILE}: cannot be read or is empty; {fix}"])
        if text == self.rules.file.text:
            return self.rules
        return RuleSet.compile(self._pack, read_rules(text))

    async def _register(self, uow: UnitOfWork, new: RuleSet) -> None:
        """Remember the set. Raises RulesError where its version was served with other contents."""
        if new.version == 0:
            return
        known = await uow.get(RULESETS, served_id(self._pack.info.id, new.version))
        if known is not None:
            if known.digest != new.digest:
                fix = f"raise version to {new.version + 1} and add a [[history]] row with it"
                said = f"version: {new.version} was served with other contents"
                raise RulesError([f"{RULES_FILE}: {said}; {fix}"])
            return
        earlier = await self._latest(below=new.version)
        row = new.file.document.history[-1]
        rules = {r.id: _digest(r) for r in new.rules}
        before = earlier.rules if earlier else {}
        uow.put(
            RULESETS,
            Served(
                pack=self._pack.info.id,
                version=new.version,
                digest=new.digest,
                first_seen=uow.now(),
                by=row.by,
                why=row.why,
                on=row.on,
                rules=rules,
                added=tuple(r for r in rules if r not in before),
                changed=tuple(r for r in rules if r in before and rules[r] != before[r]),
                removed=tuple(r for r in before if r not in rules),
                text=new.file.text,
            ),
        )

    async def _latest(self, *, below: int) -> Served | None:
        where = {"pack": self._pack.info.id, "version": {"$lt": below}}
        docs = await self._hub.store.find(RULESETS, where, sort=(("version", -1),), limit=1)
        return RULESETS.decode(docs[0]) if docs else None

    async def _go_back(self) -> None:
        """At start there is no old set in memory: the last one the database remembers is served,
        and none where it no longer fits the pack.
        """
        last = await self._latest(below=2**31)
        try:
            kept = RuleSet.compile(self._pack, read_rules(last.text) if last else RulesFile())
        except RulesError as error:
            kept = RuleSet.compile(self._pack, RulesFile())
            log.error(
                "the rules served before do not fit the pack, none are served",
                extra={"problems": list(error.problems)},
            )
        self.rules, self._kept = kept, True


def _digest(rule: Rule) -> str:
    told = json.dumps(rule.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
