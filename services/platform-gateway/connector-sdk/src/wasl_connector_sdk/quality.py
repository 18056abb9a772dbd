# SPDX-License-Identifier: Apache-2.0
"""The quality scale: what a connector claims in ``quality/<name>.toml``, held against the code.

A rule is ``done``, ``todo`` or ``exempt`` with a comment. What is ``done`` and not met is an error;
what is met and still ``todo`` is told. A rule that cannot be checked says why.
"""

import ast
import importlib
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from wasl_connector_sdk.contract import (
    AnyConnector,
    Connector,
    ConnectorConfig,
    Idempotency,
    SupportsCallbacks,
    SupportsInbox,
    SupportsLookup,
    SupportsPolling,
    SupportsWithdrawal,
)
from wasl_connector_sdk.layout import Layout

BEGIN, END = "<!-- quality:begin -->", "<!-- quality:end -->"
SECTIONS = ("Account", "What is sent", "Answers", "Limits")
FRESH = timedelta(days=90)
TIERS = ("bronze", "silver", "gold")
_STATUSES = ("done", "todo", "exempt")


class QualityError(Exception):
    """The command itself cannot do its work: which file, and what to change."""


@dataclass(frozen=True, slots=True)
class Entry:
    status: str
    comment: str = ""
    recorded: date | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A connector and where its parts are. ``value``: its entry point, ``module:Class``."""

    name: str
    value: str
    kind: type[AnyConnector]
    layout: Layout

    @property
    def home(self) -> str:
        """The module or package that is this connector's own."""
        module = self.value.partition(":")[0]
        depth = 1 if self.layout.external else self.layout.module("x").count(".") + 1
        return ".".join(module.split(".")[:depth])

    def sources(self) -> list[Path]:
        place = self.layout.src.joinpath(*self.home.split("."))
        return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]

    def tests(self, *, conformance: bool) -> Iterator[ast.Module]:
        """Test modules that import the connector."""
        for path in sorted(self.layout.tests.rglob("test_*.py")):
            if path.stem.endswith("_conformance") == conformance:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                if any(n == self.home or n.startswith(f"{self.home}.") for n in _imports(tree)):
                    yield tree

    def page(self) -> str | None:
        """The text the manifest's ``docs`` lead to; None where there is none."""
        where, _, anchor = self.kind.manifest.docs.partition("#")
        path = self.layout.root / where
        if not path.is_file():
            return None
        text = path.read_text(encoding="utf-8")
        return section(text, anchor) if anchor else text


Validator = Callable[[Subject, Entry, date], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """``check`` says what is missing, "" where nothing is; ``unchecked``: why there is none."""

    name: str
    tier: Literal["bronze", "silver", "gold"]
    demands: str
    check: Validator | None = None
    unchecked: str = ""


@dataclass(slots=True)
class Report:
    """``open``: what each rule that is ``todo`` still lacks."""

    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


# -- what is checked --


def _conformance(subject: Subject, _: Entry, __: date) -> str:
    wanted = subject.value.partition(":")[2]
    for tree in subject.tests(conformance=True):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.bases and _connector_of(node) == wanted:
                return ""
    return f"no test_…_conformance.py has a class with 'connector = {wanted}'"


def _mapping_tests(subject: Subject, _: Entry, __: date) -> str:
    for tree in subject.tests(conformance=False):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                return ""
    return f"no test beside the conformance test imports {subject.home}"


def _owner(subject: Subject, _: Entry, __: date) -> str:
    return "" if subject.kind.manifest.owner.strip() else "Manifest.owner is empty"


def _docs_page(subject: Subject, _: Entry, __: date) -> str:
    return "" if subject.page() else f"nothing is at Manifest.docs, {subject.kind.manifest.docs}"


def _docs_sections(subject: Subject, _: Entry, __: date) -> str:
    page = subject.page() or ""
    missing = [name for name in SECTIONS if not section(page, _slug(name))]
    return f"the page has nothing under {', '.join(missing)}" if missing else ""


def _config_described(subject: Subject, _: Entry, __: date) -> str:
    page = subject.page() or ""
    bare, unnamed = [], []
    for way, name, description in _fields(subject.kind.Config, frozenset()):
        if not (description or "").strip():
            bare.append(way)
        if not re.search(rf"\b{re.escape(name)}\b", page):
            unnamed.append(way)
    said = [f"no description: {', '.join(bare)}"] if bare else []
    said += [f"not on the page: {', '.join(unnamed)}"] if unnamed else []
    return "; ".join(said)


def _answers(subject: Subject, _: Entry, __: date) -> str:
    for ability in (SupportsPolling, SupportsCallbacks, SupportsInbox):
        if issubclass(subject.kind, ability):
            return ""
    return "it has no status(), parse_callback() or collect()"


def _idempotency(subject: Subject, _: Entry, __: date) -> str:
    declared = subject.kind.manifest.idempotency
    if declared is Idempotency.LOOKUP and not issubclass(subject.kind, SupportsLookup):
        return "the manifest declares a lookup and there is no find()"
    return "the manifest declares none" if declared is Idempotency.NONE else ""


def _runbook(subject: Subject, _: Entry, __: date) -> str:
    return "" if section(subject.page() or "", "runbook") else "the page has nothing under Runbook"


def _sandbox(_: Subject, entry: Entry, today: date) -> str:
    if entry.recorded is None:
        return "no 'recorded' date of a run against the partner's own test system"
    if entry.recorded > today:
        return f"recorded in the future, {entry.recorded}"
    old = today - entry.recorded > FRESH
    return f"recorded {entry.recorded}, more than {FRESH.days} days ago" if old else ""


def _withdrawal(subject: Subject, _: Entry, __: date) -> str:
    return "" if issubclass(subject.kind, SupportsWithdrawal) else "it has no withdraw()"


def _typing(subject: Subject, _: Entry, __: date) -> str:
    found = []
    for path in subject.sources():
        lines = io.StringIO(path.read_text(encoding="utf-8")).readline
        for token in tokenize.generate_tokens(lines):
            text = token.string.replace(" ", "")
            if token.type == tokenize.COMMENT and ("type:ignore" in text or "#mypy:" in text):
                found.append(f"{path.name}:{token.start[0]}")
    return f"types are ignored at {', '.join(found)}" if found else ""


RULES = (
    Rule("conformance", "bronze", "the conformance kit runs on it", _conformance),
    Rule("mapping-tests", "bronze", "tests of its own beside the kit's", _mapping_tests),
    Rule("owner", "bronze", "the manifest names who answers for it", _owner),
    Rule("docs-page", "bronze", "the manifest leads to a page that exists", _docs_page),
    Rule("docs-sections", "bronze", f"the page has {', '.join(SECTIONS)}", _docs_sections),
    Rule(
        "config-described",
        "bronze",
        "each config field has a description and is on the page",
        _config_described,
    ),
    Rule("answers", "silver", "what became of a request is asked for or told", _answers),
    Rule("idempotency", "silver", "native key or lookup", _idempotency),
    Rule("runbook", "silver", "the page says under Runbook what to do when it fails", _runbook),
    Rule(
        "sandbox-test",
        "silver",
        f"run against the partner's test system, recorded at most {FRESH.days} days ago",
        _sandbox,
    ),
    Rule("withdrawal", "gold", "a request can be taken back", _withdrawal),
    Rule("strict-typing", "gold", "no ignored types in its modules", _typing),
    Rule(
        "load-figure",
        "gold",
        "requests per second it bears, with the run that measured it",
        unchecked="a figure belongs to a machine and a partner; a reader must judge both",
    ),
    Rule(
        "two-maintainers",
        "gold",
        "two people can repair it",
        unchecked="who can repair code is known to people, not to the code",
    ),
)


# -- files --


def fresh() -> str:
    """A quality file that claims nothing."""
    lines = [
        '# Each rule: "done", "todo", or { status = "exempt", comment = "why" }.',
        '# sandbox-test, when done: { status = "done", recorded = 2026-01-31 }.',
        "# What they demand: docs/writing-a-connector.md. Checked by `make quality`.",
    ]
    for tier in TIERS:
        lines += ["", f"[{tier}]", *(f'{r.name} = "todo"' for r in RULES if r.tier == tier)]
    return "\n".join(lines) + "\n"


def read(text: str) -> tuple[dict[str, Entry], list[str]]:
    """Entries by rule, and what is wrong with the file itself."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        return {}, [f"its quality file cannot be read: {error}"]
    entries: dict[str, Entry] = {}
    wrong = []
    known = {(rule.tier, rule.name) for rule in RULES}
    for tier, listed in document.items():
        for name, value in listed.items() if isinstance(listed, dict) else [("", listed)]:
            if (tier, name) not in known:
                wrong.append(f"{tier}.{name} is no rule")
                continue
            entry = _entry(value)
            if entry is None:
                wrong.append(f"{name}: expected one of {', '.join(_STATUSES)}, or a table with it")
            elif entry.status == "exempt" and not entry.comment.strip():
                wrong.append(f"{name}: exempt needs a comment that says why")
            else:
                entries[name] = entry
    named = {name for listed in document.values() if isinstance(listed, dict) for name in listed}
    wrong += [f"{rule.name} ({rule.tier}) is missing" for rule in RULES if rule.name not in named]
    return entries, wrong


def _entry(value: Any) -> Entry | None:
    table = {"status": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or set(table) - {"status", "comment", "recorded"}:
        return None
    status, comment, recorded = (table.get(k) for k in ("status", "comment", "recorded"))
    # A date-time is a date to isinstance and not to a comparison.
    if status not in _STATUSES or type(recorded) not in (date, type(None)):
        return None
    return Entry(status, comment if isinstance(comment, str) else "", recorded)


# -- the command --


def run(
    layout: Layout, today: date, *, check: bool = False, claim: frozenset[str] = frozenset()
) -> Report:
    """Holds every declared connector to its file; writes new files, claims and the table.

    Writes nothing where there is an error, and with ``check``, where a missing file is one.
    Raises :class:`QualityError` where a claimed connector is not declared.
    """
    report = Report()
    declared = layout.entries()
    if unknown := sorted(claim - set(declared)):
        raise QualityError(f"not declared in {layout.pyproject}: {', '.join(unknown)}")
    rows = []
    written: dict[Path, str] = {}
    for name, value in sorted(declared.items()):
        path = layout.quality(name)
        if not path.exists():
            if check:
                report.errors.append(f"{name}: no {path}; `make quality` writes one")
                continue
            text = written[path] = fresh()
        else:
            text = path.read_text(encoding="utf-8")
        subject = load(name, value, layout, report)
        if subject is None:
            continue
        if name in claim and not check:
            text = written[path] = _claimed(text, subject, today)
        entries, wrong = read(text)
        report.errors += [f"{name}: {text}" for text in wrong]
        judge(subject, entries, today, report)
        rows.append((name, entries))
    listed = sorted(layout.quality("x").parent.glob("*.toml"))
    strays = [path.name for path in listed if path.stem not in declared]
    report.errors += [f"quality/{stray} is about no declared connector" for stray in strays]
    if layout.table is not None:
        page = layout.table.read_text(encoding="utf-8")
        written[layout.table] = _published(layout.table, page, table(rows), report)
        if check and written[layout.table] != page:
            report.errors.append(f"the table in {layout.table} is stale; `make quality` writes it")
    if not (check or report.errors):
        for path, text in written.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return report


def load(name: str, value: str, layout: Layout, report: Report) -> Subject | None:
    """The connector as declared; None, and an error in the report, where it cannot be had."""
    if str(layout.src) not in sys.path:
        sys.path.insert(0, str(layout.src))  # declared, and perhaps not installed yet
    module, _, attribute = value.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # noqa: BLE001  importing code: whatever it raises is the reason
        report.errors.append(f"{name}: {value} cannot be imported: {type(error).__name__}: {error}")
        return None
    if not (isinstance(kind, type) and issubclass(kind, Connector)):
        report.errors.append(f"{name}: {value} is no Connector")
        return None
    return Subject(name, value, kind, layout)


def judge(subject: Subject, entries: dict[str, Entry], today: date, report: Report) -> None:
    """Lies are errors, modesty is a note."""
    met = []
    for rule in RULES:
        entry = entries.get(rule.name)
        if entry is None:
            continue
        where = f"{subject.name}: {rule.name}"
        if rule.check is None:
            if entry.status == "todo":
                report.open.append(f"{where}: not checked, {rule.unchecked}")
            continue
        missing = rule.check(subject, entry, today)
        if entry.status == "done" and missing:
            report.errors.append(f"{where} is not done: {missing}")
        elif entry.status == "todo" and missing:
            report.open.append(f"{where}: {missing}")
        elif entry.status == "todo":
            met.append(rule.name)
        elif entry.status == "exempt" and not missing:
            report.notes.append(f"{where} is exempt and met; make it done")
    if met:
        report.notes.append(
            f"{subject.name}: todo and met: {', '.join(met)} (make quality CLAIM={subject.name})"
        )


def table(rows: list[tuple[str, dict[str, Entry]]]) -> str:
    """The connectors on the scale; exempt counts as met."""
    lines = [
        "| connector | reached | bronze | silver | gold | open |",
        "|---|---|---|---|---|---|",
    ]
    for name, entries in rows:
        reached, counts, complete = "–", [], True
        for tier in TIERS:
            rules = [r.name for r in RULES if r.tier == tier]
            met = [r for r in rules if r in entries and entries[r].status != "todo"]
            counts.append(f"{len(met)} of {len(rules)}")
            complete = complete and len(met) == len(rules)
            reached = tier if complete else reached
        still = [r.name for r in RULES if r.name in entries and entries[r.name].status == "todo"]
        lines.append(f"| `{name}` | {reached} | {' | '.join(counts)} | {', '.join(still) or '–'} |")
    return "\n".join(lines) + "\n"


def _published(page: Path, text: str, generated: str, report: Report) -> str:
    """The page with the table in its place."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        report.errors.append(f"{page} needs one line {BEGIN} and after it one {END}")
        return text
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{generated}{END}{rest.split(END)[1]}"


def _claimed(text: str, subject: Subject, today: date) -> str:
    """The quality file with what is met and still 'todo' marked done."""
    entries, _ = read(text)
    for rule in RULES:
        entry = entries.get(rule.name)
        todo = entry is not None and entry.status == "todo"
        if entry and todo and rule.check and not rule.check(subject, entry, today):
            text = text.replace(f'\n{rule.name} = "todo"\n', f'\n{rule.name} = "done"\n')
    return text


# -- reading --


def section(page: str, slug: str) -> str:
    """What is under the heading of that anchor, down to the next of its level; "" for nothing."""
    found, level, fenced = [], 0, False
    for line in page.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) +(.+)", line)
        if level and heading and len(heading[1]) <= level:
            break
        if level:
            found.append(line)
        elif heading and _slug(heading[2]) == slug:
            level = len(heading[1])
    return "\n".join(found).strip()


def _slug(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.strip().lower().replace(" ", "-"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _connector_of(node: ast.ClassDef) -> str:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and "connector" in map(ast.unparse, statement.targets):
            return ast.unparse(statement.value).rpartition(".")[2]
    return ""


def _fields(
    model: type[BaseModel], seen: frozenset[type], path: str = ""
) -> Iterator[tuple[str, str, str | None]]:
    """Way, name and description of each field that is not every connector's."""
    for name, info in model.model_fields.items():
        if name in ConnectorConfig.model_fields and issubclass(model, ConnectorConfig):
            continue
        yield path + name, name, info.description
        for kind in _types(info.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
                yield from _fields(kind, seen | {kind}, f"{path}{name}.")


def _types(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for kind in inner:
        yield from _types(kind)
