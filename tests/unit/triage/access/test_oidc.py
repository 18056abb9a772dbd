# SPDX-License-Identifier: Apache-2.0
"""Another organisation's sign-in service: who comes in with what, and every forged word refused."""

import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from oidc_provider import OidcProvider, unsigned
from starlette.requests import Request
from starlette.responses import Response
from wasl_chassis.settings import SettingsError
from wasl_triage.access.accounts import State
from wasl_triage.access.door import Access, Denied, Departure, Return
from wasl_triage.access.oidc import Oidc, Provider, ProviderFailure, named, read_provider
from wasl_triage.access.sessions import Stage
from wasl_triage.domain.people import Role

PASSWORD = "tournesol vif, canard lent"


class There:
    """The desk, a provider, and a browser between them."""

    def __init__(self, people: Any, folder: Path, **more: Any) -> None:
        self.people = people
        self.op = OidcProvider(lambda: people.clock.now().timestamp())
        secret = folder / "secret"
        secret.write_text(f"{self.op.secret}\n", encoding="utf-8")
        self.given: dict[str, Any] = {
            "issuer": self.op.issuer,
            "client_id": self.op.client_id,
            "secret_file": str(secret),
            "amr": ["otp", "mfa"],
            "acr": ["urn:example:two"],
            "map": {
                "desk": {"roles": ["analyst"]},
                "minors": {"roles": ["child_safety"], "queues": ["child_safety"]},
            },
            **more,
        }
        self.op.claims |= {
            "preferred_username": "Amal.Idrissi", "groups": ["desk", "football"], "amr": ["otp"],
        }  # fmt: skip
        self.oidc = Oidc(
            Provider.model_validate(self.given),
            people.clock,
            back=self.op.back,
            transport=self.op,
        )
        self.access: Access = people.door(oidc=self.oidc)

    def request(self, answer: dict[str, str], departure: Departure | None) -> Request:
        headers = []
        if departure is not None:
            line = self.access.depart(Response(), departure).headers["set-cookie"]
            headers.append((b"cookie", line.partition(";")[0].encode()))
        query = str(httpx.QueryParams(answer)).encode()
        return Request({"type": "http", "headers": headers, "query_string": query})

    async def sign_in(self, **bent: str | None) -> Return:
        departure = await self.access.begin("fr", "queue")
        answer = self.op.agree(departure.address, **bent)
        return await self.access.come_back(self.request(answer, departure))

    async def refused(self, why: str, **bent: str | None) -> None:
        with pytest.raises(ProviderFailure) as caught:
            await self.sign_in(**bent)
        assert caught.value.why == why, caught.value


@pytest.fixture
def there(people: Any, tmp_path: Path) -> There:
    return There(people, tmp_path)


# -- in --------------------------------------------------------------------------------------------


async def test_a_mapped_person_is_in_at_once_with_the_providers_second_factor(
    there: There,
) -> None:
    back = await there.sign_in()
    assert (back.next, back.entered.stage) == ("queue", Stage.FULL)
    signed = await there.people.signed(back.entered)
    assert signed.person.name == "amal.idrissi"
    assert (signed.person.roles, signed.person.queues) == ({Role.ANALYST}, {"*"})
    assert (signed.federated, signed.has_password, signed.has_totp) == (True, False, False)
    assert there.people.count("provider", "in") == 1
    assert there.people.told("people") == [("provider", "made", "amal.idrissi analyst *")]
    # The same person again is the same account, whatever they are called by now.
    there.op.claims["preferred_username"] = "somebody.else"
    again = await there.sign_in()
    assert (await there.people.signed(again.entered)).person.name == "amal.idrissi"
    assert list(there.people.hub.store.docs["accounts"]) == ["amal.idrissi"]


async def test_the_flows_cookie_comes_along_when_the_browser_is_sent_back(there: There) -> None:
    departure = await there.access.begin("fr", "queue")
    assert there.access.depart(Response(), departure).headers["set-cookie"] == (
        f"__Host-wasl-desk-flow={departure.word}; Path=/; HttpOnly; SameSite=Lax; Secure"
    )


@pytest.mark.parametrize(
    ("claims", "stage"),
    [
        ({"amr": ["pwd"]}, Stage.ENROL),
        ({"amr": None}, Stage.ENROL),
        ({"amr": "otp"}, Stage.ENROL),
        ({"amr": ["pwd", "mfa"]}, Stage.FULL),
        ({"amr": None, "acr": "urn:example:two"}, Stage.FULL),
        ({"amr": None, "acr": ["urn:example:two"]}, Stage.ENROL),
    ],
)
async def test_without_a_second_factor_there_ours_is_asked_for(
    there: There, claims: dict[str, Any], stage: Stage
) -> None:
    there.op.claims |= claims
    back = await there.sign_in()
    assert back.entered.stage is stage
    if stage is Stage.ENROL:
        done = await there.people.enrol("amal.idrissi", back.entered)
        signed = await there.people.signed(done)
        assert signed.federated
        again = await there.sign_in()
        assert again.entered.stage is Stage.SECOND
        assert not await there.people.is_in(again.entered)
        half = await there.people.half(again.entered)
        with pytest.raises(Denied):
            await there.access.second(half, "000000")
        full = await there.access.second(half, there.people.code("amal.idrissi"))
        assert await there.people.is_in(full)


async def test_roles_follow_the_claims_at_each_sign_in(there: There) -> None:
    first = await there.sign_in()
    there.op.claims["groups"] = ["minors", "desk"]
    second = await there.sign_in()
    assert not await there.people.is_in(first.entered)  # it had other rights
    person = (await there.people.signed(second.entered)).person
    assert person.roles == {Role.ANALYST, Role.CHILD_SAFETY}
    assert person.queues == {"*", "child_safety"}
    for groups in (["football"], [], None, "football", {"desk": 1}):
        there.op.claims["groups"] = groups
        await there.refused("not_mapped")
    assert not await there.people.is_in(second.entered)
    assert there.people.account("amal.idrissi").roles == frozenset()
    there.op.claims["groups"] = "desk"
    assert await there.people.is_in((await there.sign_in()).entered)


async def test_whoever_is_not_mapped_gets_no_account(there: There) -> None:
    there.op.claims["groups"] = ["football"]
    await there.refused("not_mapped")
    assert "accounts" not in there.people.hub.store.docs


async def test_a_name_that_is_taken_is_never_given_to_another(there: There) -> None:
    await there.people.first("amal.idrissi", "administrator")
    await there.refused("name")
    assert there.people.account("amal.idrissi").subject is None
    there.op.claims |= {"preferred_username": "badr"}
    await there.sign_in()
    there.op.claims |= {"sub": "another person"}
    await there.refused("name")
    for name in (None, "", "---", 7, "clock", "unknown"):
        there.op.claims["preferred_username"] = name
        await there.refused("name")


async def test_a_disabled_account_stays_out(there: There) -> None:
    back = await there.sign_in()
    await there.people.disable("amal.idrissi")
    assert not await there.people.is_in(back.entered)
    await there.refused("disabled")
    assert there.people.account("amal.idrissi").state is State.DISABLED


async def test_claims_that_are_only_at_userinfo_are_fetched(there: There) -> None:
    there.op.userinfo = {"groups": there.op.claims.pop("groups"), "sub": "248289761001"}
    assert await there.people.is_in((await there.sign_in()).entered)
    there.op.userinfo["sub"] = "somebody else"
    await there.refused("token")


async def test_a_public_client_has_pkce_alone(people: Any, tmp_path: Path) -> None:
    there = There(people, tmp_path, secret_file=None)
    there.op.secret = None
    assert await people.is_in((await there.sign_in()).entered)


async def test_the_secret_is_sent_as_the_provider_wants_it(there: There) -> None:
    there.op.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert await there.people.is_in((await there.sign_in()).entered)
    there.op.secret = "another"
    await there.refused("token")


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256"])
async def test_signatures_of_every_kind_we_take(there: There, algorithm: str) -> None:
    key = (
        ECKey.generate_key("P-256", {"kid": "e", "use": "sig"})
        if algorithm == "ES256"
        else RSAKey.generate_key(2048, {"kid": "r", "use": "sig"})
    )
    there.op.rotate(key, keep=True, algorithm=algorithm)
    assert await there.people.is_in((await there.sign_in()).entered)


async def test_new_keys_are_fetched_when_an_unknown_one_signs_and_not_more_often(
    there: There,
) -> None:
    await there.sign_in()
    await there.sign_in()
    assert there.op.asked.count("/keys") == 1
    there.op.rotate(RSAKey.generate_key(2048, {"kid": "two", "use": "sig"}))
    there.people.later(minutes=1)
    assert await there.people.is_in((await there.sign_in()).entered)
    assert there.op.asked.count("/keys") == 2
    # Somebody who sends rubbish does not make us ask the provider each time.
    there.op.key = RSAKey.generate_key(2048, {"kid": "three"})
    for _ in range(5):
        await there.refused("token")
    assert there.op.asked.count("/keys") == 2
    there.people.later(minutes=1)
    for _ in range(5):
        await there.refused("token")
    assert there.op.asked.count("/keys") == 3


async def test_a_key_that_is_withdrawn_signs_nobody_in(there: There) -> None:
    await there.sign_in()
    stolen = there.op.key
    there.op.rotate(RSAKey.generate_key(2048, {"kid": "two", "use": "sig"}))
    there.people.later(hours=1)
    there.op.key = stolen
    await there.refused("token")


# -- attacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bent",
    [
        {"nonce": "of another flow"}, {"nonce": None}, {"nonce": 7},
        {"aud": "another client"}, {"aud": []}, {"aud": None}, {"aud": ["wasl desk", "other"]},
        {"aud": ["wasl desk", "other"], "azp": "other"}, {"azp": "another client"},
        {"iss": "https://id.example.org/realms/other"}, {"iss": None},
        {"iss": "https://id.example.org/realms/hub/"},
        {"exp": 0}, {"exp": None}, {"exp": "later"}, {"exp": True},
        {"iat": None}, {"iat": 10**10}, {"iat": 0},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "s" * 256},
    ],
    ids=str,
)  # fmt: skip
async def test_a_token_that_does_not_fit_signs_nobody_in(
    there: There, bent: dict[str, Any]
) -> None:
    there.op.bent = bent
    await there.refused("token")
    assert "accounts" not in there.people.hub.store.docs
    assert there.people.count("provider", "denied") == 1


@pytest.mark.parametrize(("seconds", "fits"), [(-59, True), (-61, False)])
async def test_clocks_may_differ_by_a_minute(there: There, seconds: int, fits: bool) -> None:
    now = int(there.people.clock.now().timestamp())
    there.op.bent = {"exp": now + seconds, "iat": now - seconds}
    if fits:
        assert await there.people.is_in((await there.sign_in()).entered)
    else:
        await there.refused("token")


def _hs256(there: There) -> Callable[[dict[str, Any]], str]:
    """The old trick: the public key as a shared secret."""
    secret = there.op.key.as_pem(private=False)

    def forge(claims: dict[str, Any]) -> str:
        head = _part({"alg": "HS256", "kid": "one"})
        text = f"{head}.{_part(claims)}"
        return f"{text}.{_b64(hmac.digest(secret, text.encode(), 'sha256'))}"

    return forge


def _part(value: dict[str, Any]) -> str:
    return _b64(json.dumps(value).encode())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _tampered(there: There) -> Callable[[dict[str, Any]], str]:
    def forge(claims: dict[str, Any]) -> str:
        header = {"alg": "RS256", "kid": "one"}
        head, _, signature = jwt.encode(header, {**claims, "sub": "x"}, there.op.key).split(".")
        return f"{head}.{_part(claims)}.{signature}"

    return forge


def _own_key(there: There) -> Callable[[dict[str, Any]], str]:
    """A key the token brings along itself."""
    key = RSAKey.generate_key(2048, {"kid": "one"})
    header = {"alg": "RS256", "kid": "one", "jwk": key.as_dict(private=False)}
    return lambda claims: jwt.encode(header, claims, key)


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: unsigned,
        _hs256,
        _tampered,
        _own_key,
        lambda _: lambda _: "",
        lambda _: lambda _: "a.b.c",
        lambda _: lambda _: "é" * 100,
    ],
    ids=["none", "hs256", "tampered", "own key", "empty", "rubbish", "letters"],
)
async def test_a_token_the_provider_did_not_sign_signs_nobody_in(there: There, forge: Any) -> None:
    there.op.forge = forge(there)
    await there.refused("token")


async def test_an_answer_is_used_once(there: There) -> None:
    departure = await there.access.begin("fr", "")
    answer = there.op.agree(departure.address)
    request = there.request(answer, departure)
    await there.access.come_back(request)
    with pytest.raises(ProviderFailure) as caught:
        await there.access.come_back(request)
    assert caught.value.why == "answer"


async def test_an_answer_of_another_browser_or_flow_is_refused(there: There) -> None:
    mine, theirs = await there.access.begin("fr", ""), await there.access.begin("fr", "")
    for departure, address in ((None, mine.address), (mine, theirs.address)):
        with pytest.raises(ProviderFailure) as caught:
            await there.access.come_back(there.request(there.op.agree(address), departure))
        assert caught.value.why == "answer"
    await there.refused("answer", state=None)
    await there.refused("answer", state="made up")
    await there.refused("answer", code=None)


async def test_an_answer_that_comes_late_is_refused(there: There) -> None:
    departure = await there.access.begin("fr", "")
    answer = there.op.agree(departure.address)
    there.people.later(minutes=10)
    with pytest.raises(ProviderFailure) as caught:
        await there.access.come_back(there.request(answer, departure))
    assert caught.value.why == "answer"


async def test_an_answer_of_another_issuer_is_refused(there: There) -> None:
    await there.refused("answer", iss="https://evil.example")
    await there.refused("answer", iss=None)  # it promised to say
    there.op.metadata["authorization_response_iss_parameter_supported"] = False
    there.people.later(hours=2)
    assert await there.people.is_in((await there.sign_in(iss=None)).entered)
    await there.refused("answer", iss="https://evil.example")


async def test_a_code_of_another_flow_does_not_fit_the_verifier(there: There) -> None:
    theirs = there.op.agree((await there.access.begin("fr", "")).address)
    await there.refused("token", code=theirs["code"])


async def test_a_person_who_declines_is_not_signed_in(there: There) -> None:
    await there.refused("refused", code=None, error="access_denied")
    await there.refused("away", code=None, error="temporarily_unavailable")


# -- away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        {"/.well-known/openid-configuration": httpx.ConnectError("no")},
        {"/.well-known/openid-configuration": 503},
        {"/.well-known/openid-configuration": 302},
        {"/keys": httpx.ReadTimeout("slow")},
        {"/token": 500},
    ],
    ids=str,
)
async def test_while_the_provider_is_away_local_accounts_come_in(
    there: There, broken: dict[str, Any]
) -> None:
    there.op.broken = broken
    await there.refused("away")
    await there.people.first("break-glass", "administrator")
    code = there.people.code("break-glass")
    assert await there.people.is_in(await there.access.sign_in("break-glass", PASSWORD, code))
    there.op.broken = {}
    assert await there.people.is_in((await there.sign_in()).entered)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://id.example.org/token"},
        {"jwks_uri": "http://169.254.169.254/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
    ],
    ids=str,
)
async def test_metadata_that_leads_elsewhere_is_not_followed(
    there: There, metadata: dict[str, Any]
) -> None:
    there.op.metadata = metadata
    with pytest.raises(ProviderFailure) as caught:
        await there.access.begin("fr", "")
    assert caught.value.why == "away"


# -- out and again ---------------------------------------------------------------------------------


async def test_somebody_proves_again_who_they_are_where_they_signed_in(there: There) -> None:
    back = await there.sign_in()
    there.people.later(minutes=15)
    signed = await there.people.signed(back.entered)
    assert not there.access.fresh(signed)
    departure = await there.access.begin("fr", "people", signed)
    query = parse_qs(urlsplit(departure.address).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    # A provider that did not ask again.
    now = int(there.people.clock.now().timestamp())
    there.op.bent = {"auth_time": now - 900}
    answer = there.op.agree(departure.address)
    with pytest.raises(ProviderFailure) as caught:
        await there.access.come_back(there.request(answer, departure))
    assert caught.value.why == "token"
    there.op.bent = {"auth_time": now}
    departure = await there.access.begin("fr", "people", signed)
    again = await there.access.come_back(
        there.request(there.op.agree(departure.address), departure)
    )
    assert again.next == "people"
    assert there.access.fresh(await there.people.signed(again.entered))
    assert not await there.people.is_in(back.entered)
    # Somebody else at the same screen.
    signed = await there.people.signed(again.entered)
    there.op.claims |= {"sub": "another", "preferred_username": "another"}
    departure = await there.access.begin("fr", "people", signed)
    with pytest.raises(ProviderFailure) as caught:
        await there.access.come_back(there.request(there.op.agree(departure.address), departure))
    assert caught.value.why == "answer"


async def test_signing_out_offers_to_do_so_there_too(there: There, asking: Any) -> None:
    back = await there.sign_in()
    assert await there.access.sign_out(asking(there.access, back.entered)) is True
    address = await there.oidc.way_out("https://desk.example.org/fr/sign-in")
    assert address is not None
    query = parse_qs(urlsplit(address).query)
    assert address.startswith(f"{there.op.issuer}/end?")
    assert query["post_logout_redirect_uri"] == ["https://desk.example.org/fr/sign-in"]
    there.op.metadata["end_session_endpoint"] = None
    there.people.later(hours=2)
    assert await there.oidc.way_out("https://desk.example.org/fr/sign-in") is None


async def test_no_token_is_stored_or_logged(there: There, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    made: list[str] = []
    plain = there.op._signed

    def kept(claims: dict[str, Any]) -> str:
        made.append(plain(claims))
        return made[-1]

    there.op._signed = kept  # type: ignore[method-assign]
    back = await there.sign_in()
    (token,) = made
    stored = there.people.stored()
    ours = " ".join(str(r.__dict__) for r in caplog.records if r.name.startswith("wasl"))
    for secret in (token, token.split(".")[1], back.entered.word, there.op.secret, "248289761001"):
        assert secret not in stored
        assert secret not in ours
    assert there.people.hub.store.docs["sign_in_flows"] == {}


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"issuer": "http://id.example.org"}, "issuer"),
        ({"issuer": "https://user@id.example.org"}, "issuer"),
        ({"map": {}}, "map"),
        ({"map": {"desk": {"roles": ["boss"]}}}, "map.desk.roles"),
        ({"map": {"desk": {"roles": []}}}, "map.desk.roles"),
        ({"client": "x"}, "client"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(
    there: There, tmp_path: Path, changed: dict[str, Any], names: str
) -> None:
    file = tmp_path / "oidc.json"
    file.write_text(json.dumps({**there.given, **changed}))
    with pytest.raises(SettingsError, match=rf"WASL_TRIAGE_OIDC: .*at {names}"):
        read_provider(file)
    file.write_text(json.dumps(there.given))
    assert read_provider(file).claim == "groups"


def test_a_file_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        read_provider(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("Amal Idrissi", "amal-idrissi"),
        ("amal@example.org", "amal-example.org"),
        ("أمل", None),
        ([], None),
    ],
)
def test_names_in_the_letters_a_name_has(there: There, claim: Any, name: str | None) -> None:
    assert named(there.oidc.provider, {"preferred_username": claim}) == name
