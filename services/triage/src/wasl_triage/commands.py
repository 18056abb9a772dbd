# SPDX-License-Identifier: Apache-2.0
"""Triage's piece of the operators' command."""

from wasl_chassis.operating import CommandGroup, Operations

OPERATIONS = Operations(
    "triage",
    "wasl_triage.settings:TriageSettings",
    "wasl_triage.tracing:trace",
    (
        CommandGroup(
            "rules",
            "The country pack's rules: test them, try others on the past, see who changed what.",
            "wasl_triage.rules.operating:RULES",
        ),
        CommandGroup(
            "people", "Who may sign in to the desk.", "wasl_triage.access.commands:PEOPLE"
        ),
        CommandGroup(
            "audit",
            "The audit trail: its seals, its check, its export.",
            "wasl_triage.protection.commands:AUDIT",
        ),
        CommandGroup(
            "retention",
            "What is kept until when, and its erasure.",
            "wasl_triage.protection.commands:RETENTION",
        ),
        CommandGroup(
            "subject-requests",
            "The register of data subjects' requests.",
            "wasl_triage.protection.commands:SUBJECT_REQUESTS",
        ),
    ),
)
