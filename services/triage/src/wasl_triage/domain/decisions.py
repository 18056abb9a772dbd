# SPDX-License-Identifier: Apache-2.0
"""The law of decisions: what must be there before anything leaves the hub.

Pure. :func:`check_decision` lists every element that is missing, each with the field and the fix;
an empty list is the only way through. The pack says which ground, partner, authority and safeguard
belong to a category; what no pack may change is here: a ground for every request and its elements,
two different people where two are asked for, a screen and the mildest measure before speech is
touched, and no way out for what is merely objectionable. An end never needs what a request does.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import MAX_HOPS, CountryPack, PartnerKind, ReferWhen, Route
from wasl_schemas.events.case_updated_v1 import NO_GROUND
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.taxonomy import SPEECH, Category, FourEyes, Safeguard, Signal

from wasl_triage.domain.case import MEASURES, Action, Measure
from wasl_triage.domain.people import Permission, Person

#: Free text of staff; sealed before it is stored.
Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)]

#: Kinds of item that hold many things: a request about one of them is never "a single item".
WHOLE_KINDS = frozenset({"account", "channel", "group", "community", "site", "number", "invite"})
_SCREENED = frozenset({Safeguard.FE2, Safeguard.FE3, Safeguard.FE3_BLOCK})
_ORDER = list(FourEyes)


class CloseReason(StrEnum):
    NO_GROUND = NO_GROUND
    OUT_OF_SCOPE = "out_of_scope"
    NOT_A_REPORT = "not_a_report"
    CONTENT_GONE = "content_gone"
    ADVISED = "advised"


class Screen(Model):
    """The protected-speech questions, every one answered. True: the item may be this."""

    opinion: bool
    satire: bool
    journalism: bool
    research: bool
    religion: bool
    public_interest: bool

    def protected(self) -> list[str]:
        return [name for name, answer in self if answer]


class Rabat(Model):
    """The six-part threshold test of the Rabat Plan of Action (OHCHR, A/HRC/22/17/Add.4, §29), in
    the desk's words, and whether the threshold of incitement is reached.
    """

    context: Words = ""
    speaker: Words = ""
    intent: Words = ""
    #: Content and form of the speech.
    content: Words = ""
    extent: Words = ""
    #: Likelihood, including imminence.
    likelihood: Words = ""
    conclusion: Literal["reached", "not_reached"] | None = None

    def unanswered(self) -> list[str]:
        return [name for name, answer in self if not answer]


class Proposal(Model):
    """What one person wants done with a case."""

    action: Action
    #: Why, in the desk's own words.
    reason: Words = ""
    ground: Ground | None = None
    partners: tuple[Slug, ...] = Field(default=(), max_length=10)
    authorities: tuple[Slug, ...] = Field(default=(), max_length=10)
    #: None: what the pack's route says. A request may ask for less than the route, never for more.
    scope: Literal["country", "global"] | None = None
    target: Literal["item", "account"] = "item"
    measure: Measure | None = None
    #: Why nothing milder would do.
    measure_note: Words = ""
    screen: Screen | None = None
    rabat: Rabat | None = None
    #: Why the item is unlawful although the screen says it may be protected.
    screen_note: Words = ""
    #: Why somebody's missing consent does not count.
    exception: Words = ""
    #: Plain words for the partner; never the reporter's.
    explanation: Words = ""
    advice: Slug | None = None
    close_reason: CloseReason | None = None


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What the law asks of a case. ``category``: the assessment's; None before there is one."""

    category: str | None
    platform: str
    kind: str
    located: bool
    signals: frozenset[Signal]
    reports: int
    consent_partner: int
    consent_authority: int
    legal_review: bool = False
    #: The country the item is hosted in, and the hubs its reports came through.
    hosted: str | None = None
    via: tuple[str, ...] = ()
    #: The assessment's: question → yes, no or unsure.
    answers: Mapping[str, str] = field(default_factory=dict)
    #: Measures partners were asked for without effect.
    tried: frozenset[Measure] = frozenset()


@dataclass(frozen=True, slots=True)
class Missing:
    """One element that stands between the proposal and the act."""

    field: str
    message: str
    fix: str
    #: What stands in the braces of the two sentences.
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def told(self) -> tuple[str, str]:
        """The two sentences, filled."""
        return self.message.format(**self.values), self.fix.format(**self.values)


def one_of(reasons: Iterable[CloseReason]) -> dict[str, str]:
    return {"reasons": ", ".join(reasons)}


def route_for(
    pack: CountryPack,
    category: str,
    platform: str,
    on: date,
    *,
    hosted: str | None = None,
    via: Collection[str] = (),
) -> Route | None:
    """The pack's route; what is on no known service goes the way of an ordinary page.

    No hub of ``via`` is in it, so nothing is ever handed back to where it came from; and no hub at
    all once the chain is as long as the next one would accept.
    """
    service = platform if platform in pack.services else pack.platforms.fallback
    route = pack.route(category, service, hosted=hosted, on=on)
    if route is None or not via:
        return route
    spent = len(via) >= MAX_HOPS
    kept = (
        p for p in route.partners if p.kind is not PartnerKind.HUB or not (spent or p.id in via)
    )
    return replace(route, partners=tuple(kept))


def four_eyes(category: Category, action: Action, *, legal_review: bool = False) -> FourEyes:
    """How many people the act takes. Only what leaves the hub takes two; speech always takes a
    lawyer.
    """
    if action not in (Action.DISPATCH, Action.REFER):
        return FourEyes.NONE
    asked = category.four_eyes
    if category.expression_safeguard in SPEECH or legal_review:
        return stricter(asked, FourEyes.PRE_LEGAL)
    return asked


def check_decision(
    pack: CountryPack,
    case: CaseFacts,
    proposal: Proposal,
    proposer: Person,
    *,
    on: date,
    connectors: Collection[str],
    asked: Collection[str] = (),
) -> list[Missing]:
    """Everything that is missing; empty when the proposal may go on (to the second person, if
    any).

    ``connectors``: those this deployment runs. ``asked``: partners and authorities that this round
    of the case has already been sent to.
    """
    out: list[Missing] = []
    if not proposer.may(Permission.DECIDE):
        out.append(
            Missing(
                "role", "only an analyst or a legal reviewer decides", "Let one of them decide."
            )
        )
    if not proposal.reason:
        out.append(Missing("reason", "is missing", "Say in a sentence why this is decided."))
    match proposal.action:
        case Action.CLOSE | Action.ADVISE:
            out += _check_end(pack, case, proposal)
        case Action.DISPATCH | Action.REFER:
            out += _check_leaving(pack, case, proposal, on=on, connectors=connectors, asked=asked)
    return out


def law_version(pack: CountryPack, ground: Ground | None) -> str:
    """Which text of the law a signature is under: ``pack@version``, and when the law was read."""
    known = pack.laws.get(ground.ref) if ground and ground.kind is GroundKind.LAW else None
    checked = f", checked {known.checked}" if known and known.checked else ""
    return f"{pack.info.id}@{pack.info.version}{checked}"


def stricter(one: FourEyes, other: FourEyes) -> FourEyes:
    """The mode that takes more people, or people earlier."""
    return max(one, other, key=_ORDER.index)


def check_second(
    pack: CountryPack,
    category: str | None,
    asked: FourEyes,
    proposer: Person,
    second: Person,
    *,
    assessor: str | None = None,
    says: bool | None = True,
) -> list[Missing]:
    """What is missing for ``second`` to look at what ``proposer`` wants; names tell them apart.

    ``assessor``: who said what the item is, in a category whose second person judges blind.
    ``says``: anybody but the proposer may say no; only a yes takes the lawyer; None: neither yet.
    """
    out: list[Missing] = []
    if assessor == second.name != proposer.name and says is not False:
        out.append(
            Missing(
                "confirmed_by",
                "is the person who assessed the item",
                "Let somebody look who has not said yet what it is.",
            )
        )
    if proposer.name == second.name:
        out.append(
            Missing(
                "confirmed_by", "is the person who proposed it", "Let another person look at it."
            )
        )
    if not second.may(Permission.SECOND_LOOK):
        out.append(
            Missing(
                "role", "only an analyst or a legal reviewer confirms", "Let one of them confirm."
            )
        )
    known = pack.categories.get(category) if category else None
    speech = known is not None and known.expression_safeguard in SPEECH
    legal = asked is FourEyes.PRE_LEGAL or speech
    lawyer = any(p.may(Permission.SIGN_LEGAL) for p in (proposer, second))
    if legal and not lawyer and says:
        out.append(
            Missing(
                "confirmed_by",
                "neither of the two people is a legal reviewer",
                "Let a legal reviewer confirm.",
            )
        )
    return out


def _check_end(pack: CountryPack, case: CaseFacts, proposal: Proposal) -> list[Missing]:
    out: list[Missing] = []
    if proposal.partners or proposal.authorities or proposal.ground:
        out.append(
            Missing("action", "tells nobody outside", "Name no partner, authority or ground.")
        )
    if proposal.action is Action.ADVISE and proposal.advice is None:
        out.append(Missing("advice", "is missing", "Name an advice card of the country pack."))
    if proposal.action is Action.CLOSE and proposal.close_reason is None:
        out.append(
            Missing("close_reason", "is missing", "Use one of: {reasons}.", one_of(CloseReason))
        )
    return out + _check_advice(pack, case, proposal)


def _check_advice(pack: CountryPack, case: CaseFacts, proposal: Proposal) -> list[Missing]:
    if proposal.advice is None:
        return []
    card = pack.advice_cards.get(proposal.advice)
    fitting = [c.id for c in pack.advice_for(case.category)] if case.category else []
    if card is None or (case.category and card.id not in fitting):
        cards = ", ".join(fitting or pack.advice_cards)
        fix = "Use one of: {cards}." if cards else "There is none; leave it out."
        return [Missing("advice", "is no card for this category", fix, {"cards": cards})]
    return []


def _check_leaving(
    pack: CountryPack,
    case: CaseFacts,
    proposal: Proposal,
    *,
    on: date,
    connectors: Collection[str],
    asked: Collection[str],
) -> list[Missing]:
    if case.category is None:
        return [Missing("assessment", "is missing", "Assess the item first.")]
    category = pack.category(case.category)
    if not category.dispatchable or category.expression_safeguard is Safeguard.FE3_BLOCK:
        return [
            Missing(
                "category",
                "'{category}' is never sent to a partner or an authority",
                "If the item is something else, assess it again as that, with a reason.",
                {"category": category.id},
            )
        ]
    out = _check_ground(pack, proposal, category)
    out += _check_elements(pack, case, proposal, category)
    out += _check_speech(case, proposal, category)
    out += _check_measure(case, proposal, category)
    if category.id in pack.desk.rabat:
        out += _check_rabat(proposal)
    out += _check_advice(pack, case, proposal)
    if proposal.close_reason is not None:
        out.append(Missing("close_reason", "belongs to closing", "Remove it."))
    route = route_for(pack, category.id, case.platform, on, hosted=case.hosted, via=case.via)
    if proposal.action is Action.DISPATCH:
        out += _check_partners(case, proposal, route, connectors, asked)
    else:
        out += _check_authorities(case, proposal, route, asked)
    return out


def _check_ground(pack: CountryPack, proposal: Proposal, category: Category) -> list[Missing]:
    ground = proposal.ground
    fitting = list(pack.grounds_for(category.id))
    if proposal.action is Action.REFER:
        fitting = [g for g in fitting if g.kind is GroundKind.LAW]
    if ground in fitting:
        return []
    known = {"grounds": ", ".join(f"{g.kind} {g.ref}" for g in fitting)}
    fix = "Use one of: {grounds}." if fitting else "The country pack has none for this."
    wrong = "does not exist, is not in force or is not for this category"
    if ground is None:
        wrong = "is missing"
    elif proposal.action is Action.REFER and ground.kind is GroundKind.TERMS:
        wrong = "a partner's terms are no ground for an authority"
    return [Missing("ground", wrong, fix, known)]


def _check_elements(
    pack: CountryPack, case: CaseFacts, proposal: Proposal, category: Category
) -> list[Missing]:
    """The answers without which nothing leaves, and those without which the law does not apply."""
    out = [
        Missing(
            f"answers.{q.id}",
            "is '{answer}', and nothing leaves unless it is '{needed}': {question}",
            "Find out and assess the item again, or close the case.",
            {
                "answer": case.answers.get(q.id, "not answered"),
                "needed": q.needed,
                "question": sentence(pack, q.text),
            },
        )
        for q in pack.desk.questions_for(category.id)
        if q.needed and case.answers.get(q.id) != q.needed
    ]
    ground, said = proposal.ground, {m.field for m in out}
    if ground is None or ground.kind is not GroundKind.LAW:
        return out
    if not pack.ground_fits(ground, category.id):
        return out  # which is said already
    out += [
        Missing(
            f"answers.{element}",
            "is not 'yes', and '{ground}' applies only then: {question}",
            "Cite another ground, or assess the item again.",
            {
                "ground": ground.ref,
                "question": sentence(pack, pack.questions[element].text),
            },
        )
        for element in pack.laws[ground.ref].elements
        if case.answers.get(element) != "yes" and f"answers.{element}" not in said
    ]
    return out


def sentence(pack: CountryPack, words: Mapping[str, str | None]) -> str:
    """The words in English, the language of messages, else in the pack's own."""
    return words.get("en") or words.get(pack.info.default_language) or ""


def _check_measure(case: CaseFacts, proposal: Proposal, category: Category) -> list[Missing]:
    """The least restrictive first, where it is about speech."""
    wanted, safeguard = proposal.measure, category.expression_safeguard
    if proposal.action is not Action.DISPATCH:
        fix = "Remove it; an authority decides itself."
        return [Missing("measure", "belongs to a dispatch", fix)] if wanted else []
    if wanted is None:
        fix = "Use the mildest that is enough: {measures}."
        missing = Missing("measure", "is missing", fix, {"measures": ", ".join(MEASURES)})
        return [missing] if safeguard in _SCREENED else []
    if safeguard not in SPEECH:
        return []
    if wanted is Measure.ACCOUNT_ACTION:
        return [
            Missing(
                "measure",
                "'account_action' is never asked for because of speech",
                "Ask for a measure on the item.",
            )
        ]
    milder = MEASURES[: MEASURES.index(wanted)]
    if milder and not case.tried.intersection(milder) and not proposal.measure_note:
        return [
            Missing(
                "measure_note",
                "is missing, and nothing milder than '{measure}' was asked for in vain",
                "Ask for one of: {measures}; or say why it would not do.",
                {"measure": wanted.value, "measures": ", ".join(milder)},
            )
        ]
    return []


def _check_rabat(proposal: Proposal) -> list[Missing]:
    if proposal.rabat is None:
        return [Missing("rabat", "the six-part test is missing", "Answer its six parts.")]
    out = [
        Missing(f"rabat.{part}", "is missing", "Answer it in a sentence.")
        for part in proposal.rabat.unanswered()
    ]
    ground = proposal.ground
    on_law = proposal.action is Action.REFER or (ground and ground.kind is GroundKind.LAW)
    if on_law and proposal.rabat.conclusion == "not_reached":
        out.append(
            Missing(
                "rabat.conclusion",
                "is that the threshold is not reached, so no law of incitement applies",
                "Cite the partner's own rules, or close the case.",
            )
        )
    return out


def _check_speech(case: CaseFacts, proposal: Proposal, category: Category) -> list[Missing]:
    out: list[Missing] = []
    safeguard = category.expression_safeguard
    if safeguard in _SCREENED:
        if proposal.screen is None:
            out.append(
                Missing(
                    "screen", "the protected-speech screen is missing", "Answer all its questions."
                )
            )
        elif (protected := proposal.screen.protected()) and not proposal.screen_note:
            out.append(
                Missing(
                    "screen_note",
                    "the screen says this may be protected: {screen}",
                    "Say why it is unlawful all the same, or close the case.",
                    {"screen": ", ".join(protected)},
                )
            )
    if safeguard in SPEECH:
        if proposal.target != "item":
            out.append(
                Missing("target", "speech is asked about item by item", "Set target to 'item'.")
            )
        if case.kind in WHOLE_KINDS:
            out.append(
                Missing(
                    "item",
                    "is a whole {kind}; speech is asked about item by item",
                    "Ask the reporter for the exact items.",
                    {"kind": case.kind},
                )
            )
    return out


def _check_partners(
    case: CaseFacts,
    proposal: Proposal,
    route: Route | None,
    connectors: Collection[str],
    asked: Collection[str],
) -> list[Missing]:
    out: list[Missing] = []
    if proposal.authorities:
        out.append(
            Missing("authorities", "belong to a referral", "Make a second decision, 'refer'.")
        )
    if not case.located:
        out.append(
            Missing(
                "item", "names nothing a partner could find", "Ask the reporter for an address."
            )
        )
    routed = {p.id: p for p in route.partners} if route else {}
    possible = [
        p for p, known in routed.items() if known.connector in connectors and p not in asked
    ]
    fix = "Use one or more of: {partners}." if possible else "None is left for this item."
    left = {"partners": ", ".join(possible)}
    if not proposal.partners:
        out.append(Missing("partners", "is missing", fix, left))
    if len(set(proposal.partners)) != len(proposal.partners):
        out.append(Missing("partners", "names one twice", "Name each partner once."))
    for partner in proposal.partners:
        wrong = None
        if partner in case.via:
            wrong = "'{partner}' is a hub this came through"
        elif partner not in routed:
            wrong = "'{partner}' takes no such requests from us"
        elif routed[partner].connector not in connectors:
            wrong = "the connector of '{partner}' does not run here"
        elif partner in asked:
            wrong = "'{partner}' was asked already"
        if wrong is not None:
            out.append(Missing("partners", wrong, fix, {**left, "partner": partner}))
    if route is not None and proposal.scope == "global" and route.scope != "global":
        out.append(
            Missing(
                "scope", "the law behind this holds in the country only", "Set scope to 'country'."
            )
        )
    if case.reports and not case.consent_partner and not proposal.exception:
        out.append(
            Missing(
                "exception",
                "no reporter agreed that a partner is told",
                "Ask the reporter, or say why it cannot wait.",
            )
        )
    return out


def _check_authorities(
    case: CaseFacts, proposal: Proposal, route: Route | None, asked: Collection[str]
) -> list[Missing]:
    out: list[Missing] = []
    if proposal.partners:
        out.append(
            Missing("partners", "belong to a dispatch", "Make a second decision, 'dispatch'.")
        )
    routed = {a.id: when for a, when in route.authorities} if route else {}
    possible = [a for a in routed if a not in asked]
    fix = "Use one or more of: {authorities}." if possible else "None is left for this category."
    left = {"authorities": ", ".join(possible)}
    if not proposal.authorities:
        out.append(Missing("authorities", "is missing", fix, left))
    if len(set(proposal.authorities)) != len(proposal.authorities):
        out.append(Missing("authorities", "names one twice", "Name each authority once."))
    for authority in proposal.authorities:
        when = routed.get(authority)
        if when is None:
            out.append(
                Missing(
                    "authorities",
                    "'{authority}' is not told about this category",
                    fix,
                    {**left, "authority": authority},
                )
            )
        elif authority in asked:
            known = {**left, "authority": authority}
            out.append(Missing("authorities", "'{authority}' was told already", fix, known))
        elif not _may_refer(case, proposal, when):
            out.append(
                Missing(
                    "exception",
                    "'{authority}' is told only {when}, which is not the case",
                    "Ask the reporter, or, in danger, say why it cannot wait.",
                    {"authority": authority, "when": when.value},
                )
            )
    return out


def _may_refer(case: CaseFacts, proposal: Proposal, when: ReferWhen) -> bool:
    """Danger, with a reason, outweighs a missing consent (and a second person will look at it)."""
    danger = Signal.IMMEDIATE_DANGER in case.signals
    if danger and proposal.exception:
        return True
    child = Signal.MINOR_VICTIM in case.signals or Signal.UNDER_13 in case.signals
    match when:
        case ReferWhen.ALWAYS | ReferWhen.ON_LEGAL_GROUND:
            return True  # a referral has a law for its ground, or it is stopped for that
        case ReferWhen.ON_CONSENT:
            return case.consent_authority > 0
        case ReferWhen.ON_CONSENT_OR_CHILD_AT_RISK:
            return case.consent_authority > 0 or child
        case ReferWhen.ON_DANGER:
            return danger
