# SPDX-License-Identifier: Apache-2.0
"""Who may come in: accounts, second factors, sessions, other organisations' sign-in services."""

from wasl_triage.access.accounts import ACCOUNTS, SUBJECTS
from wasl_triage.access.kept import KEPT_FORMS
from wasl_triage.access.limits import TRIES
from wasl_triage.access.sessions import FLOWS, SESSIONS

COLLECTIONS = (ACCOUNTS, SUBJECTS, SESSIONS, TRIES, FLOWS, KEPT_FORMS)
