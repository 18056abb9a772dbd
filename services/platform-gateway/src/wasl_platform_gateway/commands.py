# SPDX-License-Identifier: Apache-2.0
"""The gateway's piece of the operators' command."""

from wasl_chassis.operating import CommandGroup, Operations

OPERATIONS = Operations(
    "platform-gateway",
    "wasl_platform_gateway.settings:GatewaySettings",
    "wasl_platform_gateway.operating:trace",
    (
        CommandGroup(
            "connectors",
            "The connectors of this deployment: see, pause, resume, drain, test.",
            "wasl_platform_gateway.operating:CONNECTORS",
        ),
        CommandGroup(
            "watches",
            "Items that are looked at after a request: see what needs a person, and say what is "
            "there.",
            "wasl_platform_gateway.operating:WATCHING",
        ),
    ),
    database="gateway",
)
