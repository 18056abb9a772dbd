# SPDX-License-Identifier: Apache-2.0
"""What the API answers, field by field: models for the OpenAPI document and for nothing else.

Answers are written as plain dictionaries and not validated on the way out. That they are as
described is shown by tests that fuzz the whole API.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class NumberAnswer(Answer):
    id: str
    title: str
    phone: str | None
    href: str
    """tel: or https:"""
    hours: str
    checked: str
    """When it was last seen to be true, in words"""


class CardAnswer(Answer):
    id: str
    title: str
    steps: list[str]
    contacts: list[NumberAnswer]


class SubmitAnswer(Answer):
    receipt: str
    """The only way back to the report; shown once"""
    receipt_words: str
    """The same receipt in nine words of the report's language, or in English"""
    receipt_digits: str
    """The same receipt in 27 digits, for the telephone"""
    status_url: str
    emergency: list[NumberAnswer] | None = None
    """Numbers to call; present when danger_now is true"""


class TestAnswer(Answer):
    """To a key made for tests: all was checked, nothing was stored."""

    test: Literal[True]


class LineAnswer(Answer):
    time: str
    kind: str
    text: str


class MessageAnswer(Answer):
    time: str
    sender: Literal["staff", "reporter"] = Field(alias="from")
    question: bool
    text: str | None


class FollowAnswer(Answer):
    language: str
    status: str
    status_text: str
    received_at: str
    withdrawn_at: str | None
    timeline: list[LineAnswer]
    advice: list[CardAnswer]
    messages: list[MessageAnswer]
    can_withdraw: bool


class XarfMapping(Answer):
    """What became of a XARF document."""

    version: str
    type: str
    """category/type, as sent"""
    category: str | None
    """Of this country; null: it has none for the type"""
    other_categories: list[str]
    """Of this country, for the same type; a tag wasl:CATEGORY picks one"""
    locations: int
    evidence_dropped: int
    """Entries of evidence; none is kept"""
    dropped: list[str]
    """Fields that were not kept"""


class XarfAnswer(SubmitAnswer):
    xarf: XarfMapping


class XarfTestAnswer(TestAnswer):
    xarf: XarfMapping


class ProblemAnswer(BaseModel):
    """RFC 9457"""

    type: str
    title: str
    status: int
    detail: str | None = None


class BatchResult(Answer):
    """``status``: as if the report had been sent alone."""

    status: int
    receipt: str | None = None
    receipt_words: str | None = None
    receipt_digits: str | None = None
    status_url: str | None = None
    emergency: list[NumberAnswer] | None = None
    test: Literal[True] | None = None
    problem: ProblemAnswer | None = None


class BatchAnswer(Answer):
    results: list[BatchResult]


def described(answer: Any, text: str) -> dict[str, Any]:
    """One entry of an operation's ``responses``."""
    schema = TypeAdapter(answer).json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    return {
        "description": text,
        "content": {"application/json": {"schema": inlined(schema, definitions)}},
    }


def inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema without references, so that it can stand anywhere in the document."""
    if isinstance(schema, list):
        return [inlined(s, definitions) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {k: inlined(v, definitions) for k, v in schema.items()}
