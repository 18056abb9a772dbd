# SPDX-License-Identifier: Apache-2.0
"""What a person sends in place of a connector that could only ask for more than was decided.

The letters are those of the connector ``email`` for a desk without a form of its own. Pure.
"""

from wasl_connector_sdk import HubIdentity, Submission
from wasl_connector_sdk.asking import spoken

from wasl_platform_gateway.connectors.email import letters
from wasl_platform_gateway.connectors.email.letters import Letter
from wasl_platform_gateway.connectors.email.profiles import TEXTS, DeskConfig, Prepared, prepare


def request(submission: Submission, hub: HubIdentity) -> str:
    """The request, to be sent another way. Raises InvalidSubmission where it is too long."""
    letter = letters.request(_prepared(submission, hub), (), test=submission.test)
    return _packet(letter, submission)


def correction(submission: Submission, hub: HubIdentity) -> str:
    """What replaces an earlier request. Raises InvalidSubmission where it is too long."""
    prepared = _prepared(submission, hub)
    letter = letters.correction(prepared, submission.revision, (), test=submission.test)
    return _packet(letter, submission)


def _prepared(submission: Submission, hub: HubIdentity) -> Prepared:
    desk = DeskConfig(language=spoken(submission.language))
    return prepare(submission, desk, hub, submission.idempotency_key, hub.contact)


def _packet(letter: Letter, submission: Submission) -> str:
    words = TEXTS[letter.language].packet
    where = words["open_test"] if submission.test else words["other_way"]
    back = words["other_back"].format(token=submission.idempotency_key)
    said = (words["otherwise"], where, letter.subject, letter.text.strip(), back)
    return "\n\n".join(said) + "\n"
