# SPDX-License-Identifier: Apache-2.0
"""Intake's piece of the operators' command."""

from wasl_chassis.operating import CommandGroup, Operations

OPERATIONS = Operations(
    "intake",
    "wasl_intake.settings:IntakeSettings",
    "wasl_intake.operating:trace",
    (
        CommandGroup(
            "api-keys",
            "Keys of organisations that report by the API.",
            "wasl_intake.operating:API_KEYS",
        ),
        CommandGroup(
            "feedback",
            "What people say about the hub itself.",
            "wasl_intake.answering:FEEDBACK",
        ),
    ),
)
