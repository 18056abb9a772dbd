# SPDX-License-Identifier: Apache-2.0
"""Notify's piece of the operators' command."""

from wasl_chassis.operating import Operations

OPERATIONS = Operations(
    "notify", "wasl_notify.settings:NotifySettings", "wasl_notify.tracing:trace"
)
