# SPDX-License-Identifier: Apache-2.0
"""A campaign's address leads in, is counted, and leaves nothing else; its code says the same."""

import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import segno
from pages import Person
from wasl_chassis.headers import Addresses
from wasl_intake import bootstrap
from wasl_intake.handlers import IntakeHandlers
from wasl_schemas.country_pack import load_country_pack

MOROCCO = load_country_pack(Path(__file__).parents[3] / "deploy" / "country-packs" / "ma")
PEPPER = b"p" * 32
PUBLIC = "https://hub.test"
CODES = [(c.id, kind) for c in MOROCCO.portal.campaigns for kind in ("svg", "png")]


@pytest.fixture
async def morocco(hub: Any, portal: Any) -> Any:
    handlers = IntakeHandlers(hub, MOROCCO, pepper=PEPPER)
    app = bootstrap.compose(
        handlers,
        MOROCCO,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        clock=hub.clock,
        addresses=Addresses(public=PUBLIC),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC) as client:
        portal.http, portal.handlers = client, handlers
        yield portal


def visits(hub: Any, campaign: str) -> float:
    return float(hub.metrics.value("wasl_intake_visits_total", campaign=campaign))


def reports(hub: Any, campaign: str) -> float:
    return float(hub.metrics.value("wasl_intake_campaign_reports_total", campaign=campaign))


@pytest.mark.parametrize(
    ("reader", "lang"), [("fr-FR,fr;q=0.9", "fr"), ("ary", "ar"), ("", "ar"), ("en", "en")]
)
async def test_a_visit_is_counted_and_goes_on_in_the_readers_language(
    morocco: Any, reader: str, lang: str
) -> None:
    answer = await morocco.http.get("/c/schools", headers={"accept-language": reader})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/{lang}/")
    assert visits(morocco.hub, "schools") == 1
    assert morocco.hub.counts() == {}, "nothing about a visit is stored"
    cookie = answer.headers["set-cookie"]
    assert "schools" not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure"))


async def test_what_nobody_configured_goes_home_and_is_no_label(morocco: Any) -> None:
    for campaign in ("no-such", "OTHER", "%2e%2e", "a" * 500):
        answer = await morocco.http.get(f"/c/{campaign}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/ar/")
        assert "set-cookie" not in answer.headers
    assert visits(morocco.hub, "other") == 4
    assert "no-such" not in morocco.hub.metrics.exposition().decode()


async def test_looking_without_going_is_no_visit(morocco: Any) -> None:
    answer = await morocco.http.head("/c/schools")
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
    assert visits(morocco.hub, "schools") == 0


async def test_the_report_that_follows_is_counted_once(morocco: Any) -> None:
    await morocco.http.get("/c/schools")
    person = Person(morocco, "ar")
    await person.report(group="abuse", category="threats")
    assert person.path == "receipt"
    assert reports(morocco.hub, "schools") == 1
    await person.report(group="abuse", category="threats", narrative="And another one")
    assert person.path == "receipt"
    assert reports(morocco.hub, "schools") == 1
    assert "schools" not in morocco.hub.everything(), "the report does not know where from"


async def test_a_report_without_a_campaign_counts_for_none(morocco: Any) -> None:
    await Person(morocco, "ar").report(group="abuse", category="threats")
    assert [reports(morocco.hub, c) for c in ("schools", "safer-internet-day", "other")] == [0] * 3


async def test_an_hour_later_nobody_remembers(morocco: Any) -> None:
    await morocco.http.get("/c/schools")
    morocco.later(seconds=3601)
    await Person(morocco, "ar").report(group="abuse", category="threats")
    assert reports(morocco.hub, "schools") == 0


# -- codes ---------------------------------------------------------------------------------------


def modules_of_svg(content: bytes) -> list[list[bool]]:
    """The dark modules of segno's SVG: one path of horizontal strokes."""
    root = ET.fromstring(content)
    path = root.find(".//{http://www.w3.org/2000/svg}path[@class='qrline']")
    assert path is not None
    size = int(str(root.get("width"))) // 8
    grid = [[False] * size for _ in range(size)]
    x, y = 0, 0.0
    data = str(path.get("d")).replace("M", " M ").replace("m", " m ").replace("h", " h ").split()
    while data:
        match data.pop(0):
            case "M":
                x, y = int(data.pop(0)), float(data.pop(0))
            case "m":
                x, y = x + int(data.pop(0)), y + float(data.pop(0))
            case "h":
                length = int(data.pop(0))
                grid[int(y)][x : x + length] = [True] * length
                x += length
    return grid


def modules_of_png(content: bytes) -> list[list[bool]]:
    """The dark modules of a PNG of one bit a pixel, read at each module's corner."""
    width, height = struct.unpack(">II", content[16:24])
    assert content[24] == 1
    data, at = b"", 8
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        data += content[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    raw, stride = zlib.decompress(data), (width + 7) // 8 + 1
    rows, above = [], bytes(stride - 1)
    for i in range(height):
        line = raw[i * stride : (i + 1) * stride]
        assert line[0] in (0, 2), "filters None and Up"
        above = bytes((b + a * (line[0] == 2)) % 256 for b, a in zip(line[1:], above, strict=True))
        rows.append(above)
    return [[not row[x // 8] >> (7 - x % 8) & 1 for x in range(0, width, 8)] for row in rows[::8]]


@pytest.mark.parametrize(("campaign", "kind"), CODES)
async def test_the_code_is_that_of_the_address(morocco: Any, campaign: str, kind: str) -> None:
    answer = await morocco.http.get(f"/c/{campaign}.{kind}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=86400"
    assert answer.headers["content-type"] == ("image/svg+xml" if kind == "svg" else "image/png")
    assert "set-cookie" not in answer.headers
    expected = segno.make_qr(f"{PUBLIC}/c/{campaign}", error="m", boost_error=False)
    assert expected.error == "M"
    rows = [[bool(m) for m in row] for row in expected.matrix_iter(border=4)]
    assert (modules_of_svg if kind == "svg" else modules_of_png)(answer.content) == rows
    assert not any(rows[0] + rows[3]), "a quiet zone of four modules"
    assert visits(morocco.hub, campaign) == 0


async def test_the_code_is_light_on_dark_pages_too(morocco: Any) -> None:
    answer = await morocco.http.get("/c/schools.svg")
    assert b'fill="#fff"' in answer.content
