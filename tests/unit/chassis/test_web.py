# SPDX-License-Identifier: Apache-2.0
"""Bad input ends as a 4xx that names the field and repeats nothing."""

import json
import logging
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from wasl_chassis.failures import Conflict, KeyDestroyed, Overloaded, Retryable
from wasl_chassis.web import (
    MAX_ERRORS,
    Problem,
    add_problem_handlers,
    field_path,
    read_body,
    safe_name,
    strict_json,
    validate,
)

SECRET = "canary-7d1f"


def no_at(value: str) -> str:
    if "@" in value:
        raise PydanticCustomError("at_sign", "must not contain '@'", {"fix": "Leave it out."})
    return value


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    flag: bool = False


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=20), AfterValidator(no_at)]
    items: list[Annotated[str, Field(max_length=5)]] = Field(default=[], max_length=3)
    inner: Inner | None = None


BODY = TypeAdapter(Body)


def refused(body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        strict_json(body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "status", "field", "code"),
    [
        (b"", 400, "body", "not_json"),
        (b"{", 400, "body", "not_json"),
        (b'{"a": 1} x', 400, "body", "not_json"),
        (b'\xef\xbb\xbf{"a": 1}', 400, "body", "not_json"),
        ('{"a": 1}'.encode("utf-16"), 400, "body", "not_utf8"),
        (b'{"a": "\xff"}', 400, "body", "not_utf8"),
        (b'{"a": "\xed\xa0\x80"}', 400, "body", "not_utf8"),
        (b'{"a": "\x00"}', 400, "body", "not_json"),
        (b'{"a": "x\r\ny"}', 400, "body", "not_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "body", "not_json"),
        (b"[]", 422, "body", "not_object"),
        (b"null", 422, "body", "not_object"),
        (b'"text"', 422, "body", "not_object"),
        (b'{"a": NaN}', 422, "body", "not_finite"),
        (b'{"a": -Infinity}', 422, "body", "not_finite"),
        (b'{"a": 1e999}', 422, "body", "not_finite"),
        (b'{"a": 1, "b": 2, "a": 3}', 422, "a", "duplicate_key"),
        (b'{"x": {"deep": 1, "deep": 1}}', 422, "deep", "duplicate_key"),
        (b'{"x": {"$gt": ""}}', 422, "$gt", "operator_key"),
        (b'{"a.b": 1}', 422, "a.b", "operator_key"),
        (b'{"\\u0024where": 1}', 422, "$where", "operator_key"),
        (b'{"a\\u0000b": 1}', 422, "a?b", "operator_key"),
        (b'{"x": ["ok", "a\\u0000b"]}', 422, "x[1]", "nul"),
        (b'{"x": {"y": "\\ud800"}}', 422, "x.y", "surrogate"),
        (b'{"x": "\\udc00\\ud800"}', 422, "x", "surrogate"),
        (b'{"\\ud800": 1}', 422, "?", "surrogate"),
        (b'{"x": ' + b"[" * 16 + b"]" * 16 + b"}", 422, "x", "too_deep"),
        (b'{"x": ' * 17 + b"1" + b"}" * 17, 422, "x", "too_deep"),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422, "body", "too_deep"),
    ],
)
def test_strict_json_refuses(body: bytes, status: int, field: str, code: str) -> None:
    problem = refused(body)
    assert problem.status == status
    assert [(e["field"], e["code"]) for e in problem.errors] == [(field, code)]


def test_strict_json_accepts_what_is_fine() -> None:
    assert strict_json('{"a": "é\\ud83d\\ude00 \\u0627", "b": [1.5, null]}'.encode()) == {
        "a": "é😀 ا",
        "b": [1.5, None],
    }
    deepest = b'{"x": ' + b"[" * 15 + b"]" * 15 + b"}"
    assert strict_json(deepest)
    assert strict_json(json.dumps({"x": "[{" * 400}).encode()) == {"x": "[{" * 400}


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), _json, max_size=5), st.booleans())
def test_strict_json_returns_the_document_or_a_problem(
    value: dict[str, Any], ascii_only: bool
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    try:
        assert strict_json(body) == value
    except Problem as problem:
        assert problem.status in (400, 422)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_strict_json_survives_any_bytes(body: bytes) -> None:
    try:
        assert isinstance(strict_json(body), dict)
    except Problem as problem:
        assert problem.status in (400, 422)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "name", "missing"),
        ({"name": 5}, "name", "string_type"),
        ({"name": SECRET * 10}, "name", "string_too_long"),
        ({"name": SECRET + "@"}, "name", "at_sign"),
        ({"name": "a", SECRET: 1}, SECRET, "extra_forbidden"),
        ({"name": "a", "items": ["b", SECRET]}, "items[1]", "string_too_long"),
        ({"name": "a", "items": ["b"] * 4}, "items", "too_long"),
        ({"name": "a", "items": SECRET}, "items", "list_type"),
        ({"name": "a", "inner": {"flag": 1}}, "inner.flag", "bool_type"),
        ({"name": "a", "inner": {"flag": "true"}}, "inner.flag", "bool_type"),
        ({"name": "a", "inner": [SECRET]}, "inner", "model_type"),
    ],
)
def test_validation_names_the_field_and_not_the_value(body: Any, field: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        validate(BODY, json.dumps(body).encode())
    (error,) = caught.value.errors
    assert (caught.value.status, error["field"], error["code"]) == (422, field, code)
    assert error["message"]
    assert error["fix"]
    said = json.dumps(caught.value.body()).replace(json.dumps(field), "").replace(f": {field}", "")
    assert SECRET not in said


def test_validation_lists_few_errors_for_many_mistakes() -> None:
    with pytest.raises(Problem) as caught:
        validate(BODY, json.dumps({f"k{i}": 1 for i in range(5000)}).encode())
    assert len(caught.value.errors) == MAX_ERRORS


def test_names_are_cut_and_cleaned() -> None:
    assert safe_name("a\r\nSet-Cookie: b<c>" + "x" * 500).startswith("a??Set-Cookie??b?c?x")
    assert len(safe_name("x" * 500)) == 64
    assert field_path(("a", 1, "b", 2)) == "a[1].b[2]"
    assert field_path(()) == "body"


def test_problem_is_rfc_9457() -> None:
    response = Problem(409, "Already there, twice", "No.", headers={"x-a": "1"}).response()
    assert response.media_type == "application/problem+json"
    assert response.headers["x-a"] == "1"
    assert json.loads(bytes(response.body)) == {
        "type": "urn:wasl:problem:already-there-twice",
        "title": "Already there, twice",
        "status": 409,
        "detail": "No.",
    }


RAISES: dict[str, Exception] = {
    "retryable": Retryable("mongo is away"),
    "overloaded": Overloaded(),
    "conflict": Conflict(),
    "destroyed": KeyDestroyed(),
    "bug": RuntimeError(SECRET),
    "problem": Problem(418, "Teapot"),
}


async def _echo(request: Request) -> Response:
    body = await read_body(request, 100, media_type="application/json")
    return JSONResponse({"size": len(body)})


async def _raise(request: Request) -> Response:
    raise RAISES[request.path_params["what"]]


@pytest.fixture
async def client() -> Any:
    app = Starlette(
        routes=[Route("/echo", _echo, methods=["POST"]), Route("/raise/{what}", _raise)],
    )
    add_problem_handlers(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        yield client


@pytest.mark.parametrize(
    ("what", "status", "retry"),
    [
        ("retryable", 503, "2"),
        ("overloaded", 503, "1"),
        ("conflict", 409, None),
        ("destroyed", 410, None),
        ("bug", 500, None),
        ("problem", 418, None),
    ],
)
async def test_failures_become_problems(
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    what: str,
    status: int,
    retry: str | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await client.get(f"/raise/{what}")
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("retry-after") == retry
    assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert all(r.exc_info is None for r in caplog.records)


async def test_unknown_route_and_method_are_problems(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/nowhere"), await client.get("/echo")
    assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"content-type": 'Application/JSON; charset="UTF-8"'}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({}, 415),
    ],
)
async def test_media_type(client: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    answer = await client.post("/echo", content=b"{}", headers=headers)
    assert answer.status_code == status


async def test_size_is_limited_whether_declared_or_not(client: httpx.AsyncClient) -> None:
    json_type = {"content-type": "application/json"}

    async def chunks() -> Any:
        for _ in range(30):
            yield b"x" * 10

    assert (await client.post("/echo", content=b"x" * 100, headers=json_type)).json() == {
        "size": 100
    }
    for content in (b"x" * 101, chunks()):
        answer = await client.post("/echo", content=content, headers=json_type)
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"


async def test_slow_body_ends(client: httpx.AsyncClient) -> None:
    async def never() -> Any:
        import asyncio

        await asyncio.sleep(60)

    request = Request(
        {"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b""}, never
    )
    with pytest.raises(Problem) as caught:
        await read_body(request, 10, seconds=0.01)
    assert caught.value.status == 408


async def test_fastapi_parameters_are_problems_too() -> None:
    app = FastAPI()

    @app.get("/cases/{number}")
    async def case(number: int, limit: int = 5) -> int:
        return number + limit

    add_problem_handlers(app)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub.test"
    ) as c:
        answer = await c.get("/cases/1", params={"limit": SECRET})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "limit"
    assert SECRET not in answer.text
