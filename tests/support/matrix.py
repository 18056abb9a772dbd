# SPDX-License-Identifier: Apache-2.0
"""Who gets an answer where: every route of the desk, the permission it takes, the roles that have it.

Routes come from the composition root, grants from the domain; only what an API route takes is
written down here, and tests/unit/triage/test_authorisation.py calls each route to see that it is so.
``python tests/support/matrix.py --write`` renews the tables of docs/architecture/desk.md; ``--check``
says whether they are of today.
"""

import base64
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route as Plain
from wasl_triage import bootstrap
from wasl_triage.console.site import Route, Site
from wasl_triage.domain.people import GRANTS, Permission, Role
from wasl_triage.settings import TriageSettings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture" / "desk.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
#: The description of the API, which takes a token and no permission.
DESCRIPTION = "GET /api/v1/openapi.json"

P = Permission
_CASE = "/api/v1/cases/{case_id}"
#: What each route of the API takes: one of these. After "?", what makes it another route.
API: Mapping[str, tuple[Permission, ...]] = {
    "GET /api/v1/queue": (P.QUEUE,),
    "GET /api/v1/categories/{category}/questions": (P.QUEUE,),
    f"GET {_CASE}": (P.READ,),
    f"GET {_CASE}?unredacted=true": (P.UNMASK,),
    f"GET {_CASE}/audit": (P.AUDIT,),
    f"POST {_CASE}/claim": (P.CLAIM,),
    f"POST {_CASE}/release": (P.CLAIM,),
    f"POST {_CASE}/assessment": (P.ASSESS,),
    f"POST {_CASE}/decision": (P.DECIDE,),
    f"POST {_CASE}/confirmation": (P.SECOND_LOOK,),
    f"POST {_CASE}/dispatches/{{dispatch_id}}/amendment": (P.AMEND,),
    f"POST {_CASE}/messages": (P.WRITE,),
    f"POST {_CASE}/reopening": (P.REOPEN,),
    f"GET {_CASE}/group": (P.READ,),
    f"POST {_CASE}/merge": (P.MERGE,),
    f"POST {_CASE}/parting": (P.MERGE,),
    f"POST {_CASE}/group/assessment": (P.ASSESS,),
    f"POST {_CASE}/group/decision": (P.DECIDE,),
    f"POST {_CASE}/split": (P.MERGE,),
    "POST /api/v1/operations/{operation_id}/undo": (P.MERGE,),
    f"GET {_CASE}/timeline": (P.READ,),
    f"POST {_CASE}/owner": (P.CLAIM, P.SUPERVISE),
    f"POST {_CASE}/plan": (P.CLAIM,),
    f"POST {_CASE}/notes": (P.NOTE,),
    f"POST {_CASE}/skip": (P.CLAIM,),
    f"POST {_CASE}/move": (P.CLAIM, P.SUPERVISE),
    "GET /api/v1/skips": (P.WORKLOAD,),
    "GET /api/v1/appeals": (P.APPEAL,),
    f"GET {_CASE}/appeals": (P.READ,),
    f"POST {_CASE}/appeals": (P.APPEAL,),
    f"POST {_CASE}/appeals/{{appeal_id}}/answer": (P.APPEAL,),
    "GET /api/v1/opinions": (P.GIVE_OPINION,),
    "GET /api/v1/opinions/{opinion_id}": (P.GIVE_OPINION,),
    "POST /api/v1/opinions/{opinion_id}/answer": (P.GIVE_OPINION,),
    f"GET {_CASE}/opinions": (P.READ,),
    f"POST {_CASE}/opinions": (P.ASK_OPINION,),
    f"POST {_CASE}/opinions/{{opinion_id}}/answer": (P.ASK_OPINION,),
    "POST /api/v1/bulk/preview": (P.BULK,),
    "POST /api/v1/bulk": (P.BULK,),
    f"GET {_CASE}/holds": (P.PROTECT,),
    f"POST {_CASE}/holds": (P.PROTECT,),
    "POST /api/v1/holds/{hold_id}/lifting": (P.PROTECT,),
    "DELETE /api/v1/holds/{hold_id}/lifting": (P.PROTECT,),
    f"POST {_CASE}/redaction": (P.PROTECT,),
    "GET /api/v1/subject-requests": (P.SUBJECT_REQUESTS,),
    "POST /api/v1/subject-requests": (P.SUBJECT_REQUESTS,),
    "GET /api/v1/subject-requests/figures": (P.FIGURES,),
    "GET /api/v1/subject-requests/{request_id}": (P.SUBJECT_REQUESTS,),
    "POST /api/v1/subject-requests/{request_id}/steps": (P.SUBJECT_REQUESTS,),
    "GET /api/v1/agreement": (P.FIGURES,),
    "GET /api/v1/agreement?own=true": (P.SECOND_LOOK,),
    f"POST {_CASE}/golden": (P.GOLDEN,),
    "POST /api/v1/golden/{golden_id}/retirement": (P.GOLDEN,),
    "GET /api/v1/golden": (P.ASSESS,),
    "GET /api/v1/golden/{golden_id}": (P.ASSESS,),
    "POST /api/v1/golden/{golden_id}/answer": (P.ASSESS,),
    "GET /api/v1/figures/golden": (P.FIGURES,),
    "GET /api/v1/figures/golden?own=true": (P.ASSESS,),
    "GET /api/v1/reviews": (P.REVIEW,),
    "GET /api/v1/reviews/{review_id}": (P.REVIEW,),
    "POST /api/v1/reviews/{review_id}/answer": (P.REVIEW,),
    "GET /api/v1/figures/reviews": (P.FIGURES,),
}


@dataclass(frozen=True)
class Routes:
    """Every route of one application: the API's as "METHOD /path", the pages' as their table."""

    api: frozenset[str]
    pages: tuple[Route, ...]
    #: Of no table: nothing may be here but the API's description.
    other: frozenset[str]


def routes_of(app: FastAPI, site: Site) -> Routes:
    """What ``app`` answers to. HEAD goes with GET."""
    known = {f"{r.method} {r.path}" for r in site.table}
    api, other = set(), set()
    for route in app.routes:
        if not isinstance(route, Plain):
            other.add(repr(route))
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):
            word = f"{method} {route.path}"
            if isinstance(route, APIRoute) and route.include_in_schema:
                api.add(word)
            elif word not in known:
                other.add(word)
    return Routes(frozenset(api), tuple(site.table), frozenset(other))


def opens(needs: Iterable[Permission]) -> frozenset[Role]:
    """The roles that have one of these permissions."""
    return frozenset(r for r in Role if GRANTS[r] & frozenset(needs))


def composed() -> Routes:
    """The routes of the service as it is really put together; nothing is connected to."""
    key = base64.b64encode(bytes(32)).decode()
    staff = json.dumps([{"name": "one", "sha256": "0" * 64, "roles": ["observer"]}])
    values: dict[str, Any] = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "MONGODB_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=10",
        "master_key": key,
        "pepper": key,
        "country_pack": ROOT / "deploy" / "country-packs" / "ma",
        "triage_staff": staff,
    }
    settings = TriageSettings(**values)
    sites: list[Site] = []
    plain = Site.register

    def register(self: Site, app: FastAPI) -> None:
        sites.append(self)
        plain(self, app)

    Site.register = register  # type: ignore[method-assign]
    try:
        service = bootstrap.build(settings)
    finally:
        Site.register = plain  # type: ignore[method-assign]
    ((_, app, *_),) = service._apps
    (site,) = sites
    return routes_of(app, site)


# -- the tables ------------------------------------------------------------------------------------

_SHORT = {
    Role.ANALYST: "analyst", Role.LEGAL_REVIEWER: "legal", Role.SUPERVISOR: "superv.",
    Role.COUNSELLOR: "couns.", Role.DATA_OFFICER: "data off.", Role.INDEPENDENT_REVIEWER: "indep.",
    Role.AUDITOR: "auditor", Role.RULES_MANAGER: "rules", Role.ADMINISTRATOR: "admin",
    Role.OBSERVER: "observer", Role.CHILD_SAFETY: "child saf.",
}  # fmt: skip


def tables(routes: Routes) -> str:
    """Permission x role, and which routes take which permission, in Markdown."""
    return "\n".join([*_grants(), "", *_taken(routes)])


def _grants() -> Iterator[str]:
    yield f"| permission | {' | '.join(_SHORT[r] for r in Role)} |"
    yield f"|---|{'---|' * len(Role)}"
    for permission in Permission:
        ticks = " | ".join("●" if permission in GRANTS[r] else "" for r in Role)
        yield f"| `{permission}` | {ticks} |"


def _taken(routes: Routes) -> Iterator[str]:
    rows: dict[tuple[str, ...], tuple[list[str], list[str]]] = {
        **{(p.value,): ([], []) for p in Permission},
        ("a session, or a token",): ([DESCRIPTION.replace("/api/v1/", "")], []),
        ("nothing",): ([], []),
    }
    for word, needs in API.items():
        key = tuple(p.value for p in needs)
        rows.setdefault(key, ([], []))[0].append(word.replace("/api/v1/", ""))
    for word, one, is_open in pages(routes):
        key = ("nothing",) if is_open else (one.value,) if one else ("a session, or a token",)
        rows[key][1].append(word)
    yield "| takes | API, below `/api/v1/` | pages, below `/<language>/` |"
    yield "|---|---|---|"
    for taken, (api, shown) in rows.items():
        if not api and not shown:  # asked within a route: the legal signature
            continue
        yield f"| {' or '.join(taken)} | {_listed(api)} | {_listed(shown)} |"


def pages(routes: Routes) -> list[tuple[str, Permission | None, bool]]:
    """Each page once, without its language: "GET queue"."""
    languages = {r.path.split("/")[1] for r in routes.pages if r.path.count("/") > 1} - {"static"}
    out: dict[tuple[str, Permission | None, bool], None] = {}
    for r in routes.pages:
        first, _, rest = r.path.removeprefix("/").partition("/")
        path = rest if first in languages else "/static/…" if first == "static" else "/"
        out[f"{r.method} {path or '(home)'}", r.needs, r.open_to_all] = None
    return list(out)


def _listed(words: Iterable[str]) -> str:
    """Methods of one path together: ``GET, POST bulk``."""
    methods: dict[str, list[str]] = {}
    for word in words:
        method, _, path = word.partition(" ")
        methods.setdefault(path, []).append(method)
    return " · ".join(f"{', '.join(m)} `{path}`" for path, m in methods.items())


def renewed(page: str, routes: Routes) -> str:
    """The page with its tables as they are today."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no lines '{BEGIN}' and '{END}' for the tables")
    return f"{before}{BEGIN}\n{tables(routes)}\n{END}{after}"


def main(argument: str) -> int:
    page = PAGE.read_text(encoding="utf-8")
    fresh = renewed(page, composed())
    if argument == "--write":
        PAGE.write_text(fresh, encoding="utf-8")
        return 0
    if argument == "--check":
        if fresh != page:
            print(f"{PAGE} is stale: run python tests/support/matrix.py --write")
        return int(fresh != page)
    print("usage: matrix.py --write | --check")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
