# SPDX-License-Identifier: Apache-2.0
"""What this process subscribes to: the topic of its connector."""

from wasl_chassis.service import Service
from wasl_schemas.topics import dispatch_requested_v1

from wasl_platform_gateway.handlers import RequestHandlers


def register(service: Service, connector: str, handlers: RequestHandlers) -> None:
    service.consume(
        dispatch_requested_v1(connector),
        handlers.on_dispatch_requested,
        prefetch=handlers.prefetch_requests,
    )
