# SPDX-License-Identifier: Apache-2.0
"""What a partner is asked to do, in its language: the one table of sentences for every connector.

A sentence that asks for less than removal says so. Where no measure was decided a report says
nothing: the partner's own rules say what follows.
"""

import tomllib
from importlib.resources import files
from typing import Literal

from wasl_connector_sdk.models import Measure, Submission

_WORDS: dict[str, dict[str, str]] = tomllib.loads(
    files(__package__).joinpath("asking.toml").read_text("utf-8")
)
Language = Literal["ar", "fr", "en"]


def spoken(tag: str) -> Language:
    """The language we have words in that a tag (BCP 47) names, else English."""
    match tag.partition("-")[0]:
        case "ar" | "fr" as language:
            return language
    return "en"


def sentence(measure: Measure, scope: str, language: Language) -> str:
    """Asks for the measure, and for no more."""
    words = _WORDS[language]
    anywhere = words.get(f"{measure}_global") if scope == "global" else None
    return anywhere or words[measure].format(scope=scope)


def asked(submission: Submission) -> str:
    """The measure decided, in the request's language; "" where none was."""
    if submission.measure is None:
        return ""
    return sentence(submission.measure, submission.scope, spoken(submission.language))
