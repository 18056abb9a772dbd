# SPDX-License-Identifier: Apache-2.0
"""Who may do what at the desk: roles, permissions, queues, and the clearance for child safety.

The whole of it is here. A route names one permission, a use case asks :class:`Person`, and
docs/architecture/desk.md's matrix is generated from :data:`GRANTS`. What belongs to a child's
safety follows the case, never the queue it happens to lie in.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field
from wasl_schemas.base import Model, Slug


class Permission(StrEnum):
    """One thing a person may be allowed to do. Whoever is signed in may keep their own settings."""

    QUEUE = "queue"
    #: Open a case with personal data blacked out.
    READ = "read"
    #: See one field as it was written, for this look only.
    UNMASK = "unmask"
    SEARCH = "search"
    CLAIM = "claim"
    ASSESS = "assess"
    DECIDE = "decide"
    SECOND_LOOK = "second_look"
    #: The legal signature that speech and held cases take.
    SIGN_LEGAL = "sign_legal"
    AMEND = "amend"
    WRITE = "write"
    NOTE = "note"
    REOPEN = "reopen"
    MERGE = "merge"
    APPEAL = "appeal"
    ASK_OPINION = "ask_opinion"
    GIVE_OPINION = "give_opinion"
    BULK = "bulk"
    #: Take a case from whoever holds it, move it to another queue.
    SUPERVISE = "supervise"
    GOLDEN = "golden"
    #: The independent reviewer's sample.
    REVIEW = "review"
    HELPLINE = "helpline"
    #: Enter a report for somebody who calls.
    INTAKE = "intake"
    #: Counters of other people's exposure, never their judgements.
    WORKLOAD = "workload"
    RULES = "rules"
    AUDIT = "audit"
    #: Set a legal hold, ask for one to be lifted, redact for good, run retention.
    PROTECT = "protect"
    #: Register and answer requests of data subjects.
    SUBJECT_REQUESTS = "subject_requests"
    PEOPLE = "people"
    #: Aggregates that name nobody and no case.
    FIGURES = "figures"


class Role(StrEnum):
    ANALYST = "analyst"
    LEGAL_REVIEWER = "legal_reviewer"
    SUPERVISOR = "supervisor"
    COUNSELLOR = "counsellor"
    #: Officer of the data-protection authority, or the hub's own.
    DATA_OFFICER = "data_officer"
    INDEPENDENT_REVIEWER = "independent_reviewer"
    AUDITOR = "auditor"
    RULES_MANAGER = "rules_manager"
    ADMINISTRATOR = "administrator"
    #: Ministry, donors, researchers: figures only.
    OBSERVER = "observer"
    #: Clearance, held beside another role: cases of child safety are visible.
    CHILD_SAFETY = "child_safety"


P = Permission
_DESK = frozenset({P.QUEUE, P.READ, P.SEARCH, P.CLAIM, P.NOTE, P.ASK_OPINION, P.FIGURES})
_JUDGE = _DESK | {
    P.UNMASK, P.ASSESS, P.DECIDE, P.SECOND_LOOK, P.AMEND, P.WRITE, P.REOPEN, P.MERGE, P.APPEAL,
    P.GIVE_OPINION,
}  # fmt: skip

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.ANALYST: _JUDGE,
    Role.LEGAL_REVIEWER: _JUDGE | {P.SIGN_LEGAL},
    Role.SUPERVISOR: _DESK
    | {
        P.REOPEN,
        P.MERGE,
        P.BULK,
        P.SUPERVISE,
        P.GOLDEN,
        P.WORKLOAD,
        P.RULES,
        P.AUDIT,
        P.WRITE,
        P.PROTECT,
    },
    Role.COUNSELLOR: frozenset({P.HELPLINE, P.INTAKE, P.FIGURES}),
    Role.DATA_OFFICER: _JUDGE | {P.PROTECT, P.SUBJECT_REQUESTS},
    Role.INDEPENDENT_REVIEWER: frozenset({P.REVIEW, P.FIGURES}),
    Role.AUDITOR: frozenset({P.AUDIT, P.RULES, P.FIGURES}),
    Role.RULES_MANAGER: frozenset({P.RULES, P.FIGURES}),
    Role.ADMINISTRATOR: frozenset({P.PEOPLE, P.AUDIT}),
    Role.OBSERVER: frozenset({P.FIGURES}),
    Role.CHILD_SAFETY: frozenset(),
}

#: "*" stands for every queue of the country pack.
EVERY_QUEUE: Literal["*"] = "*"


class Person(Model):
    """Somebody who acts. ``name`` is the desk's name for them, as audited."""

    name: Slug
    roles: frozenset[Role]
    #: The queues whose cases they see.
    queues: frozenset[Slug | Literal["*"]] = Field(default=frozenset({EVERY_QUEUE}))
    #: A script with a token: what it reads harms nobody and is not counted.
    machine: bool = False

    def may(self, permission: Permission) -> bool:
        return any(permission in GRANTS[role] for role in self.roles)

    @property
    def cleared(self) -> bool:
        """Sees cases of child safety."""
        return Role.CHILD_SAFETY in self.roles

    def sees(self, queue: str, *, restricted: bool) -> bool:
        """Whether a case is visible at all: its queue is theirs, and they are cleared for it."""
        mine = EVERY_QUEUE in self.queues or queue in self.queues
        return mine and (self.cleared or not restricted)
