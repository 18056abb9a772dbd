# SPDX-License-Identifier: Apache-2.0
"""Posters, schools and sites that link here: a short address each, counted, and its QR code.

``/c/<id>`` leads to the portal. Kept of a visit: one more on the campaign's counter and, sealed in
the visitor's own browser, the campaign's id, so that a report that follows is counted too. Ids come
from the country pack; any other counts as ``other``.
"""

import io

import segno
from fastapi import FastAPI, Request, Response
from wasl_chassis.metrics import Metrics
from wasl_schemas.country_pack import OTHER_CAMPAIGN

from wasl_intake import metrics as measure
from wasl_intake.portal.site import Page, Site

#: Pixels, or units of an SVG, of one module. A quiet zone of four modules is the standard's.
_SCALE, _QUIET = 8, 4
_CACHED = {"cache-control": "public, max-age=86400"}


def qr(address: str) -> segno.QRCode:
    """Error correction M: readable with a seventh of a poster torn off or stained."""
    return segno.make(address, error="m", micro=False, boost_error=False)


class CampaignPages:
    def __init__(self, site: Site, metrics: Metrics) -> None:
        self._site, self._metrics = site, metrics
        self._campaigns = {c.id: c for c in site.words.pack.portal.campaigns}
        self._files: dict[str, tuple[bytes, str]] = {}
        for campaign in self._campaigns if site.addresses.public else ():
            code = qr(self._address(campaign))
            for kind, media_type in (("svg", "image/svg+xml"), ("png", "image/png")):
                out = io.BytesIO()
                code.save(out, kind=kind, scale=_SCALE, border=_QUIET, light="white")
                self._files[f"/c/{campaign}.{kind}"] = (out.getvalue(), media_type)

    def _address(self, campaign: str) -> str:
        return f"{self._site.addresses.public}/c/{campaign}"

    def register(self, app: FastAPI) -> None:
        routes = [*((path, self.image) for path in self._files), ("/c/{campaign}", self.visit)]
        for path, endpoint in routes:
            app.add_api_route(
                path,
                endpoint,
                methods=["GET", "HEAD"],
                include_in_schema=False,
                response_model=None,
            )
        self._site.add(app, "link", get=self.link)

    async def visit(self, request: Request) -> Response:
        campaign = request.path_params["campaign"]
        known = campaign in self._campaigns
        if request.method == "GET":
            measure.record_visit(self._metrics, campaign if known else OTHER_CAMPAIGN)
        lang = self._site.language_of(request)
        page = Page(self._site, request, lang, self._site.state(request))
        response = page.go("")
        if known and request.method == "GET":
            page.state.put("source", {"campaign": campaign})
            self._site.keep(page, response)
        return response

    async def image(self, request: Request) -> Response:
        content, media_type = self._files[request.url.path]
        return Response(content, headers=_CACHED, media_type=media_type)

    async def link(self, page: Page) -> Response:
        """For those who want to point here: the line to copy and the codes to print."""
        campaigns = [
            (c.id, page.words.label(page.lang, c.title), self._address(c.id))
            for c in self._campaigns.values()
        ]
        return page.show("info/link.html", campaigns=campaigns if self._files else [])


def count_report(page: Page, metrics: Metrics) -> None:
    """A report was accepted: count it for the campaign its sender came by, once."""
    campaign = page.state.get("source").get("campaign")
    if campaign in {c.id for c in page.pack.portal.campaigns}:
        measure.record_campaign_report(metrics, campaign)
    page.state.drop("source")
