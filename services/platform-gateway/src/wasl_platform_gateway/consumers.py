# SPDX-License-Identifier: Apache-2.0
"""What this process subscribes to: the topic of its connector, or what the watch needs."""

from wasl_chassis.service import Service
from wasl_schemas.topics import CASE_UPDATED_V1, DISPATCH_UPDATED_V1, dispatch_requested_v1

from wasl_platform_gateway.handlers import RequestHandlers
from wasl_platform_gateway.watching import FollowHandlers


def register(service: Service, connector: str, handlers: RequestHandlers) -> None:
    service.consume(
        dispatch_requested_v1(connector),
        handlers.on_dispatch_requested,
        prefetch=handlers.prefetch_requests,
    )


def register_watch(service: Service, handlers: FollowHandlers) -> None:
    service.consume(
        DISPATCH_UPDATED_V1, handlers.on_dispatch_updated, prefetch=handlers.prefetch_dispatches
    )
    service.consume(CASE_UPDATED_V1, handlers.on_case_updated, prefetch=handlers.prefetch_cases)
