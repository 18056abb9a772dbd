# SPDX-License-Identifier: Apache-2.0
"""The pages of the portal, put together."""

from collections.abc import Callable

from fastapi import FastAPI
from wasl_chassis.metrics import Metrics

from wasl_intake.feedback import FeedbackBox
from wasl_intake.gate import Gate
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.portal.campaigns import CampaignPages
from wasl_intake.portal.chat import ChatPages
from wasl_intake.portal.feedback import FeedbackPages
from wasl_intake.portal.follow import FollowPages
from wasl_intake.portal.info import InfoPages
from wasl_intake.portal.report import ReportPages
from wasl_intake.portal.site import Site


def portal(
    site: Site, handlers: IntakeHandlers, metrics: Metrics, gate: Gate, feedback: FeedbackBox
) -> Callable[[FastAPI], None]:
    """What adds every page to an application."""
    areas = (
        ReportPages(site, handlers, metrics, gate),
        FollowPages(site, handlers, gate),
        ChatPages(site, handlers),
        InfoPages(site),
        FeedbackPages(site, feedback, gate),
        CampaignPages(site, metrics),
    )

    def register(app: FastAPI) -> None:
        site.register(app)
        for area in areas:
            area.register(app)
        site.close(app)

    return register
